"""Training jobs of every box, above the chosen one's curves and log."""

from collections.abc import Iterable
from typing import ClassVar

from textual.containers import Vertical
from textual.widget import Widget

from enpire_tui.room.actions import JOBS, Where
from enpire_tui.room.line_list import FixedRows, LineList, lines
from enpire_tui.room.moment import Moment
from enpire_tui.room.screens.base import RoomScreen, pane, room_of
from enpire_tui.room.text import Line
from enpire_tui.room.training import JobDetail
from enpire_tui.room.views import job_list, plot

# Lines of the pane beside its rows, and by which part of the screen it is bounded.
FRAME, MOST, MOST_SHORT = 3, 3, 4


class JobsScreen(RoomScreen):
    """See the module."""

    NAME: ClassVar[str] = JOBS

    def __init__(self) -> None:
        super().__init__()
        self._given = 0
        self._drawn: tuple[object, ...] = ()
        self._curves: list[Line] = []

    def body(self) -> Iterable[Widget]:
        yield pane(
            "Jobs",
            LineList(cursor=False, id="jobs-head", classes="one").unfocusable(),
            LineList(id="all-jobs", classes="main"),
            id="all-jobs-pane",
        )
        yield Vertical(
            pane(
                "Training",
                LineList(cursor=False, id="job-facts").unfocusable(),
                LineList(cursor=False, id="curves").unfocusable(),
                id="curves-pane",
            ),
            pane("Log", LineList(cursor=False, id="console"), id="console-pane"),
            id="job-detail",
        )

    def where(self, moment: Moment) -> Where:
        return Where(moment, self.NAME, "", job=moment.jobs.find(self.list("all-jobs").chosen))

    def on_screen_suspend(self) -> None:
        """Nobody looks at the jobs any more."""
        boxes = room_of(self).connected.boxes
        if boxes is not None:
            boxes.look_away()

    def paint_body(self, moment: Moment) -> None:
        jobs, listed = moment.jobs, self.list("all-jobs")
        self._share_out(max(1, len(jobs.seen)))
        width = listed.wide
        self.head("all-jobs-pane", job_list.heading(jobs, width))
        self.list("jobs-head").show(lines([job_list.header(width)]))
        rows = FixedRows(job_list.rows(jobs, width))
        listed.show(rows if jobs.seen else lines(job_list.nothing(jobs)))
        chosen = jobs.find(listed.chosen)
        boxes = room_of(self).connected.boxes
        if boxes is not None:
            boxes.look(chosen)
        detail = jobs.detail
        if chosen is None or detail is None or detail.key != chosen.key:
            detail = None
        facts, curves, console = (self.list(name) for name in ("job-facts", "curves", "console"))
        self.head("curves-pane", chosen.status.job_id if chosen is not None else "Training")
        if chosen is None:
            for each in (facts, curves, console):
                each.show(lines([]))
            return
        facts.show(lines(job_list.facts(chosen, detail, facts.wide)))
        curves.show(lines(self._plot(detail, curves.wide, curves.size.height)))
        console.show(lines(job_list.tail(detail, console.wide, console.size.height)))

    def _plot(self, detail: JobDetail | None, width: int, height: int) -> list[Line]:
        """The curves, drawn anew only when they grew."""
        found = detail.curves if detail is not None else {}
        # What is thinned changes its length as well.
        sizes = tuple((name, len(each.points), each.points[-1:]) for name, each in found.items())
        now = (detail.key if detail is not None else "", sizes, width, height)
        if now != self._drawn:
            self._drawn = now
            curves = {name: each.points for name, each in found.items()}
            self._curves = plot.plot(curves, width, height)
        return self._curves

    def _share_out(self, jobs: int) -> None:
        """The list gets the lines it needs, up to a part of the screen."""
        part = MOST_SHORT if self.has_class("-short") else MOST
        most = max(FRAME + 2, self.size.height // part)
        given = min(jobs + FRAME, most)
        if given != self._given:
            self._given = given
            self.pane("all-jobs-pane").styles.height = given

    def on_line_list_moved(self) -> None:
        self.paint_body(room_of(self).moment())
