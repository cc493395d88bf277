"""The station as a Gymnasium environment: `reset` moves the robot, `reward` comes from `verify`.

An agent's episode, a batch's and an operator's all go through here; nothing below it can be reached
with a policy in hand.
"""

import secrets
from collections import deque
from typing import Any

from numpy.typing import NDArray

from robots.drivers.base import Driver, Fault
from robots.safety.limits import validated
from robots.safety.table import RAMP_DOWN_S, Condition
from robots.station.authority import Authority, MotionStopped
from robots.station.cameras import Images
from robots.station.children import Child, ChildFailed, Children, Sight, VerifyChild
from robots.station.drift import DriftWatch
from robots.station.glimpses import Glimpses
from robots.station.judge import Judge
from robots.station.labels import Snapshot
from robots.station.motion import Motion
from robots.station.resetting import Resetter
from robots.station.tasks import Observation, TaskSpec

REASONS: dict[Condition, str] = {
    Condition.ACTION_LOST: "policy_timeout",
    Condition.HOLD: "held",
}
"""Names of outcomes where they differ from the condition's own."""

HISTORY_STEPS = 150
"""Observations kept as evidence of how an episode ended: five seconds at 30 Hz."""

Step = tuple[Observation, float, bool, bool, dict[str, Any]]


class StationEnv:
    """One robot behind its safety, with the scene's reset and verifier.

    Attributes:
        observation: The last one, {} until a reset has succeeded.
        history: The last ones, oldest first.
        glimpses: Who asked to see the scene.
        drift: Watches the verifier's sight after resets; None for nobody.

    Args:
        driver: The robot.
        spec: The task.
        motion: The station's clock with the limiter.
        authority: Who lets the robot move.
        children: Starts reset and verifier.
    """

    def __init__(
        self,
        driver: Driver,
        spec: TaskSpec,
        motion: Motion,
        authority: Authority,
        children: Children,
    ) -> None:
        self.driver = driver
        self.motion = motion
        self.resetter = Resetter(driver, spec, motion, authority, children.reset)
        self.judge = Judge(driver, spec, self.ask)
        self.observation: Observation = {}
        self.history: deque[Observation] = deque(maxlen=HISTORY_STEPS)
        self._spec = spec
        self._limits = spec.limits
        self._pictures = any(each.policy for each in spec.cameras)
        self._authority = authority
        self._children = children
        self._verifier: VerifyChild | None = None
        self.glimpses = Glimpses()
        self.drift: DriftWatch | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw an episode and bring the scene to its start by moving the robot.

        Args:
            seed: Of the episode's draws; None for one of no matter.
            options: None are known.

        Raises:
            ResetFailed: The scene cannot be brought to a start.
            ResetVoid: The reset's child died.
            Drifted: The verifier's sight is not what it was.
            MotionStopped: The safety table ended it.
        """
        del options
        self.observation = {}
        self.history.clear()
        self.judge.begin()
        self.driver.start_episode(secrets.randbits(62) if seed is None else seed)
        self.resetter.run()
        if self.drift is not None and self.driver.capabilities.verifies:
            self.drift.after_reset(self._sight, self.judge.accepted, self.ask)
        self.motion.begin()
        self.observation = self.motion.observe()
        self.history.append(self.observation)
        return self.observation, {"reset_tries": self.resetter.tries}

    def step(self, action: NDArray[Any] | None, latency_s: float = 0.0) -> Step:
        """Apply an action and go on to the next policy step.

        Args:
            action: As a policy returned it; validated and limited here.
            latency_s: How long it took, on the station's clock.

        Returns:
            Observation, reward (1 at success), terminated, truncated, and `info` with the
            `reason` of an end and the table's `condition` where one ended it.

        Raises:
            MotionStopped: The safety table stopped the robot.
            ChildFailed: The verifier's child died; it has been replaced.
        """
        values = validated(action, self._limits)
        if isinstance(values, Condition):
            return self._failed(values)
        # A hold may have come while the policy thought.
        self._authority.check(during_policy=True)
        if not self.motion.step(values, latency_s):
            return self._failed(Condition.ACTION_LOST)
        fault = self.driver.fault()
        if fault is not None:
            if fault.condition is Condition.TASK_LIMIT:
                return self._failed(fault.condition, fault.detail)
            raise self._stopped(fault)
        observation = self.observation = self.motion.observe()
        self.history.append(observation)
        if self.glimpses.asked:
            self.glimpses.serve(self.driver, observation)
        if self.judge.look(observation, self.motion.time_s):
            reason = "verified" if self.driver.capabilities.verifies else "world_success"
            return observation, 1.0, True, False, {"reason": reason}
        if self.judge.ended is False:
            return observation, 0.0, True, False, {"reason": "world_failure"}
        if self.motion.time_s >= self._spec.episode_limit_s:
            return self._failed(Condition.EPISODE_LIMIT)
        return observation, 0.0, False, False, {}

    @property
    def shown(self) -> Observation:
        """What the policy sees now: the observation, with pictures where the task gives it any."""
        if not self._pictures:
            return self.observation
        return {**self.observation, **self.driver.pictures()}

    def children(self) -> list[Child]:
        """The children that run now."""
        found = (self.resetter.child, self._verifier)
        return [child for child in found if child is not None]

    def _stopped(self, fault: Fault) -> MotionStopped:
        decision = self._authority.judge(fault.condition, during_policy=True)
        return MotionStopped(decision, fault.detail)

    def close(self) -> None:
        """End the reset's and the verifier's children."""
        self.resetter.close()
        self._close_verifier()

    def _failed(self, condition: Condition, detail: str = "") -> Step:
        """Hold, and end the episode as the table says."""
        self.motion.hold(RAMP_DOWN_S if condition is Condition.TASK_LIMIT else 0.0)
        reason = REASONS.get(condition, condition.value)
        reason = f"{reason}: {detail}" if detail else reason
        truncated = condition is Condition.EPISODE_LIMIT
        info = {"reason": reason, "condition": condition}
        return self.observation, 0.0, not truncated, truncated, info

    def _sight(self) -> Snapshot:
        """The scene just after a reset; sensing it anew would use up an episode's draws."""
        return Snapshot(self.driver.camera(), self.resetter.reached)

    def prepare_verifier(self) -> None:
        """Start the verifier's child, if it does not run.

        Raises:
            ChildFailed: It cannot be loaded.
        """
        if self._verifier is None:
            self._verifier = self._children.verify()

    def ask(self, images: Images, observation: Observation) -> Sight:
        """The verifier's verdict on some images.

        Raises:
            ChildFailed: Its child died; the next question has another.
            MotionStopped: The pictures are stale.
        """
        fault = self.driver.fault()
        if fault is not None and fault.condition is Condition.CAMERA_STALE:
            # SAFETY: a picture of what was is no evidence of what is.
            raise self._stopped(fault)
        try:
            self.prepare_verifier()
            assert self._verifier is not None
            return self._verifier.verify(images, observation)
        except ChildFailed:
            self._close_verifier()
            raise

    def _close_verifier(self) -> None:
        if self._verifier is not None:
            self._verifier.close()
            self._verifier = None
