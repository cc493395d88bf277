"""The fleet: a row a station above what happened last."""

from collections.abc import Iterable
from typing import ClassVar

from textual.widget import Widget

from enpire_tui.room.actions import FLEET, WORKSPACE
from enpire_tui.room.line_list import FixedRows, LineList, lines
from enpire_tui.room.moment import Moment
from enpire_tui.room.screens.base import RoomScreen, pane, room_of
from enpire_tui.room.screens.filter import FilterLine
from enpire_tui.room.views import events, fleet

# Lines of the pane beside its rows, of the screen's edges, and of the latest events at least.
FRAME, AROUND, LATEST = 3, 4, 5


class FleetScreen(RoomScreen):
    """See the module."""

    NAME: ClassVar[str] = FLEET

    def __init__(self) -> None:
        super().__init__()
        self._filter = FilterLine()
        self._given = 0

    def body(self) -> Iterable[Widget]:
        yield pane(
            "Fleet",
            LineList(cursor=False, id="fleet-head", classes="one").unfocusable(),
            LineList(id="fleet", classes="main"),
            self._filter,
            id="fleet-pane",
        )
        yield pane("Latest", LineList(cursor=False, id="latest").unfocusable(), id="latest-pane")

    @property
    def station(self) -> str:
        return self.list("fleet").chosen

    def paint_body(self, moment: Moment) -> None:
        self._share_out(len(moment.state.stations))
        width = self.list("fleet").wide
        wanted = self._filter.value
        self.list("fleet-head").show(lines([fleet.header(width)]))
        self.list("fleet").show(FixedRows(fleet.rows(moment, width, wanted)))
        latest = self.list("latest")
        seen = events.latest(moment.state.events, latest.size.height)
        told = [events.event_line(each, latest.wide) for each in seen]
        latest.show(lines(told or [(("nothing yet", "dim"),)]))

    def _share_out(self, stations: int) -> None:
        """The fleet gets the lines it needs, and what happened last at least some."""
        asked = stations + FRAME + self._filter.has_class("-open")
        given = max(FRAME + 1, min(asked, self.size.height - LATEST - AROUND))
        if given != self._given:
            self._given = given
            self.pane("fleet-pane").styles.height = given

    def do_filter(self) -> None:
        """Let the person type a filter."""
        self._filter.open()

    def on_filter_line_left(self) -> None:
        self.list("fleet").focus()

    def on_input_changed(self) -> None:
        self.paint_body(room_of(self).moment())

    def on_line_list_entered(self, message: LineList.Entered) -> None:
        room_of(self).show(WORKSPACE, message.key)
