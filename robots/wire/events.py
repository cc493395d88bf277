"""Every kind of journal row: events in the past tense, one tagged union; the supervisor's own are in `run_events`."""

from robots.wire.records import Counts, Episode, Event, Mode, Purpose, RecipeArchive
from robots.wire.run_events import (
    BatchCounted,
    BatchDispatched,
    BatchWithdrawn,
    CandidateDecided,
    CandidateNominated,
    CandidateQueued,
    ChampionChanged,
    ConfirmFinished,
    ConfirmStarted,
    FleetHeld,
    FleetMeasured,
    FleetReleased,
    IdeaProposed,
    LeaseChanged,
    ModeChanged,
    RunEnded,
    RunStarted,
    RunStopRequested,
    StationSeen,
)
from robots.wire.try_events import (
    ApprovalAsked,
    ApprovalClosed,
    ResetBegan,
    ResetTried,
    ScopeEnded,
    TryAsked,
    TryFinished,
    VerifierTried,
)

# --- any daemon ---------------------------------------------------------------------------------


class DaemonStarted(Event):
    """A daemon came up; `restarts` counts this journal's earlier incarnations."""

    name: str
    incarnation: str
    pid: int
    restarts: int
    version: str


class Noted(Event):
    """A line for people: a warning, a refusal, a fault. `level` is info, warning or error."""

    level: str
    text: str


# --- link --------------------------------------------------------------------------------------


class LinkChanged(Event):
    """State of the SSH link to a host: CONNECTED, LOST, REFUSED."""

    host: str
    state: str
    detail: str = ""


# --- station ------------------------------------------------------------------------------------


class BatchAccepted(Event):
    """A batch was queued; with all that is needed to go on with it after a restart."""

    batch_id: str
    purpose: Purpose
    commit: str
    idea_id: str
    recipe: RecipeArchive
    episodes: int
    seeds: tuple[int, ...] | None
    stop_at_failure: bool
    record: bool
    requested_by: str


class EpisodeStarted(Event):
    """An episode began with its reset."""

    batch_id: str
    index: int
    number: int


class EpisodeFinished(Event):
    """An episode came to its one outcome."""

    batch_id: str
    episode: Episode


class BatchFinished(Event):
    """A batch ended; its signed record is in the ledger."""

    batch_id: str
    purpose: Purpose
    commit: str
    idea_id: str
    counts: Counts
    void: bool
    void_reason: str
    seconds: float
    ledger_sha256: str


class SafetyActed(Event):
    """A row of the safety table fired."""

    batch_id: str
    index: int
    condition: str
    action: str


class PolicyBlocked(Event):
    """Something a worker tried was blocked."""

    batch_id: str
    what: str


class StationHeld(Event):
    """The station holds."""

    reason: str
    by: str
    latched: bool


class StationReleased(Event):
    """The station may move again."""

    cause: str
    by: str


class StationQuarantined(Event):
    """The station takes no more batches until an operator releases it."""

    reason: str


class SceneLabelled(Event):
    """A person judged a scene, or took the judgement back (`withdrawn`)."""

    label_id: str
    success: bool
    by: str
    withdrawn: bool = False


class GrantReceived(Event):
    """A motion grant was accepted."""

    serial: int
    mode: Mode
    ttl_s: float


class GrantLapsed(Event):
    """The motion grant ran out."""

    serial: int


# --- agent --------------------------------------------------------------------------------------


class AgentStateChanged(Event):
    """State word of an agent: THINKING, EXPLORING, WAITING, PAUSED, STOPPED, FAILED."""

    state: str
    detail: str = ""


class IdeaOpened(Event):
    """An agent began work on an idea; journalled before any side effect of it."""

    idea_id: str
    kind: str
    hypothesis: str
    prediction: str
    parent: str
    borrowed_from: str
    operator: str


class IdeaCommitted(Event):
    """An idea's change was committed, checked and pushed."""

    idea_id: str
    commit: str
    branch: str


