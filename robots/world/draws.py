"""What differs between two stations of one kind, and between two episodes on one station.

Each piece changes a compiled model in place and draws from the generator it is given, so that equal
seeds give equal worlds.
"""

import importlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# MuJoCo ships no type information.
mujoco: Any = importlib.import_module("mujoco")
MjModel = Any


def uniform(rng: np.random.Generator, bounds: Sequence[float]) -> float:
    """A number between two bounds."""
    return float(rng.uniform(bounds[0], bounds[1]))


def mount_camera(
    model: MjModel,
    name: str,
    rng: np.random.Generator,
    position_sigma_m: float,
    turn_sigma_rad: Sequence[float],
) -> None:
    """Moves a camera by what its mount leaves open.

    Args:
        model: the scene; changed in place.
        name: of the camera.
        rng: of the station's draw.
        position_sigma_m: along each of the three axes.
        turn_sigma_rad: about the camera's own x, y and view (3,).
    """
    camera = model.camera(name).id
    model.cam_pos[camera] += rng.normal(0.0, position_sigma_m, 3)
    half = 0.5 * rng.normal(0.0, turn_sigma_rad)
    turned = np.empty(4)
    mujoco.mju_mulQuat(turned, model.cam_quat[camera], np.array([1.0, *half]))
    model.cam_quat[camera] = turned / np.linalg.norm(turned)


def light(
    model: MjModel, rng: np.random.Generator, lamp: Sequence[float], ambient: Sequence[float]
) -> None:
    """Draws how bright the lamp and its surroundings are, 0 to 1."""
    model.light_diffuse[:] = uniform(rng, lamp)
    model.vis.headlight.ambient[:] = uniform(rng, ambient)


class Servos:
    """Position servos whose stiffness differs from unit to unit.

    Args:
        model: the scene, as compiled.
        actuators: which of its actuators.
    """

    def __init__(self, model: MjModel, actuators: slice | NDArray[np.int64]) -> None:
        self._actuators = actuators
        self._kp = model.actuator_gainprm[actuators, 0].copy()
        self._kv = -model.actuator_biasprm[actuators, 2].copy()

    def scale(self, model: MjModel, gain: float) -> None:
        """Makes them stiffer by a factor, as damped as they were."""
        model.actuator_gainprm[self._actuators, 0] = self._kp * gain
        model.actuator_biasprm[self._actuators, 1] = -self._kp * gain
        model.actuator_biasprm[self._actuators, 2] = -self._kv * math.sqrt(gain)
