"""The fleet's journal: everybody's rows by time, filtered."""

from collections.abc import Iterable
from typing import ClassVar

from textual.widget import Widget

from enpire_tui.room.actions import EVENTS
from enpire_tui.room.line_list import LineList, lines
from enpire_tui.room.moment import Moment
from enpire_tui.room.screens.base import RoomScreen, pane, room_of
from enpire_tui.room.screens.filter import FilterLine
from enpire_tui.room.views import events


class EventsScreen(RoomScreen):
    """See the module."""

    NAME: ClassVar[str] = EVENTS

    def __init__(self) -> None:
        super().__init__()
        self._filter = FilterLine()
        self._quiet = False
        self._rows = events.Events()
        self._asked = ("", False)
        self._version = -1

    def body(self) -> Iterable[Widget]:
        yield pane(
            "Events",
            LineList(cursor=False, id="events-head", classes="one").unfocusable(),
            LineList(id="events", follow=True, classes="main"),
            self._filter,
            id="events-pane",
        )

    def paint_body(self, moment: Moment) -> None:
        asked = (self._filter.value, self._quiet)
        if asked != self._asked:
            self._asked, self._version = asked, -1
            self._rows = events.Events(asked[0], quiet=self._quiet)
        self.list("events-head").show(lines([events.header(self.size.width)]))
        if moment.state.version != self._version:
            self._version = moment.state.version
            self._rows.take(moment.state)
            many = "every row" if self._quiet else "without the many small ones (a shows them)"
            self.head("events-pane", f"Events: {len(self._rows)}, {many}")
            self.list("events").show(self._rows)

    def do_all_events(self) -> None:
        """Show the many small rows as well, or no longer."""
        self._quiet = not self._quiet
        self.paint_body(room_of(self).moment())

    def do_filter(self) -> None:
        """Let the person type a filter."""
        self._filter.open()

    def on_filter_line_left(self) -> None:
        self.list("events").focus()

    def on_input_changed(self) -> None:
        self.paint_body(room_of(self).moment())
