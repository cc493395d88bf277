"""What the worlds of tasks with one hand have in common, before their own objects and fixtures."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robots.station.tasks import MjData, MjModel, task_tables
from robots.world.draws import Servos, light, mount_camera, uniform
from robots.world.sensing import Delayed

Array = NDArray[np.float64]
Observation = dict[str, Array]


class OneHand:
    """Figures, draws, senses and limits of a simulated station with a site `hand` and two fingers.

    Attributes:
        START: Set-point at power-on.

    Args:
        folder: Whose `task.toml` holds the figures.
        model: The compiled `scene.xml`; changed in place.
        rng: Of the station's draw, which stays fixed for its life.
        servos: Which actuators move the hand.
    """

    START: Array

    def __init__(
        self,
        folder: Path,
        model: MjModel,
        rng: np.random.Generator,
        servos: slice | NDArray[np.int64],
    ) -> None:
        task = task_tables(folder)
        draws: dict[str, Any] = task["randomisation"]
        self._draws = draws
        self._reset: dict[str, Any] = task["reset"]
        self._success: dict[str, float] = task["success"]
        self._limits: dict[str, Any] = task["limits"]
        self._fixtures: dict[str, Any] = task["fixtures"]
        self._period_s = 1.0 / float(task["rates"]["policy_hz"])
        self._gain = uniform(rng, draws["servo_gain_station"])
        self._latency_s = self._latency_station_s = uniform(rng, draws["latency_station_s"])
        self._hand = int(model.site("hand").id)
        self._finger = int(model.joint("finger_a").qposadr[0])
        self._weight_n = np.array([0.0, 0.0, 9.81 * float(model.body("hand").subtreemass[0])])
        self._servos = Servos(model, servos)
        self._force_bias: Array = np.zeros(3)
        self._seen = Delayed()

    def home_action(self, model: MjModel, data: MjData) -> Array:
        """Set-point at power-on."""
        del model, data
        return self.START.copy()

    def _mount_cameras(
        self, model: MjModel, rng: np.random.Generator, names: Sequence[str]
    ) -> None:
        away_m, turn_rad = (
            self._draws[f"camera_{what}"]
            for what in ("position_station_sigma_m", "turn_station_sigma_rad")
        )
        for name in names:
            mount_camera(model, name, rng, away_m, turn_rad)

    def _draw_episode(
        self,
        model: MjModel,
        rng: np.random.Generator,
        rubbing: Sequence[int | np.intp] | NDArray[np.intp],
    ) -> None:
        """What every episode draws last: friction of some geoms, servos, latency, light."""
        draws = self._draws
        model.geom_friction[rubbing, 0] = uniform(rng, draws["friction_episode"])
        self._servos.scale(model, self._gain * uniform(rng, draws["servo_gain_episode"]))
        self._latency_s = self._latency_station_s + uniform(rng, draws["latency_episode_s"])
        light(model, rng, draws["lamp_episode"], draws["ambient_episode"])

    def _force(self, data: MjData) -> Array:
        """Force on the hand from outside (3,), hand frame, with the hand's own weight taken off."""
        return self._weight_n - data.sensordata[:3]

    def _felt(self, data: MjData, rng: np.random.Generator) -> Array:
        """The same as the wrist senses it."""
        noise = rng.normal(0.0, self._draws["force_noise_sigma_n"], 3)
        return self._force(data) + self._force_bias + noise

    def _opening(self, data: MjData) -> float:
        """Gap between the pads, which move alike."""
        return 2.0 * float(data.qpos[self._finger])

    def _hand_fault(self, data: MjData) -> str:
        """The limit that the hand breaks, or "": force, or its box."""
        if float(np.linalg.norm(self._force(data))) > self._limits["force_n"]:
            return "force"
        hand, box = data.site_xpos[self._hand], self._limits["hand_workspace_m"]
        outside = bool(np.any(hand < box["low"]) or np.any(hand > box["high"]))
        return "workspace" if outside else ""
