"""Reset reliability: resets from wherever a disturbance has left the scene."""

import secrets
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from robots.bench.bench import Bench
from robots.station.tasks import Task
from robots.wire.records import Frozen

DISTURBANCE_S = 4.0
STATIONS = 4
"""Stations whose fixed draws share the resets."""


class ResetTrial(NamedTuple):
    """One reset: what went wrong ("" if nothing), its tries, and the robot's seconds."""

    failed: str
    tries: int
    robot_s: float


class ResetFigures(Frozen):
    """What a task's reset is worth.

    Attributes:
        success: Resets that reached their target, with the ladder: three tries, then another
            target.
        single_try_success: Those that reached it at the first try.
        seconds_per_reset: Robot seconds, tries and all.
        seconds: Wall seconds of the whole test.
        failures: What went wrong, once each.
    """

    tries: int
    success: int
    single_try_success: int
    seconds_per_reset: float
    seconds: float
    failures: tuple[str, ...] = ()


def run(
    task: Task, tries: int, told: Callable[[ResetTrial], None], *, sandboxed: bool = True
) -> ResetFigures:
    """Disturb and reset a scene again and again; nothing is placed but at power-on.

    Args:
        task: What is tested.
        tries: How many resets.
        told: Told of each.
        sandboxed: False only where a person said so.
    """
    started_s = time.monotonic()
    rng = np.random.default_rng(secrets.randbits(64))
    trials: list[ResetTrial] = []
    for size in shares(tries, STATIONS):
        with Bench(task, secrets.randbits(31), sandboxed=sandboxed) as bench:
            for _ in range(size):
                bench.wander(rng, DISTURBANCE_S)
                failed = bench.reset()
                resetter = bench.env.resetter
                trials.append(ResetTrial(failed, resetter.tries, resetter.robot_s))
                told(trials[-1])
    return figures(trials, time.monotonic() - started_s)


def figures(trials: Sequence[ResetTrial], seconds: float) -> ResetFigures:
    """Count the trials."""
    reached = [trial for trial in trials if not trial.failed]
    at_once = sum(trial.tries == 1 for trial in reached)
    return ResetFigures(
        tries=len(trials),
        success=len(reached),
        single_try_success=at_once,
        seconds_per_reset=round(statistics.fmean(trial.robot_s for trial in trials), 3),
        seconds=round(seconds, 3),
        failures=tuple(sorted({trial.failed for trial in trials if trial.failed})),
    )


def shares(tries: int, stations: int) -> list[int]:
    """How many tries fall to each station; those with none are left out."""
    least, more = divmod(tries, stations)
    return [size for index in range(stations) if (size := least + (index < more))]
