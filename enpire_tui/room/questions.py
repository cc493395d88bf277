"""What is asked of a person before a verb is sent. Pure."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from enpire_tui.room.text import Line

Answers = tuple[str, ...]


def _right(_answers: Answers) -> str:
    return ""


class Watched(NamedTuple):
    """What a question depends on: lines for people, and what must be typed.

    Attributes:
        objection: Why it cannot be confirmed now, "" if it can.
    """

    lines: list[Line]
    objection: str
    word: str = ""


class Question(NamedTuple):
    """What is asked before a verb is sent; `then` takes what was typed.

    Attributes:
        asked: A placeholder for each field.
        word: What the first field must say, "" if it may say anything but nothing.
        watch: How what it depends on stands now; asked again for as long as the question stands.
        check: What is wrong with the answers, "" if nothing is.
    """

    heading: str
    text: str
    asked: tuple[str, ...]
    word: str
    then: Callable[[Answers], None]
    watch: Callable[[], Awaitable[Watched]] | None = None
    check: Callable[[Answers], str] = _right
