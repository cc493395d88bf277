"""The one list of the control room: lines of spans, painted row by row when their text changed.

Fleet, episodes, events, transcripts and every pane of fixed lines use this widget. It asks its
`Rows` only for the rows that are on the screen, so a million of them page as fast as ten; a paint
that changes one row repaints one row. The cursor is bound to a row's key: rows may be sorted,
filtered, inserted and taken away under it, and it stays with what the person had chosen.

    rows = FixedRows([("s1", (("▶ ", "good"), ("s1", "bold"))), ...])
    fleet = LineList(id="fleet")
    fleet.show(rows)                 # at each paint; repaints what changed
    fleet.chosen                     # key under the cursor, "" if there is none
    class MyScreen: on_line_list_entered(message)  # enter or a second click: message.key

Lazy sources implement `Rows`; `line` is called for visible rows at each `show`, and must be cheap
(cache it, or return the same tuple). Spans are (text, tone); see `tones`. All text is cleaned here
once more, whatever its source did.
"""

# Textual leaves the type of an app's result open in places.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Sequence
from typing import ClassVar, Protocol, Self

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import App
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from enpire_tui.room.text import ELLIPSIS, FAR, Line, changed_cells, clean
from enpire_tui.room.tones import Palette


class Rows(Protocol):
    """What a list shows."""

    def __len__(self) -> int: ...

    def key(self, index: int) -> str:
        """What the row is, however the rows are ordered; unique, never ""."""
        ...

    def find(self, key: str) -> int | None:
        """Where a key's row is now."""
        ...

    def line(self, index: int, width: int) -> Line:
        """The row's text for this many cells; longer ones are cut."""
        ...


class FixedRows:
    """Rows that are all there: key and line."""

    def __init__(self, rows: Sequence[tuple[str, Line]] = ()) -> None:
        self._rows = rows
        self._places = {key: index for index, (key, _) in enumerate(rows)}

    def __len__(self) -> int:
        return len(self._rows)

    def key(self, index: int) -> str:
        return self._rows[index][0]

    def find(self, key: str) -> int | None:
        return self._places.get(key)

    def line(self, index: int, width: int) -> Line:
        del width
        return self._rows[index][1]


def lines(texts: Sequence[Line]) -> FixedRows:
    """Rows without an identity of their own: a pane's text."""
    return FixedRows([(str(index), line) for index, line in enumerate(texts)])


