"""One batch of episodes, from its first reset to the counts that go into the ledger.

The same code scores a policy in the daemon (`robots.station.daemon`) and on the command line
(`robots.station.scoring`). It runs on one thread and tells its `Watcher` what happened.
"""

import time
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from robots.drivers.base import Driver
from robots.safety import safety_sha256
from robots.safety.table import TASK_LIMITS_IN_A_ROW, Condition, Reaction, Verdict
from robots.station.authority import Authority, BatchCancelled
from robots.station.children import ChildFailed, Children, PolicyChild
from robots.station.core import Core, move
from robots.station.env import StationEnv
from robots.station.episode import Acted, Ended, EpisodeRunner
from robots.station.lockstep import Lockstep, Report
from robots.station.motion import Motion
from robots.station.recording import SPARSE_EVERY, Trace
from robots.station.tasks import Task, TaskSpec
from robots.wire.records import (
    MANIFEST_CHANGED,
    Counts,
    Episode,
    Outcome,
    Purpose,
    RecipeArchive,
)

VOID_SHARE = 0.05
"""A batch with a larger share of void episodes is void; a single one is forgiven."""


class Seeds(Protocol):
    """Where sealed seeds come from."""

    def draw(self) -> int: ...


class BatchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A batch, and what has been done of it before a restart.

    Attributes:
        seeds: Explicit seeds, or None for sealed ones.
        done: Episodes that have their outcome.
    """

    batch_id: str
    purpose: Purpose
    commit: str
    recipe: RecipeArchive
    idea_id: str
    episodes: int
    seeds: tuple[int, ...] | None = None
    stop_at_failure: bool = False
    record: bool = False
    done: tuple[Episode, ...] = ()


class BatchEnd(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch came to.

    Attributes:
        audit: Privileged figures by episode index, for the ledger alone.
        quarantine: Why the station shall take no more batches, "" if it may.
    """

    episodes: tuple[Episode, ...]
    counts: Counts
    void: bool
    void_reason: str
    manifest_sha256: str
    safety_sha256: str
    seconds: float
    audit: dict[str, dict[str, float]]
    quarantine: str = ""


class Watcher(Protocol):
    """Told of what happens in a batch, on the batch's thread."""

    def episode_started(self, index: int, number: int) -> None: ...

    def episode_finished(
        self, episode: Episode, audit: dict[str, float], trace: Trace | None
    ) -> None: ...

    def safety_acted(self, index: int, condition: Condition, action: str) -> None: ...

    def blocked(self, what: str) -> None: ...

    def protective_stop(self, condition: Condition, detail: str) -> None:
        """The station is stopped until someone releases it; the batch waits for that."""
        ...


def count(episodes: tuple[Episode, ...] | list[Episode]) -> Counts:
    """Outcomes of some episodes."""
    found = dict.fromkeys(Outcome, 0)
    for episode in episodes:
        found[episode.outcome] += 1
    return Counts(
        success=found[Outcome.SUCCESS],
        failure=found[Outcome.FAILURE],
        void=found[Outcome.VOID],
    )


def too_many_voids(counts: Counts) -> bool:
    """Whether a batch's void episodes make it void as a whole."""
    attempts = counts.success + counts.failure + counts.void
    return counts.void > max(1.0, VOID_SHARE * attempts)


def finished(plan: BatchPlan, counts: Counts) -> bool:
    """Whether a batch needs no further episode."""
    if plan.stop_at_failure and counts.failure:
        return True
    return counts.success + counts.failure >= plan.episodes


