"""The transcripts of a run, live or ended: one list over all its agents, searched and jumped through.

Reading and searching are done in slices between the keys; only the lines on the screen are ever
made. Enter opens a row with the idea it is about and that idea's change.
"""

# Textual leaves the type of an app's result open in places.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import asyncio
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar

from textual.widget import Widget

from enpire_tui.fleet import FleetError
from enpire_tui.review.opened import diff_lines, idea_lines, row_lines
from enpire_tui.review.runs import ReviewedRun, Unreadable, choose, runs
from enpire_tui.review.session import Session
from enpire_tui.room.actions import FLEET, JUMPS, TRANSCRIPTS
from enpire_tui.room.line_list import LineList, lines
from enpire_tui.room.moment import Moment
from enpire_tui.room.screens.base import RoomScreen, pane, room_of
from enpire_tui.room.screens.filter import FilterLine
from enpire_tui.room.views import review

# Of the time in which there is something to do, three quarters: keys come in the rest.
SLICE_S, PAUSE_S = 0.006, 0.002
POLL_S = 0.25
SEARCH = "search: words, or /regular expression"
NARROW = "only lines of: agent, kind, idea (nothing: all lines)"


class ReviewScreen(RoomScreen):
    """See the module.

    Args:
        home: The fleet's folder; None if it is not known here.
        run_id: The run to begin with, "" for the newest.
    """

    NAME: ClassVar[str] = TRANSCRIPTS
    DEFAULT_CSS: ClassVar[str] = """
    ReviewScreen #opened-pane { display: none; height: 45%; }
    ReviewScreen.-opened #opened-pane { display: block; }
    ReviewScreen.-wide #body { layout: horizontal; }
    ReviewScreen.-wide #opened-pane { width: 45%; height: 1fr; }
    ReviewScreen #review-pane { width: 1fr; }
    """

    def __init__(self, home: Path | None, run_id: str = "") -> None:
        super().__init__()
        self._home = home
        self._run_id = run_id
        self._session: Session | None = None
        self._rows: review.ReviewRows | None = None
        self._fault = ""
        self._wake = asyncio.Event()
        self._opened = -1
        self._told: list[str] = []
        self._change: list[str] = []
        self._row_shown = 0
        self._only = ""

    def body(self) -> Iterable[Widget]:
        yield pane(
            "Transcripts, times in UTC",
            LineList(cursor=False, id="review-head", classes="one").unfocusable(),
            LineList(id="review", follow=True, classes="main"),
            FilterLine(),
            id="review-pane",
        )
        yield pane("Row", LineList(cursor=False, id="opened"), id="opened-pane")

    @property
    def session(self) -> Session | None:
        """The look at the present run; None before it is open."""
        return self._session

    @property
    def place(self) -> int:
        """Where the cursor is among the filtered lines."""
        chosen = self.list("review").chosen
        found = self._rows.find(chosen) if self._rows is not None and chosen else None
        return found if found is not None else 0

    # --- reading ----------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Open the run once the screen is there."""
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        self.close_row()
        self._forget(self.list("review"))
        self._fault = ""
        if self._home is None:
            self._fault = "the fleet's folder is not known here"
        else:
            self.run_worker(self._read(self._home), group="review", exclusive=True)

    def _forget(self, shown: LineList) -> None:
        """The list lets go of a transcript before that is closed."""
        self._session = self._rows = None
        shown.show(lines([]))

    async def _read(self, home: Path) -> None:
        """Read and search in slices as long as the screen is seen."""
        session: Session | None = None
        shown = self.list("review")
        try:
            session = self._session = Session(choose(home, self._run_id))
            shown.following = session.transcript.run.live
            while True:
                more = self.is_active and session.work(SLICE_S, time.monotonic)
                if self._only and self.is_active and not more:
                    self._narrow_now(session)
                target = session.take_target()
                if target is not None:
                    self._go(target)
                await self._rest(PAUSE_S if more else POLL_S)
        except (Unreadable, FleetError, OSError) as fault:
            self._fault = str(fault)
        finally:
            if session is not None:
                if session is self._session:
                    self._forget(shown)
                session.close()

    async def _rest(self, seconds: float) -> None:
        self._wake.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return

    # --- painting ---------------------------------------------------------------------------

    def paint_body(self, moment: Moment) -> None:
        del moment
        self.paint_review()

    def paint_review(self) -> None:
        """Show what is known of the transcript now."""
        head, shown, session = self.list("review-head"), self.list("review"), self._session
        if session is None:
            tone = "bad" if self._fault else "dim"
            head.show(lines([((f" {self._fault or 'opening'}", tone),)]))
            shown.show(lines([]))
            return
        if self._rows is None or not self._rows.is_of(session):
            self._rows = review.ReviewRows(session)
        shown.show(self._rows)
        head.show(lines([review.head(session, self.place, head.wide)]))
        self._paint_row()

    def _go(self, place: int) -> None:
        """Put the cursor on a line."""
        self.paint_review()
        if self._rows is not None and 0 <= place < len(self._rows):
            self.list("review").choose(self._rows.key(place))
        self.paint_review()

    # --- an opened row ----------------------------------------------------------------------

    def on_line_list_entered(self, message: LineList.Entered) -> None:
        """Open the row under the cursor."""
        session = self._session
        if session is None:
            return
        line, transcript = int(message.key), session.transcript
        try:
            told = row_lines(transcript, line)
        except Unreadable as fault:
            session.notice = str(fault)
            return
        story = transcript.ideas.get(transcript.idea(line))
        self._opened, self._told, self._change = line, told, []
        if story is not None:
            self._told = [*told, "", *idea_lines(story)]
            if story.commit:
                self._change = ["", "reading the change"]
                asked = self._read_change(transcript.run, story.commit, line)
                self.run_worker(asked, group="change", exclusive=True)
        self._row_shown = 0
        self.add_class("-opened")

    async def _read_change(self, run: ReviewedRun, commit: str, line: int) -> None:
        change = await asyncio.to_thread(diff_lines, run, commit)
        if line == self._opened:
            self._change, self._row_shown = ["", *change], 0

    def _paint_row(self) -> None:
        """Show the opened row; its pane's width decides where lines break."""
        opened = self.list("opened")
        if self._opened >= 0 and opened.wide != self._row_shown:
            self._row_shown = width = opened.wide
            told = [*review.opened(self._told, width), *review.change(self._change, width)]
            opened.show(lines(told))

    def close_row(self) -> None:
        """Only the list again."""
        self._opened = -1
        self.remove_class("-opened")
        self.list("review").focus()

    # --- keys -------------------------------------------------------------------------------

    def do_search(self) -> None:
        """Let the person type what to look for."""
        self._ask(SEARCH)

    def do_narrow(self) -> None:
        """Let the person type which lines to show."""
        self._ask(NARROW)

    do_filter = do_search

    def narrow_to(self, words: str) -> None:
        """Show only these lines, at their end, once the run is read."""
        self._only = words
        if self._run_id:
            # The fleet's agents of today are in its newest run.
            self._run_id = ""
            self._begin()
        self._wake.set()

    def _narrow_now(self, session: Session) -> None:
        session.narrow(self._only)
        self._only = ""
        self._go(len(session.selection) - 1)

    def _ask(self, placeholder: str) -> None:
        line = self.query_one(FilterLine)
        line.placeholder, line.value = placeholder, ""
        line.open()

    def on_filter_line_left(self) -> None:
        """Take what was typed; an escape takes nothing."""
        line, session = self.query_one(FilterLine), self._session
        line.remove_class("-open")
        self.list("review").focus()
        if session is None:
            return
        if line.placeholder == NARROW:
            chosen = self.list("review").chosen
            session.narrow(line.value)
            self._go(min(session.selection.place_of(int(chosen or 0)), len(session.selection) - 1))
        elif line.value:
            session.find(line.value, self.place)
            self._wake.set()

    def do_next_hit(self) -> None:
        """The next line that was searched for."""
        self._seek(forward=True)

    def do_previous_hit(self) -> None:
        """The one before."""
        self._seek(forward=False)

    def _seek(self, *, forward: bool) -> None:
        if self._session is not None:
            self._session.seek(self.place, forward=forward)
            self._wake.set()

    def jump(self, what: str, *, forward: bool) -> None:
        """To the next or previous line of a sort."""
        if self._session is not None:
            found = self._session.jump(self.place, what, forward=forward)
            if found is not None:
                self._go(found)

    def do_other_run(self) -> None:
        """The run before this one; after the first one the newest."""
        if self._home is None:
            return
        names = [each.run_id for each in runs(self._home)]
        run = self._session.transcript.run.run_id if self._session is not None else self._run_id
        at = names.index(run) + 1 if run in names else 0
        self._run_id = names[at % len(names)] if names else ""
        self._begin()

    def do_back(self) -> None:
        """First gives up a search, then closes an opened row, then leaves the screen."""
        if self._session is not None and self._session.give_up():
            return
        if self._opened >= 0:
            self.close_row()
        else:
            self.leave()

    def leave(self) -> None:
        """Back to the fleet."""
        room_of(self).show(FLEET)


def _jump(what: str, *, forward: bool) -> Callable[[ReviewScreen], None]:
    def do(screen: ReviewScreen) -> None:
        screen.jump(what, forward=forward)

    return do


# `do_next_turn`, `do_previous_turn` and so on, as the registry of actions names them.
for _what in JUMPS:
    setattr(ReviewScreen, f"do_next_{_what}", _jump(_what, forward=True))
    setattr(ReviewScreen, f"do_previous_{_what}", _jump(_what, forward=False))
