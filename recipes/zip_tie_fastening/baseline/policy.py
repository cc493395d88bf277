"""Baseline for zip-tie fastening: look once, push the strap at the window, pull back; then try again.

Each step is a method of its own, so that a better idea replaces one of them. The game is a script
(a generator) of skills: it yields commands (hand x, y, z in metres, turn in radians, and the gap
between the pads) and is resumed with the next observation. The window lies towards -y.
"""

import numpy as np

from robots.skills import Arm, Hand, Robot, ScriptedPolicy


class Policy(ScriptedPolicy):
    """Fastens the tie by straight moves."""

    def script(self, observation):
        knobs = self.knobs
        start = [*observation["hand_position_m"], knobs["turn"], knobs["grip"]]
        self.robot = Robot(observation, start)
        self.hand = Hand(self.robot, Arm(yaw=3, gap=4))
        yield from self.hand.hold(1)
        place = self.look()
        while True:
            yield from self.before(place)
            yield from self.push(place)
            yield from self.pull()

    def look(self):
        """Where the hand must be for the strap to stand in the window (3,)."""
        knobs, seen = self.knobs, self.robot.seen
        offset = np.array([knobs["offset_x"], knobs["reach"], knobs["offset_z"]])
        return seen["window_position_m"] + offset

    def before(self, place):
        """The tip before the window."""
        before = place + np.array([0.0, self.knobs["stand_off"], 0.0])
        yield from self.hand.move(before, self.knobs["travel_speed"])
        yield from self.hand.hold(self.knobs["settle_frames"])

    def push(self, place):
        """The strap through the window, as far as it goes, or until it presses."""
        knobs = self.knobs
        yield from self.hand.move(place, knobs["push_speed"])
        yield from self.hand.push(
            (0.0, -1.0, 0.0), knobs["depth"], knobs["push_speed"], knobs["stop_force"]
        )

    def pull(self):
        """Back, to feel whether the ratchet holds, and time for the verifier to look."""
        yield from self.hand.push(
            (0.0, 1.0, 0.0), self.knobs["pull_back"], self.knobs["pull_speed"]
        )
        yield from self.hand.hold(self.knobs["wait_frames"])
