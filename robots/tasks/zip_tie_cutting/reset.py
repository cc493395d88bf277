"""Physical reset of zip-tie cutting: scissors back onto their place, a new tie, hand over the grips.

It runs in a sandboxed child on sensors alone. Scissors are put down where they shall lie and looked
at; wherever else they lie they are taken up again. Then the feeder is called, which presents the
next tie. Lengths in metres; scissors' grips lie 45 mm behind their pivot.
"""

import math

import numpy as np

from robots.skills import (
    Arm,
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

_LOW, _HIGH = (-0.18, -0.17, 0.007), (0.07, 0.13, 0.17)
_ARM = Arm(yaw=3, gap=4, low=_LOW, high=_HIGH, effort_key="gripper_effort_n")
_GRIP = Grip(0.022, 0.050, 5.0)
_CALL: Array = np.array([-0.05, 0.09, 0.13])
_OPEN_M, _HOLD_M, _GRIP_M = 0.066, 0.038, 0.045
_PICK_Z_M, _CLEAR_Z_M, _LYING_Z_M, _EDGE_Z_M = 0.009, 0.070, 0.005, 0.012
_BEHIND_M = -0.045
"""Behind this, blades are out of the tie."""
_TRAVEL_M_S, _FINE_M_S, _TURN_RAD_S = 0.16, 0.06, 2.0
_PLACED_M, _PLACED_RAD = 0.005, 0.10
"""Tighter than the post-condition, which a single noisy frame judges."""


class Reset(ScriptedReset):
    """Puts the scene in order, whatever was left of it."""

    def script(self, observation: Observation, target: Array) -> Script[None]:
        """The whole reset; `target` is pivot x, y, direction, and the height of the hover."""
        opening = float(observation["finger_opening_m"][0])
        pressed = float(observation["gripper_effort_n"][0]) > 0.5 * _GRIP.least_n
        # A gap as measured would let go what is held.
        gap = opening - 0.004 if pressed else opening
        place = observation["hand_position_m"]
        robot = Robot(observation, [*place, observation["hand_yaw_rad"][0], gap])
        hand = Hand(robot, _ARM)
        yield from self._leave(hand)
        yield from retry(4, lambda: self._put(hand, target))
        yield from hand.release(_OPEN_M)
        yield from hand.hover(_CALL, 0.0, _TRAVEL_M_S, clear_m=_CLEAR_Z_M)
        yield from hand.settle()
        yield from hand.hold(3)
        x, y, turn, height = target
        over = np.array([x, y, height]) - _GRIP_M * _ahead(turn)
        yield from hand.move(
            (*over[:2], _CLEAR_Z_M), _TRAVEL_M_S, yaw_rad=turn, turn_rad_s=_TURN_RAD_S
        )
        yield from hand.move(over, _FINE_M_S)
        yield from hand.settle()

    def _leave(self, hand: Hand) -> Script[None]:
        """Out of the tie with the blades apart, and up."""
        if hand.holds(_GRIP):
            yield from hand.grasp(_GRIP, _HOLD_M + 0.002)
        x, y, z = _inside(hand.aim)
        if z > 0.03 and x > _BEHIND_M:
            yield from hand.move((_BEHIND_M, y, z), _FINE_M_S)
        yield from hand.move((hand.aim[0], y, max(z, _CLEAR_Z_M)), _FINE_M_S)

    def _put(self, hand: Hand, target: Array) -> Script[None]:
        """Scissors to their place, from wherever they are."""
        if not hand.holds(_GRIP):
            lying = yield from self._look(hand)
            if _at(lying, target):
                return
            if lying[2] > _EDGE_Z_M:
                yield from self._topple(hand, lying)
                raise SkillFailed(Failure.NOT_HELD, "the scissors stood on an edge")
            yield from self._pick(hand, lying)
        yield from self._place(hand, target)
        if not _at((yield from self._look(hand)), target):
            raise SkillFailed(Failure.SLIPPED, "the scissors did not stay where they were put")

    def _look(self, hand: Hand) -> Script[Array]:
        """Pose of the scissors (4,), by the mean of frames after the longest latency."""
        yield from hand.hold(3)
        return (yield from hand.robot.average(lambda seen: seen["scissors_pose"], 8))

    def _topple(self, hand: Hand, standing: Array) -> Script[None]:
        """Pushes scissors over that stand on an edge: closed fingers go across them, at mid-height."""
        across = 0.05 * _ahead(standing[3] + 0.5 * math.pi)
        height = np.array([0.0, 0.0, standing[2] + 0.004])
        start, end = (
            _inside(standing[:3] * (1.0, 1.0, 0.0) + sign * across + height) for sign in (-1, 1)
        )
        yield from hand.release(0.012)
        yield from hand.move((*start[:2], _CLEAR_Z_M), _TRAVEL_M_S)
        yield from hand.move(start, _FINE_M_S)
        yield from hand.move(end, _FINE_M_S)
        yield from hand.move((*end[:2], _CLEAR_Z_M), _FINE_M_S)

    def _pick(self, hand: Hand, lying: Array) -> Script[None]:
        """Takes scissors that lie somewhere by their grips, and makes sure of it."""
        yield from hand.release(_OPEN_M)
        over = _inside(lying[:3] - _GRIP_M * _ahead(lying[3]))
        yield from hand.move((*hand.aim[:2], _CLEAR_Z_M), _TRAVEL_M_S)
        yield from hand.move(
            (*over[:2], _CLEAR_Z_M), _TRAVEL_M_S, yaw_rad=float(lying[3]), turn_rad_s=_TURN_RAD_S
        )
        yield from hand.settle()
        yield from hand.tare()
        try:
            yield from self._take(hand)
        except SkillFailed:
            yield from hand.release(_OPEN_M)
            yield from hand.move((*hand.aim[:2], _CLEAR_Z_M), _FINE_M_S)
            raise

    def _take(self, hand: Hand) -> Script[None]:
        """Down about the grips, close, up."""
        felt = yield from hand.descend(8.0, _PICK_Z_M, _FINE_M_S)
        if felt.touched:
            raise SkillFailed(Failure.BLOCKED, f"{felt.force_n:.1f} N above the grips")
        yield from hand.grasp(_GRIP, _HOLD_M)
        yield from hand.move((*hand.aim[:2], _CLEAR_Z_M), _FINE_M_S)
        hand.require(_GRIP)

    def _place(self, hand: Hand, target: Array) -> Script[None]:
        """Puts held scissors down: where the hand must go is seen from how they sit in it."""
        yield from hand.settle()
        held = yield from self._look(hand)
        yaw = float(hand.robot.seen["hand_yaw_rad"][0])
        away = _turned(held[:3] - hand.place_m, -held[3])
        x, y, turn, _ = target
        there = np.array([x, y, _LYING_Z_M]) - _turned(away, turn)
        turn = turn - math.remainder(float(held[3]) - yaw, math.tau)
        over = _inside(np.array([*there[:2], _CLEAR_Z_M]))
        yield from hand.move(over, _TRAVEL_M_S, yaw_rad=turn, turn_rad_s=_TURN_RAD_S)
        yield from hand.settle()
        yield from hand.tare()
        low = max(_LOW[2], float(there[2]) - 0.002)
        yield from hand.descend(3.0, low, _FINE_M_S)
        yield from hand.release(_OPEN_M)
        yield from hand.move((*hand.aim[:2], _CLEAR_Z_M), _FINE_M_S)


def _at(pose: Array, target: Array) -> bool:
    """Whether scissors (4,) lie as they shall."""
    off = pose[:3] - [*target[:2], _LYING_Z_M]
    turned = math.remainder(float(pose[3] - target[2]), math.tau)
    return float(np.abs(off).max()) < _PLACED_M and abs(turned) < _PLACED_RAD


def _ahead(yaw: float) -> Array:
    return np.array([math.cos(yaw), math.sin(yaw), 0.0])


def _turned(vector: Array, yaw: float) -> Array:
    """A vector (3,) turned about z."""
    cos, sin = math.cos(yaw), math.sin(yaw)
    x, y, z = vector
    return np.array([cos * x - sin * y, sin * x + cos * y, z])


def _inside(place: Array) -> Array:
    """The nearest place (3,) that the hand may be told."""
    return np.clip(place, _LOW, _HIGH)
