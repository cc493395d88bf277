"""The two lines that are never hidden, and the one above the keys. Pure."""

from enpire_tui.room import inbox
from enpire_tui.room.moment import Lease, Moment
from enpire_tui.room.orders import DONE, PENDING, Order
from enpire_tui.room.text import Line, Span
from enpire_tui.room.tones import state
from enpire_tui.room.views.pieces import bar, clock, spread
from enpire_tui.supervisor import metrics, selection
from robots.wire.records import Mode

ORDER_SHOWN_S = 8.0
NARROW, _BARRED, WIDE = 72, 100, 110
_ORDER = {PENDING: ("…", "note"), DONE: ("✓", "good")}


def lines(moment: Moment, width: int) -> list[Line]:
    """Mode and attention; then the run's figures."""
    return [_who(moment, width), _figures(moment, width)]


def _who(moment: Moment, width: int) -> Line:
    spec, run = moment.state.spec, moment.state.run
    word, narrow = run.word, width < _BARRED
    glyph, tone = state(word)
    autonomous = run.mode is Mode.AUTONOMOUS
    mode = ("AUTO" if narrow else "AUTONOMOUS") if autonomous else "SETUP"
    outcome = f" {run.ended.outcome}" if run.ended is not None else ""
    left: list[Span] = [
        (" enpire " if width >= NARROW else "", "bold"),
        (f" {mode} ", "bold reverse" if autonomous else "bold"),
        (f"  {glyph} {word}{outcome}", f"bold {tone}"),
        *_control(moment.lease, width),
        # A task of one's own is named by its folder.
        (f"  {spec.task.rpartition('/')[2]}", ""),
    ]
    if spec.unsandboxed:
        left.append(("  UNSANDBOXED", "bold bad"))
    if moment.notice:
        left.append((f"  {moment.notice}", "note"))
    elif word == "SETUP" and width >= WIDE:
        left.append(("  no policy runs until H hands over", "note"))
    elif width >= WIDE:
        backend = "search agents, no language model" if spec.backend == "search" else spec.backend
        left += [(f"  {backend}", "dim"), (f"  {spec.run_id}", "dim")]
    return spread(tuple(left), _attention(moment, narrow=narrow), width)


def _control(lease: Lease, width: int) -> Line:
    """Who holds the control lease."""
    if lease.free:
        return (("  nobody controls", "dim"),) if width >= NARROW else ()
    who = lease.who if width >= _BARRED else lease.who.partition("@")[0]
    return (("  you control", "good"),) if lease.mine else ((f"  {who} controls", "warn"),)


def _attention(moment: Moment, *, narrow: bool) -> Line:
    """How many work, are held, and need a person."""
    count, waiting = len(moment.state.stations), inbox.items(moment)
    needing = len(waiting)
    running, held, oldest = ("", "", " ") if narrow else (" running", " held", ", oldest ")
    oldest = f"{oldest}{inbox.waited(waiting[0], moment.now_wall_s)}" if waiting else ""
    return (
        (f"▶ {moment.moving}/{count}{running}", "good" if moment.moving else "dim"),
        (f"  ■ {moment.held}{held}", "warn" if moment.held else "dim"),
        (
            f"  {needing} need{'s' if needing == 1 else ''} you{oldest} ",
            "bold bad" if needing else "dim",
        ),
    )


def _figures(moment: Moment, width: int) -> Line:
    state_, run = moment.state, moment.state.run
    elapsed_s = state_.elapsed_s(moment.now_wall_s)
    minutes = run.run.minutes if run.run is not None else state_.spec.budget.minutes
    mru = metrics.robot_utilisation(tuple(run.figures.values()), run.elapsed_s)
    tokens = metrics.token_utilisation(run.tokens, run.elapsed_s)
    if run.ended is not None:
        mru = run.ended.mru
    narrow = width < NARROW
    head: Line = ((" ", ""),) if narrow else ((" champion ", "dim"),)
    gap = " " if narrow else "  "
    right: Line = (
        ("MRU ", "dim"),
        (f"{mru:.0%}" if run.elapsed_s else "-", ""),
        (f"{gap}tok/min ", "dim"),
        (f"{tokens.total:,.0f}" if tokens.total else "-", ""),
        (gap, ""),
        (clock(elapsed_s), "bold"),
        (f" of {minutes:g} min ", "dim"),
    )
    if width >= _BARRED:
        share = elapsed_s / (60.0 * minutes) if minutes else 0.0
        right = (*right, *bar(share, 16, "note"), (" ", ""))
    return spread((*head, *champion(moment)), right, width)


def champion(moment: Moment) -> Line:
    """The champion with its pooled rate, interval and count."""
    run = moment.state.run
    if not run.champion:
        return (("none yet", "dim"),)
    tally = run.champion_tally()
    name: Line = ((f"★ {run.champion} ", "bold good"),)
    if not tally.episodes:
        return (*name, ("not measured yet", "dim"))
    low, high = selection.wilson_interval(tally)
    return (
        *name,
        (f"{tally.rate:.1%}", "bold"),
        (f" [{low:.0%}, {high:.0%}]", "dim"),
        (f" of {tally.episodes}", "dim"),
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
