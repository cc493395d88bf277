"""Ledger records from batches, and evidence for those who may see it. Pure."""

from collections import OrderedDict
from collections.abc import Iterable

from robots.station.recording import Moment, Trace
from robots.station.rollout import BatchEnd, BatchPlan
from robots.wire import codec
from robots.wire.events import BatchFinished, EpisodeFinished
from robots.wire.reception import Refused
from robots.wire.records import Episode, LedgerRecord, Outcome, Purpose, Role
from robots.wire.station_replies import BatchState, EpisodeEvidence, TraceRow

EVIDENCE_LIMIT = 400


def ledger_record(
    plan: BatchPlan,
    end: BatchEnd,
    *,
    station: str,
    task: str,
    started_wall_s: float,
    now_wall_s: float,
) -> LedgerRecord:
    """What a finished batch is recorded as; the ledger adds the chain."""
    return LedgerRecord(
        batch_id=plan.batch_id,
        station=station,
        task=task,
        purpose=plan.purpose,
        commit=plan.commit,
        recipe_sha256=plan.recipe.sha256,
        idea_id=plan.idea_id,
        counts=end.counts,
        episodes=end.episodes,
        void=end.void,
        void_reason=end.void_reason,
        manifest_sha256=end.manifest_sha256,
        safety_sha256=end.safety_sha256,
        previous_sha256="",
        started_wall_s=started_wall_s,
        ended_wall_s=now_wall_s,
        # Of all its episodes, those before a restart among them.
        seconds=round(sum(episode.wall_s for episode in end.episodes), 4),
        audit=end.audit,
    )


def finished_event(record: LedgerRecord, ledger_sha256: str) -> BatchFinished:
    """The journal row of a batch that the ledger holds."""
    return BatchFinished(
        batch_id=record.batch_id,
        purpose=record.purpose,
        commit=record.commit,
        idea_id=record.idea_id,
        counts=record.counts,
        void=record.void,
        void_reason=record.void_reason,
        seconds=record.seconds,
        ledger_sha256=ledger_sha256,
    )


def unwritten(
    record: LedgerRecord, known: Iterable[Episode], ledger_sha256: str
) -> list[EpisodeFinished | BatchFinished]:
    """Journal rows of a recorded batch that a kill left out, with `known` episodes written."""
    written = {episode.index for episode in known}
    return [
        *(
            EpisodeFinished(batch_id=record.batch_id, episode=episode)
            for episode in record.episodes
            if episode.index not in written
        ),
        finished_event(record, ledger_sha256),
    ]


def may_see(purpose: Purpose, episode: Episode, role: Role) -> bool:
    """Whether an episode's course may be shown: of sealed batches an agent sees failures only."""
    if purpose is Purpose.EXPLORE or role is not Role.AGENT:
        return True
    return purpose is Purpose.EVALUATE and episode.outcome is Outcome.FAILURE


def may_watch(purpose: Purpose, role: Role) -> bool:
    """Whether pictures of an episode may be shown: of sealed batches an agent sees none."""
    # SAFETY: a picture tells exactly where a sealed episode began, and what the verifier saw of it.
    return purpose is Purpose.EXPLORE or role is not Role.AGENT


class Evidence:
    """The courses of the last episodes, in memory."""

    def __init__(self, limit: int = EVIDENCE_LIMIT) -> None:
        self._limit = limit
        self._traces: OrderedDict[tuple[str, int], Trace] = OrderedDict()

    def keep(self, batch_id: str, index: int, trace: Trace) -> None:
        """Keep an episode's course; the oldest goes."""
        self._traces[batch_id, index] = trace
        while len(self._traces) > self._limit:
            self._traces.popitem(last=False)

    def shown(
        self, state: BatchState, running: Iterable[Episode], index: int, role: Role
    ) -> EpisodeEvidence:
        """An episode of a batch, to those who may see it.

        Args:
            state: Of the batch.
            running: Its episodes so far, while it runs.
            index: Which one.
            role: Who asks.

        Raises:
            Refused: There is no such episode, or it is not theirs to see.
        """
        episode = _episode(state, running, index)
        if not may_see(state.purpose, episode, role):
            raise Refused("sealed: of sealed batches failures only are shown")
        return self.of(state.batch_id, episode)

    def watched(
        self, state: BatchState, running: Iterable[Episode], index: int, role: Role
    ) -> tuple[Episode, list[Moment]]:
        """An episode of a batch with what pictures of it are drawn from, to those who may see them.

        Raises:
            Refused: There is no such episode, it is not theirs to see, or nothing is left of it.
        """
        if not may_watch(state.purpose, role):
            raise Refused("sealed: of sealed batches no pictures are shown to agents")
        episode = _episode(state, running, index)
        trace = self._traces.get((state.batch_id, index))
        if trace is None:
            raise Refused(
                f"no_frames: the course of episode {index} of {state.batch_id} is no longer kept; "
                f"a station keeps the last {self._limit} until it restarts"
            )
        if not trace.moments:
            raise Refused(
                "no_frames: this station's driver does not tell where things were, or the episode "
                "ended before the first step"
            )
        return episode, trace.moments

    def of(self, batch_id: str, episode: Episode) -> EpisodeEvidence:
        """An episode with what is left of its course."""
        trace = self._traces.get((batch_id, episode.index))
        rows = () if trace is None else tuple(TraceRow(values=row) for row in trace.rows())
        return EpisodeEvidence(batch_id=batch_id, episode=episode, trace=rows)


def _episode(state: BatchState, running: Iterable[Episode], index: int) -> Episode:
    """An episode of a batch, finished or not.

    Raises:
        Refused: There is none of this index.
    """
    if state.signed is not None:
        running = codec.decode(state.signed.body, LedgerRecord).episodes
    for episode in running:
        if episode.index == index:
            return episode
    raise Refused(f"unknown_episode: {index} of {state.batch_id}")
