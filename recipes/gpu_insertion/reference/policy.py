"""Reference for GPU insertion: level the card, feel for the slot, press until the latch has clicked.

The script runs through look, approach, touch, search, press and, where an end or the latch is not
yet down, rocking. Lengths in metres, angles in radians, forces in newtons.
"""

from __future__ import annotations

import math

import numpy as np

from robots.skills import Arm, Hand, Robot, ScriptedPolicy

GRASP = 0.0768
"""From the tongue's lower edge up to the hand."""
GRIP = 0.004
LOOK_FRAMES = 15
LEAD_IN = 0.0095
"""Height of the tongue above the floor below which the walls guide it."""


class Policy(ScriptedPolicy):
    """Compliant search and press with force feedback."""

    def script(self, observation):
        action = [*observation["hand_position_m"], observation["hand_angles_rad"][0], 0.0, GRIP]
        self.robot = Robot(observation, action)
        self.hand = Hand(self.robot, Arm(gap=5, yaw=3))
        yield from self.hand.hold(8)
        yield from self.hand.tare()
        yield from self.level()
        x, y, yaw = yield from self.look()
        while True:
            yield from self.hand.move((x, y, GRASP + 0.016), 0.1, yaw_rad=yaw)
            yield from self.hand.settle()
            if (yield from self.enter(x, y, yaw)):
                yield from self.press()
                while self.down():
                    yield from self.hand.hold(1)
            x, y, yaw = self.again(x, y, yaw)

    # What the policy believes -------------------------------------------------------------------

    def height(self):
        """Of the tongue above the floor, by the hand: the card is held firmly."""
        return float(self.hand.place_m[2]) - GRASP

    def down(self):
        latch = float(self.robot.seen["latch_open_rad"][0])
        return self.height() < 0.0006 and latch < 0.08

    def level(self):
        """Take the card's seen pitch off, whatever the hand's own zero is."""
        seen = yield from self.robot.average(lambda frame: frame["card_pose"], LOOK_FRAMES)
        self.robot.command[4] -= float(seen[4])
        yield from self.hand.hold(6)

    def look(self):
        """Where the hand must be for the card to be over the slot: x, y, yaw."""

        def wanted(frame):
            card, slot = frame["card_pose"], frame["slot_pose"]
            hand = np.array([*frame["hand_position_m"][:2], frame["hand_angles_rad"][0]])
            return slot + hand - card[[0, 1, 3]]

        return (yield from self.robot.average(wanted, LOOK_FRAMES))

    def again(self, x, y, yaw):
        """Where to try next: where the hand now is."""
        return float(self.hand.place_m[0]), float(self.hand.place_m[1]), yaw

    # Moves --------------------------------------------------------------------------------------

    def enter(self, x, y, yaw):
        """Into the lead-in, with a search where the card stands on the rim; whether it is in."""
        touch, speed = self.knobs["touch_force"], self.knobs["touch_speed"]
        yield from self.hand.descend(touch, GRASP + 0.0075, speed)
        if self.height() < LEAD_IN:
            return True
        along = np.array([math.cos(yaw), math.sin(yaw)])
        across = np.array([-along[1], along[0]])
        rim = self.height()
        self.robot.command[2] = self.hand.place_m[2] - self.knobs["search_press"]
        for right, ahead in self.path():
            to = np.array([x, y]) + right * across + ahead * along
            yield from self.hand.move((*to, self.robot.command[2]), self.knobs["search_speed"])
            if self.height() < rim - 0.0012:
                self.robot.command[:2] = self.hand.place_m[:2]
                return True
        return False

    def path(self):
        """Places to feel for the slot at, nearest first: across it, for several places along it."""
        step, reach = self.knobs["search_step"], self.knobs["search_reach"]
        count = round(reach / step)
        line = sorted((k * step for k in range(-count, count + 1)), key=abs)
        return [(right, ahead) for ahead in (0.0, 0.002, -0.002) for right in line]

    def press(self):
        """Down until the floor is felt; then rock what is not down yet, and ease off."""
        for rock in (0.0, 1.0, -1.0, 0.0):
            level = float(self.robot.command[4])
            self.robot.command[4] = level + rock * self.knobs["rock"]
            yield from self.hand.descend(
                self.knobs["press_force"], GRASP - 0.010, self.knobs["press_speed"]
            )
            yield from self.hand.hold(4)
            self.robot.command[4] = level
            self.robot.command[2] = self.hand.place_m[2] - self.knobs["keep"]
            yield from self.hand.hold(6)
            if self.down():
                return
