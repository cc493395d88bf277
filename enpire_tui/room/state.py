"""What the room knows: a fold over the journals of supervisor, stations, agents and gateway. Pure.

It reuses the supervisor's own folds, so that the screen can say nothing else than the run's record
does. Rows of one journal arrive in order; journals arrive in any order.
"""

import bisect
import dataclasses
from collections import deque
from dataclasses import field
from typing import NamedTuple

from agents.gateway.metering import Usage
from enpire_tui.home import SUPERVISOR
from enpire_tui.room import words
from enpire_tui.room.tries import Tries
from enpire_tui.run_spec import RunSpec
from enpire_tui.supervisor import state as run_fold
from enpire_tui.supervisor import station_fold
from robots.wire import events as ev
from robots.wire.records import Episode, Outcome, Purpose, StationFigures
from robots.wire.rows import Row

RECENT = 50
EPISODES_KEPT = 300
LINES_KEPT = 5000
EVENTS_KEPT = 20_000
TOKEN_WINDOW_S = 300.0


class EventSeen(NamedTuple):
    """A journal row in words; ordered by time, then by journal.

    Attributes:
        quiet: Whether it is one of the many that are shown only when asked for.
    """

    wall_s: float
    source: str
    seq: int
    kind: str
    tone: str
    text: str
    quiet: bool

    @property
    def key(self) -> str:
        """Names the row for as long as its journal lives."""
        return f"{self.source}/{self.seq}"


class EpisodeSeen(NamedTuple):
    """An episode that came to its outcome."""

    wall_s: float
    batch_id: str
    purpose: str
    idea_id: str
    episode: Episode


class Said(NamedTuple):
    """A line of an agent's transcript; `number` counts them from 0."""

    number: int
    wall_s: float
    role: str
    text: str
    idea_id: str


@dataclasses.dataclass
class StationSeen:
    """A station: the supervisor's fold of it, and its last episodes.

    Attributes:
        stopped_wall_s: When it was held or quarantined last.
        by_person: Whether an operator did it.
    """

    fold: station_fold.StationFold
    recent: deque[bool] = field(default_factory=lambda: deque[bool](maxlen=RECENT))
    episodes: deque[EpisodeSeen] = field(
        default_factory=lambda: deque[EpisodeSeen](maxlen=EPISODES_KEPT)
    )
    purposes: dict[str, Purpose] = field(default_factory=dict[str, Purpose])
    row_wall_s: float = 0.0
    stopped_wall_s: float = 0.0
    by_person: bool = False
    tries: Tries = field(default_factory=Tries)

    @property
    def rate(self) -> float | None:
        """Share of successes among the last episodes that were no voids."""
        return sum(self.recent) / len(self.recent) if self.recent else None


@dataclasses.dataclass
class AgentSeen:
    """An agent as its own journal tells it.

    Attributes:
        state_wall_s: When it came to its state.
        act: What it did last, in words.
        call: Its last call of a tool, in words.
        model: The language model that answered it last, "" if none did.
        question: What it asked and no person has answered, since when in Unix seconds.
        spent: Tokens of its responses so far, by class.
        tokens: (wall seconds, tokens) of its last responses.
    """

    name: str
    state: str = ""
    detail: str = ""
    state_wall_s: float = 0.0
    idea_id: str = ""
    hypothesis: str = ""
    act: str = ""
    call: str = ""
    model: str = ""
    question: tuple[ev.AgentAsked, float] | None = None
    spent: Usage = field(default_factory=Usage)
    said: deque[Said] = field(default_factory=lambda: deque[Said](maxlen=LINES_KEPT))
    count: int = 0
    tokens: deque[tuple[float, int]] = field(
        default_factory=lambda: deque[tuple[float, int]](maxlen=1000)
    )

    def tokens_per_minute(self, now_wall_s: float) -> float:
        """Tokens a minute over the last five."""
        since_s = now_wall_s - TOKEN_WINDOW_S
        return sum(count for at_s, count in self.tokens if at_s >= since_s) * 60.0 / TOKEN_WINDOW_S


