import msgspec
import pytest

from enpire_tui.supervisor.counting import RecordRefused, counted
from robots.wire.records import Counts, Episode, LedgerRecord, Mode, MotionGrant, Outcome, Purpose
from robots.wire.signing import SignatureRefused, SigningKey
from tests.enpire_tui.fakes import recipe
from tests.enpire_tui.supervisor.states import Story

STATION = SigningKey.generate()


def record(**changes) -> LedgerRecord:
    fields = {
        "batch_id": "r1/a1-1/screen/1",
        "station": "s1",
        "task": "push_t",
        "purpose": Purpose.EVALUATE,
        "commit": "c-a1-1",
        "recipe_sha256": recipe(0.5, "a1-1").sha256,
        "idea_id": "a1-1",
        "counts": Counts(success=1, failure=1, void=1),
        "episodes": tuple(
            Episode(index=index, outcome=outcome, reason="", robot_s=2.0, reset_s=1.0, wall_s=0.5)
            for index, outcome in enumerate(Outcome)
        ),
        "void": False,
        "void_reason": "",
        "manifest_sha256": "",
        "safety_sha256": "",
        "previous_sha256": "",
        "started_wall_s": 0.0,
        "ended_wall_s": 0.0,
        "seconds": 0.0,
        **changes,
    }
    return LedgerRecord(**fields)


def count(found, key: SigningKey = STATION):
    made = Story()
    made.queued("a1-1")
    batch = made.state.batches[made.dispatched("a1-1", "screen", 10)]
    signed = key.sign(found)
    return counted(signed, {STATION.public}, batch, made.state.candidates["a1-1"], "push_t")


def test_the_record_that_was_asked_for_counts():
    event = count(record())
    assert event.counts == Counts(success=1, failure=1, void=1)
    assert event.robot_s == 9.0
    assert event.wall_s == 1.5


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_id": "r1/a1-1/screen/2"},
        {"station": "s2"},
        {"task": "pin_insertion"},
        {"purpose": Purpose.EXPLORE},
        {"commit": "c-other"},
        {"recipe_sha256": "0" * 64},
        {"counts": Counts(success=2, failure=1, void=1)},
        {"counts": Counts(success=0, failure=0, void=1)},
    ],
)
def test_a_record_of_something_else_does_not(changes):
    with pytest.raises(RecordRefused):
        count(record(**changes))


def test_a_record_signed_by_a_stranger_does_not():
    with pytest.raises(SignatureRefused):
        count(record(), SigningKey.generate())


def test_a_record_changed_after_it_was_signed_does_not():
    made = Story()
    made.queued("a1-1")
    batch = made.state.batches[made.dispatched("a1-1", "screen", 10)]
    signed = STATION.sign(record())
    better = msgspec.msgpack.encode(record(counts=Counts(success=2)))
    forged = msgspec.structs.replace(signed, body=better)
    with pytest.raises(SignatureRefused):
        counted(forged, {STATION.public}, batch, made.state.candidates["a1-1"], "push_t")


def test_another_signed_thing_is_no_record():
    grant = MotionGrant(station="s1", run_id="r", mode=Mode.AUTONOMOUS, serial=1, ttl_s=1.0)
    with pytest.raises(SignatureRefused):
        count(grant)
