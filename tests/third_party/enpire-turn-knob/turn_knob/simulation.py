"""World of the knob: a finger that slides over the table, a knob that stays where it is turned."""

import math

import mujoco
import numpy as np

SUCCESS_RAD = math.radians(5.0)
REACHED_RAD = math.radians(6.0)
RIM_M = 0.09
CLEAR_M = 0.125
"""A finger farther out than this hides nothing of knob and peg."""

FARTHEST_RAD = 2.4
NOISE_RAD = 0.004
KNOB, FINGER = 0, slice(1, 3)


class Simulation:
    def __init__(self, model, station_seed):
        draw = np.random.default_rng(station_seed)
        # A unit's own: how its encoder is fitted, how stiff its knob is, how its camera hangs.
        self._bias_rad = draw.normal(0.0, 0.005)
        model.dof_frictionloss[KNOB] *= draw.uniform(0.7, 1.4)
        model.cam_pos[0] += draw.normal(0.0, 0.0004, 3)
        self._goal_rad = 0.0

    def place(self, model, data, rng):
        data.qpos[KNOB] = rng.uniform(-FARTHEST_RAD, FARTHEST_RAD)
        data.qpos[FINGER] = _out_there(data.qpos[KNOB] + math.pi)
        data.ctrl[:] = data.qpos[FINGER]

    def randomise(self, model, data, rng):
        self._goal_rad = rng.uniform(-FARTHEST_RAD, FARTHEST_RAD)

    def reset_target(self, rng):
        # Somewhere else than the goal: holding still must never be a success.
        while True:
            start_rad = rng.uniform(-FARTHEST_RAD, FARTHEST_RAD)
            if abs(start_rad - self._goal_rad) > 0.5:
                return np.array([start_rad])

    def observe(self, model, data, rng):
        seen_rad = data.qpos[KNOB] + self._bias_rad + rng.normal(0.0, NOISE_RAD)
        return {
            "finger_position_m": data.qpos[FINGER] + rng.normal(0.0, 2e-4, 2),
            "knob_angle_rad": np.array([seen_rad]),
            "goal_angle_rad": np.array([self._goal_rad]),
        }

    def apply(self, model, data, action):
        data.ctrl[:] = action

    def retracted(self, observation):
        return bool(np.hypot(*observation["finger_position_m"]) > CLEAR_M)

    def plausible(self, observation):
        return abs(_gap(observation)) < 2 * SUCCESS_RAD

    def reset_reached(self, observation, target):
        near = abs(observation["knob_angle_rad"][0] - target[0]) < REACHED_RAD
        return bool(near and self.retracted(observation))

    def evidence(self, history):
        return {
            "gap_deg": math.degrees(_gap(history[-1])),
            "closest_deg": math.degrees(min(abs(_gap(seen)) for seen in history)),
        }

    def failure_tags(self, history):
        if abs(_gap(history[-1])) < 2 * SUCCESS_RAD:
            return ["near_miss" if self.retracted(history[-1]) else "not_retracted"]
        turned_rad = abs(history[-1]["knob_angle_rad"][0] - history[0]["knob_angle_rad"][0])
        return ["short" if turned_rad > 0.1 else "peg_missed"]

    def fault(self, model, data):
        return "peg_force" if np.abs(data.actuator_force).max() > 29.0 else ""

    def audit(self, model, data):
        gap_rad = float(data.qpos[KNOB] - self._goal_rad)
        return {"gap_deg": math.degrees(gap_rad), "success": float(abs(gap_rad) < SUCCESS_RAD)}

    def snapshot(self, model, data, rng, kind):
        low, high = {
            "positive": (0.0, 0.8 * SUCCESS_RAD),
            "near_miss": (1.2 * SUCCESS_RAD, 2.4 * SUCCESS_RAD),
            "negative": (0.3, 1.5),
        }[kind]
        angle_rad = self._goal_rad + rng.choice((-1.0, 1.0)) * rng.uniform(low, high)
        data.qpos[KNOB] = angle_rad
        away_rad = rng.uniform(0.5, 2 * math.pi - 0.5)
        out_m = rng.uniform(0.0, 0.16) if kind == "negative" else 0.14
        data.qpos[FINGER] = _out_there(angle_rad + away_rad, out_m)
        data.ctrl[:] = data.qpos[FINGER]
        data.qvel[:] = 0.0
        mujoco.mj_forward(model, data)


def _gap(observation):
    return float(observation["knob_angle_rad"][0] - observation["goal_angle_rad"][0])


def _out_there(angle_rad, radius_m=0.14):
    return radius_m * np.array([math.cos(angle_rad), math.sin(angle_rad)])
