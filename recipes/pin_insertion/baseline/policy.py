"""Baseline for pin insertion: look once, go over the hole, push the pin down, wait; then try again.

Each step is a method of its own, so that a better idea replaces one of them. The game is a script of
skills (`robots.skills`): a generator that yields the hand's place and gap (m) and is resumed with the
next observation. The knob lies 45 mm above the pin's tip.
"""

import numpy as np

from robots.skills import Hand, Robot, ScriptedPolicy


class Policy(ScriptedPolicy):
    """Inserts the pin by straight moves."""

    def script(self, observation):
        self.robot = Robot(observation, [*observation["hand_position_m"], self.knobs["grip"]])
        self.hand = Hand(self.robot)
        place = yield from self.look()
        while True:
            yield from self.over(place)
            yield from self.down()
            yield from self.wait()
            yield from self.up()

    def look(self):
        """Where the hand must be for the pin to be over the hole (2,)."""
        yield from self.hand.hold(1)
        hole = self.robot.seen["hole_position_m"][:2]
        return hole + np.array([self.knobs["offset_x"], self.knobs["offset_y"]])

    def over(self, place):
        yield from self.hand.move([*place, self.knobs["hover"]], self.knobs["travel_speed"])
        yield from self.hand.hold(self.knobs["settle_frames"])

    def down(self):
        """Straight down to a fixed height, or until it touches."""
        yield from self.hand.descend(
            self.knobs["stop_force"], self.knobs["bottom"], self.knobs["push_speed"]
        )

    def wait(self):
        """Time for the verifier to look."""
        yield from self.hand.hold(self.knobs["wait_frames"])

    def up(self):
        aside = self.hand.aim[:2]
        yield from self.hand.move([*aside, self.knobs["hover"]], self.knobs["travel_speed"])
