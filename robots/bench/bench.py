"""One simulated station on which a task, not a policy, is put to the test.

Everything is the station's own: same safety, same sandboxed children, same order of calls.
"""

import secrets
import time
from typing import Self

import numpy as np

from robots.drivers.mujoco import MujocoDriver
from robots.station.authority import Authority, MotionStopped
from robots.station.children import ChildFailed
from robots.station.env import StationEnv
from robots.station.resetting import ResetFailed, ResetVoid
from robots.station.rollout import Rig
from robots.station.sandboxed import SandboxedChildren
from robots.station.seeds import RandomSeeds
from robots.station.tasks import Task

WANDER_HOLD_STEPS = 15
"""A wandering robot is given a new place to go to each half second at 30 Hz."""


class Bench:
    """A station with a task and no policy; use it as a context.

    Args:
        task: What is tested; a folder with a scene.
        station_seed: Of the station's fixed draws.
        sandboxed: False only where a person said so.

    Raises:
        DriverError: Its simulation cannot be run here.
    """

    def __init__(self, task: Task, station_seed: int, *, sandboxed: bool = True) -> None:
        self.task = task
        self.driver = MujocoDriver(task, station_seed)
        self.children = SandboxedChildren(task, sandboxed=sandboxed)
        authority = Authority(time.monotonic, needs_grant=False)
        self._rig = Rig(task, self.driver, self.children, authority, RandomSeeds())

    @property
    def env(self) -> StationEnv:
        """The station's environment."""
        return self._rig.env

    def reset(self) -> str:
        """Draw an episode and reset the scene; returns what went wrong, "" if nothing did."""
        try:
            self.env.reset(seed=secrets.randbits(62))
        except (ResetFailed, ResetVoid) as error:
            return str(error)
        except MotionStopped as error:
            self._recover()
            return f"{error.decision.condition.value}: {error.detail}"
        except ChildFailed as error:
            return str(error)
        return ""

    def hold(self) -> bool:
        """An episode in which the robot is only held; whether it counted as a success.

        Raises:
            ChildFailed: The verifier's process died.
            MotionStopped: The safety table stopped the robot.
        """
        still = np.array(self.driver.setpoint()).reshape(self.task.spec.limits.shape)
        ended, reward = False, 0.0
        while not ended:
            _, reward, terminated, truncated, _ = self.env.step(still)
            ended = terminated or truncated
        return reward > 0.0

    def wander(self, rng: np.random.Generator, seconds: float) -> None:
        """Move the robot at random within its limits, as a hopeless policy would."""
        limits, steps = self.task.spec.limits, round(seconds * self.task.spec.policy_hz)
        target = np.zeros(limits.shape)
        self.env.motion.begin()
        for step in range(steps):
            if step % WANDER_HOLD_STEPS == 0:
                target = rng.uniform(limits.low, limits.high).reshape(limits.shape)
            try:
                _, _, terminated, truncated, _ = self.env.step(target)
            except MotionStopped:
                self._recover()
                return
            if terminated or truncated:
                return

    def close(self) -> None:
        """End the children and free the driver."""
        self._rig.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _recover(self) -> None:
        self.driver.restore()
        self.env.motion.relocate()
