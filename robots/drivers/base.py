"""The driver's contract, and how a driver is found.

A driver is used by one thread at a time, the station's batch thread in lockstep. It is trusted:
it knows the task's world hooks, which answer only from sensors unless they are named `audit`.
"""

import importlib.metadata
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from robots.safety.table import Condition
from robots.station.cameras import Images
from robots.station.tasks import Observation, Task

ENTRY_POINTS = "enpire.drivers"


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a driver can do.

    Attributes:
        simulated: No real robot moves.
        lockstep: The world waits: `advance` moves it.
        can_seed: An episode's randomness follows its seed.
        simulator_reset: `start_episode` resets the world by itself, which no lab can do; it is
            marked so wherever figures are shown.
        verifies: The task's verifier decides about success, from `camera` and observation;
            otherwise `success` does.
    """

    simulated: bool
    lockstep: bool
    can_seed: bool
    simulator_reset: bool = False
    verifies: bool = True


class Fault(msgspec.Struct, frozen=True):
    """Something wrong that the safety table has a row for."""

    condition: Condition
    detail: str


class DriverError(RuntimeError):
    """The robot, its bus or its simulation cannot be used."""


class Driver(Protocol):
    """One robot and its scene."""

    @property
    def capabilities(self) -> Capabilities: ...

    def start_episode(self, seed: int) -> None:
        """Draw an episode's randomness from its seed; moves nothing unless `simulator_reset`."""
        ...

    def reset_target(self) -> NDArray[np.float64]:
        """Draw where the physical reset shall bring the scene."""
        ...

    def observe(self) -> Observation:
        """What the sensors say now: estimates, never truth."""
        ...

    def setpoint(self) -> list[float]:
        """Where the robot is commanded to be, in the action's unit."""
        ...

    def apply(self, setpoint: Sequence[float]) -> None:
        """Command a set-point for the next control tick."""
        ...

    def advance(self, ticks: int) -> None:
        """Let the world go on for some control ticks (lockstep only)."""
        ...

    def drive(self, setpoint: Sequence[float], ticks: int) -> None:
        """`apply` and `advance` in one: the world goes on under this set-point."""
        ...

    def fault(self) -> Fault | None:
        """The first thing wrong since the episode began, or None."""
        ...

    def camera(self) -> Images:
        """Images of the task's cameras, and depth where the task asks for it, by name."""
        ...

    def pictures(self) -> Images:
        """What the policy is shown: by `image.NAME`, uint8; of cameras with a `policy` size only."""
        ...

    def retracted(self, observation: Observation) -> bool:
        """Whether the tool is out of the verifier's view, from proprioception."""
        ...

    def plausible(self, observation: Observation) -> bool:
        """Whether sensors leave success possible; where not, the verifier need not look."""
        ...

    def reset_reached(self, observation: Observation, target: NDArray[np.float64]) -> bool:
        """Post-condition of a reset, from sensors."""
        ...

    def success(self) -> bool | None:
        """The world's own verdict where `verifies` is False; None while the episode goes on."""
        ...

    def evidence(self, history: Sequence[Observation]) -> dict[str, float]:
        """How an episode ended, in numbers, from its last observations, oldest first."""
        ...

    def failure_tags(self, history: Sequence[Observation]) -> list[str]:
        """Words for what went wrong, from the same."""
        ...

    def audit(self) -> dict[str, float]:
        """Privileged truth for the ledger; {} where there is none."""
        ...

    def stop(self) -> None:
        """Come to rest where the robot is."""
        ...

    def restore(self) -> None:
        """After a protective stop: make the robot usable again from its measured pose."""
        ...

    def close(self) -> None:
        """Free what it holds, on the thread that used it."""
        ...


def load_driver(name: str, task: Task, station_seed: int) -> Driver:
    """Make a driver by name: `mujoco`, or an entry point of `enpire.drivers`.

    Raises:
        DriverError: There is no such driver.
    """
    if name == "mujoco":
        from robots.drivers.mujoco import MujocoDriver

        return MujocoDriver(task, station_seed)
    if name == "gymnasium":
        from robots.drivers.gymnasium import GymnasiumDriver

        return GymnasiumDriver(task, station_seed)
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        if entry.name == name:
            make = cast("Callable[[Task, int], Any]", entry.load())
            return cast("Driver", make(task, station_seed))
    raise DriverError(f"unknown driver {name!r}; known are mujoco, gymnasium and entry points")
