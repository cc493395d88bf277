"""How much of a bare Gymnasium loop's speed a station keeps, with sandbox, safety and reset.

    python -m benchmarks.simulation [--quick] [--task push_t] [--recipe FOLDER]

Bare: the same scene, hooks and policy in one process behind `gymnasium.Env`, no safety, no sandbox,
its reset a teleport. Station: whole batches on a station that is up (`robots.station.scoring`, the
daemon's own code path): fresh policy worker, physical resets, verifier and all. Both count control
steps (policy steps, and the station's reset steps, which move the same world in the same way) over
all wall time of the work. Rounds alternate, so that a busy machine is busy for both.
"""

import argparse
import functools
import importlib.util
import json
import multiprocessing
import multiprocessing.pool
import multiprocessing.util
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from robots.drivers.mujoco import MujocoDriver
from robots.station.archive import pack
from robots.station.sandboxed import read_knobs
from robots.station.scoring import Scorer
from robots.station.tasks import Task, load_task

Run = Callable[..., dict[str, Any]]

TARGET_OFF, TARGET_ON, TARGET_SCALING = 0.40, 0.25, 0.90


class BareScene(gymnasium.Env[Any, Any]):
    """The task's scene as anyone would wrap it."""

    def __init__(self, task: Task) -> None:
        self._driver = MujocoDriver(task, station_seed=0)
        self._spec = task.spec
        limits = task.spec.limits
        self.low, self.high = np.array(limits.low), np.array(limits.high)
        self.action_space = gymnasium.spaces.Box(self.low, self.high, dtype=np.float64)
        self._step = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:  # noqa: ANN401
        super().reset(seed=seed)
        driver, rng = self._driver, np.random.default_rng(seed)
        driver.start_episode(int(rng.integers(1 << 31)))
        driver.simulation.place(driver.model, driver.data, rng)
        self._step = 0
        return driver.observe(), {}

    def step(self, action: Any) -> Any:  # noqa: ANN401
        driver, spec = self._driver, self._spec
        ticks = spec.tick_of(self._step + 1) - spec.tick_of(self._step)
        self._step += 1
        driver.simulation.apply(driver.model, driver.data, action)
        driver.advance(ticks)
        truncated = self._step >= spec.episode_limit_s * spec.policy_hz
        return driver.observe(), 0.0, False, truncated, {}


@functools.cache
def bare_scene(task_name: str) -> BareScene:
    """The scene, loaded once in a process."""
    return BareScene(load_task(task_name))


@functools.cache
def scorer(task_name: str) -> Scorer:
    """The station, up once in a process."""
    made = Scorer(task_name)
    # A pool's processes end without running what `atexit` holds.
    multiprocessing.util.Finalize(None, made.close, exitpriority=10)
    return made


def run_bare(task_name: str, recipe: str, episodes: int) -> dict[str, float]:
    """Control steps and seconds of a bare loop."""
    env = bare_scene(task_name)
    started_s = time.perf_counter()
    policy = load_policy(Path(recipe))
    steps = 0
    for seed in range(episodes):
        observation, _ = env.reset(seed=seed)
        policy.reset(observation)
        truncated = False
        while not truncated:
            action = np.clip(policy.act(observation), env.low, env.high)
            observation, _, _, truncated, _ = env.step(action)
            steps += 1
    return {"steps": steps, "seconds": time.perf_counter() - started_s}


def run_station(task_name: str, recipe: str, episodes: int, record: bool = False) -> dict[str, Any]:
    """Control steps and seconds of a station's evaluation."""
    station = scorer(task_name)
    with tempfile.TemporaryDirectory() as folder:
        score = station.run(pack(Path(recipe)), episodes, record=Path(folder) if record else None)
    return {
        "steps": score.control_steps,
        "seconds": score.seconds,
        "policy_steps": sum(episode.steps for episode in score.episodes),
        "episode_seconds": round(sum(episode.wall_s for episode in score.episodes), 3),
        "success": score.counts.success,
        "failure": score.counts.failure,
        "void": score.counts.void,
    }


