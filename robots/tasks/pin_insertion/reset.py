"""Physical reset of pin insertion: pulls the pin out, or takes a new one, and hovers over the box.

It runs in a sandboxed child on sensors alone. A pin that sits well in the fingers is pulled straight
up. Any other one is let go; the feeder then presents the next pin, which is picked from its nest.
"""

import numpy as np

from robots.skills import (
    Array,
    Failure,
    Grip,
    Hand,
    Observation,
    Robot,
    Script,
    ScriptedReset,
    SkillFailed,
    retry,
)

_FEEDER = (0.0, 0.1)
_PICK_Z_M, _CALL_Z_M, _CLEAR_Z_M = 0.030, 0.095, 0.085
_OPEN_M, _CLOSED_M = 0.026, 0.004
_KNOB = Grip(0.0085, 0.0115)
_TRAVEL_M_S, _FINE_M_S = 0.12, 0.05
_NEAR_M = 0.001
"""How near to its place the hand is measured before it counts: an arm that is not balanced sags."""
_TIP: Array = np.array([0.0, 0.0, -0.045])
_TIP_OK_M = 0.0022
"""Tighter than the post-condition, which single noisy frames judge."""


class Reset(ScriptedReset):
    """Brings a pin to the start, held; the target is where the hand shall hover (3,), in metres."""

    def script(self, observation: Observation, target: Array) -> Script[None]:
        held = _KNOB.low_m < float(observation["finger_opening_m"][0]) < _KNOB.high_m
        gap_m = _CLOSED_M if held else _OPEN_M
        robot = Robot(observation, [*observation["hand_position_m"], gap_m])
        hand = Hand(robot)
        # Straight up first: whatever is held comes out of its hole.
        yield from hand.move((*hand.aim[:2], _CALL_Z_M), _FINE_M_S)
        yield from retry(3, lambda: _checked(hand), lambda: _fetch(hand))
        yield from hand.hover(target, 0.0, _TRAVEL_M_S, fine_m_s=_FINE_M_S)
        yield from hand.reach(target, _FINE_M_S, _NEAR_M)


def _checked(hand: Hand) -> Script[None]:
    """Go on with a pin that is held as it should be, by the mean of still frames."""
    yield from hand.settle()
    hand.require(_KNOB)
    offset = yield from hand.robot.average(lambda o: o["pin_tip_m"] - o["hand_position_m"], 8)
    if np.linalg.norm(offset - _TIP) > _TIP_OK_M:
        raise SkillFailed(Failure.SLIPPED, f"the pin's tip is at {offset} m from the hand")


def _fetch(hand: Hand) -> Script[None]:
    """Over the nest, open, down, grip, up."""
    yield from hand.hover((*_FEEDER, _CALL_Z_M), 0.0, _TRAVEL_M_S)
    yield from hand.release(_OPEN_M)
    yield from hand.reach((*_FEEDER, _PICK_Z_M), _TRAVEL_M_S, _NEAR_M)
    yield from hand.grasp(_KNOB, _CLOSED_M)
    yield from hand.move((*_FEEDER, _CALL_Z_M), _FINE_M_S)
