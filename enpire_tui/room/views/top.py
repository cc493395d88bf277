"""The two lines that are never hidden, and the one above the keys. Pure."""

from enpire_tui.room.moment import Moment
from enpire_tui.room.orders import DONE, PENDING, Order
from enpire_tui.room.text import Line
from enpire_tui.room.tones import state
from enpire_tui.room.views.pieces import bar, clock, spread
from enpire_tui.supervisor import metrics, selection
from robots.wire.records import Mode

ORDER_SHOWN_S = 8.0
_ORDER = {PENDING: ("…", "note"), DONE: ("✓", "good")}


def run_word(moment: Moment) -> str:
    """State word of the run."""
    run = moment.state.run
    if run.run is None:
        return "SETUP"
    if run.ended is not None:
        return "ENDED"
    return "CONFIRMING" if run.confirming is not None else "RUNNING"


def lines(moment: Moment, width: int) -> list[Line]:
    """Mode and attention; then the run's figures."""
    return [_who(moment, width), _figures(moment, width)]


def _who(moment: Moment, width: int) -> Line:
    spec, run = moment.state.spec, moment.state.run
    word = run_word(moment)
    glyph, tone = state(word)
    mode = "AUTONOMOUS" if run.mode is Mode.AUTONOMOUS else "SETUP"
    outcome = f" {run.ended.outcome}" if run.ended is not None else ""
    left: list[tuple[str, str]] = [
        (" enpire ", "bold"),
        (f" {mode} ", "bold reverse" if mode == "AUTONOMOUS" else "bold"),
        (f"  {glyph} {word}{outcome}", f"bold {tone}"),
        (f"  {spec.task}", ""),
    ]
    if spec.unsandboxed:
        left.append(("  UNSANDBOXED", "bold bad"))
    if width >= 110:
        backend = "search agents, no language model" if spec.backend == "search" else spec.backend
        left.append((f"  {spec.run_id}  {backend}", "dim"))
    if moment.notice:
        left.append((f"  {moment.notice}", "note"))
    count, needing = len(moment.state.stations), moment.needing
    right: list[tuple[str, str]] = [
        (f"▶ {moment.moving}/{count} running", "good" if moment.moving else "dim"),
        (f"  ■ {moment.held} held", "warn" if moment.held else "dim"),
        (f"  {needing} need{'s' if needing == 1 else ''} you ", "bold bad" if needing else "dim"),
    ]
    return spread(tuple(left), tuple(right), width)


def _figures(moment: Moment, width: int) -> Line:
    state_, run = moment.state, moment.state.run
    elapsed_s = state_.elapsed_s(moment.now_wall_s)
    minutes = run.run.minutes if run.run is not None else state_.spec.budget.minutes
    mru = metrics.robot_utilisation(tuple(run.figures.values()), run.elapsed_s)
    tokens = metrics.token_utilisation(run.tokens, run.elapsed_s)
    if run.ended is not None:
        mru = run.ended.mru
    left = (
        (" champion ", "dim"),
        *champion(moment, with_name=width >= 70),
    )
    right: Line = (
        ("MRU ", "dim"),
        (f"{mru:.0%}" if run.elapsed_s else "-", ""),
        ("  tok/min ", "dim"),
        (f"{tokens.total:,.0f}" if tokens.total else "-", ""),
        ("  ", ""),
        (clock(elapsed_s), "bold"),
        (f" of {minutes:g} min ", "dim"),
    )
    if width >= 100:
        share = elapsed_s / (60.0 * minutes) if minutes else 0.0
        right = (*right, *bar(share, 16, "note"), (" ", ""))
    return spread(left, right, width)


def champion(moment: Moment, *, with_name: bool = True) -> Line:
    """The champion with its pooled rate, interval and count."""
    run = moment.state.run
    if not run.champion:
        return (("none yet", "dim"),)
    tally = run.champion_tally()
    name: Line = ((f"★ {run.champion} ", "bold good"),) if with_name else ()
    if not tally.episodes:
        return (*name, ("not measured yet", "dim"))
    low, high = selection.wilson_interval(tally)
    return (
        *name,
        (f"{tally.rate:.1%}", "bold"),
        (f" [{low:.0%}, {high:.0%}] of {tally.episodes}", "dim"),
    )


def order_line(orders: list[Order], now_s: float, width: int) -> Line:
    """What became of the last verbs: pending until a daemon answered, then its answer."""
    spans: list[tuple[str, str]] = []
    for order in reversed(orders):
        if order.state != PENDING and now_s - order.ended_s > ORDER_SHOWN_S:
            continue
        glyph, tone = _ORDER.get(order.state, ("✖", "bad"))
        detail = f": {order.detail}" if order.detail else ""
        spans.append((f" {glyph} {order.words} {order.state}{detail} ", tone))
    return spread(tuple(spans[:3]), (), width)
