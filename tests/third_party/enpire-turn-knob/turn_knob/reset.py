"""Reset: turn the knob to the drawn angle by its peg, feeling the way with the encoder."""

import math

import numpy as np

OUT_M, AT_PEG_M = 0.14, 0.08
CONTACT_RAD = 0.25
STEP_RAD = 0.3


class Reset:
    def reset(self, observation, target):
        self._target_rad = float(target[0])
        self._stage = "round"
        self._side = 0.0

    def act(self, observation):
        x, y = observation["finger_position_m"]
        knob_rad = float(observation["knob_angle_rad"][0])
        gap_rad = self._target_rad - knob_rad
        out_m, at_rad = math.hypot(x, y), math.atan2(y, x)
        if self._stage != "back" and abs(gap_rad) < 0.02:
            self._stage = "back"
        if self._stage == "back":
            # Straight out, away from the peg.
            return None if out_m > 0.132 else polar(at_rad, OUT_M)
        side = math.copysign(1.0, gap_rad)
        if side != self._side:
            self._side, self._stage = side, "round"
        behind_rad = knob_rad - side * (CONTACT_RAD + 0.12)
        if self._stage == "round":
            if out_m < 0.12:
                return polar(at_rad, OUT_M)
            left_rad = wrapped(behind_rad - at_rad)
            if abs(left_rad) < 0.05:
                self._stage = "in"
            return polar(at_rad + np.clip(left_rad, -STEP_RAD, STEP_RAD), OUT_M)
        if self._stage == "in":
            if out_m < AT_PEG_M + 0.004:
                self._stage = "push"
            return polar(behind_rad, AT_PEG_M)
        # The finger leads the peg by what its servo lags; slower towards the end.
        lead_rad = min(0.25, 0.03 + 0.6 * abs(gap_rad))
        return polar(knob_rad - side * (CONTACT_RAD - lead_rad), AT_PEG_M)


def polar(angle_rad, radius_m):
    return radius_m * np.array([math.cos(angle_rad), math.sin(angle_rad)])


def wrapped(angle_rad):
    return (angle_rad + math.pi) % (2 * math.pi) - math.pi
