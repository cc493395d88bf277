"""Simple Push-T's trusted side: Push-T's world, with another start and a wider criterion."""

import math
from pathlib import Path

import numpy as np

from robots.tasks.push_t import simulation as push_t
from robots.tasks.push_t.simulation import GOAL_POSE, Array, MjData, MjModel, Observation, wrap

Pose = tuple[float, float, float]


class Simulation(push_t.Simulation):
    """One simulated station of simple Push-T."""

    FOLDER = Path(__file__).parent

    def reset_target(self, rng: np.random.Generator) -> Array:
        """Pose the physical reset shall bring the block to: about upside down."""
        x, y, yaw = super().reset_target(rng)
        return np.array([x, y, wrap(yaw + math.pi)])

    def plausible(self, observation: Observation) -> bool:
        """Whether the block's estimate leaves success possible, with half as much again."""
        x, y, yaw = (float(value) for value in observation["object_pose"])
        return self._within((x, y, yaw), 1.5)

    def audit(self, model: MjModel, data: MjData) -> dict[str, float]:
        """Privileged truth for the ledger: overlap, and whether the block lies near enough."""
        found = super().audit(model, data)
        x, y, yaw = (float(data.qpos[joint]) for joint in self._joints[:3])
        return found | {"success": float(self._within((x, y, yaw)))}

    def draw_pose(self, rng: np.random.Generator, kind: str) -> Pose:
        """Pose of the block in a snapshot; a near miss lies within twice what would be success."""
        while True:
            pose = (
                self._pose_about_goal(rng) if kind != "negative" else super().draw_pose(rng, kind)
            )
            if self._within(pose) == (kind == "positive"):
                return pose

    def _pose_about_goal(self, rng: np.random.Generator) -> Pose:
        reach = np.array(
            [self._success["position_within_m"]] * 2 + [self._success["yaw_within_rad"]]
        )
        x, y, yaw = (float(v) for v in np.array(GOAL_POSE) + rng.uniform(-2.0, 2.0, 3) * reach)
        return x, y, yaw

    def _within(self, pose: Pose, margin: float = 1.0) -> bool:
        away = math.hypot(pose[0] - GOAL_POSE[0], pose[1] - GOAL_POSE[1])
        turned = abs(wrap(pose[2] - GOAL_POSE[2]))
        return (
            away < margin * self._success["position_within_m"]
            and turned < margin * self._success["yaw_within_rad"]
        )
