"""Baseline for pin insertion: look once, go over the hole, push the pin down, wait; then try again.

Each step is a method of its own, so that a better idea replaces one of them. The game is a script
(a generator): it yields commands (hand x, y, z and the gap between the pads, in metres) and is
resumed when `act` brings the next observation. The knob lies 45 mm above the pin's tip.
"""

import math

import numpy as np

PERIOD_S = 1.0 / 30.0


class Policy:
    """Inserts the pin by straight moves."""

    def __init__(self, knobs):
        self.knobs = knobs

    def reset(self, observation):
        self.see(observation)
        self.aim = self.hand.copy()
        self.script = self.run()
        next(self.script)

    def act(self, observation):
        return self.script.send(observation)

    def run(self):
        self.see((yield self.command()))
        place = yield from self.look()
        while True:
            yield from self.over(place)
            yield from self.down()
            yield from self.wait()
            yield from self.up()

    # What the policy believes -----------------------------------------------------------------

    def see(self, observation):
        self.hand = observation["hand_position_m"]
        self.force = observation["wrist_force_n"]
        self.hole = observation["hole_position_m"]
        self.tip = observation["pin_tip_m"]

    def look(self):
        """Where the hand must be for the pin to be over the hole (2,)."""
        yield from self.hold(1)
        return self.hole[:2] + np.array([self.knobs["offset_x"], self.knobs["offset_y"]])

    def touched(self):
        """Whether the pin stands on something."""
        return self.force[2] > self.knobs["stop_force"]

    # Moves ------------------------------------------------------------------------------------

    def command(self):
        return np.array([*self.aim, self.knobs["grip"]])

    def hold(self, steps):
        for _ in range(steps):
            self.see((yield self.command()))

    def go(self, end, speed):
        start, end = self.aim.copy(), np.asarray(end)
        steps = max(1, math.ceil(float(np.linalg.norm(end - start)) / (speed * PERIOD_S)))
        for k in range(1, steps + 1):
            self.aim = start + (end - start) * k / steps
            yield from self.hold(1)

    def over(self, place):
        yield from self.go([*place, self.knobs["hover"]], self.knobs["travel_speed"])
        yield from self.hold(self.knobs["settle_frames"])

    def down(self):
        """Straight down to a fixed height, or until it touches."""
        while self.aim[2] > self.knobs["bottom"] and not self.touched():
            lower = max(self.aim[2] - self.knobs["push_speed"] * PERIOD_S, self.knobs["bottom"])
            yield from self.go([*self.aim[:2], lower], self.knobs["push_speed"])

    def wait(self):
        """Time for the verifier to look."""
        yield from self.hold(self.knobs["wait_frames"])

    def up(self):
        yield from self.go([*self.aim[:2], self.knobs["hover"]], self.knobs["travel_speed"])