class Rig:
    """One robot with its task and children: what batches and tries run on.

    Attributes:
        frozen: Hash of what a person published, "" where nobody did.
        loaded: SHA-256 of the task's files by name, as they were when scene and hooks were loaded.

    Args:
        task: The task; before and after each batch its manifest must be what is frozen.
        driver: The robot.
        children: Starts sandboxed children.
        authority: Who lets the robot move.
        seeds: Sealed seeds.
        make_motion: Makes the station's clock; lockstep by default.
        manifest_sha256: What was published of the task; what lies there now by default.
    """

    def __init__(
        self,
        task: Task,
        driver: Driver,
        children: Children,
        authority: Authority,
        seeds: Seeds,
        make_motion: Callable[[Any, TaskSpec, Report], Motion] | None = None,
        manifest_sha256: str = "",
    ) -> None:
        self.task = task
        self.driver = driver
        self.children = children
        self.authority = authority
        self.seeds = seeds
        self.frozen = manifest_sha256
        self.loaded = task.files()
        self.manifest_sha256 = manifest_sha256 or task.manifest_sha256()
        self.safety_sha256 = safety_sha256(task.spec.limits)
        self.faulted = False
        self.core = Core() if driver.capabilities.lockstep else None
        self.acted: Acted = _unheard
        spec = task.spec
        make = make_motion or Lockstep
        self.motion = make(driver, spec, self._report)
        # Reset and verifier are the task's own frozen code: their children outlive a batch, the
        # policy's never does.
        self.env = StationEnv(driver, spec, self.motion, authority, children)
        self.runner = EpisodeRunner(self.env, authority, self._act)
        self._number = 0
        self._limits_in_a_row = 0

    def _report(self, condition: Condition) -> None:
        self.runner.report(condition)

    def _act(self, condition: Condition, action: str) -> None:
        self.acted(condition, action)

    def run(self, plan: BatchPlan, watcher: Watcher) -> BatchEnd:
        """Run a batch to its end.

        Raises:
            BatchCancelled: The daemon closes; the batch goes on after its restart.
        """
        return _Run(self, plan, watcher).run()

    def look(self) -> None:
        """Show the scene to whoever asked for it; between episodes."""
        self.env.glimpses.serve(self.driver)

    def recover(self) -> None:
        """After a protective stop that was released: go on from the robot's measured pose."""
        if self.faulted:
            self.driver.restore()
            self.motion.relocate()
            self.faulted = False

    def next_number(self) -> int:
        """Running number of an episode since the station started."""
        self._number += 1
        return self._number

    def close(self) -> None:
        """End the children and free the driver, on the thread that used it."""
        self.env.close()
        self.motion.close()
        self.driver.close()

    def limit_broken(self, episode: Episode) -> bool:
        """Count broken task limits in a row; whether there were too many."""
        broken = episode.reason.startswith("task_limit")
        self._limits_in_a_row = self._limits_in_a_row + 1 if broken else 0
        return self._limits_in_a_row >= TASK_LIMITS_IN_A_ROW


def _unheard(condition: Condition, action: str) -> None:
    """Nobody runs a batch now."""


