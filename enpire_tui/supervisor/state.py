"""What a run has come to: a pure fold over the supervisor's journal.

`apply` is the only writer. The daemon appends an event and folds it; after a restart the same rows
give the same state, so nothing that matters lives anywhere else.
"""

import dataclasses
from dataclasses import field

from enpire_tui.supervisor.selection import Tally
from robots.wire import events as ev
from robots.wire.records import (
    Counts,
    Idea,
    Mode,
    Outcome,
    Purpose,
    RecipeArchive,
    StationFigures,
    TokenCounts,
)

BASELINE = "baseline"

SCREEN, PROMOTE, MEASURE, CONFIRM = "screen", "promote", "measure", "confirm"

PROPOSED, SCREENING, PROMOTING = "PROPOSED", "SCREENING", "PROMOTING"
ADOPTED, DISCARDED = "ADOPTED", "DISCARDED"

OPEN, COUNTED, WITHDRAWN = "OPEN", "COUNTED", "WITHDRAWN"


@dataclasses.dataclass
class Candidate:
    """An idea with its commit and its sealed evidence.

    Attributes:
        order: Journal seq of its queueing; the oldest is screened first.
        screen: Screening episodes, never counted in `fresh`.
        void_batches: Batches of it that came back void.
    """

    idea: Idea
    fingerprint: str
    order: int
    recipe: RecipeArchive | None = None
    phase: str = PROPOSED
    screen: Tally = field(default_factory=Tally)
    promote: Tally = field(default_factory=Tally)
    measure: Tally = field(default_factory=Tally)
    confirm_rows: Tally = field(default_factory=Tally)
    void_batches: int = 0
    detail: str = ""

    @property
    def idea_id(self) -> str:
        return self.idea.idea_id

    @property
    def fresh(self) -> Tally:
        """Episodes that count: promotion and re-measurement."""
        return self.promote.plus(self.measure)


@dataclasses.dataclass
class Batch:
    """A dispatched batch and what became of it."""

    batch_id: str
    station: str
    idea_id: str
    stage: str
    purpose: Purpose
    episodes: int
    seeds: tuple[int, ...] | None
    status: str = OPEN


@dataclasses.dataclass
class Confirm:
    """One confirm: its fifty seeds and how far it came.

    Attributes:
        given: Seeds handed to stations so far; beyond the fifty they replace voids.
    """

    number: int
    idea_id: str
    commit: str
    seeds: tuple[int, ...]
    success: int = 0
    failure: int = 0
    void: int = 0
    given: int = 0
    outcome: Outcome | None = None

    @property
    def counts(self) -> Counts:
        return Counts(success=self.success, failure=self.failure, void=self.void)


@dataclasses.dataclass
class Nomination:
    """An agent's wish that its idea be confirmed early.

    Attributes:
        confirm: Number of the confirm that came of it, 0 while it waits.
    """

    idea_id: str
    agent: str
    confirm: int = 0


@dataclasses.dataclass
class Point:
    """A step of the hill climb: the champion's confirmed rate at a research time."""

    elapsed_s: float
    idea_id: str
    rate: float
    interval: tuple[float, float]


