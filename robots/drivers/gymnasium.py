"""Any registered Gymnasium environment as a station: `gym:<id>`.

Its reset is the simulator's own, which no lab can do, and is marked so. Success is the world's
verdict: `info["is_success"]` where there is one, else a rule from the task's options, else the
registered reward threshold. What is known of an environment beyond its registration is in
`robots.drivers.environments`.
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from robots.drivers.base import Capabilities, DriverError, Fault
from robots.drivers.environments import Notes, Option, Part, hooks_of, notes_folder, read_notes
from robots.safety.limits import ActionLimits
from robots.safety.table import Condition
from robots.station.cameras import Images
from robots.station.tasks import Observation, ObservationSpec, Task, TaskError, TaskSpec

log = logging.getLogger(__name__)

DEFAULT_HZ = 30.0

OPTIONS: dict[str, str] = {
    "success_info": "key of `info` that says true at success (default is_success)",
    "score_info": "key of `info` that says from 0 to 1 how near a step came to success",
    "success_return": "an ended episode whose rewards sum to at least this is a success",
    "success_reward": "an episode is a success at the first reward of at least this",
    "policy_hz": "rate at which a step is counted (default the environment's render_fps, or 30)",
    "episode_limit_s": "seconds after which an episode fails (default: the registered limit)",
}


def gym_task(name: str, options: Mapping[str, Option]) -> Task:
    """Describe a registered environment as a task.

    Args:
        name: `gym:<id>`; `gym:<module>:<id>` imports the module that registers it first, and
            `gym:<module>/<name>` does where the id is named after it.
        options: See `OPTIONS`; they come before those of the environment's notes.

    Raises:
        TaskError: Gymnasium or the id is missing, an option or a space is unknown.
    """
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise TaskError(f"{name}: unknown option {unknown[0]!r}; known are {', '.join(OPTIONS)}")
    folder = notes_folder(name)
    notes = read_notes(folder)
    options = {**notes.options, **options}
    env = _make(name, notes)
    try:
        hertz = _number(name, options, "policy_hz", _rate(env))
        steps = getattr(env.spec, "max_episode_steps", None)
        # One step more than the environment's own limit, so that its own verdict comes first.
        limit_s = (steps + 1) / hertz if steps else 60.0
        spec = TaskSpec(
            name=name,
            description=notes.description or f"Gymnasium environment {name.removeprefix('gym:')}.",
            control_hz=hertz,
            policy_hz=hertz,
            episode_limit_s=_number(name, options, "episode_limit_s", limit_s),
            observation=_observations(name, env.observation_space, notes),
            action_name=notes.action.name or "action",
            action_unit=notes.action.unit,
            limits=_limits(name, env.action_space),
            debounce_frames=1,
        )
    finally:
        env.close()
    identity = f"{name} {_versions(env)} {sorted(options.items())}"
    return Task(folder, spec, identity, options)


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
        self._env = _make(task.spec.name, read_notes(task.folder))
        self._hooks = hooks_of(task)
        options = task.options
        threshold = getattr(self._env.spec, "reward_threshold", None)
        self._info_key = str(options.get("success_info", "is_success"))
        self._score_key = str(options.get("score_info", ""))
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
        self._score: float | None = None
        self._done = self._truncated = False
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
        if self._score_key in info:
            self._score = float(info[self._score_key])
        self._done = bool(terminated or truncated)
        self._truncated = bool(truncated)
        said = bool(info.get(self._info_key, False))
        reached = self._reward is not None and reward >= self._reward
        earned = self._done and self._return is not None and self._total >= self._return
        self._succeeded = said or reached or (earned and self._reward is None)

    def fault(self) -> Fault | None:
        return self._fault

    def camera(self) -> Images:
        return {}

    def pictures(self) -> Images:
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
        found = {"return": self._total}
        if self._score is not None:
            found["score_estimate"] = self._score
        return {**found, **self._hooks.evidence(history)} if self._hooks else found

    def failure_tags(self, history: Sequence[Observation]) -> list[str]:
        if self._hooks is not None:
            return self._hooks.failure_tags(history)
        return ["timeout"] if self._truncated else []

    def audit(self) -> dict[str, float]:
        return {"return": self._total, "success": float(self._succeeded)}

    def stop(self) -> None:
        """Nothing to do: the world stands still until it is stepped."""

    def restore(self) -> None:
        self._fault = None

    def close(self) -> None:
        self._env.close()


def _make(name: str, notes: Notes) -> Any:  # noqa: ANN401 - an environment of any kind.
    try:
        import gymnasium
    except ImportError:
        raise TaskError(f"{name}: needs the extra `sim` (pip install 'enpire-tui[sim]')") from None
    try:
        # Some packages greet on standard output, where a worker of ours writes its results.
        with contextlib.redirect_stdout(sys.stderr):
            _register(name.removeprefix("gym:"))
            return cast("Any", gymnasium).make(name.removeprefix("gym:"))
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        if notes.extra:
            remedy = f"it needs the extra `{notes.extra}` (pip install 'enpire-tui[{notes.extra}]')"
        else:
            remedy = "install the package that registers it, or name that as gym:<module>:<id>"
        said = f"{name}: no such registered environment: {error}; {remedy}"
        raise TaskError(said) from None


def _register(name: str) -> None:
    """Import the package that an id is named after, which registers it."""
    space, slash, _ = name.partition("/")
    if slash and space.isidentifier() and importlib.util.find_spec(space) is not None:
        importlib.import_module(space)


def _versions(env: Any) -> str:  # noqa: ANN401
    """Versions of Gymnasium and of the package that an environment comes from."""
    package = str(getattr(env.spec, "entry_point", "")).partition(".")[0]
    found: list[str] = []
    for each in dict.fromkeys(("gymnasium", package)):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError, ValueError):
            found.append(f"{each}={importlib.metadata.version(each)}")
    return " ".join(found)


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


def _observations(name: str, space: Any, notes: Notes) -> tuple[ObservationSpec, ...]:  # noqa: ANN401
    spaces = _spaces()
    if isinstance(space, spaces.Dict):
        parts: dict[str, Any] = dict(space.spaces)
    elif isinstance(space, (spaces.Box, spaces.Discrete)):
        parts = {"observation": space}
    else:
        raise TaskError(
            f"{name}: observation space {space}: only Box, Discrete and Dict can be sensed"
        )
    unknown = sorted(set(notes.observation) - set(parts))
    if unknown:
        raise TaskError(f"{name}: notes: observation.{unknown[0]}: known are {', '.join(parts)}")
    none = Part()
    return tuple(
        ObservationSpec(key, tuple(part.shape or ()), notes.observation.get(key, none).unit)
        for key, part in parts.items()
    )


def _spaces() -> Any:  # noqa: ANN401 - its generics are wider than strict typing follows.
    return importlib.import_module("gymnasium.spaces")


def _as_observation(raw: Any) -> Observation:  # noqa: ANN401
    if isinstance(raw, dict):
        parts = cast("dict[str, Any]", raw)
        return {str(key): np.asarray(value) for key, value in parts.items()}
    return {"observation": np.asarray(raw)}
