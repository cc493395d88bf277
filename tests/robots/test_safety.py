"""The safety table, the limiter and the watchdog: every row, and what happens without it."""

import itertools
import math

import numpy as np
import pytest

from robots.safety import safety_sha256
from robots.safety.limits import STILL, ActionLimits, Limiter, validated
from robots.safety.table import Clears, Condition, Reaction, Verdict, decide
from robots.safety.watchdog import ActionWatchdog
from robots.wire.records import Mode

LIMITS = ActionLimits(
    shape=(2,), low=(-0.3, -0.2), high=(0.3, 0.2), max_velocity=(0.5, 0.5), max_step=(0.1, 0.1)
)
TICK_S = 0.01

# condition, mode, during_policy, by_agent, then reaction, verdict, latched, clears.
ROWS = [
    (
        "action_stale",
        "autonomous",
        True,
        False,
        "decelerate_hold",
        "counts_on",
        False,
        "fresh_action",
    ),
    ("action_lost", "autonomous", True, False, "hold", "failure", False, "next_reset"),
    ("episode_limit", "autonomous", True, False, "hold", "failure", False, "next_reset"),
    ("action_not_finite", "autonomous", True, False, "hold", "failure", False, "next_reset"),
    ("action_shape", "autonomous", True, False, "hold", "failure", False, "next_reset"),
    ("action_clipped", "autonomous", True, False, "clip", "counts_on", False, "nothing_to_clear"),
    ("task_limit", "autonomous", True, False, "ramp_down", "failure", False, "automatic_reset"),
    ("task_limit", "autonomous", False, False, "ramp_down", "counts_on", False, "automatic_reset"),
    ("following_error", "autonomous", True, False, "protective_stop", "failure", True, "operator"),
    ("following_error", "autonomous", False, False, "protective_stop", "void", True, "operator"),
    ("camera_stale", "autonomous", True, False, "protective_stop", "void", True, "operator"),
    ("bus_stale", "autonomous", True, False, "protective_stop", "void", True, "operator"),
    ("tick_late", "autonomous", True, False, "protective_stop", "void", True, "operator"),
    ("overheated", "autonomous", True, False, "protective_stop", "failure", True, "operator"),
    ("driver_error", "autonomous", True, False, "protective_stop", "void", True, "operator"),
    (
        "simulation_warning",
        "autonomous",
        True,
        False,
        "protective_stop",
        "failure",
        True,
        "operator",
    ),
    ("simulation_warning", "autonomous", False, False, "protective_stop", "void", True, "operator"),
    ("grant_lapsed", "setup", True, False, "hold", "counts_on", False, "new_grant"),
    (
        "grant_lapsed",
        "autonomous",
        True,
        False,
        "finish_then_hold",
        "counts_on",
        False,
        "new_grant",
    ),
    ("hold", "autonomous", True, False, "hold", "void_batch", True, "operator"),
    ("hold", "autonomous", True, True, "hold", "failure", True, "operator"),
    ("hold", "autonomous", False, True, "hold", "counts_on", True, "operator"),
    (
        "emergency_stop",
        "autonomous",
        True,
        False,
        "power_off",
        "void_batch",
        True,
        "person_at_robot",
    ),
    ("emergency_stop", "autonomous", True, True, "power_off", "failure", True, "person_at_robot"),
]


@pytest.mark.parametrize(
    ("condition", "mode", "during_policy", "by_agent", "reaction", "verdict", "latched", "clears"),
    ROWS,
)
def test_a_row_of_the_table(
    condition, mode, during_policy, by_agent, reaction, verdict, latched, clears
):
    decision = decide(
        Condition(condition), mode=Mode(mode), during_policy=during_policy, by_agent=by_agent
    )

    assert decision.reaction is Reaction(reaction)
    assert decision.verdict is Verdict(verdict)
    assert decision.latched is latched
    assert decision.clears is Clears(clears)


def test_every_condition_has_a_row():
    assert {row[0] for row in ROWS} == {condition.value for condition in Condition}


def test_no_decision_makes_a_success():
    for condition, mode, policy, agent in itertools.product(
        Condition, Mode, (True, False), (True, False)
    ):
        decision = decide(condition, mode=mode, during_policy=policy, by_agent=agent)
        assert decision.verdict in Verdict


def test_what_a_policy_does_never_voids_its_episode():
    from_the_policy = (
        Condition.ACTION_STALE,
        Condition.ACTION_LOST,
        Condition.EPISODE_LIMIT,
        Condition.ACTION_NOT_FINITE,
        Condition.ACTION_SHAPE,
        Condition.ACTION_CLIPPED,
        Condition.TASK_LIMIT,
        Condition.FOLLOWING_ERROR,
        Condition.SIMULATION_WARNING,
    )
    for condition, mode in itertools.product(from_the_policy, Mode):
        decision = decide(condition, mode=mode, during_policy=True)
        assert decision.verdict in (Verdict.FAILURE, Verdict.COUNTS_ON)


