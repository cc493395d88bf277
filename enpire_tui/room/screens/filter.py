"""The line in which a list is filtered; opened by `/`, closed by enter or escape."""

from typing import ClassVar

from textual.binding import BindingType
from textual.message import Message
from textual.widgets import Input


class FilterLine(Input):
    """Words that all must be in a row; a word with "!" before it must not be."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "leave", "clear")]

    class Left(Message):
        """The person is done with it; the filter stays."""

    def __init__(self) -> None:
        super().__init__(placeholder="filter: words, !not", id="filter")

    def open(self) -> None:
        """Show and take the keys."""
        self.add_class("-open")
        # At once: `focus` would let keys that are on their way already go to the list.
        self.screen.set_focus(self)

    def action_leave(self) -> None:
        """Clear the filter and go back to the list."""
        self.value = ""
        self._close()

    def on_input_submitted(self) -> None:
        """Keep the filter and go back to the list."""
        self._close()

    def _close(self) -> None:
        self.set_class(bool(self.value), "-open")
        self.post_message(self.Left())
