"""One moment of the fleet, as every view is given it. Pure."""

from typing import NamedTuple

from enpire_tui.room.state import AgentSeen, RoomState, StationSeen
from enpire_tui.room.training import Jobs
from robots.wire.telemetry import StationTelemetry

STALE_S = 3.0
LOST_S = 10.0


class Live(NamedTuple):
    """A station's latest telemetry; `age_s` counts from the measurement."""

    value: StationTelemetry
    age_s: float


class Need(NamedTuple):
    """Why a station needs a person; a smaller rank is more urgent."""

    rank: int
    text: str


NOTHING = Need(9, "")


class Lease(NamedTuple):
    """The control lease as the supervisor told it last.

    Attributes:
        holder: Key and label of an operator, "" if nobody holds it.
        me: Who looks at this room, likewise.
    """

    holder: str = ""
    me: str = ""

    @property
    def who(self) -> str:
        """The holder for people: its label, where its key has one."""
        return self.holder.partition("/")[2] or self.holder

    @property
    def free(self) -> bool:
        return not self.holder

    @property
    def mine(self) -> bool:
        return bool(self.holder) and self.holder == self.me


class Moment(NamedTuple):
    """What views are functions of.

    Attributes:
        live: Latest telemetry by station; a station that was never heard is missing.
        now_wall_s: Unix seconds; ages are told from it.
        notice: What is going on with the fleet as a whole, in words.
    """

    state: RoomState
    live: dict[str, Live]
    now_wall_s: float
    notice: str = ""
    lease: Lease = Lease()
    jobs: Jobs = Jobs()

    def word(self, station: str) -> str:
        """A station's state in one word."""
        seen = self.state.stations[station]
        told = self.state.run.links.get(station, "")
        live = self.live.get(station)
        if live is None:
            return "LOST" if told == "LOST" else seen.fold.word if seen.row_wall_s else "STARTING"
        if live.age_s > LOST_S:
            return "LOST"
        word = live.value.word
        if word == "HELD" and seen.fold.quarantined:
            return "QUARANTINED"
        if word == "EXECUTING" and live.value.purpose == "explore":
            return "EXPLORING"
        if word == "IDLE" and seen.fold.open:
            return "QUEUED"
        return word

    def need(self, station: str) -> Need:
        """Whether, and why, a station needs a person."""
        live = self.live.get(station)
        word = self.word(station)
        detail = live.value.held if live is not None else ""
        seen = self.state.stations[station]
        detail = detail or seen.fold.quarantined or seen.fold.held
        match word:
            case "STOPPED":
                return Need(0, f"emergency stop: {detail}")
            case "QUARANTINED" | "FULL":
                return Need(1, detail or word.lower())
            case "LOST":
                return Need(2, "no data; its daemon or its link does not answer")
            case "HELD":
                return Need(3, f"held: {detail}")
            case _:
                pending = seen.tries.pending
                if pending is not None:
                    return Need(4, f"asks for your approval: {pending.asked.summary}")
                return self._agent_need(station)

    def _agent_need(self, station: str) -> Need:
        agent = self.agent(station)
        run = self.state.run
        if agent is None or run.ended is not None:
            return NOTHING
        if agent.state == "FAILED":
            return Need(5, f"{agent.name} failed: {agent.detail}")
        if agent.question is not None:
            return Need(5, f"{agent.name} asks: {agent.question[0].text}")
        if agent.state == "PAUSED":
            return Need(6, f"{agent.name} is paused")
        return NOTHING

    def agent(self, station: str) -> AgentSeen | None:
        """The agent of a station, if it has one."""
        return self.state.agents.get(self.state.spec.agent_of.get(station, ""))

    def station_of(self, agent: str) -> str:
        """The station of an agent, "" if it has none."""
        agents = self.state.spec.agent_of
        return next((station for station, name in agents.items() if name == agent), "")

    def station(self, name: str) -> StationSeen:
        """A station's journal, folded."""
        return self.state.stations[name]

    def by_need(self) -> list[str]:
        """Stations, those that need a person first, then in the fleet's order."""
        names = list(self.state.stations)
        return sorted(names, key=lambda name: (self.need(name).rank, names.index(name)))

    @property
    def moving(self) -> int:
        """Stations that work."""
        return sum(
            self.word(name) in ("EXECUTING", "EXPLORING", "TRYING") for name in self.state.stations
        )

    @property
    def held(self) -> int:
        """Stations that somebody or something holds."""
        stopped = ("HELD", "STOPPED", "QUARANTINED", "FULL")
        return sum(self.word(name) in stopped for name in self.state.stations)
