"""Physical reset of GPU insertion: opens the latch, pulls the card, shuts the latch, hovers again.

It runs in a sandboxed child on sensors alone. A card in the slot is let go, the latch's paddle is
pressed down until it stays open, and the card is pulled by a grasp that the gripper's effort has
verified. While the latch is open the card is parked in the rack, so that the hand is free to push the
post back. A card that lies about is presented by the rack. Metres, radians, newtons.
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

_RACK = (0.0, 0.20)
_CLEAR_Z_M, _GRASP_M = 0.160, 0.0768
_OPEN_M, _GRIP_M, _SHUT_M = 0.026, 0.004, 0.004
_RAIL = Grip(0.0105, 0.0135, least_n=80.0)
_TRAVEL_M_S, _FINE_M_S, _PULL_M_S = 0.18, 0.08, 0.05
_IN_SLOT_M, _LATCHED_M = 0.011, 0.004
_DEAD_CENTRE_RAD = 0.3
# In the slot's frame, along it and the hand's height.
_OVER_PADDLE_M, _PADDLE_DOWN_Z_M = 0.110, 0.0270
_BEYOND_POST_M, _POST_PUSH_M, _POST_Z_M = 0.130, 0.036, 0.040
_LIGHT_N, _HARD_N, _PULL_N = 12.0, 30.0, 110.0
_CARD_OK_M = 0.0022
"""Tighter than the post-condition, which single noisy frames judge."""


class Reset(ScriptedReset):
    """Brings the card to the start, held, over a shut latch."""

    def script(self, observation: Observation, target: Array) -> Script[None]:
        """The whole reset.

        Args:
            observation: the station's sensors now.
            target: where the hand shall hover (4,): x, y, z and yaw.
        """
        robot = Robot(observation, [*observation["hand_position_m"], 0.0, 0.0, _GRIP_M])
        robot.command[3] = observation["hand_angles_rad"][0]
        arm = Arm(gap=5, yaw=3, low=(-0.06, -0.06, 0.022), high=(0.165, 0.21, 0.19))
        self.hand = Hand(robot, arm._replace(effort_key="grip_effort_n"))
        if not self._grips():
            robot.command[5] = _OPEN_M
        yield from self.hand.hold(6)
        yield from self._take_out()
        if self._latch() > 0.5 * _DEAD_CENTRE_RAD:
            yield from retry(2, self._park)
            yield from retry(3, self._shut_latch)
        if not (yield from self._sits_well()):
            yield from retry(3, self._fetch)
        yield from self._hover(target)

    # What is seen -------------------------------------------------------------------------------

    def _card(self) -> Array:
        return self.hand.robot.seen["card_pose"]

    def _latch(self) -> float:
        return float(self.hand.robot.seen["latch_open_rad"][0])

    def _grips(self) -> bool:
        """By the gap alone: how hard is asked for before a pull."""
        return _RAIL.low_m < self.hand.opening_m < _RAIL.high_m

    def _in_slot(self) -> bool:
        x, y, _ = self.hand.robot.seen["slot_pose"]
        away = math.hypot(self._card()[0] - x, self._card()[1] - y)
        return float(self._card()[2]) < _IN_SLOT_M and away < 0.008

    def _slot(self) -> Script[Array]:
        """The slot's pose (3,), once the stage lies still."""
        seen = yield from self._mean_slot()
        for _ in range(20):
            before, seen = seen, (yield from self._mean_slot())
            if float(np.abs(seen - before)[:2].max()) < 0.0008:
                break
        return seen

    def _mean_slot(self) -> Script[Array]:
        return (yield from self.hand.robot.average(lambda seen: seen["slot_pose"], 6))

    # Steps --------------------------------------------------------------------------------------

    def _up(self, speed_m_s: float = _TRAVEL_M_S) -> Script[None]:
        x, y, _ = self.hand.aim
        yield from self.hand.move((x, y, _CLEAR_Z_M), speed_m_s)

    def _take_out(self) -> Script[None]:
        """Whatever is in the slot comes out; else the hand goes up with what it has."""
        if self._in_slot() and (not self._grips() or float(self._card()[2]) < _LATCHED_M):
            yield from retry(3, self._open_latch)
            try:
                yield from retry(2, self._pull)
            except SkillFailed:
                # It leans rather than stands in the slot: the rack will take it.
                yield from self._up()
            return
        yield from self._up(_PULL_M_S if self._in_slot() else _FINE_M_S)

    def _open_latch(self) -> Script[None]:
        """Let go, press the paddle past the dead centre, see that the latch stays open."""
        if self._latch() > _DEAD_CENTRE_RAD:
            return
        hand = self.hand
        yield from hand.release(_OPEN_M)
        yield from self._up()
        slot = yield from self._slot()
        x, y = _beside(slot, _OVER_PADDLE_M)
        yield from hand.move((x, y, _CLEAR_Z_M), _TRAVEL_M_S, yaw_rad=float(slot[2]))
        hand.robot.command[5] = _SHUT_M
        yield from hand.move((x, y, 0.055), _TRAVEL_M_S)
        yield from hand.settle()
        yield from hand.tare()
        yield from hand.descend(_HARD_N, _PADDLE_DOWN_Z_M, 0.06)
        yield from hand.hold(6)
        yield from self._up()
        hand.robot.command[5] = _OPEN_M
        yield from hand.hold(4)
        if self._latch() < _DEAD_CENTRE_RAD:
            raise SkillFailed(Failure.BLOCKED, f"the latch is at {self._latch():.2f} rad")

    def _pull(self) -> Script[None]:
        """Grasp by effort, pull straight up, see that the card came along."""
        yield from self._grasp_card()
        x, y, _ = self.hand.aim
        yield from self.hand.move((x, y, _CLEAR_Z_M), _PULL_M_S, most_n=_PULL_N)
        yield from self.hand.hold(6)
        self.hand.require(_RAIL)

    def _grasp_card(self) -> Script[None]:
        """Down over the card as it is seen, until the palm rests on its rail; close."""
        hand = self.hand
        if hand.opening_m < 0.9 * _OPEN_M:
            yield from hand.release(_OPEN_M)
        if hand.aim[2] < _CLEAR_Z_M:
            yield from self._up()
        x, y, z, yaw, _ = yield from hand.robot.average(lambda seen: seen["card_pose"], 8)
        yield from hand.move((x, y, _CLEAR_Z_M), _TRAVEL_M_S, yaw_rad=float(yaw))
        yield from hand.move((x, y, z + _GRASP_M + 0.014), _TRAVEL_M_S)
        yield from hand.settle()
        yield from hand.tare()
        yield from hand.descend(_LIGHT_N, float(z) + _GRASP_M - 0.006, 0.03)
        hand.robot.command[2] = hand.place_m[2]
        yield from hand.grasp(_RAIL, _GRIP_M)

    def _park(self) -> Script[None]:
        """Set what is held into the rack, or have the rack take what lies about."""
        yield from self._over_rack()
        if self._grips():
            yield from self.hand.settle()
            yield from self.hand.tare()
            yield from self.hand.move((*_RACK, _GRASP_M + 0.016), _TRAVEL_M_S)
            yield from self.hand.descend(_LIGHT_N, _GRASP_M - 0.005, 0.04)
        yield from self.hand.release(_OPEN_M)
        yield from self._up()
        yield from self.hand.hold(6)

    def _over_rack(self) -> Script[None]:
        if self.hand.aim[2] < _CLEAR_Z_M:
            yield from self._up()
        yield from self.hand.move((*_RACK, _CLEAR_Z_M), _TRAVEL_M_S, yaw_rad=0.0)

    def _shut_latch(self) -> Script[None]:
        """Push the post back from beyond, past the dead centre, and see that the latch snapped."""
        hand = self.hand
        slot = yield from self._slot()
        along = np.array([math.cos(slot[2]), math.sin(slot[2]), 0.0])
        x, y = _beside(slot, _BEYOND_POST_M)
        yield from hand.move((x, y, _CLEAR_Z_M), _TRAVEL_M_S, yaw_rad=float(slot[2]))
        hand.robot.command[5] = _SHUT_M
        yield from hand.move((x, y, _POST_Z_M), _TRAVEL_M_S)
        yield from hand.settle()
        yield from hand.tare()
        yield from hand.push(-along, _POST_PUSH_M, 0.06, until_n=_HARD_N)
        yield from hand.push(along, 0.025, 0.12)
        yield from self._up()
        if self._latch() > 0.1:
            raise SkillFailed(Failure.BLOCKED, f"the latch is at {self._latch():.2f} rad")

    def _fetch(self) -> Script[None]:
        """Let the rack present the card, and pick it."""
        yield from self._over_rack()
        yield from self.hand.release(_OPEN_M)
        yield from self.hand.settle()
        yield from self.hand.hold(6)
        yield from self._grasp_card()
        yield from self._up(_FINE_M_S)
        if not (yield from self._sits_well()):
            raise SkillFailed(Failure.SLIPPED, "the card does not sit as it should")

    def _sits_well(self) -> Script[bool]:
        """Whether the card is held as it should be, by the mean of still frames."""
        yield from self.hand.settle()
        if not self.hand.holds(_RAIL):
            return False
        off = yield from self.hand.robot.average(
            lambda seen: seen["hand_position_m"] - seen["card_pose"][:3], 8
        )
        return bool(np.linalg.norm(off - (0.0, 0.0, _GRASP_M)) < _CARD_OK_M)

    def _hover(self, target: Array) -> Script[None]:
        x, y, z, yaw = (float(value) for value in target)
        yield from self.hand.move((x, y, _CLEAR_Z_M), _TRAVEL_M_S, yaw_rad=yaw)
        yield from self._slot()
        yield from self.hand.move((x, y, z), _FINE_M_S)
        yield from self.hand.settle()


def _beside(slot: Array, along_m: float) -> tuple[float, float]:
    """A place along the slot's line (2,)."""
    x, y, yaw = slot
    return float(x + along_m * math.cos(yaw)), float(y + along_m * math.sin(yaw))
