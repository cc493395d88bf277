"""A small kinematic robot: hands that follow at a bounded speed, a floor, a thing between fingers."""

import numpy as np

from robots.skills import Robot

PERIOD_S = 1.0 / 30.0


class Bench:
    """One or two hands over a floor; forces are those of a spring.

    Args:
        hands: How many.
        thing_m: Width of what is between the fingers of each hand, 0 for nothing.
        floor_m: Height of the floor.
        follow: Share of the way to its target that a hand goes in a step.
        sag_m: By which it hangs below its target.
    """

    def __init__(
        self, hands=1, thing_m=0.01, floor_m=-1.0, follow=1.0, stiffness_n_m=2000.0, sag_m=0.0
    ):
        self.hands = hands
        self.thing_m = [thing_m] * hands
        self.floor_m, self.follow, self.stiffness_n_m = floor_m, follow, stiffness_n_m
        self.sag = np.array([0.0, 0.0, sag_m])
        self.place = np.zeros((hands, 3))
        self.place[:, 2] = 0.1
        self.target = self.place.copy()
        self.gap = np.full(hands, 0.03)
        self.wanted = self.gap.copy()
        self.force_bias_n = np.zeros(3)
        self.commands = []

    def robot(self):
        return Robot(self.observe(), np.ravel(np.c_[self.place, self.gap]), PERIOD_S)

    def observe(self):
        depth = np.maximum(0.0, self.floor_m - self.target[:, 2])
        force = np.zeros((self.hands, 3))
        force[:, 2] = depth * self.stiffness_n_m
        shown = {
            "hand_position_m": self.place.copy(),
            "wrist_force_n": force + self.force_bias_n,
            "finger_opening_m": self.gap[:, None].copy(),
            "effort_n": 1000.0 * np.maximum(0.0, self.gap - self.wanted)[:, None],
        }
        return shown if self.hands > 1 else {key: value[0] for key, value in shown.items()}

    def step(self, action):
        self.commands.append(action)
        parts = action.reshape(self.hands, 4)
        self.target, self.wanted = parts[:, :3].copy(), parts[:, 3].copy()
        self.place += self.follow * (self.target - self.sag - self.place)
        self.place[:, 2] = np.maximum(self.place[:, 2], self.floor_m)
        self.gap = np.maximum(self.wanted, self.thing_m)
        return self.observe()

    def run(self, script, most_steps=2000):
        """Drives a script to its end; returns what it returned."""
        observation = None
        for _ in range(most_steps):
            try:
                action = script.send(observation)
            except StopIteration as end:
                return end.value
            observation = self.step(action)
        raise AssertionError("the script does not end")
