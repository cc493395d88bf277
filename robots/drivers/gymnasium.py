"""Any registered Gymnasium environment as a station: `gym:<id>`.

Its reset is the simulator's own, which no lab can do, and is marked so. Success is the world's
verdict: `info["is_success"]` where there is one, else a rule from the task's options, else the
registered reward threshold.
"""

import importlib
import importlib.metadata
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from robots.drivers.base import Capabilities, DriverError, Fault
from robots.safety.limits import ActionLimits
from robots.safety.table import Condition
from robots.station.tasks import Images, Observation, ObservationSpec, Task, TaskError, TaskSpec

log = logging.getLogger(__name__)

DEFAULT_HZ = 30.0

Option = float | int | str | bool

OPTIONS: dict[str, str] = {
    "success_info": "key of `info` that says true at success (default is_success)",
    "success_return": "an ended episode whose rewards sum to at least this is a success",
    "success_reward": "an episode is a success at the first reward of at least this",
    "policy_hz": "rate at which a step is counted (default the environment's render_fps, or 30)",
    "episode_limit_s": "seconds after which an episode fails (default: the registered limit)",
}


def gym_task(name: str, options: Mapping[str, Option]) -> Task:
    """Describe a registered environment as a task.

    Args:
        name: `gym:<id>`; `gym:<module>:<id>` imports the module that registers it first.
        options: See `OPTIONS`.

    Raises:
        TaskError: Gymnasium or the id is missing, an option or a space is unknown.
    """
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise TaskError(f"{name}: unknown option {unknown[0]!r}; known are {', '.join(OPTIONS)}")
    env = _make(name)
    try:
        hertz = _number(name, options, "policy_hz", _rate(env))
        steps = getattr(env.spec, "max_episode_steps", None)
        # One step more than the environment's own limit, so that its own verdict comes first.
        limit_s = (steps + 1) / hertz if steps else 60.0
        spec = TaskSpec(
            name=name,
            description=f"Gymnasium environment {name.removeprefix('gym:')}; simulator reset",
            control_hz=hertz,
            policy_hz=hertz,
            episode_limit_s=_number(name, options, "episode_limit_s", limit_s),
            observation=_observations(name, env.observation_space),
            limits=_limits(name, env.action_space),
            debounce_frames=1,
        )
    finally:
        env.close()
    package = importlib.metadata.version("gymnasium")
    identity = f"{name} gymnasium={package} {sorted(options.items())}"
    return Task(Path(), spec, identity, dict(options))


