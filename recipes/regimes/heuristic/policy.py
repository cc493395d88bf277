"""A heuristic: a phase, and a rule that says where the hand goes in it.

Copy this folder, keep the shape: everything that is remembered is set in `reset`, `act` reads one
observation and returns one action, every number that may be tuned is a knob. Here the task is pin
insertion; the knob lies 45 mm above the pin's tip. Lengths in metres, forces in newtons.
"""

from __future__ import annotations

import math

import numpy as np

GOLDEN_RAD = math.pi * (3.0 - math.sqrt(5.0))
"""Turns by this angle never meet again: tries are spread evenly around the first place."""


class Policy:
    """Goes over the hole, then down; where it touches, up and beside."""

    def __init__(self, knobs: dict[str, float]) -> None:
        self.knobs = knobs

    def reset(self, observation: dict[str, np.ndarray]) -> None:
        self.seen: list[np.ndarray] = []
        self.phase = "over"
        self.tries = 0

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        hand, knobs = observation["hand_position_m"], self.knobs
        place = self.place(observation)
        over = np.array([*place, knobs["hover_m"]])
        if self.phase == "over" and np.linalg.norm(over - hand) < knobs["near_m"]:
            self.phase = "down"
        elif self.phase == "down" and self.stuck(observation):
            self.tries += 1
            self.phase = "over"
        goal = over if self.phase == "over" else np.array([*place, knobs["bottom_m"]])
        way = goal - hand
        step = way * min(1.0, knobs["step_m"] / max(float(np.linalg.norm(way)), 1e-9))
        return np.array([*(hand + step), knobs["grip_m"]])

    def place(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        """Where the hand belongs for this try (2,): the mean of what was seen, and some way off."""
        tip_to_hand = observation["hand_position_m"] - observation["pin_tip_m"]
        self.seen.append((observation["hole_position_m"] + tip_to_hand)[:2])
        turn = self.tries * GOLDEN_RAD
        away = self.knobs["circle_m"] * math.sqrt(self.tries)
        return np.mean(self.seen, axis=0) + away * np.array([math.cos(turn), math.sin(turn)])

    def stuck(self, observation: dict[str, np.ndarray]) -> bool:
        """Whether the pin stands on the box instead of in the hole."""
        pushed = observation["wrist_force_n"][2] > self.knobs["touch_n"]
        return bool(pushed and observation["hand_position_m"][2] > self.knobs["bottom_m"] + 0.004)
