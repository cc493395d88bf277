"""Turn the peg from behind to the goal, look again, and draw back."""

import math

import numpy as np

OUT_M, AT_PEG_M = 0.14, 0.08
CONTACT_RAD = 0.25


class Policy:
    def __init__(self, knobs):
        self._near_rad = knobs["near_rad"]
        self._step_rad = knobs["step_rad"]

    def reset(self, observation):
        self._stage, self._side = "round", 0.0

    def act(self, observation):
        x, y = observation["finger_position_m"]
        knob_rad = float(observation["knob_angle_rad"][0])
        gap_rad = float(observation["goal_angle_rad"][0]) - knob_rad
        out_m, at_rad = math.hypot(x, y), math.atan2(y, x)
        if self._stage == "back" and out_m > 0.13 and abs(gap_rad) > 2 * self._near_rad:
            self._stage = "round"
        elif self._stage != "back" and abs(gap_rad) < self._near_rad:
            self._stage = "back"
        if self._stage == "back":
            return polar(at_rad, OUT_M)
        side = math.copysign(1.0, gap_rad)
        if side != self._side:
            self._side, self._stage = side, "round"
        behind_rad = knob_rad - side * (CONTACT_RAD + 0.12)
        if self._stage == "round":
            if out_m < 0.12:
                return polar(at_rad, OUT_M)
            left_rad = (behind_rad - at_rad + math.pi) % (2 * math.pi) - math.pi
            if abs(left_rad) < 0.05:
                self._stage = "in"
            return polar(at_rad + np.clip(left_rad, -self._step_rad, self._step_rad), OUT_M)
        if self._stage == "in":
            if out_m < AT_PEG_M + 0.004:
                self._stage = "push"
            return polar(behind_rad, AT_PEG_M)
        lead_rad = min(0.25, 0.03 + 0.6 * abs(gap_rad))
        return polar(knob_rad - side * (CONTACT_RAD - lead_rad), AT_PEG_M)


def polar(angle_rad, radius_m):
    return radius_m * np.array([math.cos(angle_rad), math.sin(angle_rad)])
