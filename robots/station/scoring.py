"""Scoring a recipe in process, without a daemon: the command line's `evaluate`.

The code is the daemon's own: same episodes, same sandbox, same safety. Seeds are sealed by being
random; there is no ledger, since nobody but the caller will rely on the figures.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import msgspec

from robots.drivers.base import load_driver
from robots.safety.table import Condition
from robots.station.authority import Authority
from robots.station.recording import Recorder, RecordingInfo, Trace
from robots.station.rollout import BatchEnd, BatchPlan, Rig, count
from robots.station.sandboxed import SandboxedChildren
from robots.station.seeds import RandomSeeds
from robots.station.tasks import load_task
from robots.wire.records import Counts, Episode, Purpose, RecipeArchive

Progress = Callable[[Episode, Counts], None]


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """What an evaluation came to.

    Attributes:
        cpu_seconds_per_episode: Processor seconds of the policy's process, a scored episode.
        seconds: Wall seconds of all of it.
        control_steps: Policy steps and reset steps together.
        simulator_reset: The reset is the simulator's own, which no lab can do.
        audit: Privileged figures by episode index; {} outside simulation.
    """

    task: str
    counts: Counts
    cpu_seconds_per_episode: float
    seconds: float
    control_steps: int
    simulated: bool
    simulator_reset: bool
    void: bool
    void_reason: str
    episodes: tuple[Episode, ...]
    audit: dict[str, dict[str, float]]


class Scorer:
    """One robot in this process, on which recipe after recipe is scored; use it as a context.

    Args:
        task: Name of a task, path of a task folder, or `gym:<registered id>`.
        station_seed: Of what differs between simulated stations.
        sandboxed: False only where a person said so.
        options: Of a `gym:` task: success rule, episode limit and the like.

    Raises:
        TaskError: There is no such task, or it is wrong.
        DriverError: Its simulation cannot be run here.
    """

    def __init__(
        self,
        task: str,
        *,
        station_seed: int = 0,
        sandboxed: bool = True,
        options: Mapping[str, float | int | str | bool] | None = None,
    ) -> None:
        self._name = task
        self._task = load_task(task, dict(options or {}))
        self._authority = Authority(time.monotonic, needs_grant=False)
        driver_name = "gymnasium" if task.startswith("gym:") else "mujoco"
        driver = load_driver(driver_name, self._task, station_seed)
        children = SandboxedChildren(self._task, sandboxed=sandboxed)
        self._rig = Rig(self._task, driver, children, self._authority, RandomSeeds())

    def run(
        self,
        recipe: RecipeArchive,
        episodes: int,
        *,
        progress: Progress | None = None,
        record: Path | None = None,
    ) -> Score:
        """Run a recipe for some episodes on fresh sealed seeds.

        Args:
            recipe: Packed by `robots.station.archive.pack`.
            episodes: How many that count; void ones are replaced.
            progress: Told of each outcome and the counts so far.
            record: Folder for recordings of every episode; None for none.
        """
        plan = BatchPlan(
            batch_id="evaluate",
            purpose=Purpose.EVALUATE,
            commit="",
            recipe=recipe,
            idea_id="",
            episodes=episodes,
            record=record is not None,
        )
        recorder = None if record is None else Recorder(record)
        watcher = _Progress(self._authority, progress, recorder, self._name)
        started_s = time.monotonic()
        end = self._rig.run(plan, watcher)
        capabilities = self._rig.driver.capabilities
        return _score(
            end,
            task=self._name,
            seconds=time.monotonic() - started_s,
            policy_hz=self._task.spec.policy_hz,
            simulated=capabilities.simulated,
            simulator_reset=capabilities.simulator_reset,
        )

    def close(self) -> None:
        """End the children and free the driver."""
        self._rig.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _score(
    end: BatchEnd,
    *,
    task: str,
    seconds: float,
    policy_hz: float,
    simulated: bool,
    simulator_reset: bool,
) -> Score:
    scored = end.counts.success + end.counts.failure
    cpu_s = sum(episode.policy_cpu_s for episode in end.episodes)
    reset_s = sum(episode.reset_s for episode in end.episodes)
    return Score(
        task=task,
        counts=end.counts,
        cpu_seconds_per_episode=round(cpu_s / scored, 6) if scored else 0.0,
        seconds=round(seconds, 3),
        control_steps=sum(episode.steps for episode in end.episodes) + round(reset_s * policy_hz),
        simulated=simulated,
        simulator_reset=simulator_reset,
        void=end.void,
        void_reason=end.void_reason,
        episodes=end.episodes,
        audit=end.audit,
    )


class _Progress:
    """Watches a batch for someone at a terminal."""

    def __init__(
        self,
        authority: Authority,
        progress: Progress | None,
        recorder: Recorder | None,
        task: str,
    ) -> None:
        self._authority = authority
        self._progress = progress
        self._recorder = recorder
        self._task = task
        self._episodes: list[Episode] = []

    def episode_started(self, index: int, number: int) -> None:
        """Nothing to tell yet."""

    def episode_finished(
        self, episode: Episode, audit: dict[str, float], trace: Trace | None
    ) -> None:
        del audit
        self._episodes.append(episode)
        if self._recorder is not None and trace is not None:
            info = RecordingInfo(
                batch_id="evaluate", commit="", task=self._task, station="", episode=episode
            )
            self._recorder.write(f"{time.time_ns():020d}-{episode.index:04d}", trace, info)
        if self._progress is not None:
            self._progress(episode, count(self._episodes))

    def safety_acted(self, index: int, condition: Condition, action: str) -> None:
        """Stands in the episode's reason where it mattered."""

    def blocked(self, what: str) -> None:
        """The policy's failure says it."""

    def protective_stop(self, condition: Condition, detail: str) -> None:
        # No robot stands here: the simulation is placed anew and the batch goes on.
        self._authority.release()
