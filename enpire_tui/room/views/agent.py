"""The agent of a workspace: what it is on, and its transcript line by line. Pure."""

import time

from enpire_tui.room.moment import Moment
from enpire_tui.room.state import AgentSeen, Said
from enpire_tui.room.text import Line, fit, wrap
from enpire_tui.room.views.pieces import word

ROLES = {
    "agent": ("»", ""),
    "tool": ("$", "work"),
    "result": ("=", "good"),
    "idea": ("✦", "note"),
    "system": ("·", "dim"),
    "person": ("@", "bold note"),
}
STAMP = 9


def head(moment: Moment, name: str, width: int) -> list[Line]:
    """Who the agent is, its state and its idea, in a fixed number of lines."""
    agent = moment.agent(name)
    if agent is None:
        return [(("no agent works on this station", "dim"),), (), ()]
    tokens = agent.tokens_per_minute(moment.now_wall_s)
    idea = f"{agent.idea_id}: {agent.hypothesis}" if agent.idea_id else "no idea yet"
    parts = wrap(idea, width)[:2]
    return [
        (
            word(agent.state or "STARTING", 13),
            (agent.name, "bold"),
            (f"  {tokens:.0f} tok/min" if tokens else "", "dim"),
            (f"  {agent.detail}", "dim"),
        ),
        *(((part, ""),) for part in parts),
        *(() for _ in range(2 - len(parts))),
    ]


class Transcript:
    """The rows of an agent's transcript, wrapped; extended as it grows, wrapped anew when the width changes."""

    def __init__(self, width: int = 80) -> None:
        self._width = width
        self._next = 0
        self._rows: list[tuple[str, Line]] = []
        self._places: dict[str, int] = {}

    def take(self, agent: AgentSeen, width: int) -> None:
        """Take in what was said since the last time."""
        if width != self._width or agent.count < self._next:
            self._width, self._next = width, 0
            self._rows, self._places = [], {}
        fresh = min(len(agent.said), agent.count - self._next)
        for said in [
            agent.said[index] for index in range(len(agent.said) - fresh, len(agent.said))
        ]:
            for part, line in enumerate(said_lines(said, width)):
                key = f"{said.number}.{part}"
                self._places[key] = len(self._rows)
                self._rows.append((key, line))
        self._next = agent.count

    def __len__(self) -> int:
        return len(self._rows)

    def key(self, index: int) -> str:
        return self._rows[index][0]

    def find(self, key: str) -> int | None:
        return self._places.get(key)

    def line(self, index: int, width: int) -> Line:
        del width
        return self._rows[index][1]


def said_lines(said: Said, width: int) -> list[Line]:
    """One line of the transcript over as many rows as it needs."""
    glyph, tone = ROLES.get(said.role, ("·", ""))
    parts = wrap(said.text, max(8, width - STAMP - 2))
    stamp = time.strftime("%H:%M:%S", time.localtime(said.wall_s))
    first: Line = ((fit(stamp, STAMP), "faint"), (f"{glyph} ", tone), (parts[0], tone))
    return [first, *(((" " * (STAMP + 2), ""), (part, tone)) for part in parts[1:])]