@dataclasses.dataclass
class RunState:
    """The run as its journal tells it. Empty before `RunStarted`.

    Attributes:
        lease_holder, lease_epoch: Who may command the fleet, "" for nobody.
    """

    run: ev.RunStarted | None = None
    ended: ev.RunEnded | None = None
    mode: Mode = Mode.SETUP
    restarts: int = -1
    champion: str = ""
    held_by: str = ""
    candidates: dict[str, Candidate] = field(default_factory=dict[str, Candidate])
    batches: dict[str, Batch] = field(default_factory=dict[str, Batch])
    confirms: list[Confirm] = field(default_factory=list[Confirm])
    nominations: dict[str, Nomination] = field(default_factory=dict[str, Nomination])
    links: dict[str, str] = field(default_factory=dict[str, str])
    figures: dict[str, StationFigures] = field(default_factory=dict[str, StationFigures])
    tokens: TokenCounts = field(default_factory=TokenCounts)
    elapsed_s: float = 0.0
    monotonic_s: float = 0.0
    boot_id: str = ""
    adopted: list[str] = field(default_factory=list[str])
    climb: list[Point] = field(default_factory=list[Point])
    stop_reason: str = ""
    lease_holder: str = ""
    lease_epoch: int = 0

    @property
    def running(self) -> bool:
        return self.run is not None and self.ended is None

    @property
    def word(self) -> str:
        """State word for people."""
        if self.run is None:
            return "SETUP"
        if self.ended is not None:
            return "ENDED"
        return "CONFIRMING" if self.confirming is not None else "RUNNING"

    @property
    def confirming(self) -> Confirm | None:
        """The confirm in progress, if there is one."""
        last = self.confirms[-1] if self.confirms else None
        return last if last is not None and last.outcome is None else None

    def open_batches(self, station: str | None = None) -> list[Batch]:
        """Batches that were dispatched and neither counted nor withdrawn, oldest first."""
        return [
            batch
            for batch in self.batches.values()
            if batch.status == OPEN and (station is None or batch.station == station)
        ]

    def champion_tally(self) -> Tally:
        """The champion's pooled fresh episodes."""
        return self.candidates[self.champion].fresh if self.champion else Tally()


def apply(state: RunState, seq: int, event: ev.AnyEvent) -> None:  # noqa: C901 - one row a kind
    """Folds one row of the supervisor's journal into `state`."""
    match event:
        case ev.DaemonStarted(restarts=restarts):
            state.restarts = restarts
            # The lease is in the daemon's memory: nobody holds the new one's.
            state.lease_holder = ""
        case ev.RunStarted():
            _started(state, seq, event)
        case ev.ModeChanged(mode=mode):
            state.mode = mode
        case ev.LeaseChanged(holder=holder, epoch=epoch):
            state.lease_holder, state.lease_epoch = holder, epoch
        case ev.StationSeen(station=station, state=link):
            state.links[station] = link
        case ev.IdeaProposed(idea=idea, fingerprint=fingerprint):
            state.candidates.setdefault(idea.idea_id, Candidate(idea, fingerprint, seq))
        case ev.CandidateQueued():
            _queued(state, seq, event)
        case ev.BatchDispatched():
            _dispatched(state, event)
        case ev.BatchCounted():
            _counted(state, event)
        case ev.BatchWithdrawn(batch_id=batch_id):
            state.batches[batch_id].status = WITHDRAWN
        case ev.CandidateDecided():
            _decided(state, event)
        case ev.ChampionChanged():
            state.champion = event.idea_id
            state.climb.append(Point(state.elapsed_s, event.idea_id, event.rate, event.interval))
        case ev.CandidateNominated():
            wish = Nomination(event.idea_id, event.agent)
            state.nominations.setdefault(event.nomination_id, wish)
        case ev.ConfirmStarted():
            _confirming(state, event)
        case ev.ConfirmFinished(outcome=outcome):
            state.confirms[-1].outcome = outcome
        case ev.FleetMeasured():
            state.elapsed_s = event.elapsed_s
            state.monotonic_s = event.monotonic_s
            state.boot_id = event.boot_id
            state.tokens = event.tokens
            state.figures.update({each.station: each for each in event.stations})
        case ev.FleetHeld(by=by):
            state.held_by = by
        case ev.FleetReleased():
            state.held_by = ""
        case ev.RunStopRequested(reason=reason):
            state.stop_reason = reason or "stopped"
        case ev.RunEnded():
            state.ended = event
        case _:
            pass


