"""The station's batches: a fold over its journal, and a bounded queue. No effects here."""

import msgspec

from robots.station.archive import ArchiveRefused, check
from robots.station.rollout import BatchPlan, count
from robots.wire.commands import StartBatch
from robots.wire.events import (
    AnyEvent,
    BatchAccepted,
    BatchFinished,
    EpisodeFinished,
    EpisodeStarted,
)
from robots.wire.records import Counts, Episode, Outcome, Purpose, Role
from robots.wire.station_replies import BatchPhase, BatchState

QUEUE_LIMIT = 8
EPISODES_LIMIT = 1000
NAME_LIMIT = 200

PRIORITY = {Purpose.CONFIRM: 0, Purpose.EVALUATE: 1, Purpose.EXPLORE: 2}


class OpenBatch(msgspec.Struct):
    """A batch that has not finished.

    Attributes:
        order: Position in which it was accepted.
        open_index: Index of an episode that began and has no outcome yet, or None.
    """

    accepted: BatchAccepted
    order: int
    accepted_wall_s: float
    episodes: list[Episode] = []
    open_index: int | None = None

    def plan(self) -> BatchPlan:
        """What is left to do, with what is done."""
        accepted = self.accepted
        return BatchPlan(
            batch_id=accepted.batch_id,
            purpose=accepted.purpose,
            commit=accepted.commit,
            recipe=accepted.recipe,
            idea_id=accepted.idea_id,
            episodes=accepted.episodes,
            seeds=accepted.seeds,
            stop_at_failure=accepted.stop_at_failure,
            record=accepted.record,
            done=tuple(self.episodes),
        )


class DoneBatch(msgspec.Struct, frozen=True):
    """A finished batch; its episodes are in the ledger."""

    finished: BatchFinished
    episodes: int
    requested_by: str


class Batches:
    """Every batch the station knows, folded from its journal."""

    def __init__(self) -> None:
        self.open: dict[str, OpenBatch] = {}
        self.done: dict[str, DoneBatch] = {}
        self.running: str = ""
        self._accepted = 0

    def apply(self, event: AnyEvent, wall_s: float) -> None:
        """Take a journal row into account."""
        match event:
            case BatchAccepted():
                self._accepted += 1
                self.open[event.batch_id] = OpenBatch(event, self._accepted, wall_s)
            case EpisodeStarted():
                if event.batch_id in self.open:
                    self.open[event.batch_id].open_index = event.index
            case EpisodeFinished():
                batch = self.open.get(event.batch_id)
                if batch is not None:
                    batch.episodes.append(event.episode)
                    batch.open_index = None
            case BatchFinished():
                batch = self.open.pop(event.batch_id, None)
                if batch is not None:
                    accepted = batch.accepted
                    self.done[event.batch_id] = DoneBatch(
                        event, accepted.episodes, accepted.requested_by
                    )
            case _:
                pass

    def interrupted(self, reason: str) -> list[EpisodeFinished]:
        """Outcomes of episodes that were cut from outside, such as by a restart: void."""
        return [
            EpisodeFinished(
                batch_id=batch_id,
                episode=Episode(index=batch.open_index, outcome=Outcome.VOID, reason=reason),
            )
            for batch_id, batch in self.open.items()
            if batch.open_index is not None
        ]

    def next(self) -> OpenBatch | None:
        """The batch to run next: the most important one, the oldest of those."""
        waiting = list(self.open.values())
        if not waiting:
            return None
        # What had begun goes on first: a policy's episodes then stand close together in time.
        return min(
            waiting,
            key=lambda batch: (
                PRIORITY[batch.accepted.purpose],
                not batch.episodes,
                batch.order,
            ),
        )

    def queued(self) -> int:
        """How many batches wait."""
        return len(self.open) - bool(self.running)

    def state(self, batch_id: str) -> BatchState | None:
        """Where a batch stands, without its signed record."""
        done = self.done.get(batch_id)
        if done is not None:
            finished = done.finished
            return BatchState(
                batch_id=batch_id,
                phase=BatchPhase.FINISHED,
                purpose=finished.purpose,
                commit=finished.commit,
                episodes=done.episodes,
                counts=finished.counts,
                void=finished.void,
                void_reason=finished.void_reason,
            )
        batch = self.open.get(batch_id)
        if batch is None:
            return None
        phase = BatchPhase.RUNNING if batch_id == self.running else BatchPhase.QUEUED
        return BatchState(
            batch_id=batch_id,
            phase=phase,
            purpose=batch.accepted.purpose,
            commit=batch.accepted.commit,
            episodes=batch.accepted.episodes,
            counts=count(batch.episodes) if batch.episodes else Counts(),
        )


def accepted(command: StartBatch, requested_by: str) -> BatchAccepted:
    """The journal row of a batch that is taken."""
    return BatchAccepted(
        batch_id=command.batch_id,
        purpose=command.purpose,
        commit=command.commit,
        idea_id=command.idea_id,
        recipe=command.recipe,
        episodes=command.episodes,
        seeds=command.seeds,
        stop_at_failure=command.stop_at_failure or command.purpose is Purpose.CONFIRM,
        record=command.record,
        requested_by=requested_by,
    )


def objection(command: StartBatch, role: Role, queued: int) -> str:
    """Why a new batch is not accepted, "" if it is."""
    name = command.batch_id
    if not name or len(name) > NAME_LIMIT or not name.isprintable():
        return f"invalid: batch_id must be 1 to {NAME_LIMIT} printable characters"
    if not 1 <= command.episodes <= EPISODES_LIMIT:
        return f"invalid: episodes must be 1 to {EPISODES_LIMIT}, got {command.episodes}"
    seeds = command.seeds
    if command.purpose is Purpose.EVALUATE and seeds is not None:
        return "invalid: the seeds of an evaluation are sealed, none may be given"
    if command.purpose is Purpose.CONFIRM:
        if role is not Role.SUPERVISOR:
            return "role: only the supervisor starts a confirm"
        if seeds is None or len(seeds) != command.episodes:
            return "invalid: a confirm needs one seed an episode"
    if seeds is not None:
        if not seeds or len(set(seeds)) != len(seeds):
            return "invalid: seeds must differ, and be at least one"
        if not all(0 <= seed < 1 << 63 for seed in seeds):
            return "invalid: a seed lies in [0, 2**63)"
    try:
        check(command.recipe)
    except ArchiveRefused as error:
        return f"invalid: recipe: {error}"
    return "queue_full" if queued >= QUEUE_LIMIT else ""
