"""`enpire-tui review` on a terminal: the transcripts screen by itself, without a fleet behind it."""

# Textual leaves the type of an app's result open in places.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import sys
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input

from enpire_tui.cli import DONE, USAGE
from enpire_tui.room import themes
from enpire_tui.room.actions import ACTIONS, READING, TYPED, Action
from enpire_tui.room.keys import DEFAULT, Keys, KeysError, load, shown
from enpire_tui.room.line_list import LineList, lines
from enpire_tui.room.moment import Moment
from enpire_tui.room.screens.dialogs import HelpScreen
from enpire_tui.room.screens.review import ReviewScreen
from enpire_tui.room.text import Line, Span, fit
from enpire_tui.room.views.menus import LEAST_HEIGHT, LEAST_WIDTH

# What did not change is not sent, so that this does for SSH as well.
PAINT_S = 0.1
OWN = ("filter", "back", "help", "theme", "detach")
TITLES = {"filter": "search", "detach": "leave"}
FOOTER = ("filter", "next_hit", "narrow", "next_error", "next_decision", "other_run", "detach")


def own_actions() -> list[Action]:
    """What can be done without a fleet."""
    return [each for each in ACTIONS if each.group == READING or each.name in OWN]


class LoneReviewScreen(ReviewScreen):
    """The transcripts and their keys, nothing of a fleet."""

    def __init__(self, home: Path, run_id: str, keys: Keys) -> None:
        super().__init__(home, run_id)
        self._keys = keys

    def compose(self) -> ComposeResult:
        yield Vertical(*self.body(), id="body")
        with Vertical(id="bottom"):
            yield LineList(cursor=False, id="keys").unfocusable()
        yield LineList(cursor=False, id="tiny").unfocusable()

    def paint(self, moment: Moment | None = None) -> None:
        """Show the transcript; there is no fleet whose moment it could be."""
        del moment
        if self.has_class("-tiny"):
            few = f"too small; the review needs {LEAST_WIDTH} by {LEAST_HEIGHT}"
            self.list("tiny").show(lines([((few, "warn"),)]))
            return
        self.list("keys").show(lines([self._footer()]))
        self.paint_review()

    def _repaint(self) -> None:
        self.paint()

    def _footer(self) -> Line:
        titles = {each.name: TITLES.get(each.name, each.title) for each in ACTIONS}
        spans: list[Span] = []
        for name in (*FOOTER, "help"):
            spans += [(f" {shown(self._keys[name][0])} ", "bold key"), (f"{titles[name]} ", "")]
        return tuple(spans)

    def leave(self) -> None:
        """There is nowhere to go back to."""

    def help_lines(self) -> list[Line]:
        """Every key of the review."""
        return [
            (
                (fit(", ".join(map(shown, self._keys[each.name])), 9), "bold key"),
                (TITLES.get(each.name, each.title), ""),
            )
            for each in own_actions()
        ]


class ReviewApp(App[int]):
    """See the module."""

    TITLE = "enpire review"
    CSS_PATH = "room.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            ",".join(DEFAULT[each.name]),
            f"act('{each.name}')",
            each.title,
            id=each.name,
            priority=each.name in TYPED,
        )
        for each in own_actions()
    ]

    def __init__(self, home: Path, run_id: str = "", keys: Keys = DEFAULT) -> None:
        super().__init__()
        self.review = LoneReviewScreen(home, run_id, keys)
        self.animation_level = "none"
        for theme in themes.THEMES:
            self.register_theme(theme)
        self.theme = themes.DARK
        self.set_keymap({each.name: ",".join(keys[each.name]) for each in own_actions()})

    def on_mount(self) -> None:
        """The list comes first; the run is opened behind it."""
        self.push_screen(self.review)
        self.set_interval(PAINT_S, self.paint)

    def paint(self) -> None:
        """One tick of the paint clock."""
        if self.review.composed and self.review.is_attached:
            self.review.paint()

    async def action_quit(self) -> None:
        """Textual's own way out is ours."""
        self.exit(DONE)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Lines to type in are opened ahead of all else, but not by what is typed into one."""
        if action == "act" and parameters[0] in TYPED:
            return self.screen is self.review and not isinstance(self.focused, Input)
        return super().check_action(action, parameters)

    def action_act(self, name: str) -> None:
        """A key of the registry was pressed."""
        doer = self.review if hasattr(self.review, f"do_{name}") else self
        getattr(doer, f"do_{name}")()
        self.paint()

    def do_detach(self) -> None:
        """Leave."""
        self.exit(DONE)

    def do_theme(self) -> None:
        """The next theme."""
        names = themes.NAMES
        self.theme = names[(names.index(self.theme) + 1) % len(names)]

    def do_help(self) -> None:
        """Every key."""
        self.push_screen(HelpScreen(self.review.help_lines()))


def enter(home: Path, run_id: str) -> int:
    """Shows the review until the person leaves."""
    try:
        keys = load()
    except KeysError as error:
        sys.stderr.write(f"enpire-tui: {error}\n")
        return USAGE
    app = ReviewApp(home, run_id, keys)
    app.run()
    return app.return_code or DONE
