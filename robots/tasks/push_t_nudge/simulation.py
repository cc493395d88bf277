"""The nudge's trusted side: simple Push-T's world and criterion, with a start of its own."""

import math
from pathlib import Path

import numpy as np

from robots.tasks.push_t.simulation import GOAL_POSE, Array
from robots.tasks.push_t_simple import simulation as push_t_simple
from robots.world.draws import uniform


class Simulation(push_t_simple.Simulation):
    """One simulated station of the nudge."""

    FOLDER = Path(__file__).parent

    def reset_target(self, rng: np.random.Generator) -> Array:
        """Pose the physical reset shall bring the block to: off the goal, beyond its bar."""
        away = uniform(rng, self._reset["away_m"])
        side = self._reset["target_position_m"][0]
        aside = uniform(rng, (-side, side))
        turn = self._reset["target_yaw_rad"]
        x, y, yaw = GOAL_POSE
        cos, sin = math.cos(yaw), math.sin(yaw)
        return np.array(
            [
                x + cos * aside - sin * away,
                y + sin * aside + cos * away,
                yaw + uniform(rng, (-turn, turn)),
            ]
        )