@pytest.mark.parametrize(
    ("action", "condition"),
    [
        (np.array([0.1, 0.1]), None),
        (np.array([0.1, 0.1], dtype=np.float32), None),
        (np.array([1, 0]), None),
        (np.array([9.0, -9.0]), None),
        (np.array([np.nan, 0.0]), Condition.ACTION_NOT_FINITE),
        (np.array([0.0, np.inf]), Condition.ACTION_NOT_FINITE),
        (np.array([0.0, -np.inf]), Condition.ACTION_NOT_FINITE),
        (np.array([0.0]), Condition.ACTION_SHAPE),
        (np.array([[0.0, 0.0]]), Condition.ACTION_SHAPE),
        (np.array([True, False]), Condition.ACTION_SHAPE),
        (np.array([0.0 + 1j, 0.0]), Condition.ACTION_SHAPE),
        (np.array(["a", "b"]), Condition.ACTION_SHAPE),
        ([0.1, 0.1], Condition.ACTION_SHAPE),
        ({"x": 1}, Condition.ACTION_SHAPE),
        (None, Condition.ACTION_SHAPE),
    ],
)
def test_actions_are_validated_before_they_are_clipped(action, condition):
    found = validated(action, LIMITS)

    assert found is condition if condition else found == action.tolist()


@pytest.mark.parametrize(
    ("action", "valid"), [(0, True), (1, True), (2, False), (-1, False), (0.5, False)]
)
def test_a_discrete_action_is_one_of_its_choices(action, valid):
    limits = ActionLimits(shape=(), low=(), high=(), choices=2)

    assert isinstance(validated(np.array(action), limits), list) is valid


def test_random_actions_never_leave_position_step_and_velocity_limits():
    rng = np.random.default_rng(0)
    limiter = Limiter(LIMITS, TICK_S, [0.0, 0.0])
    for _ in range(300):
        before_step = list(limiter.setpoint)
        limiter.accept(rng.normal(0.0, 1.0, 2).tolist())
        for low, high, value, now in zip(
            LIMITS.low, LIMITS.high, limiter.target, before_step, strict=True
        ):
            assert low <= value <= high
            assert abs(value - now) <= 0.1 + 1e-12
        for _ in range(3):
            before = list(limiter.setpoint)
            limiter.tick()
            moved = math.dist(before, limiter.setpoint)
            assert moved <= 0.5 * TICK_S * (1 + 1e-9)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_an_action_beyond_a_limit_ends_at_it(sign):
    limiter = Limiter(LIMITS, TICK_S, [sign * 0.29, 0.0])

    assert limiter.accept([sign * 9.0, 0.0])
    assert limiter.target == [sign * 0.3, 0.0]
    limiter.relocate([0.0, 0.0])
    assert limiter.accept([sign * 0.25, 0.0])
    assert limiter.target == [sign * 0.1, 0.0]


def test_the_set_point_takes_the_straight_way():
    limiter = Limiter(LIMITS, TICK_S, [0.0, 0.0])
    limiter.accept([0.08, 0.04])

    while limiter.tick():
        assert limiter.setpoint[1] == pytest.approx(limiter.setpoint[0] / 2)
    assert limiter.setpoint == [0.08, 0.04]
    assert limiter.tick() == STILL


def test_a_clip_is_reported_and_a_valid_action_is_not():
    limiter = Limiter(LIMITS, TICK_S, [0.0, 0.0])

    assert not limiter.accept([0.05, 0.05])
    assert limiter.accept([0.2, 0.0])
    assert limiter.accept([0.0, 9.0])


def test_holding_stays_where_the_robot_is_commanded_to_be():
    limiter = Limiter(LIMITS, TICK_S, [0.0, 0.0])
    limiter.accept([0.1, 0.0])
    limiter.tick()
    here = list(limiter.setpoint)

    limiter.hold()

    assert not limiter.tick()
    assert limiter.setpoint == here


@pytest.mark.parametrize(
    "wrong",
    [
        {"low": (0.4, -0.2)},
        {"low": (-0.3,)},
        {"max_velocity": (0.5, 0.0)},
        {"max_step": (math.nan, 0.1)},
    ],
)
def test_limits_that_make_no_sense_are_refused(wrong):
    fields = {name: getattr(LIMITS, name) for name in LIMITS.__struct_fields__}
    with pytest.raises(ValueError, match=r"limit|numbers|positive"):
        ActionLimits(**{**fields, **wrong})


@pytest.mark.parametrize(
    ("age_s", "condition"),
    [
        (0.0, None),
        (0.3, None),
        (0.301, Condition.ACTION_STALE),
        (1.5, Condition.ACTION_STALE),
        (1.501, Condition.ACTION_LOST),
        (math.inf, Condition.ACTION_LOST),
        (math.nan, Condition.ACTION_LOST),
    ],
)
def test_the_watchdog_counts_policy_periods(age_s, condition):
    assert ActionWatchdog(0.1).condition(age_s) is condition


def test_the_hash_follows_the_limits():
    other = ActionLimits(shape=(2,), low=(-0.3, -0.2), high=(0.3, 0.21))

    assert safety_sha256(LIMITS) == safety_sha256(LIMITS)
    assert safety_sha256(LIMITS) != safety_sha256(other)
