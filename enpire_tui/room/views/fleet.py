"""The fleet: a row a station, those that need a person first. Pure."""

from enpire_tui.room.moment import NOTHING, STALE_S, Moment
from enpire_tui.room.text import Line, fit
from enpire_tui.room.views.pieces import Column, age, header_of, percent, shown, word

GAP = "  "


COLUMNS = (
    Column("state", 13, 0),
    Column("station", 9, 0),
    Column("task", 10, 110),
    Column("agent", 7, 110),
    Column("idea", 10, 66),
    Column("batch", 15, 96),
    Column("last 50", 7, 0, right=True),
    Column("tok/min", 7, 96, right=True),
    Column("last act", 0, 0),
    Column("age", 5, 0, right=True),
)


def header(width: int) -> Line:
    """Names of the columns."""
    return header_of(COLUMNS, width, len(GAP))


def rows(moment: Moment, width: int, wanted: str = "") -> list[tuple[str, Line]]:
    """Rows by station, most urgent first.

    Args:
        moment: What is known.
        width: Cells.
        wanted: A filter: words that all must be in the row; with "!" before it, must not be.
    """
    found: list[tuple[str, Line]] = []
    for name in moment.by_need():
        line = row(moment, name, width)
        if matches("".join(text for text, _ in line), wanted):
            found.append((name, line))
    return found


def matches(text: str, wanted: str) -> bool:
    """Whether a row passes a filter."""
    low = text.lower()
    for term in wanted.lower().split():
        absent = term.startswith("!")
        needle = term.removeprefix("!")
        if needle and (needle in low) == absent:
            return False
    return True


def row(moment: Moment, name: str, width: int) -> Line:
    """A station's row."""
    seen, agent, live = moment.station(name), moment.agent(name), moment.live.get(name)
    need = moment.need(name)
    current = seen.fold.current
    idea = current.idea_id if current is not None else agent.idea_id if agent is not None else ""
    tokens = agent.tokens_per_minute(moment.now_wall_s) if agent is not None else 0.0
    act = need.text or (agent.act if agent is not None else "")
    age_s = live.age_s if live is not None else None
    values: dict[str, tuple[str, str]] = {
        "state": word(moment.word(name), 13),
        "station": (name, "bold"),
        "task": (moment.state.spec.task, "dim"),
        "agent": (agent.name if agent is not None else "none", ""),
        "idea": (idea or "-", ""),
        "batch": (batch(moment, name), "dim"),
        "last 50": (percent(seen.rate), ""),
        "tok/min": (f"{tokens:.0f}" if tokens else "-", "dim"),
        "last act": (act, "dim" if need is NOTHING else "bold warn"),
        "age": (age(age_s), "dim" if age_s is not None and age_s < STALE_S else "warn"),
    }
    spans: list[tuple[str, str]] = []
    for index, (column, wide) in enumerate(shown(COLUMNS, width, len(GAP))):
        text, tone = values[column.name]
        spans.append(((GAP if index else "") + fit(text, wide, right=column.right), tone))
    return tuple(spans)


def batch(moment: Moment, name: str) -> str:
    """The batch a station works on: what for, and how far it is."""
    live = moment.live.get(name)
    current = moment.station(name).fold.current
    if live is not None and live.value.batch_id:
        value = live.value
        return f"{stage(moment, value.batch_id) or value.purpose} {value.done}/{value.of}"
    if current is not None:
        known = stage(moment, current.batch_id) or current.purpose.value
        return f"{known} {current.done}/{current.episodes}"
    return "-"


def stage(moment: Moment, batch_id: str) -> str:
    """What the supervisor runs a batch for: screen, promote, measure, confirm; "" if not its own."""
    known = moment.state.run.batches.get(batch_id)
    return known.stage if known is not None else ""
