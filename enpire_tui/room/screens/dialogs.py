"""What is asked before something happens, and help."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from enpire_tui.room.line_list import LineList, lines
from enpire_tui.room.questions import Answers, Question, Watched
from enpire_tui.room.text import Line, wrap

WIDTH = 66
# Lines of the frame and of what stays free about it, and of a field.
AROUND, FIELD = 6, 4
WATCH_EVERY_S = 1.0


class Dialog(ModalScreen[Answers | None]):
    """Asks for some words; escape takes nothing and does nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "cancel", "do nothing")]

    def __init__(self, question: Question) -> None:
        super().__init__()
        self._asked = question
        self._watched = Watched([], "looking", "") if question.watch is not None else None

    def compose(self) -> ComposeResult:
        fields = enumerate(self._asked.asked)
        framed = Vertical(
            LineList(cursor=False, id="said"),
            LineList(cursor=False, id="hint").unfocusable(),
            *(Input(placeholder=each, id=f"answer-{i}") for i, each in fields),
            classes="dialog",
        )
        framed.border_title = self._asked.heading
        yield framed

    def on_mount(self) -> None:
        self._say("")
        self.query_one("#answer-0", Input).focus()
        if self._asked.watch is not None:
            self.run_worker(self._watch(self._asked.watch))

    async def _watch(self, ask: Callable[[], Awaitable[Watched]]) -> None:
        while True:
            self._watched = await ask()
            self._say("")
            await asyncio.sleep(WATCH_EVERY_S)

    def _say(self, objection: str) -> None:
        told: list[Line] = [((part, ""),) for part in wrap(self._asked.text, WIDTH)]
        hint = "enter confirms, escape does nothing"
        if self._watched is not None:
            told += self._watched.lines
            objection = objection or self._watched.objection
            hint = f"type {self._watched.word}; {hint}"
        tone = "bad" if objection else "dim"
        hints: list[Line] = [(), *(((part, tone),) for part in wrap(objection or hint, WIDTH))]
        # The fields are always seen; what does not fit above them is scrolled.
        most = self.size.height - AROUND - FIELD * len(self._asked.asked) - len(hints)
        for name, shown, height in (
            ("#said", told, max(3, min(len(told), most))),
            ("#hint", hints, len(hints)),
        ):
            part = self.query_one(name, LineList)
            if part.styles.height is None or part.styles.height.value != height:
                part.styles.height = height
            part.show(lines(shown))

    def _objection(self, answers: Answers) -> str:
        """Why these answers confirm nothing."""
        watched, word = self._watched, self._asked.word
        if watched is not None:
            if watched.objection:
                return watched.objection
            word = watched.word
        if (word and answers[0] != word) or not answers[0]:
            return f"type {word} to confirm" if word else "there is nothing to send"
        return ""

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The last field confirms; the first one must say the word."""
        fields = [self.query_one(f"#answer-{i}", Input) for i in range(len(self._asked.asked))]
        answers = tuple(field.value.strip() for field in fields)
        first, last = self._objection(answers), event.input is fields[-1]
        objection = first or (self._asked.check(answers) if last else "")
        if objection:
            self._say(objection)
            fields[0 if first else 1].focus()
        elif not last:
            fields[fields.index(event.input) + 1].focus()
        else:
            self.dismiss(answers)

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
