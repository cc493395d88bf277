"""One episode: reset, then the policy until success, failure or limit, and exactly one outcome."""

import time
from collections.abc import Callable
from typing import NamedTuple

from robots.safety.table import Condition, Verdict
from robots.station.authority import Authority, BatchCancelled, MotionStopped
from robots.station.children import ChildFailed, PolicyChild
from robots.station.drift import Drifted
from robots.station.env import REASONS, StationEnv
from robots.station.recording import Trace
from robots.station.resetting import ResetFailed, ResetVoid
from robots.wire.records import Episode, Outcome

Acted = Callable[[Condition, str], None]

_POSE_NUMBERS = 16


class Ended(NamedTuple):
    """How an episode came to its end.

    Attributes:
        stop: The decision that ends more than the episode, if any: a hold, a protective stop.
        quarantine: Why the station shall take no more episodes, "" if it may.
        policy_gone: Whether the policy's process has to be replaced.
    """

    episode: Episode
    audit: dict[str, float]
    stop: MotionStopped | None = None
    quarantine: str = ""
    policy_gone: bool = False


class Live(NamedTuple):
    """A glance at the present episode from another thread; may be a step old."""

    robot_s: float
    score: float | None
    pose: tuple[float, ...]
    action: tuple[float, ...]
    jitter_s: float


class _Result(NamedTuple):
    """How the policy's part ended."""

    outcome: Outcome
    reason: str
    stop: MotionStopped | None = None
    quarantine: str = ""
    policy_gone: bool = False
    detail: str = ""


class EpisodeRunner:
    """Runs episodes in one environment, on one thread.

    Args:
        env: The robot.
        authority: Who lets it move.
        acted: Told of each row of the safety table that fired, once an episode and condition.
    """

    def __init__(self, env: StationEnv, authority: Authority, acted: Acted) -> None:
        self._env = env
        self._authority = authority
        self._acted = acted
        self._fired: set[Condition] = set()
        self._steps = 0
        self._cpu_s = 0.0
        self._robot_s = 0.0

    def run(self, index: int, seed: int, policy: PolicyChild, trace: Trace | None) -> Ended:
        """Run one episode to its outcome; whatever goes wrong is one.

        Raises:
            BatchCancelled: The daemon closes; the episode has no outcome yet and is void at the
                next start.
        """
        env = self._env
        started_s = time.monotonic()
        self._fired.clear()
        self._steps, self._cpu_s, self._robot_s = 0, 0.0, 0.0
        result = self._whole(seed, policy, trace)
        if trace is not None:
            trace.end(self._steps, self._robot_s)
        env.driver.stop()
        tags: tuple[str, ...] = (result.detail,) if result.detail else ()
        figures: dict[str, float] = {}
        # A world that diverged has nothing to tell.
        sound = env.driver.fault() is None or result.stop is None
        if env.history and sound:
            history = list(env.history)
            figures = env.driver.evidence(history)
            if result.outcome is Outcome.FAILURE:
                tags = (*env.driver.failure_tags(history), *tags)
        episode = Episode(
            index=index,
            outcome=result.outcome,
            reason=result.reason[:200],
            seed=seed,
            tags=tags,
            score=env.judge.score,
            steps=self._steps,
            robot_s=round(self._robot_s, 4),
            reset_s=round(env.resetter.robot_s, 4),
            wall_s=round(time.monotonic() - started_s, 4),
            policy_cpu_s=round(self._cpu_s, 4),
            reset_tries=env.resetter.tries,
            figures=figures,
        )
        audit = env.driver.audit() if sound else {}
        return Ended(episode, audit, result.stop, result.quarantine, result.policy_gone)

    def report(self, condition: Condition, detail: str = "") -> None:
        """Take note of a row of the table that fired; told on once an episode."""
        if condition in self._fired:
            return
        self._fired.add(condition)
        reaction = self._authority.judge(condition, during_policy=True).reaction.value
        self._acted(condition, f"{reaction}: {detail}" if detail else reaction)

    def live(self) -> Live:
        """How the episode stands; for telemetry, which shows and decides nothing."""
        env = self._env
        pose = tuple(
            float(value)
            for key, values in env.observation.items()
            if not key.startswith(("goal", "time"))
            for value in values.ravel()[:_POSE_NUMBERS]
        )
        action = tuple(env.driver.setpoint())
        return Live(env.motion.time_s, env.judge.score, pose, action, env.motion.jitter_s())

    def _whole(self, seed: int, policy: PolicyChild, trace: Trace | None) -> _Result:
        """Reset and rollout; every way they can end."""
        env = self._env
        try:
            env.reset(seed=seed)
            try:
                return self._rollout(policy, trace)
            finally:
                self._robot_s = env.motion.time_s
        except ResetFailed as error:
            return _Result(Outcome.VOID, "reset_failed", quarantine=str(error))
        except Drifted as error:
            return _Result(Outcome.VOID, "drift", quarantine=str(error))
        except ResetVoid as error:
            return _Result(Outcome.VOID, f"reset_died: {error}")
        except ChildFailed as error:
            env.motion.hold(0.0)
            if error.reason.startswith("policy") or error.reason == "bad_reply":
                return _Result(
                    Outcome.FAILURE, error.reason, policy_gone=error.ended, detail=error.line
                )
            return _Result(Outcome.VOID, f"verifier_died: {error}")
        except MotionStopped as error:
            env.motion.hold(0.0)
            self.report(error.decision.condition, error.detail)
            return _Result(*_outcome_of(error), stop=error)
        except BatchCancelled as error:
            if error.closing:
                raise
            return _Result(Outcome.VOID, f"cancelled: {error.reason}")

    def _rollout(self, policy: PolicyChild, trace: Trace | None) -> _Result:
        """Run the policy until the environment ends the episode."""
        env, check = self._env, self._authority.check
        step, driver, motion = env.step, env.driver, env.motion
        observation = env.shown
        self._cpu_s += policy.reset(observation)
        while True:
            check(during_policy=True)
            action, cpu_s = policy.act(observation)
            self._cpu_s += cpu_s
            _, reward, terminated, truncated, info = step(action, cpu_s)
            self._steps += 1
            if trace is not None and action is not None and "condition" not in info:
                trace.add(motion.time_s, observation, action, driver.setpoint())
            if terminated or truncated:
                break
            observation = env.shown
        if reward > 0.0:
            return _Result(Outcome.SUCCESS, info["reason"])
        condition: Condition | None = info.get("condition")
        if condition is not None:
            decision = self._authority.judge(condition, during_policy=True)
            assert decision.verdict is Verdict.FAILURE, decision
            self.report(condition)
        return _Result(Outcome.FAILURE, info["reason"])


def _outcome_of(stopped: MotionStopped) -> tuple[Outcome, str]:
    """Outcome and reason of an episode that the safety table ended."""
    decision = stopped.decision
    name = REASONS.get(decision.condition, decision.condition.value)
    outcome = Outcome.FAILURE if decision.verdict is Verdict.FAILURE else Outcome.VOID
    return outcome, f"{name}: {stopped.detail}" if stopped.detail else name
