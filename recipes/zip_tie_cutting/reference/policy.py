"""Reference for zip-tie cutting: grasp and check, see how the scissors sit, cut, look, cut again.

Built from the skills of `robots.skills`; metres, radians and newtons. The scissors' grips lie 45 mm
behind their pivot, the edges before it.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from robots.skills import (
    Arm,
    Array,
    Grip,
    Hand,
    Observation,
    Robot,
    Script,
    ScriptedPolicy,
    SkillFailed,
    retry,
)

LOW, HIGH = (-0.135, -0.125, 0.007), (0.05, 0.055, 0.165)
ARM = Arm(yaw=3, gap=4, low=LOW, high=HIGH, effort_key="gripper_effort_n")
GRIP = Grip(0.022, 0.050, 5.0)
GRIPS_M = 0.045
OPEN_M, SHUT_M = 0.066, 0.010
TAIL_M = 0.040
"""From the named joint down to the middle of the tail."""


class Policy(ScriptedPolicy):
    """Takes the scissors and cuts until the tail is seen to lie down."""

    def script(self, observation: Observation) -> Script[None]:
        yaw = float(observation["hand_yaw_rad"][0])
        hand = Hand(Robot(observation, [*observation["hand_position_m"], yaw, OPEN_M]), ARM)
        yield from retry(3, lambda: self.take(hand))
        for number in itertools.count():
            # Nearer to the pivot a strap needs less effort; blades that ran against it go beside.
            reach = max(0.014, float(self.knobs["bite"]) - 0.006 * number)
            aside = (0.0, 1.0, -1.0)[number % 3] * float(self.knobs["sidestep"])
            try:
                yield from self.cut(hand, reach, aside)
            except SkillFailed:
                yield from self.back(hand)
            yield from hand.hold(int(self.knobs["look_frames"]))
            if not hand.holds(GRIP):
                yield from retry(3, lambda: self.take(hand))
            if self.fallen(hand):
                yield from hand.hold(45)

    def take(self, hand: Hand) -> Script[None]:
        """The scissors by their grips, wherever they lie, and up."""
        fine, travel = float(self.knobs["fine_speed"]), float(self.knobs["travel_speed"])
        yield from hand.release(OPEN_M, steps=1)
        if hand.aim[2] < 0.045:
            yield from hand.move((*hand.aim[:2], 0.06), fine)
        lying = yield from hand.robot.average(lambda seen: seen["scissors_pose"], 8)
        x, y, _ = lying[:3] - GRIPS_M * ahead(lying[3])
        yield from hand.move((x, y, hand.aim[2]), travel, yaw_rad=float(lying[3]))
        yield from hand.settle()
        yield from hand.tare(4)
        yield from hand.descend(8.0, float(self.knobs["grasp_height"]), fine)
        yield from hand.grasp(GRIP, float(self.knobs["hold_gap"]))
        yield from hand.move((*hand.aim[:2], 0.06), fine)
        hand.require(GRIP)

    def cut(self, hand: Hand, reach: float, aside: float) -> Script[None]:
        """Before the tie, in to where the named joint is between the blades, shut, open, back."""
        fine, travel = float(self.knobs["fine_speed"]), float(self.knobs["travel_speed"])
        back = np.array([float(self.knobs["stand_off"]), 0.0, 0.0])
        joint = hand.robot.seen["joint_position_m"]
        start = joint - back - [GRIPS_M + reach, -aside, 0.0]
        if hand.aim[2] < 0.8 * start[2]:
            yield from hand.move((*hand.aim[:2], start[2]), travel)
        yield from hand.move(start, travel, yaw_rad=0.0, turn_rad_s=2.0)
        yield from hand.settle()
        # How the scissors sit in the hand, and where the joint is, by the mean of still frames.
        away = yield from hand.robot.average(
            lambda seen: (
                seen["joint_position_m"]
                - seen["scissors_pose"][:3]
                - reach * ahead(float(seen["scissors_pose"][3]))
                + seen["hand_position_m"]
            ),
            10,
        )
        away[1] += aside
        yield from hand.move(away - back, fine)
        yield from hand.move(away, fine, most_n=float(self.knobs["bump_force"]))
        yield from hand.settle()
        yield from hand.grasp(GRIP, SHUT_M, steps=int(self.knobs["squeeze_frames"]))
        yield from hand.grasp(GRIP, float(self.knobs["hold_gap"]), steps=5)
        yield from self.back(hand)

    def back(self, hand: Hand) -> Script[None]:
        """Out of the tie and of the cameras' view."""
        x = min(float(self.knobs["retreat"]), hand.aim[0])
        yield from hand.move((x, *hand.aim[1:]), float(self.knobs["travel_speed"]))

    def fallen(self, hand: Hand) -> bool:
        """Whether the tail is seen to lie on the table."""
        seen = hand.robot.seen
        return float(seen["joint_position_m"][2] - seen["tail_position_m"][2]) > TAIL_M + 0.02


def ahead(yaw: float) -> Array:
    return np.array([math.cos(yaw), math.sin(yaw), 0.0])
