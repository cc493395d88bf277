"""What waits for a person in the whole fleet, the oldest first; enter opens it."""

from collections.abc import Iterable
from typing import ClassVar

from textual.widget import Widget

from enpire_tui.room import inbox
from enpire_tui.room.actions import INBOX, WORKSPACE
from enpire_tui.room.line_list import FixedRows, LineList, lines
from enpire_tui.room.moment import Moment
from enpire_tui.room.screens.base import RoomScreen, pane, room_of
from enpire_tui.room.views import inbox as view


class InboxScreen(RoomScreen):
    """See the module."""

    NAME: ClassVar[str] = INBOX

    def __init__(self) -> None:
        super().__init__()
        self._items: dict[str, inbox.Item] = {}

    def body(self) -> Iterable[Widget]:
        yield pane(
            "Inbox",
            LineList(cursor=False, id="inbox-head", classes="one").unfocusable(),
            LineList(id="inbox", classes="main"),
            LineList(cursor=False, id="inbox-detail").unfocusable(),
            id="inbox-pane",
        )

    @property
    def station(self) -> str:
        item = self._items.get(self.list("inbox").chosen)
        return item.station if item is not None else ""

    def paint_body(self, moment: Moment) -> None:
        found = inbox.items(moment)
        self._items = {each.key: each for each in found}
        waiting, detail = self.list("inbox"), self.list("inbox-detail")
        width = waiting.wide
        self.head("inbox-pane", f"Inbox: {len(found)} waiting" if found else "Inbox")
        self.list("inbox-head").show(lines([view.header(width)]))
        waiting.show(FixedRows(view.rows(found, moment.now_wall_s, width)))
        chosen = self._items.get(waiting.chosen)
        detail.show(lines(view.detail(chosen, detail.wide, detail.size.height)))

    def on_line_list_moved(self) -> None:
        self.paint_body(room_of(self).moment())

    def on_line_list_entered(self, message: LineList.Entered) -> None:
        item = self._items[message.key]
        if item.kind == inbox.APPROVAL:
            room_of(self).show_approval(item.station, item.subject)
        elif item.kind == inbox.QUESTION:
            room_of(self).act("answer_agent")
        elif item.station:
            room_of(self).show(WORKSPACE, item.station)
