"""The run's research: the hill climb over time, and the ideas below it. Pure."""

from enpire_tui.room.moment import Moment
from enpire_tui.room.text import Line, Span, fit
from enpire_tui.room.tones import state
from enpire_tui.room.views.pieces import percent, runs
from enpire_tui.supervisor import metrics, selection
from enpire_tui.supervisor.confirm import ConfirmRule
from enpire_tui.supervisor.state import BASELINE, Candidate, Point

AXIS = 6
_AGENTS = 90
GOAL = ConfirmRule().gate_success
_ORDER = {"PROMOTING": 0, "SCREENING": 1, "PROPOSED": 2, "ADOPTED": 3, "DISCARDED": 4}


def steps(moment: Moment) -> list[Point]:
    """Champions over research time, from the baseline on; the present one with its pooled rate."""
    run = moment.state.run
    found: list[Point] = []
    base = run.candidates.get(BASELINE)
    if base is not None and base.fresh.episodes:
        found.append(_point(base, 0.0))
    found += run.climb
    champion = run.candidates.get(run.champion)
    if found and champion is not None and champion.fresh.episodes:
        found.append(_point(champion, moment.state.elapsed_s(moment.now_wall_s)))
    return found


def _point(candidate: Candidate, elapsed_s: float) -> Point:
    tally = candidate.fresh
    return Point(elapsed_s, candidate.idea_id, tally.rate, selection.wilson_interval(tally))


def climb(moment: Moment, width: int, height: int) -> list[Line]:
    """The champion's rate with its interval over research time, `height` lines with the axis.

    The band behind the line is Wilson's 95% interval, the dotted line the rate from which a
    confirm may be tried; stars below the axis are adoptions.
    """
    wide, high = max(10, width - AXIS), max(1, height - 2)
    run = moment.state.run
    minutes = run.run.minutes if run.run is not None else moment.state.spec.budget.minutes
    total_s = max(1.0, 60.0 * minutes)
    now_s = moment.state.elapsed_s(moment.now_wall_s)
    points = steps(moment)
    columns = [
        _at(points, (column + 0.5) * total_s / wide) if column * total_s / wide <= now_s else None
        for column in range(wide)
    ]
    told = [_row(columns, row, high) for row in range(high)]
    return [*told, _axis(wide, minutes), _stars(run.climb, wide, total_s)]


def _at(points: list[Point], elapsed_s: float) -> Point | None:
    """The champion at a time."""
    found: Point | None = points[0] if points else None
    for point in points:
        if point.elapsed_s <= elapsed_s:
            found = point
    return found


def _row(columns: list[Point | None], row: int, high: int) -> Line:
    """One row of the plot; row 0 is 100%."""
    top, bottom = 1.0 - row / high, 1.0 - (row + 1) / high
    marks = {round((1.0 - mark) * (high - 1)): mark for mark in _marks(high)}
    label = f"{marks[row]:4.0%} " if row in marks else " " * (AXIS - 1)
    head: Line = ((label, "dim"), ("┤" if row in marks else "│", "faint"))
    goal = f" goal {GOAL:.0%}" if bottom < GOAL <= top else ""
    cells = [_cell(point, top, bottom, goal) for point in columns[: len(columns) - len(goal)]]
    return (*head, *runs(cells), (goal, "note"))


def _cell(point: Point | None, top: float, bottom: float, goal: str) -> Span:
    """What stands between two rates at one moment: line, band, goal, or nothing."""
    glyph, tone = ("┄", "note") if goal else (" ", "")
    if point is None:
        return glyph, tone
    low, up = point.interval
    rate = min(point.rate, 1.0 - 1e-9)
    if bottom <= rate < top:
        share = (rate - bottom) / (top - bottom)
        return _LINE[min(len(_LINE) - 1, int(share * len(_LINE)))], "bold good band"
    if low < top and up > bottom:
        tone = f"{tone} band".strip()
    return glyph, tone


def _marks(high: int) -> tuple[float, ...]:
    """Rates that are labelled on the axis."""
    return (1.0, 0.75, 0.5, 0.25, 0.0) if high >= _FINE else (1.0, 0.5, 0.0)


_FINE = 8

# A line at four heights of its cell, lowest first.
_LINE = ("⣀", "⠤", "⠒", "⠉")


def _axis(wide: int, minutes: float) -> Line:
    ticks = 5 if wide >= 60 else 3
    text = ["─"] * wide
    for tick in range(ticks + 1):
        at = round(tick * (wide - 1) / ticks)
        text[at] = "┴"
    return ((" " * (AXIS - 1) + "└", "faint"), ("".join(text), "faint"))


