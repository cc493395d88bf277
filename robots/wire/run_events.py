"""Rows of the supervisor's journal: what became of a run, its ideas and its fleet."""

from robots.wire.records import (
    Counts,
    Event,
    Idea,
    Mode,
    Outcome,
    Purpose,
    RecipeArchive,
    StationFigures,
    TokenCounts,
)


class RunStarted(Event):
    """A run began."""

    run_id: str
    task: str
    stations: tuple[str, ...]
    agents: tuple[str, ...]
    backend: str
    seed: int
    baseline_commit: str
    baseline: RecipeArchive
    minutes: float
    simulated: bool
    unsandboxed: bool


class StationSeen(Event):
    """A station's link changed: ONLINE, LOST."""

    station: str
    state: str
    detail: str = ""


class IdeaProposed(Event):
    """An idea was claimed in the run."""

    idea: Idea
    fingerprint: str


class CandidateQueued(Event):
    """A candidate awaits sealed evaluation."""

    idea: Idea
    recipe: RecipeArchive
    fingerprint: str


class BatchDispatched(Event):
    """The queue gave a batch to a station; journalled before it is sent."""

    batch_id: str
    station: str
    idea_id: str
    commit: str
    purpose: Purpose
    stage: str
    episodes: int
    seeds: tuple[int, ...] | None = None


class BatchCounted(Event):
    """A verified ledger record was counted, once."""

    batch_id: str
    station: str
    idea_id: str
    stage: str
    counts: Counts
    void: bool
    robot_s: float
    wall_s: float


class BatchWithdrawn(Event):
    """A dispatched batch is no longer wanted; a later result of it is not counted."""

    batch_id: str
    station: str
    reason: str


class FleetMeasured(Event):
    """The run's clock and what each station did so far; the base that a restart goes on from.

    Attributes:
        elapsed_s: Research seconds since the run began.
        monotonic_s: The supervisor's monotonic clock at that moment, meaningful in `boot_id` only.
    """

    elapsed_s: float
    monotonic_s: float
    boot_id: str
    stations: tuple[StationFigures, ...] = ()
    tokens: TokenCounts = TokenCounts()


class CandidateDecided(Event):
    """A decision of the queue on a candidate: promoted, adopted or discarded, with its evidence."""

    idea_id: str
    decision: str
    success: int
    episodes: int
    interval: tuple[float, float]
    champion_rate: float
    detail: str


class ChampionChanged(Event):
    """A new champion."""

    idea_id: str
    commit: str
    agent: str
    success: int
    episodes: int
    rate: float
    interval: tuple[float, float]
    gain: float


class CandidateNominated(Event):
    """An agent asked that its idea be confirmed early, and may."""

    nomination_id: str
    idea_id: str
    agent: str
    reason: str


class ConfirmStarted(Event):
    """Fifty seeds were fixed and a confirm began."""

    confirm: int
    idea_id: str
    commit: str
    seeds: tuple[int, ...]


class ConfirmFinished(Event):
    """A confirm ended; all are shown."""

    confirm: int
    idea_id: str
    outcome: Outcome
    counts: Counts


class ModeChanged(Event):
    """Authority of the fleet changed."""

    mode: Mode
    by: str


class LeaseChanged(Event):
    """The control lease changed hands.

    Attributes:
        holder: Key and label of the operator who may command now, "" for nobody.
        epoch: What that operator's commands carry.
        how: taken, forced (from `before`), released or lapsed.
        before: Who held it.
    """

    holder: str
    epoch: int
    how: str
    before: str = ""


class FleetHeld(Event):
    """Every station was told to hold."""

    reason: str
    by: str


class FleetReleased(Event):
    """Holds were released."""

    cause: str
    by: str


class RunStopRequested(Event):
    """A person asked for the run's end."""

    reason: str
    by: str


class RunEnded(Event):
    """The run's end and its figures; the last line of `--json`."""

    outcome: str
    seconds: float
    champion: str
    confirm: Counts
    confirms_failed: int
    mru: float
    gpu_utilisation: float
    mtu: dict[str, float]
    tokens: dict[str, int]
    ideas: int
    adopted: int
    reason: str = ""
    champion_rate: float = 0.0
    champion_interval: tuple[float, float] = (0.0, 1.0)
