"""What every screen has: the top lines, the orders and keys below, and what is left when it is too small."""

# Textual leaves the type of an app's result open in places.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Iterable
from typing import ClassVar, Protocol, cast

from textual import events
from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.screen import Screen
from textual.widget import Widget

from enpire_tui.room.actions import Where
from enpire_tui.room.feed import Feed
from enpire_tui.room.keys import Keys
from enpire_tui.room.line_list import LineList, lines
from enpire_tui.room.moment import Moment
from enpire_tui.room.views import menus, top

WIDE, SHORT = 120, 34


class Room(Protocol):
    """What screens ask of the app."""

    keys: Keys
    remote: bool

    @property
    def connected(self) -> Feed:
        """The fleet's connections."""
        ...

    def moment(self) -> Moment:
        """What is known now."""
        ...

    def act(self, name: str) -> None:
        """Do an action of the registry, or say why not."""
        ...

    def show(self, name: str, station: str = "") -> None:
        """Go to a screen."""
        ...

    def show_transcript(self, agent: str) -> None:
        """Go to what an agent did."""
        ...

    def show_approval(self, station: str, approval_id: str) -> None:
        """Go to an approval's card."""
        ...


def room_of(widget: Widget) -> Room:
    """The app a widget lives in, as the room."""
    app: App[object] = widget.app
    return cast("Room", app)


def pane(heading: str, *children: Widget, id: str) -> Vertical:
    """A framed part of a screen."""
    framed = Vertical(*children, id=id, classes="pane")
    framed.border_title = heading
    return framed


class RoomScreen(Screen[None]):
    """Base of the screens that one goes to by number."""

    NAME: ClassVar[str] = ""
    AUTO_FOCUS: ClassVar[str | None] = "LineList.main"

    composed = False
    """Whether its lists are there; a screen is on the stack before they are."""

    def compose(self) -> ComposeResult:
        yield LineList(cursor=False, id="top").unfocusable()
        yield Vertical(*self.body(), id="body")
        yield Vertical(
            LineList(cursor=False, id="orders").unfocusable(),
            LineList(cursor=False, id="keys").unfocusable(),
            id="bottom",
        )
        yield LineList(cursor=False, id="tiny").unfocusable()

    def on_mount(self) -> None:
        """The lists are there; kept, since they are painted until the very end."""
        self._lists = {str(each.id): each for each in self.query(LineList)}
        self._panes = {str(each.id): each for each in self.query(".pane")}
        self.composed = True

    def body(self) -> Iterable[Widget]:
        """Widgets between the top lines and the keys."""
        raise NotImplementedError

    @property
    def station(self) -> str:
        """The station that verbs go to, "" if none is chosen."""
        return ""

    def where(self, moment: Moment) -> Where:
        """Where a person is who looks at this screen."""
        return Where(moment, self.NAME, self.station)

    def paint(self, moment: Moment) -> None:
        """Show a moment: what is common to all screens, then the screen's own part."""
        room, width = room_of(self), self.size.width
        where = self.where(moment)
        if self.has_class("-tiny"):
            self.list("tiny").show(lines(menus.too_small(where, room.keys, width)))
            return
        orders, now_s = room.connected.orders, room.connected.clock.monotonic()
        self.list("top").show(lines(top.lines(moment, width)))
        self.list("orders").show(lines([top.order_line(orders, now_s, width)]))
        self.list("keys").show(lines([menus.footer(where, room.keys, width)]))
        self.paint_body(moment)

    def paint_body(self, moment: Moment) -> None:
        """Show a moment between the top lines and the keys."""
        raise NotImplementedError

    def list(self, name: str) -> LineList:
        """One of the screen's lists."""
        return self._lists[name]

    def pane(self, name: str) -> Widget:
        """One of the screen's framed parts."""
        return self._panes[name]

    def head(self, name: str, text: str) -> None:
        """Give a pane its title."""
        if self._panes[name].border_title != text:
            self._panes[name].border_title = text

    def on_resize(self, event: events.Resize) -> None:
        """Small screens show less, instead of everything badly."""
        size = event.size
        tiny = size.width < menus.LEAST_WIDTH or size.height < menus.LEAST_HEIGHT
        self.set_class(tiny, "-tiny")
        self.set_class(size.width >= WIDE, "-wide")
        self.set_class(size.height < SHORT, "-short")
        self.repaint_soon()

    def on_screen_resume(self) -> None:
        """Come back to what is true now, not to what was painted when one left."""
        self.repaint_soon()

    def repaint_soon(self) -> None:
        """Paint once the layout is known, without waiting for the clock."""
        self.call_after_refresh(self._repaint)

    def _repaint(self) -> None:
        if self.composed:
            self.paint(room_of(self).moment())
