"""The run on a terminal without the control room: calm, one screen, repainted four times a second.

What is painted is a pure function of the folded journal and the last status; Rich is only asked to
keep it in place.
"""

from pathlib import Path
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from enpire_tui.run_spec import RunSpec
from enpire_tui.supervisor import selection
from enpire_tui.supervisor.state import BASELINE, RunState, apply
from robots.wire import events as ev
from robots.wire.records import Counts
from robots.wire.replies import StationSummary, SupervisorStatus
from robots.wire.rows import Row

REFRESH_HZ = 4.0
DECISIONS = 6
BAR_WIDTH = 28
CLIMB_WIDTH = 60
BLOCKS = "▁▂▃▄▅▆▇█"

GLYPHS = {
    "EXECUTING": ("▶", "green"),
    "EXPLORING": ("◇", "cyan"),
    "QUEUED": ("·", "white"),
    "IDLE": ("·", "bright_black"),
    "HELD": ("■", "yellow"),
    "QUARANTINED": ("✖", "red"),
    "LOST": ("?", "red"),
}


class LiveDisplay:
    """Shows a run while it is followed."""

    def __init__(self, spec: RunSpec, console: Console | None = None) -> None:
        self._spec = spec
        self._state = RunState()
        self._status: SupervisorStatus | None = None
        self._decisions: list[ev.CandidateDecided | ev.ConfirmFinished] = []
        self._live = Live(
            console=console or Console(), refresh_per_second=REFRESH_HZ, get_renderable=self.paint
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def row(self, row: Row) -> None:
        """Folds a row of the supervisor's journal."""
        apply(self._state, row.seq, row.event)
        match row.event:
            case ev.CandidateDecided() | ev.ConfirmFinished():
                self._decisions = [*self._decisions, row.event][-DECISIONS:]
            case _:
                pass

    def status(self, status: SupervisorStatus) -> None:
        """Takes in the run's state at this moment."""
        self._status = status

    def paint(self) -> RenderableType:
        """The whole screen."""
        status = self._status
        parts: list[RenderableType] = [self._head(status)]
        if status is not None:
            parts += [_time(status), _champion(status), _climb(self._state, status.elapsed_s)]
            parts.append(_stations(status.stations))
        parts += [_decision(each) for each in self._decisions]
        return Group(*parts)

    def _head(self, status: SupervisorStatus | None) -> Text:
        spec = self._spec
        text = Text(f"{spec.task}  run {spec.run_id}", style="bold")
        backend = "search agent, not a language model" if spec.backend == "search" else spec.backend
        text.append(f"  {len(spec.stations)} stations  {backend}", style="not bold bright_black")
        if status is not None:
            text.append(f"  {status.state}", style="not bold")
        if spec.unsandboxed:
            text.append("  UNSANDBOXED", style="bold red")
        return text


def _time(status: SupervisorStatus) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=status.minutes * 60, completed=status.elapsed_s, width=BAR_WIDTH)
    said = f"{status.elapsed_s / 60:.1f} of {status.minutes:g} min"
    table.add_row("time    ", bar, said)
    return table


def _champion(status: SupervisorStatus) -> RenderableType:
    low, high = status.champion_interval
    table = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=1.0, completed=status.champion_rate, width=BAR_WIDTH)
    said = f"{status.champion_rate:.1%} [{low:.1%}, {high:.1%}]" if status.champion_episodes else ""
    table.add_row("champion", bar, said)
    counts = Text(
        f"{'':9}{status.champion or 'none'}, {status.champion_success} of "
        f"{status.champion_episodes} fresh  ideas {status.ideas}, adopted {status.adopted}, "
        f"confirms {status.confirms}",
        style="bright_black",
    )
    return Group(table, counts)


def _climb(state: RunState, elapsed_s: float) -> Text:
    """The champion's rate over research time, at its adoption."""
    text = Text("climb    ")
    baseline = state.candidates.get(BASELINE)
    if not elapsed_s or baseline is None or not baseline.fresh.episodes:
        return text
    points = [(point.elapsed_s, point.rate) for point in state.climb]
    rate = baseline.fresh.rate
    cells: list[str] = []
    for column in range(CLIMB_WIDTH):
        until_s = elapsed_s * (column + 1) / CLIMB_WIDTH
        while points and points[0][0] <= until_s:
            rate = points.pop(0)[1]
        cells.append(BLOCKS[min(len(BLOCKS) - 1, int(rate * len(BLOCKS)))])
    text.append("".join(cells), style="green")
    return text


def _stations(stations: tuple[StationSummary, ...]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    for each in stations:
        word = each.word if each.link == "ONLINE" else "LOST"
        glyph, style = GLYPHS.get(word, ("·", "white"))
        done = f"{each.done}/{each.of}" if each.batch_id else ""
        table.add_row(
            Text(f"{glyph} {each.station}", style=style),
            Text(word, style=style),
            Text(each.agent),
            Text(each.idea_id),
            Text(each.purpose),
            Text(done),
            Text(f"busy {each.busy:.0%}", style="bright_black"),
        )
    return table


def _decision(event: ev.CandidateDecided | ev.ConfirmFinished) -> Text:
    if isinstance(event, ev.ConfirmFinished):
        counts = event.counts
        return Text(
            f"confirm {event.confirm} of {event.idea_id}: {event.outcome.value}, "
            f"{counts.success} successes, {counts.failure} failures, {counts.void} void",
            style="bold",
        )
    styles = {"adopted": "green", "promoted": "cyan"}
    return Text(
        f"{event.decision:10}{event.idea_id:12}{event.detail} (champion {event.champion_rate:.2f})",
        style=styles.get(event.decision, "bright_black"),
        overflow="ellipsis",
        no_wrap=True,
    )


def summary(ended: ev.RunEnded, folder: Path) -> str:
    """The run's end for a person."""
    low, high = ended.champion_interval
    confirm = ended.confirm
    told = "none was started"
    if confirm != Counts():
        told = f"{confirm.success} successes, {confirm.failure} failures, {confirm.void} void"
    if confirm.success and not confirm.failure:
        bound = selection.lower_bound_of_row(confirm.success)
        told += f" (one-sided 95% lower bound {bound:.1%})"
    return (
        f"\n{ended.outcome}: {ended.reason}\n"
        f"  champion   {ended.champion[:12]}  {ended.champion_rate:.1%} [{low:.1%}, {high:.1%}] "
        "of fresh sealed episodes\n"
        f"  confirm    {told}; {ended.confirms_failed} confirms failed\n"
        f"  ideas      {ended.ideas}, {ended.adopted} adopted\n"
        f"  time       {ended.seconds / 60:.1f} min, MRU {ended.mru:.0%}\n"
        f"  record     {folder}\n"
    )