class RoomState:
    """See the module.

    Attributes:
        version: Grows with every row; an equal one means an equal state.
        order: Changes whenever events did anything but grow at their end.
        measured_wall_s: When the run's clock, or its end, was journalled last.
        link_wall_s: When the supervisor told last how it reaches a station.
        lease_holder: Key and label of who holds the control lease, "" for nobody.
    """

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self.run = run_fold.RunState()
        self.stations = {name: _station(name) for name in spec.stations}
        self.agents = {name: AgentSeen(name) for name in spec.agents}
        self.events: list[EventSeen] = []
        self.version = 0
        self.order = 0
        self.measured_wall_s = 0.0
        self.link_wall_s: dict[str, float] = {}
        self.lease_holder = ""

    def apply(self, source: str, row: Row) -> None:
        """Folds a row of the journal that daemon `source` keeps."""
        self.version += 1
        if source in self.stations:
            self._station(self.stations[source], row)
        elif source in self.agents:
            self._agent(self.agents[source], row)
        elif isinstance(row.event, ev.TokensMetered):
            self._tokens(row.event, row.wall_s)
        elif source == SUPERVISOR:
            self._supervisor(row)
        self._note(source, row)

    def forget(self, source: str) -> None:
        """A journal was replaced: what it told is read anew."""
        self.version += 1
        self.order += 1
        if source in self.stations:
            self.stations[source] = _station(source)
        elif source in self.agents:
            self.agents[source] = AgentSeen(source)
        elif source == SUPERVISOR:
            self.run, self.lease_holder = run_fold.RunState(), ""
        self.events = [each for each in self.events if each.source != source]

    def elapsed_s(self, now_wall_s: float) -> float:
        """Research seconds of the run now, from its clock as it was journalled last."""
        run = self.run
        if not run.running:
            return run.ended.seconds if run.ended is not None else run.elapsed_s
        # A supervisor that is away journals nothing; its clock is not guessed for long.
        return run.elapsed_s + max(0.0, min(30.0, now_wall_s - self.measured_wall_s))

    def _supervisor(self, row: Row) -> None:
        run_fold.apply(self.run, row.seq, row.event)
        match row.event:
            case ev.RunStarted() | ev.FleetMeasured() | ev.RunEnded():
                self.measured_wall_s = row.wall_s
            case ev.StationSeen(station=station):
                self.link_wall_s[station] = row.wall_s
            case ev.LeaseChanged(holder=holder):
                self.lease_holder = holder
            case ev.DaemonStarted():
                # A supervisor that begins anew has forgotten who held it.
                self.lease_holder = ""
            case _:
                pass

    def _station(self, seen: StationSeen, row: Row) -> None:
        seen.tries.apply(row.event, row.wall_s)
        station_fold.apply(seen.fold, row.seq, row.event)
        seen.fold.finished.clear()
        seen.row_wall_s = row.wall_s
        match row.event:
            case ev.BatchAccepted(batch_id=batch_id, purpose=purpose):
                seen.purposes[batch_id] = purpose
            case ev.BatchFinished(batch_id=batch_id):
                seen.purposes.pop(batch_id, None)
            case ev.StationHeld(by=by):
                seen.stopped_wall_s, seen.by_person = row.wall_s, by.startswith("operator")
            case ev.StationQuarantined():
                seen.stopped_wall_s, seen.by_person = row.wall_s, False
            case ev.EpisodeFinished(batch_id=batch_id, episode=episode):
                if episode.outcome is not Outcome.VOID:
                    seen.recent.append(episode.outcome is Outcome.SUCCESS)
                purpose = seen.purposes.get(batch_id)
                known = seen.fold.open.get(batch_id)
                seen.episodes.append(
                    EpisodeSeen(
                        row.wall_s,
                        batch_id,
                        purpose.value if purpose is not None else "",
                        known.idea_id if known is not None else "",
                        episode,
                    )
                )
            case _:
                pass

    def _agent(self, seen: AgentSeen, row: Row) -> None:
        event = row.event
        match event:
            case ev.AgentStateChanged(state=state, detail=detail):
                seen.state, seen.detail, seen.state_wall_s = state, detail, row.wall_s
                if state == "STOPPED":
                    # Nobody is left to be answered.
                    seen.question = None
            case ev.IdeaOpened(idea_id=idea_id, hypothesis=hypothesis):
                seen.idea_id, seen.hypothesis = idea_id, hypothesis
            case ev.AgentAsked():
                seen.question = event, row.wall_s
            case ev.AgentAnswered():
                seen.question = None
            case ev.ToolCalled(tool=tool, summary=summary):
                seen.call = f"{tool} {summary}".rstrip()
            case _:
                pass
        said = words.transcript(event)
        if said is None:
            return
        role, text, idea_id = said
        seen.said.append(Said(seen.count, row.wall_s, role, text, idea_id))
        seen.count += 1
        if role not in ("system", "person"):
            seen.act = text

    def _tokens(self, event: ev.TokensMetered, wall_s: float) -> None:
        seen = self.agents.get(event.agent)
        if seen is not None:
            seen.tokens.append((wall_s, event.fresh_input + event.output))
            seen.model = event.model or seen.model
            seen.spent = seen.spent.plus(event)

    def _note(self, source: str, row: Row) -> None:
        told = words.event(row.event)
        if told is None:
            return
        seen = EventSeen(row.wall_s, source, row.seq, row.kind, told.tone, told.text, told.quiet)
        if not self.events or seen > self.events[-1]:
            self.events.append(seen)
        else:
            bisect.insort(self.events, seen)
            self.order += 1
        if len(self.events) > EVENTS_KEPT:
            del self.events[: EVENTS_KEPT // 10]
            self.order += 1


def _station(name: str) -> StationSeen:
    return StationSeen(station_fold.StationFold(name, StationFigures(station=name)))