def load_policy(folder: Path) -> Any:  # noqa: ANN401
    """A recipe's policy, in this process."""
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("bare_policy", folder / "policy.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bare_policy"] = module
    spec.loader.exec_module(module)
    return module.Policy(read_knobs(pack(folder)))


def rate(run: dict[str, Any]) -> float:
    """Control steps a second."""
    return run["steps"] / run["seconds"]


def together(
    pool: multiprocessing.pool.Pool, function: Run, arguments: tuple[Any, ...], processes: int
) -> list[dict[str, Any]]:
    """The same work in several processes at once."""
    return pool.starmap(function, [arguments] * processes, chunksize=1)


def measure(task: str, recipe: str, rounds: int, bare: int, station: int) -> dict[str, Any]:
    """All rounds, alternating."""
    rows: list[dict[str, Any]] = []

    def note(kind: str, number: int, runs: list[dict[str, Any]]) -> None:
        total = sum(rate(run) for run in runs)
        rows.append({"kind": kind, "round": number, "steps_per_s": round(total, 1), "runs": runs})

    # Fresh processes, forked before anything else is loaded into this one.
    context = multiprocessing.get_context("spawn")
    with context.Pool(2, maxtasksperchild=None) as pool:
        # Both processes load and start what they need before anything is timed.
        together(pool, run_bare, (task, recipe, 2), 2)
        together(pool, run_station, (task, recipe, 2), 2)
        for number in range(rounds):
            note("bare", number, together(pool, run_bare, (task, recipe, bare), 1))
            note("station", number, together(pool, run_station, (task, recipe, station), 1))
            recorded = (task, recipe, station, True)
            note("station_recording", number, together(pool, run_station, recorded, 1))
            note("bare_2", number, together(pool, run_bare, (task, recipe, bare), 2))
            note("station_2", number, together(pool, run_station, (task, recipe, station), 2))
        pool.close()
        pool.join()
    return summary(rows)


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of the rounds' ratios, against the targets."""
    rates: dict[str, list[float]] = {}
    for row in rows:
        rates.setdefault(row["kind"], []).append(row["steps_per_s"])

    def ratio(kind: str, peer: str) -> float:
        pairs = zip(rates[kind], rates[peer], strict=True)
        return round(statistics.median(a / b for a, b in pairs), 3)

    scaling = round(ratio("station_2", "station") / ratio("bare_2", "bare"), 3)
    off, on = ratio("station", "bare"), ratio("station_recording", "bare")
    return {
        "benchmark": "simulation",
        "unit": "control steps per second, policy and reset steps over all wall time",
        "figures": {kind: round(statistics.median(values), 1) for kind, values in rates.items()},
        "ratios": {
            "station_to_bare": off,
            "station_recording_to_bare": on,
            "two_stations_speed_up": ratio("station_2", "station"),
            "two_bare_speed_up": ratio("bare_2", "bare"),
            "speed_up_to_bare_speed_up": scaling,
        },
        "targets": {
            "station_to_bare": TARGET_OFF,
            "station_recording_to_bare": TARGET_ON,
            "speed_up_to_bare_speed_up": TARGET_SCALING,
        },
        "met": {
            "station_to_bare": off >= TARGET_OFF,
            "station_recording_to_bare": on >= TARGET_ON,
            "speed_up_to_bare_speed_up": scaling >= TARGET_SCALING,
        },
        "rows": rows,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--task", default="push_t")
    default = Path(__file__).resolve().parents[1] / "recipes" / "push_t" / "baseline"
    parser.add_argument("--recipe", default=str(default))
    parser.add_argument("--quick", action="store_true", help="one short round")
    options = parser.parse_args()
    rounds, bare, station = (1, 8, 6) if options.quick else (5, 20, 20)
    found = measure(options.task, options.recipe, rounds, bare, station)
    print(json.dumps(found))
    return 0 if all(found["met"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