class LineList(ScrollView, can_focus=True):
    """See the module.

    Args:
        cursor: Whether there is one; without, keys scroll.
        follow: Stay at the end while new rows come, until the person moves away from it.

    Attributes:
        following: Whether the end is being followed now.
    """

    DEFAULT_CSS = """
    LineList { overflow-x: hidden; scrollbar-size-vertical: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("up,k", "move(-1)", "up"),
        ("down,j", "move(1)", "down"),
        ("pageup", "page(-1)", "page up"),
        ("pagedown,space", "page(1)", "page down"),
        ("home", f"move(-{FAR})", "first"),
        ("end", f"move({FAR})", "last"),
        ("enter", "enter", "open"),
    ]

    class Moved(Message):
        """The cursor went to another row."""

        def __init__(self, widget: "LineList", key: str) -> None:
            self.widget = widget
            self.key = key
            super().__init__()

        @property
        def control(self) -> "LineList":
            return self.widget

    class Entered(Message):
        """A row was opened."""

        def __init__(self, widget: "LineList", key: str) -> None:
            self.widget = widget
            self.key = key
            super().__init__()

        @property
        def control(self) -> "LineList":
            return self.widget

    def __init__(
        self,
        *,
        cursor: bool = True,
        follow: bool = False,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._cursor = cursor
        self._follow = follow
        self._rows: Rows = FixedRows()
        self._key = ""
        self._index = 0
        self._painted: dict[int, Line] = {}
        self._palette: Palette | None = None
        self.following = follow

    def unfocusable(self) -> Self:
        """For panes that are only looked at: keys never go there."""
        self.can_focus = False
        return self

    # --- rows -------------------------------------------------------------------------------

    def show(self, rows: Rows) -> None:
        """Take these rows from now on and repaint those that read differently."""
        before, self._rows = self._index, rows
        if len(rows) != self.virtual_size.height:
            self.virtual_size = Size(0, len(rows))
        self._rebind()
        if self.following:
            self.scroll_to(y=FAR, animate=False, force=True, immediate=True)
            if self._cursor and self._rows:
                self._bind(len(rows) - 1)
        elif self._index != before and self._cursor:
            # The cursor's row moved: it stays where it was on the screen as far as it can.
            self.scroll_to(
                y=self.scroll_offset.y + self._index - before, animate=False, immediate=True
            )
        self._repaint()

    def choose(self, key: str) -> None:
        """Put the cursor on a key's row, if there is one."""
        index = self._rows.find(key)
        if index is not None:
            self._go(index)

    @property
    def chosen(self) -> str:
        """Key under the cursor, "" if there is none."""
        return self._key if self._cursor else ""

    @property
    def wide(self) -> int:
        """Cells of a row, without the scrollbar; at least one, also before there is a layout."""
        return max(1, self.scrollable_content_region.width)

    def _rebind(self) -> None:
        count = len(self._rows)
        if not self._cursor or not count:
            self._key, self._index = "", 0
            return
        index = self._rows.find(self._key) if self._key else None
        self._bind(min(self._index, count - 1) if index is None else index)

    def _bind(self, index: int) -> None:
        key = self._rows.key(index)
        changed, self._key, self._index = key != self._key, key, index
        if changed:
            self.post_message(self.Moved(self, key))

    def _repaint(self) -> None:
        """Ask for the rows on the screen whose line is not what was painted last."""
        first, width = self.scroll_offset.y, self.wide
        for y in range(self.size.height):
            index = first + y
            line = self._rows.line(index, width) if index < len(self._rows) else ()
            marked, painted = self._marked(index, line), self._painted.get(index)
            if painted is None:
                self.refresh_line(index)
            elif painted != marked:
                # Only the cells that differ go to the terminal, which may be a slow link away.
                start, end = changed_cells(painted, marked)
                start = min(start, width - 1)
                self.refresh(Region(start, y, max(1, min(end, width) - start), 1))

    def _marked(self, index: int, line: Line) -> Line:
        """The line as it is remembered: the cursor's row reads differently."""
        chosen = self._cursor and index == self._index and len(self._rows) > 0
        return (*line, ("", "cursor" if self.has_focus else "mark")) if chosen else line

    # --- painting ---------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """One row of the screen."""
        width, index = self.wide, self.scroll_offset.y + y
        palette = self._palette or self._make_palette()
        base = self.rich_style
        if index >= len(self._rows):
            self._painted[index] = ()
            return Strip.blank(width, base)
        line = self._marked(index, self._rows.line(index, width))
        self._painted[index] = line
        if len(self._painted) > 4 * max(1, self.size.height):
            self._painted = {index: line}
        if line and line[-1][1] in ("cursor", "mark"):
            base += palette.style(line[-1][1])
        segments = [Segment(clean(text), base + _over(palette, tone)) for text, tone in line]
        strip = Strip(segments)
        if strip.cell_length > width > 0:
            cut = strip.crop(0, width - 1)
            strip = Strip.join([cut, Strip([Segment(ELLIPSIS, base)])])
        return strip.adjust_cell_length(width, base).simplify()

    def _make_palette(self) -> Palette:
        app: App[object] = self.app
        self._palette = Palette(app.theme_variables)
        return self._palette

    def notify_style_update(self) -> None:
        """The theme changed: every tone is another colour."""
        self._palette = None
        super().notify_style_update()

    def watch_has_focus(self, _has_focus: bool) -> None:
        """The cursor's row shows whether keys go here."""
        super().watch_has_focus(_has_focus)
        self.refresh_line(self._index)

    # --- moving -----------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        """Cursor, or the view where there is none, by so many rows."""
        if self._cursor:
            self._go(self._index + by)
        else:
            self._scroll(self.scroll_offset.y + by)

    def action_page(self, pages: int) -> None:
        """The same by screens."""
        self.action_move(pages * max(1, self.size.height - 1))

    def action_enter(self) -> None:
        """Open the row under the cursor."""
        if self.chosen:
            self.post_message(self.Entered(self, self.chosen))

    def on_click(self, event: events.Click) -> None:
        """A click chooses a row, a click on the chosen one opens it."""
        index = self.scroll_offset.y + event.y
        if not self._cursor or not 0 <= index < len(self._rows):
            return
        if index == self._index:
            self.action_enter()
        self._go(index)

    def on_mouse_scroll_up(self) -> None:
        """Whoever looks back does not want to be carried on."""
        self.following = False

    def on_mouse_scroll_down(self) -> None:
        self.following = self._follow and self.scroll_offset.y >= self.max_scroll_y - 3

    def _go(self, index: int) -> None:
        count = len(self._rows)
        if not count:
            return
        index = max(0, min(count - 1, index))
        self.following = self._follow and index == count - 1
        for changed in (self._index, index):
            self.refresh_line(changed)
        self._bind(index)
        top, height = self.scroll_offset.y, max(1, self.size.height)
        if index < top:
            self._scroll(index)
        elif index >= top + height:
            self._scroll(index - height + 1)

    def _scroll(self, y: int) -> None:
        self.scroll_to(y=max(0, min(y, self.max_scroll_y)), animate=False, immediate=True)
        if not self._cursor:
            self.following = self._follow and self.scroll_offset.y >= self.max_scroll_y


def _over(palette: Palette, tone: str) -> Style:
    return palette.style(tone) if tone not in ("cursor", "mark") else Style.null()