class GymnasiumDriver:
    """Steps one environment, an action a control tick.

    Args:
        task: Made by `gym_task`.
        station_seed: Unused: these worlds have no stations.
    """

    capabilities = Capabilities(
        simulated=True, lockstep=True, can_seed=True, simulator_reset=True, verifies=False
    )

    def __init__(self, task: Task, station_seed: int) -> None:
        del station_seed
        self._task = task
        self._env = _make(task.spec.name)
        options = task.options
        threshold = getattr(self._env.spec, "reward_threshold", None)
        self._info_key = str(options.get("success_info", "is_success"))
        self._return = cast("float | None", options.get("success_return", threshold))
        self._reward = cast("float | None", options.get("success_reward"))
        limits = task.spec.limits
        self._dtype = getattr(self._env.action_space, "dtype", None)
        self._discrete = limits.choices > 0
        self._start = int(getattr(self._env.action_space, "start", 0)) if self._discrete else 0
        size = max(1, int(np.prod(limits.shape)))
        self._setpoint = [0.0] * size
        self._fault: Fault | None = None
        self._begin()

    def _begin(self) -> None:
        self._total = 0.0
        self._done = False
        self._succeeded = False
        self._observation: Observation = {}

    def start_episode(self, seed: int) -> None:
        self._begin()
        self._fault = None
        raw, _ = self._env.reset(seed=seed)
        self._observation = _as_observation(raw)

    def reset_target(self) -> NDArray[np.float64]:
        raise DriverError("a simulator reset has no target")

    def observe(self) -> Observation:
        return self._observation

    def setpoint(self) -> list[float]:
        return self._setpoint

    def apply(self, setpoint: Sequence[float]) -> None:
        self._setpoint[:] = setpoint

    def advance(self, ticks: int) -> None:
        for _ in range(ticks):
            if self._done or self._fault is not None:
                return
            self._tick()

    def drive(self, setpoint: Sequence[float], ticks: int) -> None:
        self.apply(setpoint)
        self.advance(ticks)

    def _tick(self) -> None:
        action: Any
        if self._discrete:
            action = int(self._setpoint[0]) + self._start
        else:
            action = np.array(self._setpoint, dtype=self._dtype).reshape(
                self._task.spec.limits.shape
            )
        raw, reward, terminated, truncated, info = self._env.step(action)
        self._observation = _as_observation(raw)
        reward = float(reward)
        if not np.isfinite(reward):
            self._fault = Fault(Condition.SIMULATION_WARNING, f"reward {reward}")
            return
        self._total += reward
        self._done = bool(terminated or truncated)
        said = bool(info.get(self._info_key, False))
        reached = self._reward is not None and reward >= self._reward
        earned = self._done and self._return is not None and self._total >= self._return
        self._succeeded = said or reached or (earned and self._reward is None)

    def fault(self) -> Fault | None:
        return self._fault

    def camera(self) -> Images:
        return {}

    def retracted(self, observation: Observation) -> bool:
        del observation
        return False

    def plausible(self, observation: Observation) -> bool:
        del observation
        return True

    def reset_reached(self, observation: Observation, target: NDArray[np.float64]) -> bool:
        del observation, target
        return True

    def success(self) -> bool | None:
        if self._succeeded:
            return True
        return False if self._done else None

    def evidence(self, history: Sequence[Observation]) -> dict[str, float]:
        del history
        return {"return": self._total}

    def failure_tags(self, history: Sequence[Observation]) -> list[str]:
        del history
        return []

    def audit(self) -> dict[str, float]:
        return {"return": self._total, "success": float(self._succeeded)}

    def stop(self) -> None:
        """Nothing to do: the world stands still until it is stepped."""

    def restore(self) -> None:
        self._fault = None

    def close(self) -> None:
        self._env.close()


def _make(name: str) -> Any:  # noqa: ANN401 - an environment of any kind.
    try:
        import gymnasium
    except ImportError:
        raise TaskError(f"{name}: needs the extra `sim` (pip install 'enpire-tui[sim]')") from None
    try:
        return cast("Any", gymnasium).make(name.removeprefix("gym:"))
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        raise TaskError(f"{name}: no such registered environment: {error}") from None


def _rate(env: Any) -> float:  # noqa: ANN401
    metadata: dict[str, Any] = getattr(env, "metadata", None) or {}
    return float(metadata.get("render_fps") or DEFAULT_HZ)


def _number(name: str, options: Mapping[str, Option], key: str, default: float) -> float:
    value = options.get(key, default)
    if isinstance(value, bool | str) or not value > 0:
        raise TaskError(f"{name}: option {key}: must be a positive number, got {value!r}")
    return float(value)


def _limits(name: str, space: Any) -> ActionLimits:  # noqa: ANN401
    spaces = _spaces()
    if isinstance(space, spaces.Discrete):
        return ActionLimits(shape=(), low=(), high=(), choices=int(space.n))
    if isinstance(space, spaces.Box):
        low, high = (
            np.asarray(bound, dtype=np.float64).ravel() for bound in (space.low, space.high)
        )
        return ActionLimits(
            shape=tuple(space.shape), low=tuple(low.tolist()), high=tuple(high.tolist())
        )
    raise TaskError(f"{name}: action space {space}: only Box and Discrete can be commanded")


def _observations(name: str, space: Any) -> tuple[ObservationSpec, ...]:  # noqa: ANN401
    spaces = _spaces()
    if isinstance(space, spaces.Dict):
        return tuple(
            ObservationSpec(str(key), tuple(part.shape or ())) for key, part in space.spaces.items()
        )
    if isinstance(space, (spaces.Box, spaces.Discrete)):
        return (ObservationSpec("observation", tuple(space.shape or ())),)
    raise TaskError(f"{name}: observation space {space}: only Box, Discrete and Dict can be sensed")


def _spaces() -> Any:  # noqa: ANN401 - its generics are wider than strict typing follows.
    return importlib.import_module("gymnasium.spaces")


def _as_observation(raw: Any) -> Observation:  # noqa: ANN401
    if isinstance(raw, dict):
        parts = cast("dict[str, Any]", raw)
        return {str(key): np.asarray(value) for key, value in parts.items()}
    return {"observation": np.asarray(raw)}