def _stars(climbed: list[Point], wide: int, total_s: float) -> Line:
    """Adoptions at their time, each with its idea where there is room."""
    cells = [" "] * wide
    free = 0
    for point in climbed:
        at = min(wide - 1, int(point.elapsed_s / total_s * wide))
        label = f"★{point.idea_id}"
        if at >= free and at + len(label) <= wide:
            cells[at : at + len(label)] = label
            free = at + len(label) + 1
        elif cells[at] == " ":
            cells[at] = "★"
    ends = f"{total_s / 60:g} min"
    if all(cell == " " for cell in cells[-len(ends) - 1 :]):
        cells[-len(ends) :] = ends
    return ((" " * AXIS, ""), ("".join(cells), "good"))


def figures(moment: Moment, width: int) -> Line:
    """What the run did so far, in figures."""
    run = moment.state.run
    robots = tuple(run.figures.values())
    mru = metrics.robot_utilisation(robots, run.elapsed_s)
    bare = metrics.robot_utilisation_without_reset(robots, run.elapsed_s)
    tokens = metrics.token_utilisation(run.tokens, run.elapsed_s)
    lost = sum(
        each.outcome is not None and each.outcome.value == "failure" for each in run.confirms
    )
    pairs = [
        ("ideas", str(max(0, len(run.candidates) - 1))),
        ("adopted", str(len(run.adopted))),
        ("confirms", f"{len(run.confirms)} ({lost} lost)"),
        ("MRU", f"{mru:.0%} ({bare:.0%} without resets)"),
        ("tok/min", f"{tokens.uncached:,.0f} uncached, {tokens.total:,.0f} in all"),
        ("episodes", f"{sum(each.episodes for each in robots):,}"),
        ("robot time", f"{sum(each.robot_s for each in robots) / 3600:.1f} h"),
    ]
    spans: list[Span] = []
    for name, value in pairs:
        room = width - sum(len(text) for text, _ in spans)
        if len(name) + len(value) + 4 <= room:
            spans += [(f"{name} ", "dim"), (f"{value}   ", "")]
    return tuple(spans)


def idea_header(width: int) -> Line:
    """Names of the ideas' columns."""
    agent = f"{'agent':7}" if width >= _AGENTS else ""
    text = f"{'state':13}{'idea':10}{agent}{'screen':>7}{'fresh':>9}{'rate':>7}  "
    return ((fit(text + _wide_header(width), width), "dim"),)


def _wide_header(width: int) -> str:
    return f"{'interval':14}hypothesis" if width >= 90 else "hypothesis"


def ideas(moment: Moment, width: int) -> list[tuple[str, Line]]:
    """Ideas by id: open ones first, then the adopted, then the discarded, newest first."""
    run = moment.state.run
    known = sorted(
        run.candidates.values(),
        key=lambda each: (each.idea_id != run.champion, _ORDER.get(each.phase, 9), -each.order),
    )
    return [(each.idea_id, _idea(each, each.idea_id == run.champion, width)) for each in known]


def _idea(candidate: Candidate, reigns: bool, width: int) -> Line:
    tally, screen = candidate.fresh, candidate.screen
    phase = "CHAMPION" if reigns else candidate.phase
    glyph, tone = ("★", "bold good") if reigns else state(phase)
    low, high = selection.wilson_interval(tally)
    interval = f"[{low:.0%}, {high:.0%}]" if tally.episodes else ""
    quiet = "dim" if candidate.phase == "DISCARDED" else ""
    spans: list[Span] = [
        (fit(f"{glyph} {phase}", 13), tone),
        (fit(candidate.idea_id, 10), quiet or "bold"),
        *(((fit(candidate.idea.agent or "-", 7), quiet),) if width >= _AGENTS else ()),
        (fit(_of(screen.success, screen.episodes), 7, right=True), "dim"),
        (fit(_of(tally.success, tally.episodes), 9, right=True), quiet),
        (fit(percent(tally.rate if tally.episodes else None), 7, right=True), quiet or "bold"),
        ("  ", ""),
    ]
    if width >= 90:
        spans.append((fit(interval, 14), "dim"))
    return (*spans, (candidate.idea.hypothesis, quiet))


def _of(success: int, episodes: int) -> str:
    return f"{success}/{episodes}" if episodes else "-"


def detail(moment: Moment, idea_id: str, width: int) -> list[Line]:
    """One idea in words: what it claims, from what, and what was decided."""
    candidate = moment.state.run.candidates.get(idea_id)
    if candidate is None:
        return []
    idea = candidate.idea
    told = f"{idea.hypothesis}. Prediction (a claim): {idea.prediction or 'none'}."
    source = f"from {idea.parent or 'nothing'}"
    if idea.borrowed_from:
        source += f", borrowed from {idea.borrowed_from}"
    return [
        (
            (fit(idea.idea_id, 10), "bold"),
            (f"{idea.kind}, {source}, commit {idea.commit[:10]}", "dim"),
        ),
        ((fit(told, width), ""),),
        ((fit(candidate.detail or "not decided yet", width), "dim"),),
    ]
