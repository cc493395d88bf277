"""Push the peg along its circle without looking: right for whoever's knob turns as it should."""

import math

import numpy as np


class Policy:
    def __init__(self, knobs):
        self._lead_rad = knobs["lead_rad"]

    def reset(self, observation):
        self._step = 0
        self._start_rad = float(observation["knob_angle_rad"][0])
        self._at_rad = math.atan2(*observation["finger_position_m"][::-1])

    def act(self, observation):
        self._step += 1
        goal_rad = float(observation["goal_angle_rad"][0])
        side = math.copysign(1.0, goal_rad - self._start_rad)
        behind_rad = self._start_rad - side * 0.37
        if self._step < 120:
            share = min(1.0, self._step / 90)
            left_rad = (behind_rad - self._at_rad + math.pi) % (2 * math.pi) - math.pi
            return polar(self._at_rad + share * left_rad, 0.14)
        if self._step < 140:
            return polar(behind_rad, 0.08)
        if self._step < 320:
            share = (self._step - 140) / 180
            end_rad = goal_rad - side * (0.25 - self._lead_rad)
            return polar(behind_rad + share * (end_rad - behind_rad), 0.08)
        return polar(goal_rad - side * (0.25 - self._lead_rad), 0.14)


def polar(angle_rad, radius_m):
    return radius_m * np.array([math.cos(angle_rad), math.sin(angle_rad)])
