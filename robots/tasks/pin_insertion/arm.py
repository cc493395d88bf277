"""Inverse kinematics of the arm in `scene.xml`, by mink: joints that bring the hand to a place.

A solution starts from the one before, so that a control tick takes one small program (joint limits
included), some 60 us. It is the same wherever the arm came from, to 20 um: within reach and with
the elbow up there is one.
"""

import functools
import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# They ship no type information, or a part.
mujoco: Any = importlib.import_module("mujoco")
mink: Any = importlib.import_module("mink")

Array = NDArray[np.float64]

_HOME: Array = np.array([0.245, -0.815, 1.086, -0.271, 0.0, -0.245])
"""Elbow up, the hand over the feeder: where the first solution starts."""
_WITHIN_M, _WITHIN_RAD = 2e-5, 1e-4
"""Far less than the servos' own error; one step is then enough for what moves in a control tick."""
_MOST_STEPS = 40


class Arm:
    """The six hinges, and where they last were."""

    def __init__(self) -> None:
        self._model = _arm_alone()
        self._now = mink.Configuration(self._model, _HOME.copy())
        self._limits = [mink.ConfigurationLimit(self._model)]
        self._task = mink.FrameTask("hand", "site", position_cost=1.0, orientation_cost=1.0)
        self._target: Array = np.full(5, np.nan)

    def joints_of(self, hand_m: Array, tilt_rad: tuple[float, float]) -> Array:
        """Angles (6,) at which the hand is at a place, its fingers pointing down.

        Args:
            hand_m: Middle between the pads (3,), in the scene's frame.
            tilt_rad: How far the hand leans in pitch and roll.

        Raises:
            ValueError: The place is out of reach.
        """
        target = np.array([*hand_m, *tilt_rad])
        if (target == self._target).all():
            return self._now.q.copy()
        self._task.set_target(_pose(hand_m, tilt_rad))
        for _ in range(_MOST_STEPS):
            turned = mink.solve_ik(
                self._now, [self._task], 1.0, "daqp", damping=1e-9, limits=self._limits
            )
            self._now.integrate_inplace(turned, 1.0)
            if self._is_there():
                self._target = target
                return self._now.q.copy()
        self._now.update(_HOME.copy())
        raise ValueError(f"hand target {target[:3]}: out of reach")

    def _is_there(self) -> bool:
        off: Array = self._task.compute_error(self._now)
        return bool(np.abs(off[:3]).max() < _WITHIN_M and np.abs(off[3:]).max() < _WITHIN_RAD)


def _pose(hand_m: Array, tilt_rad: tuple[float, float]) -> Any:  # noqa: ANN401 - mink's SE3.
    pitch, roll = (0.5 * angle for angle in tilt_rad)
    # Pitch, then roll about the axis that it has turned.
    turn = (
        math.cos(pitch) * math.cos(roll),
        math.cos(pitch) * math.sin(roll),
        math.sin(pitch) * math.cos(roll),
        -math.sin(pitch) * math.sin(roll),
    )
    return mink.SE3(np.array([*turn, *hand_m], dtype=np.float64))


@functools.cache
def _arm_alone() -> Any:  # noqa: ANN401 - MuJoCo ships no types.
    """The scene without what the arm handles: six hinges, so that a solution stays small."""
    spec = mujoco.MjSpec.from_file(str(Path(__file__).parent / "scene.xml"))
    for driven in (*spec.sensors, *spec.actuators, *spec.equalities):
        spec.delete(driven)
    for body in list(spec.worldbody.bodies):
        if body.name != "base":
            spec.delete(body)
    for finger in ("finger_a", "finger_b"):
        spec.delete(spec.body(finger))
    return spec.compile()
