"""Agents as a list: what each is on, what it spent and what is left to it. Pure."""

from enpire_tui.room.moment import Moment
from enpire_tui.room.state import AgentSeen
from enpire_tui.room.text import Line, fit, wrap
from enpire_tui.room.views.pieces import Column, field, header_of, shown, word

COLUMNS = (
    Column("state", 13, 0),
    Column("agent", 6, 0),
    Column("station", 8, 96),
    Column("model", 18, 110),
    Column("idea", 7, 0),
    Column("fresh", 7, 0, right=True),
    Column("cached", 7, 68, right=True),
    Column("output", 7, 68, right=True),
    Column("left", 7, 0, right=True),
    Column("MTU", 6, 0, right=True),
    Column("last call", 0, 76),
)


def header(width: int) -> Line:
    """Names of the columns."""
    return header_of(COLUMNS, width)


def rows(moment: Moment, width: int) -> list[tuple[str, Line]]:
    """Rows by agent, in the fleet's order: they do not move under the person's hand."""
    return [(name, row(moment, seen, width)) for name, seen in moment.state.agents.items()]


def row(moment: Moment, agent: AgentSeen, width: int) -> Line:
    """An agent's row."""
    spent = agent.spent
    minute = agent.tokens_per_minute(moment.now_wall_s)
    values = {
        "state": word(agent.state or "STARTING", 13),
        "agent": (agent.name, "bold"),
        "station": (moment.station_of(agent.name) or "-", ""),
        "model": (model(moment, agent), "dim"),
        "idea": (agent.idea_id or "-", ""),
        "fresh": (count(spent.fresh_input), ""),
        "cached": (count(spent.cached_input), "dim"),
        "output": (count(spent.output), ""),
        "left": _left(moment, agent),
        "MTU": (count(round(minute)) if minute else "-", ""),
        "last call": (agent.call or "-", "dim"),
    }
    spans: list[tuple[str, str]] = []
    for index, (column, wide) in enumerate(shown(COLUMNS, width)):
        text, tone = values[column.name]
        spans.append(((" " if index else "") + fit(text, wide, right=column.right), tone))
    return tuple(spans)


def model(moment: Moment, agent: AgentSeen) -> str:
    """The language model as the gateway metered it; else the backend, which may be none."""
    return agent.model or moment.state.spec.backend


def count(tokens: int) -> str:
    """A number of tokens in at most six cells."""
    if tokens < 10_000:
        return str(tokens)
    return f"{tokens / 1e3:.0f}k" if tokens < 1_000_000 else f"{tokens / 1e6:.1f}M"


def left_of(moment: Moment, agent: AgentSeen) -> int | None:
    """Uncached tokens left of the agent's equal share of the run's; None where there is no bound."""
    tokens = moment.state.spec.budget.tokens
    if not tokens:
        return None
    share = tokens // max(1, len(moment.state.agents))
    return max(0, share - agent.spent.uncached)


def _left(moment: Moment, agent: AgentSeen) -> tuple[str, str]:
    left = left_of(moment, agent)
    if left is None:
        return "-", "dim"
    return count(left), "warn" if left < (left + agent.spent.uncached) / 5 else ""


def detail(moment: Moment, agent: AgentSeen, width: int) -> list[Line]:
    """The chosen agent in words: its hypothesis, last call and what thinks, in four lines."""
    idea = f"{agent.idea_id}: {agent.hypothesis}" if agent.idea_id else "none yet"
    told = wrap(idea, max(8, width - 10))[:2]
    lines = [field("" if index else "idea", part) for index, part in enumerate(told)]
    lines += [()] * (2 - len(lines))
    station = moment.station_of(agent.name)
    where = f" at {station}" if station else ""
    why = f", {agent.detail}" if agent.detail else ""
    return [
        *lines,
        field("last call", fit(agent.call or "none yet", max(0, width - 10)).rstrip()),
        field("what", f"{model(moment, agent)}{where}{why}", "dim"),
    ]