def _started(state: RunState, seq: int, event: ev.RunStarted) -> None:
    fresh = RunState(
        mode=state.mode,
        restarts=state.restarts,
        links=dict(state.links),
        lease_holder=state.lease_holder,
        lease_epoch=state.lease_epoch,
    )
    for name in (each.name for each in dataclasses.fields(RunState)):
        setattr(state, name, getattr(fresh, name))
    state.run = event
    baseline = Idea(
        idea_id=BASELINE,
        agent="",
        commit=event.baseline_commit,
        kind="heuristic",
        hypothesis="where the run starts",
        prediction="",
        parent="",
    )
    state.candidates[BASELINE] = Candidate(
        baseline, event.baseline.sha256, seq, event.baseline, phase=ADOPTED
    )
    state.champion = BASELINE


def _queued(state: RunState, seq: int, event: ev.CandidateQueued) -> None:
    known = state.candidates.get(event.idea.idea_id)
    if known is not None and known.phase != PROPOSED:
        return
    state.candidates[event.idea.idea_id] = Candidate(
        event.idea, event.fingerprint, seq, event.recipe, phase=SCREENING
    )


def _dispatched(state: RunState, event: ev.BatchDispatched) -> None:
    state.batches[event.batch_id] = Batch(
        batch_id=event.batch_id,
        station=event.station,
        idea_id=event.idea_id,
        stage=event.stage,
        purpose=event.purpose,
        episodes=event.episodes,
        seeds=event.seeds,
    )
    if event.stage == CONFIRM:
        state.confirms[-1].given += len(event.seeds or ())


def _counted(state: RunState, event: ev.BatchCounted) -> None:
    batch = state.batches[event.batch_id]
    if batch.status != OPEN:
        return
    batch.status = COUNTED
    candidate = state.candidates[batch.idea_id]
    if batch.stage == CONFIRM:
        _confirm_counted(state, candidate, event)
        return
    if event.void:
        candidate.void_batches += 1
        return
    tally = Tally(success=event.counts.success, failure=event.counts.failure)
    match batch.stage:
        case "screen":
            candidate.screen = candidate.screen.plus(tally)
        case "promote":
            candidate.promote = candidate.promote.plus(tally)
        case _:
            candidate.measure = candidate.measure.plus(tally)


def _confirming(state: RunState, event: ev.ConfirmStarted) -> None:
    state.confirms.append(Confirm(event.confirm, event.idea_id, event.commit, event.seeds))
    for each in state.nominations.values():
        if each.idea_id == event.idea_id and not each.confirm:
            each.confirm = event.confirm


def _confirm_counted(state: RunState, candidate: Candidate, event: ev.BatchCounted) -> None:
    confirm = next(each for each in state.confirms if each.number == confirm_number(event.batch_id))
    if event.void and not event.counts.failure:
        confirm.void += event.counts.success + event.counts.void
        return
    # A failure stands even where the station voided the batch: no void may erase a lost confirm.
    confirm.success += event.counts.success
    confirm.failure += event.counts.failure
    confirm.void += event.counts.void
    candidate.confirm_rows = candidate.confirm_rows.plus(
        Tally(success=event.counts.success, failure=event.counts.failure)
    )


def _decided(state: RunState, event: ev.CandidateDecided) -> None:
    candidate = state.candidates[event.idea_id]
    candidate.detail = event.detail
    match event.decision:
        case "promoted":
            candidate.phase = PROMOTING
        case "adopted":
            candidate.phase = ADOPTED
            state.adopted.append(event.idea_id)
        case _:
            candidate.phase = DISCARDED


def batch_id_of(run_id: str, idea_id: str, stage: str, number: int) -> str:
    """`<run>/<idea>/<stage>/<k>`; unique in a station's whole life."""
    return f"{run_id}/{idea_id}/{stage}/{number}"


def confirm_number(batch_id: str) -> int:
    """Number of the confirm a batch belongs to; its stage part reads `confirm<number>`."""
    stage = batch_id.rsplit("/", 2)[1]
    return int(stage.removeprefix(CONFIRM))