class CandidateSubmitted(Event):
    """An idea's commit was handed in for sealed evaluation."""

    idea_id: str
    commit: str


class DecisionLearned(Event):
    """What became of an idea: adopted, discarded, or refused, and why."""

    idea_id: str
    decision: str
    detail: str


class ExplorationFinished(Event):
    """An explore batch of this agent ended."""

    idea_id: str
    batch_id: str
    counts: Counts
    robot_s: float


class TranscriptLine(Event):
    """One line of an agent's transcript; `role` is agent, tool, result, system or person.

    Attributes:
        text: One printable line; of a person, their words as they came.
        message_id: Of a person's words: the agent owes itself to hear them.
    """

    turn: int
    role: str
    text: str
    idea_id: str = ""
    message_id: str = ""


class ToolCalled(Event):
    """A tool call with side effects, journalled before it acts; `call_id` makes it repeatable."""

    call_id: str
    tool: str
    summary: str


class AgentAsked(Event):
    """An agent asks a person; it goes on meanwhile.

    Attributes:
        choices: Answers that it offers; a person may give another.
    """

    question_id: str
    text: str
    choices: tuple[str, ...] = ()


class AgentAnswered(Event):
    """A person's answer to an agent's question."""

    question_id: str
    text: str
    by: str


class BackendRecorded(Event):
    """What a backend needs to go on after a restart, written before it acts on it.

    Attributes:
        backend: Whose record it is; another backend ignores it.
        record: The backend's own encoding; the last one counts.
        heard: Words of people that are in it, by their message or question: the agent has them.
    """

    backend: str
    record: bytes
    heard: tuple[str, ...] = ()


# --- gateway ------------------------------------------------------------------------------------


class UsageDisputed(Event):
    """What an agent's SDK or program says it used is not what the gateway counted meanwhile.

    Attributes:
        source: Who says so.
        kind: Class of tokens, or `total`.
        least: Counted of answers that came to their end.
        most: Counted of those that were broken off as well.
    """

    source: str
    kind: str
    told: int
    least: int
    most: int


class TokensMetered(Event):
    """Tokens of one response, by class, as counted on the wire."""

    agent: str
    provider: str
    model: str
    fresh_input: int
    cached_input: int
    output: int
    reasoning: int
    aborted: bool
    status: int


class RequestRefused(Event):
    """A request the gateway did not forward, and why."""

    agent: str
    reason: str


class ProviderParked(Event):
    """A provider asked to be left alone: nobody's request goes there for `seconds`.

    Attributes:
        agent: Whose request it refused.
        status: Of its response.
    """

    provider: str
    seconds: float
    status: int
    agent: str


AnyEvent = (
    DaemonStarted
    | Noted
    | LinkChanged
    | BatchAccepted
    | EpisodeStarted
    | EpisodeFinished
    | BatchFinished
    | SafetyActed
    | PolicyBlocked
    | StationHeld
    | StationReleased
    | StationQuarantined
    | SceneLabelled
    | GrantReceived
    | GrantLapsed
    | TryAsked
    | ApprovalAsked
    | ApprovalClosed
    | ScopeEnded
    | ResetBegan
    | ResetTried
    | VerifierTried
    | TryFinished
    | AgentStateChanged
    | IdeaOpened
    | IdeaCommitted
    | CandidateSubmitted
    | DecisionLearned
    | ExplorationFinished
    | TranscriptLine
    | ToolCalled
    | AgentAsked
    | AgentAnswered
    | BackendRecorded
    | UsageDisputed
    | TokensMetered
    | RequestRefused
    | ProviderParked
    | RunStarted
    | StationSeen
    | IdeaProposed
    | CandidateQueued
    | BatchDispatched
    | BatchCounted
    | BatchWithdrawn
    | FleetMeasured
    | CandidateDecided
    | CandidateNominated
    | ChampionChanged
    | ConfirmStarted
    | ConfirmFinished
    | ModeChanged
    | LeaseChanged
    | FleetHeld
    | FleetReleased
    | RunStopRequested
    | RunEnded
)
