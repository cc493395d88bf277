"""Reference for GPU insertion: level the card, feel for the slot, press until the latch has clicked.

The script runs through look, approach, touch, search, press and, where an end or the latch is not
yet down, rocking. Lengths in metres, angles in radians, forces in newtons.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from robots.skills import Arm, Hand, Robot, ScriptedPolicy

GRASP = 0.0768
"""From the tongue's lower edge up to the hand."""
GRIP = 0.004
RIM = 0.011
"""Height of the slot's rim above its floor; the lead-in takes the upper 2 mm."""
LOOK_FRAMES = 12
MOST_TURN = 0.02
TURNS = (0.015, -0.015, 0.0)
"""Yaw to try next when a search along the rim has found nothing."""


class Policy(ScriptedPolicy):
    """Compliant search and press with force feedback."""

    def script(self, observation):
        action = [*observation["hand_position_m"], observation["hand_angles_rad"][0], 0.0, GRIP]
        self.robot = Robot(observation, action)
        self.hand = Hand(self.robot, Arm(gap=5, yaw=3))
        self.off, self.turn, turns = np.zeros(2), 0.0, itertools.cycle(TURNS)
        yield from self.hand.hold(8)
        yield from self.hand.tare()
        while True:
            yield from self.level()
            x, y, yaw = yield from self.look()
            at, yaw = np.array([x, y]) + self.off, yaw + self.turn
            yield from self.hand.move((*at, GRASP + 0.015), 0.15, yaw_rad=yaw)
            yield from self.hand.settle()
            if (yield from self.enter(at, yaw)):
                self.off += self.hand.place_m[:2] - at
                for rock in (0.0, 1.0, -1.0) * 3:
                    yield from self.press(rock)
                    while self.down():
                        yield from self.hand.hold(1)
                    if self.height() > 0.003:
                        # Wedged between the walls: they have turned the wrist the right way.
                        turn = self.turn + self.knobs["comply"] * self.twist()
                        self.turn = min(MOST_TURN, max(-MOST_TURN, turn))
                        break
            else:
                self.turn = next(turns)
            x, y, _ = self.hand.place_m
            yield from self.hand.move((x, y, GRASP + 0.025), 0.08)

    # What the policy believes -------------------------------------------------------------------

    def height(self):
        """Of the tongue above the floor, by the hand: the card is held firmly."""
        return float(self.hand.place_m[2]) - GRASP

    def down(self):
        return self.height() < 0.0008 and float(self.robot.seen["latch_open_rad"][0]) < 0.08

    def twist(self):
        """How far the walls have turned the hand from where it is aimed."""
        return float(self.robot.seen["hand_angles_rad"][0] - self.robot.command[3])

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

    # Moves --------------------------------------------------------------------------------------

    def enter(self, at, yaw):
        """Into the lead-in, with a search where the card stands on the rim; whether it is in."""
        touch, speed = self.knobs["touch_force"], self.knobs["touch_speed"]
        yield from self.hand.descend(touch, GRASP + 0.0075, speed)
        yield from self.hand.hold(2)
        if self.height() < RIM - self.knobs["sunk"]:
            return True
        along = np.array([math.cos(yaw), math.sin(yaw)])
        across = np.array([-along[1], along[0]])
        self.robot.command[2] = self.hand.place_m[2] - self.knobs["search_press"]
        for right, ahead in self.path():
            to = at + right * across + ahead * along
            yield from self.hand.move((*to, self.robot.command[2]), self.knobs["search_speed"])
            if self.height() < RIM - self.knobs["sunk"]:
                self.robot.command[:2] = self.hand.place_m[:2]
                return True
        return False

    def path(self):
        """Places to feel for the slot at, nearest first: across it, for several places along it."""
        step = self.knobs["search_step"]
        count = round(self.knobs["search_reach"] / step)
        line = sorted((k * step for k in range(-count, count + 1)), key=abs)
        return [(right, ahead) for ahead in (0.0, 0.0025, -0.0025) for right in line]

    def press(self, rock):
        """Down until the floor is felt, one end ahead of the other if asked, and ease off."""
        self.robot.command[4] += rock * self.knobs["rock"]
        yield from self.hand.descend(
            self.knobs["press_force"], GRASP - 0.010, self.knobs["press_speed"]
        )
        yield from self.hand.hold(3)
        self.robot.command[4] -= rock * self.knobs["rock"]
        if self.height() > 0.003:
            return
        self.robot.command[2] = self.hand.place_m[2] - self.knobs["keep"]
        yield from self.hand.hold(6)
