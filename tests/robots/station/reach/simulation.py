"""World of the test task: a point on a plane, and a goal drawn each episode."""

import math

import numpy as np

NEAR_M = 0.01


class Simulation:
    def __init__(self, model, station_seed):
        self._goal = np.zeros(2)
        self._offset = np.random.default_rng(station_seed).normal(0.0, 1e-4, 2)

    def place(self, model, data, rng):
        data.qpos[:] = rng.uniform(-0.2, 0.2, 2)
        data.ctrl[:] = data.qpos

    def randomise(self, model, data, rng):
        self._goal = rng.uniform(-0.2, 0.2, 2)

    def reset_target(self, rng):
        return rng.uniform(-0.2, 0.2, 2)

    def observe(self, model, data, rng):
        return {
            "tool_position_m": data.qpos + self._offset,
            "goal_position_m": self._goal.copy(),
        }

    def apply(self, model, data, action):
        data.ctrl[:] = action

    def retracted(self, observation):
        return _distance(observation["tool_position_m"], observation["goal_position_m"]) < 0.05

    def reset_reached(self, observation, target):
        return _distance(observation["tool_position_m"], target) < NEAR_M

    def evidence(self, history):
        last = history[-1]
        return {"distance_m": _distance(last["tool_position_m"], last["goal_position_m"])}

    def failure_tags(self, history):
        return ["far"] if self.evidence(history)["distance_m"] > 0.05 else ["near_miss"]

    def fault(self, model, data):
        # An edge of the table: reached only by asking for a corner.
        return "workspace" if abs(data.qpos[0]) > 0.28 and abs(data.qpos[1]) > 0.28 else ""

    def audit(self, model, data):
        distance = _distance(data.qpos, self._goal)
        return {"distance_m": distance, "success": float(distance < NEAR_M)}


def _distance(a, b):
    return math.hypot(float(a[0]) - float(b[0]), float(a[1]) - float(b[1]))
