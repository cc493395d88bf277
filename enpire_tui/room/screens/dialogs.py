"""What is asked before something happens, and help."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from enpire_tui.room.line_list import LineList, lines
from enpire_tui.room.text import Line, wrap

WIDTH = 66


class Dialog(ModalScreen[tuple[str, ...] | None]):
    """Asks for some words; escape takes nothing and does nothing.

    Args:
        heading: What is about to happen.
        text: What a person should know before.
        asked: A placeholder for each field.
        word: What the first field must say, "" if it may say anything but nothing.
    """

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "cancel", "do nothing")]

    def __init__(self, heading: str, text: str, asked: tuple[str, ...], word: str = "") -> None:
        super().__init__()
        self._heading = heading
        self._text = text
        self._asked = asked
        self._word = word

    def compose(self) -> ComposeResult:
        framed = Vertical(
            LineList(cursor=False, id="said").unfocusable(),
            *(Input(placeholder=each, id=f"answer-{i}") for i, each in enumerate(self._asked)),
            classes="dialog",
        )
        framed.border_title = self._heading
        yield framed

    def on_mount(self) -> None:
        self._say("")
        self.query_one("#answer-0", Input).focus()

    def _say(self, objection: str) -> None:
        told: list[Line] = [((part, ""),) for part in wrap(self._text, WIDTH)]
        told += [
            (),
            ((objection or "enter confirms, escape does nothing", "bad" if objection else "dim"),),
        ]
        said = self.query_one("#said", LineList)
        said.show(lines(told))
        said.styles.height = len(told)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The last field confirms; the first one must say the word."""
        fields = [self.query_one(f"#answer-{i}", Input) for i in range(len(self._asked))]
        first = fields[0].value.strip()
        if (self._word and first != self._word) or not first:
            self._say(f"type {self._word} to confirm" if self._word else "there is nothing to send")
            fields[0].focus()
        elif event.input is not fields[-1]:
            fields[fields.index(event.input) + 1].focus()
        else:
            self.dismiss(tuple(field.value.strip() for field in fields))

    def action_cancel(self) -> None:
        """Do nothing."""
        self.dismiss(None)


class HelpScreen(ModalScreen[None]):
    """Every action with its key."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,question_mark,q", "leave", "close")]

    def __init__(self, told: list[Line]) -> None:
        super().__init__()
        self._told = told

    def compose(self) -> ComposeResult:
        framed = Vertical(LineList(cursor=False), id="help", classes="dialog")
        framed.border_title = "Keys"
        yield framed

    def on_mount(self) -> None:
        shown = self.query_one(LineList)
        shown.styles.height = len(self._told)
        shown.show(lines(self._told))
        shown.focus()

    def action_leave(self) -> None:
        """Back to the room."""
        self.dismiss(None)
