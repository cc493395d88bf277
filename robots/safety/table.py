"""The one table of safety: which condition makes the robot do what, and what becomes of the episode.

Nothing else in the station decides about stopping. A row that is missing here does not exist, and
`docs/safety.md` says the same in words. Priorities follow ISO 10218-1 (a stop outranks all motion
and its reset never restarts motion); the emergency stop is category 1 of IEC 60204-1.
"""

import enum

import msgspec

from robots.wire.records import Mode


class Condition(enum.Enum):
    """What was seen."""

    ACTION_STALE = "action_stale"
    ACTION_LOST = "action_lost"
    EPISODE_LIMIT = "episode_limit"
    ACTION_NOT_FINITE = "action_not_finite"
    ACTION_SHAPE = "action_shape"
    ACTION_CLIPPED = "action_clipped"
    TASK_LIMIT = "task_limit"
    FOLLOWING_ERROR = "following_error"
    CAMERA_STALE = "camera_stale"
    BUS_STALE = "bus_stale"
    TICK_LATE = "tick_late"
    OVERHEATED = "overheated"
    DRIVER_ERROR = "driver_error"
    SIMULATION_WARNING = "simulation_warning"
    GRANT_LAPSED = "grant_lapsed"
    HOLD = "hold"
    EMERGENCY_STOP = "emergency_stop"


class Reaction(enum.Enum):
    """What the robot does."""

    CLIP = "clip"
    DECELERATE_HOLD = "decelerate_hold"
    HOLD = "hold"
    RAMP_DOWN = "ramp_down"
    PROTECTIVE_STOP = "protective_stop"
    FINISH_THEN_HOLD = "finish_then_hold"
    POWER_OFF = "power_off"


class Verdict(enum.Enum):
    """What becomes of the episode, or of its batch."""

    COUNTS_ON = "counts_on"
    FAILURE = "failure"
    VOID = "void"
    VOID_BATCH = "void_batch"


class Clears(enum.Enum):
    """Who or what lets the robot move again."""

    NOTHING_TO_CLEAR = "nothing_to_clear"
    FRESH_ACTION = "fresh_action"
    NEXT_RESET = "next_reset"
    AUTOMATIC_RESET = "automatic_reset"
    OPERATOR = "operator"
    NEW_GRANT = "new_grant"
    PERSON_AT_ROBOT = "person_at_robot"


class Decision(msgspec.Struct, frozen=True):
    """One row of the table, as it applies."""

    condition: Condition
    reaction: Reaction
    verdict: Verdict
    latched: bool
    clears: Clears


RAMP_DOWN_S = 0.2
"""A broken task limit and an emergency stop bring the robot to rest within this time."""

STALE_PERIODS = 3
LOST_PERIODS = 15
"""Ages of an action, in policy periods, at which the robot holds and the episode has failed."""

LATE_TICK_S = 0.05
"""A control tick later than this is a fault of the machine (realtime only)."""

FIRMWARE_TIMEOUT_S = 0.4
"""The robot holds by itself when its commands stop for this long."""

TASK_LIMITS_IN_A_ROW = 40
"""Broken task limits in a row after which the station quarantines itself: two whole batches of a
hopeless policy are no fault of the station."""

_FIXED: dict[Condition, tuple[Reaction, Verdict, bool, Clears]] = {
    Condition.ACTION_STALE: (
        Reaction.DECELERATE_HOLD,
        Verdict.COUNTS_ON,
        False,
        Clears.FRESH_ACTION,
    ),
    Condition.ACTION_LOST: (Reaction.HOLD, Verdict.FAILURE, False, Clears.NEXT_RESET),
    Condition.EPISODE_LIMIT: (Reaction.HOLD, Verdict.FAILURE, False, Clears.NEXT_RESET),
    Condition.ACTION_NOT_FINITE: (Reaction.HOLD, Verdict.FAILURE, False, Clears.NEXT_RESET),
    Condition.ACTION_SHAPE: (Reaction.HOLD, Verdict.FAILURE, False, Clears.NEXT_RESET),
    Condition.ACTION_CLIPPED: (Reaction.CLIP, Verdict.COUNTS_ON, False, Clears.NOTHING_TO_CLEAR),
    Condition.TASK_LIMIT: (Reaction.RAMP_DOWN, Verdict.FAILURE, False, Clears.AUTOMATIC_RESET),
}

_HARDWARE = {
    # Whether a policy's actions could bring it about: else the episode is nobody's failure.
    Condition.FOLLOWING_ERROR: True,
    Condition.CAMERA_STALE: False,
    Condition.BUS_STALE: False,
    Condition.TICK_LATE: False,
    Condition.OVERHEATED: True,
    Condition.DRIVER_ERROR: False,
    Condition.SIMULATION_WARNING: True,
}


def decide(
    condition: Condition, *, mode: Mode, during_policy: bool, by_agent: bool = False
) -> Decision:
    """Look a condition up.

    Args:
        condition: What was seen.
        mode: The mode of the grant in force (`SETUP` if there is none).
        during_policy: Whether a policy commands the robot now, not a reset.
        by_agent: Whether a hold or stop was sent by an agent.
    """
    if condition in _FIXED:
        reaction, verdict, latched, clears = _FIXED[condition]
        if verdict is Verdict.FAILURE and not during_policy:
            # A reset that breaks a rule says nothing about the policy that waits for it.
            verdict = Verdict.COUNTS_ON
        return Decision(condition, reaction, verdict, latched, clears)
    if condition in _HARDWARE:
        caused = during_policy and _HARDWARE[condition]
        verdict = Verdict.FAILURE if caused else Verdict.VOID
        return Decision(condition, Reaction.PROTECTIVE_STOP, verdict, True, Clears.OPERATOR)
    if condition is Condition.GRANT_LAPSED:
        reaction = Reaction.HOLD if mode is Mode.SETUP else Reaction.FINISH_THEN_HOLD
        return Decision(condition, reaction, Verdict.COUNTS_ON, False, Clears.NEW_GRANT)
    verdict = Verdict.VOID_BATCH
    if by_agent:
        verdict = Verdict.FAILURE if during_policy else Verdict.COUNTS_ON
    if condition is Condition.HOLD:
        return Decision(condition, Reaction.HOLD, verdict, True, Clears.OPERATOR)
    return Decision(condition, Reaction.POWER_OFF, verdict, True, Clears.PERSON_AT_ROBOT)