class _Run:
    """The run of one batch."""

    def __init__(self, rig: Rig, plan: BatchPlan, watcher: Watcher) -> None:
        self._rig = rig
        self._plan = plan
        self._watcher = watcher
        self._episodes = list(plan.done)
        self._audit: dict[str, dict[str, float]] = {}
        self._index = max((episode.index for episode in plan.done), default=-1) + 1
        self._policy: PolicyChild | None = None
        self._void_reason = ""
        self._quarantine = ""
        rig.acted = self._acted

    def run(self) -> BatchEnd:
        started_s = time.monotonic()
        rig = self._rig
        rig.authority.begin_batch(self._plan.batch_id)
        self._check_manifest()
        try:
            while not self._over():
                rig.authority.admit_episode(rig.look)
                self._one()
        except BatchCancelled as error:
            if error.closing:
                raise
            self._void_reason = self._void_reason or f"cancelled: {error.reason}"
        finally:
            self._close_policy()
            if rig.core is not None:
                rig.core.leave()
        self._check_manifest()
        counts = count(self._episodes)
        if not self._void_reason and too_many_voids(counts):
            self._void_reason = f"{counts.void} of {len(self._episodes)} episodes were void"
        return BatchEnd(
            episodes=tuple(self._episodes),
            counts=counts,
            void=bool(self._void_reason),
            void_reason=self._void_reason,
            manifest_sha256=rig.manifest_sha256,
            safety_sha256=rig.safety_sha256,
            seconds=round(time.monotonic() - started_s, 4),
            audit=self._audit,
            quarantine=self._quarantine,
        )

    def _check_manifest(self) -> None:
        """Void the batch if the environment is not the one that was published, or loaded."""
        # SAFETY: scores from a changed environment are worth nothing, whoever changed it.
        if self._rig.task.manifest_sha256() != self._rig.manifest_sha256:
            self._rig.env.close()
            self._void_reason = MANIFEST_CHANGED

    def _over(self) -> bool:
        counts = count(self._episodes)
        return bool(self._void_reason) or finished(self._plan, counts) or too_many_voids(counts)

    def _one(self) -> None:
        """Run the next episode."""
        plan, rig = self._plan, self._rig
        rig.recover()
        index = self._index
        self._index += 1
        seed = self._seed()
        self._watcher.episode_started(index, rig.next_number())
        trace = Trace(1 if plan.record else SPARSE_EVERY, getattr(rig.driver, "scene", None))
        ended = self._attempt(index, seed, trace)
        episode = ended.episode
        if plan.seeds is None or plan.purpose is not Purpose.EXPLORE:
            episode = msgspec.structs.replace(episode, seed=None)
        self._episodes.append(episode)
        self._audit[str(index)] = ended.audit
        self._watcher.episode_finished(episode, ended.audit, trace)
        self._after(ended)

    def _attempt(self, index: int, seed: int, trace: Trace) -> Ended:
        """Start a policy if there is none, and run one episode with it."""
        if self._policy is None:
            started_s = time.monotonic()
            try:
                self._policy = self._rig.children.policy(self._plan.recipe)
            except ChildFailed as error:
                # A sandbox that cannot start is the host's matter, a recipe's that cannot load its own.
                void = error.reason.startswith("sandbox")
                return Ended(
                    Episode(
                        index=index,
                        outcome=Outcome.VOID if void else Outcome.FAILURE,
                        reason=error.reason,
                        tags=(error.line,) if error.line else (),
                        wall_s=round(time.monotonic() - started_s, 4),
                        seed=seed,
                        reset_tries=0,
                    ),
                    {},
                )
        self._share_a_core(self._policy)
        ended = self._rig.runner.run(index, seed, self._policy, trace)
        for what in self._policy.blocked():
            self._watcher.blocked(what)
        if ended.policy_gone:
            self._close_policy()
        return ended

    def _share_a_core(self, policy: PolicyChild) -> None:
        """Keep this thread and its children together, where only one of them works at a time."""
        core = self._rig.core
        if core is None:
            return
        pids = [child.pid for child in (policy, *self._rig.env.children())]
        workers = [pid for pid in pids if pid is not None]
        cpus = core.settle(workers)
        for pid in workers:
            move(pid, cpus)

    def _after(self, ended: Ended) -> None:
        """Draw what follows from an episode for its batch and the station."""
        if ended.quarantine:
            self._quarantine = ended.quarantine
        elif self._rig.limit_broken(ended.episode):
            self._quarantine = f"{TASK_LIMITS_IN_A_ROW} broken task limits in a row"
        if ended.stop is not None:
            decision, detail = ended.stop.decision, ended.stop.detail
            unknown = self._rig.authority.stopped is None
            if decision.verdict is Verdict.VOID_BATCH:
                self._void_reason = f"{decision.condition.value}: {detail}"
            if decision.reaction is Reaction.PROTECTIVE_STOP or (decision.latched and unknown):
                # The batch is not void: a policy could otherwise void the one it is losing.
                self._rig.faulted = True
                self._rig.authority.stop(decision.condition, detail)
                self._watcher.protective_stop(decision.condition, detail)
        if self._quarantine and not self._void_reason:
            self._void_reason = f"quarantined: {self._quarantine}"

    def _seed(self) -> int:
        """The seed of the next episode: a void in an explicit list is run again or replaced."""
        plan = self._plan
        if plan.seeds is None:
            return self._rig.seeds.draw()
        if plan.purpose is Purpose.EXPLORE:
            counts = count(self._episodes)
            return plan.seeds[(counts.success + counts.failure) % len(plan.seeds)]
        if self._index - 1 < len(plan.seeds):
            return plan.seeds[self._index - 1]
        return self._rig.seeds.draw()

    def _acted(self, condition: Condition, action: str) -> None:
        self._watcher.safety_acted(self._index - 1, condition, action)

    def _close_policy(self) -> None:
        if self._policy is not None:
            self._policy.close()
            self._policy = None
