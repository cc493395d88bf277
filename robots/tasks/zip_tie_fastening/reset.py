"""Physical reset of zip-tie fastening: takes the free strap, or bins the tie first and takes a new one.

It runs in a sandboxed child on sensors alone. A strap that is let go curls up to where it lies at
rest; one that does not is caught somewhere, or fastened. Then the hand takes the tie's head by its
crown out of the nest, drops the tie into the bin, and waits above the nest for the next one.
Metres, radians.
"""

import math

import numpy as np
from numpy.typing import NDArray

from robots.skills import Arm, Failure, Grip, Hand, Robot, Script, ScriptedReset, SkillFailed, retry

Array = NDArray[np.float64]
Observation = dict[str, Array]

_ARM = Arm(yaw=3, gap=4, low=(-0.11, -0.03, -0.006), high=(0.06, 0.085, 0.08))
_STRAP, _CROWN = Grip(0.0006, 0.0018), Grip(0.0062, 0.0078)
_GRIP_M, _OPEN_M, _WIDE_M = 0.0, 0.010, 0.016
_REACH_M = 0.033
"""From the pads to the tip of a held strap."""
_CROWN_M, _CALL_M, _BIN_M = (0.0, 0.0, 0.009), (0.0, 0.0, 0.060), (-0.085, 0.0, 0.005)
_CLEAR_M = 0.060
_REST: Array = np.array([-0.046, 0.015, 0.0])
_REST_WITHIN_M, _REST_YAW_RAD, _REST_YAW_WITHIN_RAD = 0.022, -0.93, 0.4
_TRAVEL_M_S, _FINE_M_S = 0.20, 0.10


class Reset(ScriptedReset):
    """Brings a strap to the start, held, its tip before the window."""

    def script(self, observation: Observation, target: Array) -> Script[None]:
        """The whole reset; `target` is where the tip shall hover (3,)."""
        place, yaw = observation["hand_position_m"], observation["hand_yaw_rad"]
        robot = Robot(observation, [*place, *yaw, *observation["finger_opening_m"]])
        hand = Hand(robot, _ARM)
        yield from _away(hand)
        if not (yield from _at_rest(robot)):
            yield from retry(2, lambda: _renew(hand), lambda: _away(hand))
        yield from retry(3, lambda: _pick(hand), lambda: _away(hand))
        yield from _bring(hand, target)


def _away(hand: Hand) -> Script[None]:
    """Let go of whatever is held, and rise."""
    yield from hand.release(_OPEN_M)
    yield from hand.move((*hand.aim[:2], _CLEAR_M), _TRAVEL_M_S)
    yield from hand.hold(10)


def _tip(observation: Observation) -> Array:
    return np.append(observation["tip_position_m"], observation["tip_yaw_rad"])


def _at_rest(robot: Robot) -> Script[bool]:
    """Whether the strap lies free and curled, by the mean of still frames."""
    seen = yield from robot.average(_tip, 6)
    off = float(np.linalg.norm(seen[:3] - _REST))
    return off < _REST_WITHIN_M and abs(seen[3] - _REST_YAW_RAD) < _REST_YAW_WITHIN_RAD


def _renew(hand: Hand) -> Script[None]:
    """The tie into the bin, and the next one from the feeder.

    Raises:
        SkillFailed: NOT_SEEN: no strap lies at rest after that.
    """
    yield from hand.move((*_CROWN_M[:2], _CLEAR_M), _TRAVEL_M_S, yaw_rad=0.0, turn_rad_s=2.5)
    yield from hand.release(_WIDE_M)
    yield from hand.move(_CROWN_M, _FINE_M_S)
    yield from hand.settle()
    try:
        yield from hand.grasp(_CROWN, _GRIP_M, steps=25)
        yield from hand.move((*_CROWN_M[:2], _CLEAR_M), _FINE_M_S)
        yield from hand.hover(_BIN_M, 0.0, _TRAVEL_M_S, clear_m=_CLEAR_M)
    except SkillFailed as failed:
        # An empty nest: the tie was lost on the way, and the feeder has the next one.
        if failed.failure != Failure.NOT_HELD:
            raise
    yield from hand.release(_WIDE_M)
    yield from hand.hover(_CALL_M, 0.0, _TRAVEL_M_S)
    yield from hand.settle()
    yield from hand.hold(15)
    if not (yield from _at_rest(hand.robot)):
        raise SkillFailed(Failure.NOT_SEEN, "no strap at rest")


def _pick(hand: Hand) -> Script[None]:
    """Grasp the resting strap, where its straight end begins."""
    x, y, z, yaw = yield from hand.robot.average(_tip, 8)
    place = np.array([x - _REACH_M * math.sin(yaw), y + _REACH_M * math.cos(yaw), z])
    yield from hand.move((*place[:2], _CLEAR_M / 2), _TRAVEL_M_S, yaw_rad=yaw, turn_rad_s=2.5)
    yield from hand.release(_OPEN_M)
    yield from hand.move(place, _FINE_M_S)
    yield from hand.settle()
    yield from hand.grasp(_STRAP, _GRIP_M)


def _bring(hand: Hand, target: Array) -> Script[None]:
    """The held tip to its target, corrected twice by what is seen of it."""
    wanted = target + np.array([0.0, _REACH_M, 0.0])
    yield from hand.move(wanted, _FINE_M_S, yaw_rad=0.0, turn_rad_s=2.5)
    for _ in range(2):
        yield from hand.settle()
        hand.require(_STRAP)
        seen = yield from hand.robot.average(_tip, 8)
        turn = float(hand.robot.command[3] - seen[3])
        yield from hand.move(hand.aim + target - seen[:3], 0.5 * _FINE_M_S, yaw_rad=turn)
    yield from hand.settle()
