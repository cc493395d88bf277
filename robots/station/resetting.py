"""The automatic reset: three tries, the alternative once, then quarantine.

The reset's code runs in a sandboxed child and its post-condition is checked here, from sensors: a
reset that says it is done is not believed.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from robots.drivers.base import Driver
from robots.safety.limits import validated
from robots.safety.table import Condition
from robots.station.authority import Authority, MotionStopped
from robots.station.children import ChildFailed, ResetChild
from robots.station.motion import Motion
from robots.station.tasks import Observation, TaskSpec

TRIES = 3
SETTLE_S = 0.2
"""Held after a reset's last action, so that its post-condition is not read in passing."""


class ResetFailed(Exception):
    """The scene cannot be brought to a start; the station needs a person."""


class ResetVoid(Exception):
    """The reset's child failed, not the scene: the episode is void, the next has a new child."""


class Resetter:
    """Brings the scene to a drawn start by moving the robot.

    Args:
        driver: The robot.
        spec: Limits and rates.
        motion: The station's clock.
        authority: Who lets the robot move.
        start: Starts a reset child; kept until it dies.

    Attributes:
        guard: Told of each validated action before it moves anything; may raise to stop the reset.
        observation: The last one that the reset was given.
        raised: What its code raised last, "" if it did not.
    """

    def __init__(
        self,
        driver: Driver,
        spec: TaskSpec,
        motion: Motion,
        authority: Authority,
        start: Callable[[], ResetChild],
    ) -> None:
        self._driver = driver
        self._spec = spec
        self._motion = motion
        self._authority = authority
        self._start = start
        self.child: ResetChild | None = None
        self.guard: Callable[[list[float]], None] = _unguarded
        self.observation: Observation = {}
        self.raised = ""
        self.tries = 0
        self.robot_s = 0.0
        self.reached: Observation = {}

    def run(self) -> None:
        """Reset the scene; `tries` and `robot_s` then say what it took, `reached` what was sensed.

        Raises:
            ResetFailed: No try reached its target; the station shall quarantine itself.
            ResetVoid: The reset's child died.
            MotionStopped: The safety table ended it.
        """
        self.tries, self.robot_s, self.raised = 0, 0.0, ""
        self.reached = {}
        if self._driver.capabilities.simulator_reset:
            self.tries = 1
            return
        target = self._driver.reset_target()
        while self.tries < TRIES + 1:
            if self.tries == TRIES:
                # The alternative: another target and a child without a memory of the tries.
                self.close()
                target = self._driver.reset_target()
            self.tries += 1
            try:
                self._attempt(target)
            except ChildFailed as error:
                # A reset that raised has wasted a try; one whose process died voids the episode.
                self.raised = f"{error.reason}: {error.line}"
                if error.ended:
                    self.close()
                    raise ResetVoid(str(error)) from error
            finally:
                self.robot_s += self._motion.time_s
            self.reached = self._motion.observe()
            if self._driver.reset_reached(self.reached, target):
                return
        raise ResetFailed(f"the reset missed its target {self.tries} times")

    def prepare(self) -> None:
        """Start a child anew, from the task's files as they are now."""
        self.close()
        self.tries, self.robot_s = 0, 0.0
        self.child = self._start()

    def unguard(self) -> None:
        """Forget the guard: the next reset is bound by the limits alone."""
        self.guard = _unguarded

    def close(self) -> None:
        if self.child is not None:
            self.child.close()
            self.child = None

    def _attempt(self, target: NDArray[np.float64]) -> None:
        motion, spec = self._motion, self._spec
        motion.begin()
        child = self.child = self.child or self._start()
        child.reset(motion.observe(), target)
        while motion.time_s < spec.reset_limit_s:
            self._authority.check(during_policy=False)
            self.observation = motion.observe()
            action = child.act(self.observation).action
            if action is None:
                break
            values = validated(action, spec.limits)
            if isinstance(values, Condition):
                raise ChildFailed("reset_action_invalid", repr(action)[:200], ended=False)
            self.guard(values)
            # A reset is the operator's own code: how long it thinks is not held against it.
            motion.step(values, 0.0)
            self._check_fault()
        motion.hold(SETTLE_S)

    def _check_fault(self) -> None:
        fault = self._driver.fault()
        if fault is None or fault.condition is Condition.TASK_LIMIT:
            # A reset may have to start beyond a task limit: that is where it was broken.
            return
        decision = self._authority.judge(fault.condition, during_policy=False)
        raise MotionStopped(decision, fault.detail)


def _unguarded(action: list[float]) -> None:
    """Autonomous resets are bound by the limits alone."""
