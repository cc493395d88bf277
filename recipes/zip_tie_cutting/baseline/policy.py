"""Baseline for zip-tie cutting: look once, take the scissors, go to the joint, shut, open, go back.

Each step is a method of its own, so that a better idea replaces one of them. Nothing is measured on
the way: the scissors are taken to sit in the hand as they should, 45 mm ahead of it. The moves are
skills of `robots.skills`; metres, radians and newtons.
"""

import math

import numpy as np

from robots.skills import Arm, Grip, Hand, Robot, ScriptedPolicy

ANYTHING = Grip(-math.inf, math.inf, -math.inf)


class Policy(ScriptedPolicy):
    """Cuts by fixed moves, again and again."""

    def script(self, observation):
        yaw = float(observation["hand_yaw_rad"][0])
        start = [*observation["hand_position_m"], yaw, self.knobs["open_gap"]]
        self.hand = Hand(
            Robot(observation, start), Arm(yaw=3, gap=4, effort_key="gripper_effort_n")
        )
        yield from self.take()
        while True:
            yield from self.approach()
            yield from self.shut()
            yield from self.back()
            yield from self.wait()

    # What the policy believes -----------------------------------------------------------------

    def scissors(self):
        """Pose of the scissors (4,): x, y, z, direction of the tips."""
        return self.hand.robot.seen["scissors_pose"]

    def cutting_place(self):
        """Where the hand must be to cut the named joint (3,)."""
        knobs = self.knobs
        ahead = np.array([knobs["grip_offset"] + knobs["bite"], 0.0, -knobs["blade_offset"]])
        return self.hand.robot.seen["joint_position_m"] - ahead

    # Moves ------------------------------------------------------------------------------------

    def take(self):
        """Over the grips, down, close, up."""
        x, y, _, yaw = self.scissors()
        far, speed = self.knobs["grip_offset"], self.knobs["travel_speed"]
        over = np.array([x - far * math.cos(yaw), y - far * math.sin(yaw)])
        yield from self.hand.move([*over, 0.06], speed, yaw_rad=float(yaw), turn_rad_s=2.0)
        yield from self.hand.move([*over, self.knobs["grasp_height"]], speed)
        yield from self.close(self.knobs["hold_gap"])
        yield from self.hand.move([*over, 0.08], speed)

    def approach(self):
        """To a place before the tie, and in."""
        place, speed = self.cutting_place(), self.knobs["travel_speed"]
        before = place - [self.knobs["stand_off"], 0.0, 0.0]
        yield from self.hand.move(before, speed, yaw_rad=0.0, turn_rad_s=2.0)
        yield from self.hand.move(place, speed)

    def shut(self):
        """Close the blades on the strap and press, then open them again."""
        yield from self.close(self.knobs["shut_gap"])
        yield from self.close(self.knobs["hold_gap"])

    def close(self, gap):
        yield from self.hand.grasp(ANYTHING, gap, steps=int(self.knobs["settle_frames"]))

    def back(self):
        _, y, z = self.hand.aim
        yield from self.hand.move([self.knobs["retreat"], y, z], self.knobs["travel_speed"])

    def wait(self):
        """Time for the verifier to look."""
        yield from self.hand.hold(int(self.knobs["wait_frames"]))
