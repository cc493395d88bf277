import pytest

from enpire_tui.supervisor.authority import SIMULATED_WORD, WORD, Authority, refusal
from robots.wire.commands import HandOver
from robots.wire.records import Mode, PolicyFile
from robots.wire.signing import SigningKey

NOW_S = 1000.0
PERSON = SigningKey.generate()
REAL = Authority(
    task="push_t", stations=("s1",), minutes=10.0, simulated=False, people=(PERSON.public,)
)


def policy(key: SigningKey = PERSON, **changes) -> HandOver:
    fields = {
        "person": "ann",
        "task": "push_t",
        "stations": ("s1", "s2"),
        "minutes": 10.0,
        "not_after_wall_s": NOW_S + 1,
        **changes,
    }
    return HandOver(mode=Mode.AUTONOMOUS, policy=key.sign(PolicyFile(**fields)))


def test_a_persons_policy_hands_over_real_drivers():
    assert refusal(policy(), REAL, NOW_S) == ""


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (HandOver(mode=Mode.AUTONOMOUS), "need a policy file"),
        (HandOver(mode=Mode.AUTONOMOUS, word=SIMULATED_WORD), "need a policy file"),
        (policy(SigningKey.generate()), "unknown key"),
        (policy(task="pin_insertion"), "permits task"),
        (policy(stations=("s2",)), "does not permit station s1"),
        (policy(minutes=5.0), "permits 5 minutes"),
        (policy(not_after_wall_s=NOW_S - 1), "expired"),
    ],
)
def test_real_drivers_move_under_nothing_less(command, reason):
    assert reason in refusal(command, REAL, NOW_S)


def test_a_person_hands_over_real_drivers_by_typing_the_word():
    assert refusal(HandOver(mode=Mode.AUTONOMOUS, word=WORD), REAL, NOW_S) == ""
    assert refusal(HandOver(mode=Mode.AUTONOMOUS, word=WORD.upper()), REAL, NOW_S)


def test_a_record_of_another_kind_is_no_policy():
    from robots.wire.records import MotionGrant

    grant = PERSON.sign(
        MotionGrant(station="s1", run_id="r", mode=Mode.AUTONOMOUS, serial=1, ttl_s=1.0)
    )
    command = HandOver(mode=Mode.AUTONOMOUS, policy=grant)
    assert "signature does not fit" in refusal(command, REAL, NOW_S)


def test_the_built_in_policy_is_for_simulated_drivers_only():
    simulated = Authority(task="push_t", stations=("s1",), minutes=10.0, simulated=True)
    assert refusal(HandOver(mode=Mode.AUTONOMOUS, word=SIMULATED_WORD), simulated, NOW_S) == ""
    assert "type" in refusal(HandOver(mode=Mode.AUTONOMOUS), simulated, NOW_S)


def test_taking_the_fleet_back_needs_nothing():
    assert refusal(HandOver(mode=Mode.SETUP), REAL, NOW_S) == ""
