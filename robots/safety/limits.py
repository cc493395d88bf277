"""The limiter: what a policy asks for is validated, then clipped, then approached at a safe speed.

Validation comes first because clipping hides it: the clip of NaN is NaN. The limiter is plain
arithmetic on lists: an action has a handful of numbers and is limited on every control tick,
where numpy's overhead per call would cost more than the physics.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from robots.safety.table import Condition


class ActionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What a task admits as an action.

    Attributes:
        shape: Shape of the array a policy returns; () for a discrete action.
        low, high: Limits of each number, flattened, in the action's unit.
        max_velocity: Fastest change of the set-point, unit/s; () for no such limit.
        max_step: Farthest an action may lie from the set-point in force, unit; () for no limit.
        choices: Number of discrete actions 0..choices-1, 0 for a continuous action.
    """

    shape: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    max_velocity: tuple[float, ...] = ()
    max_step: tuple[float, ...] = ()
    choices: int = 0

    def __post_init__(self) -> None:
        size = math.prod(self.shape)
        for name in ("low", "high", "max_velocity", "max_step"):
            given = getattr(self, name)
            optional = name.startswith("max_") or self.choices
            if len(given) != size and not (optional and not given):
                raise ValueError(f"{name} has {len(given)} numbers, the shape asks for {size}")
        if any(not low <= high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError(f"a lower limit lies above its upper one: {self.low}, {self.high}")
        if any(not step > 0.0 for step in (*self.max_velocity, *self.max_step)):
            raise ValueError("max_velocity and max_step must be positive")


def validated(action: object, limits: ActionLimits) -> list[float] | Condition:
    """The numbers of an action, flattened, or why it is rejected before it is clipped.

    Args:
        action: What a worker sent, normally an array.
        limits: The task's limits.
    """
    if not isinstance(action, np.ndarray):
        return Condition.ACTION_SHAPE
    array = cast("NDArray[Any]", action)
    if array.dtype.kind not in "fiu" or array.shape != limits.shape:
        return Condition.ACTION_SHAPE
    values: list[float] = array.ravel().tolist()
    for value in values:
        if not math.isfinite(value):
            return Condition.ACTION_NOT_FINITE
    if limits.choices and not (values[0] == int(values[0]) and 0 <= values[0] < limits.choices):
        return Condition.ACTION_SHAPE
    return values


STILL, MOVING, ARRIVED = 0, 1, 2
"""What a tick did to the set-point; after `ARRIVED` further ticks change nothing."""


class Limiter:
    """Turns accepted actions into set-points that keep every limit on every tick.

    Args:
        limits: The task's limits.
        tick_s: Period of the control loop.
        setpoint: Where the robot is commanded to be now, in the action's unit.
    """

    __slots__ = ("_highs", "_lows", "_speed", "_steps", "setpoint", "target")

    def __init__(self, limits: ActionLimits, tick_s: float, setpoint: Sequence[float]) -> None:
        assert len(setpoint) == math.prod(limits.shape), (setpoint, limits.shape)
        size = len(setpoint)
        free = (math.inf,) * size
        self._lows = limits.low or tuple(-bound for bound in free)
        self._highs = limits.high or free
        self._steps = limits.max_step or free
        self._speed = [velocity * tick_s for velocity in limits.max_velocity]
        self.setpoint = [float(value) for value in setpoint]
        self.target = list(self.setpoint)

    def accept(self, action: list[float]) -> bool:
        """Take a validated action as the new target; returns whether it had to be clipped."""
        target, setpoint = self.target, self.setpoint
        for index, (now, step, low, high) in enumerate(
            zip(setpoint, self._steps, self._lows, self._highs, strict=True)
        ):
            value = action[index]
            # Comparisons, not min and max: this runs on every policy step.
            if value > now + step:
                value = now + step
            elif value < now - step:
                value = now - step
            if value > high:
                value = high
            elif value < low:
                value = low
            target[index] = value
        return target != action

    def hold(self) -> None:
        """Stay where the robot is commanded to be; its own servo brings it to rest there."""
        self.target[:] = self.setpoint

    def relocate(self, setpoint: Sequence[float]) -> None:
        """Start anew from a measured pose, after a stop or a power-on."""
        self.setpoint[:] = setpoint
        self.target[:] = setpoint

    def tick(self) -> int:
        """Move the set-point for one control tick; returns `STILL`, `MOVING` or `ARRIVED`.

        The path to the target is straight: the step is scaled as a whole, to the ellipsoid whose
        half-axes are each number's fastest change in a tick.
        """
        setpoint, target = self.setpoint, self.target
        if setpoint == target:
            return STILL
        square = 0.0
        for now, wanted, speed in zip(setpoint, target, self._speed, strict=False):
            ratio = (wanted - now) / speed
            square += ratio * ratio
        if square <= 1.0:
            setpoint[:] = target
            return ARRIVED
        scale = 1.0 / math.sqrt(square)
        for index, wanted in enumerate(target):
            setpoint[index] += (wanted - setpoint[index]) * scale
        return MOVING
