"""A person at a terminal beside an agent: what is read, what is no answer, what is a yes."""

import asyncio
import contextlib
import os
import tty
from collections.abc import Iterator

import pytest

from agents.authoring.people import Decision, Measured, Proposal
from enpire_tui.beside import Person

HIDDEN = "+    return True  # \x1b[2K\x1b[1A\u202e"


class Terminal:
    """The other end of a terminal whose near end is this process's own."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self._far, near = os.openpty()
        # Nothing is echoed and no line end is changed: what is read is what was written.
        tty.setraw(near)
        os.set_blocking(self._far, False)
        modes = {"stdin": "r", "stdout": "w", "stderr": "w"}
        self._files = {name: os.fdopen(os.dup(near), mode) for name, mode in modes.items()}
        os.close(near)
        self.screen = ""

    def person(self) -> Person:
        """Whoever sits at it; made within a test, where pytest's own streams are in place."""
        for name, file in self._files.items():
            self._patch.setattr(f"sys.{name}", file)
        return Person(json=False)

    def close(self) -> None:
        self._patch.undo()
        for file in self._files.values():
            file.close()
        os.close(self._far)

    def type(self, text: str) -> None:
        os.write(self._far, text.encode())

    async def until(self, text: str, times: int = 1) -> None:
        while self.screen.count(text) < times:
            await asyncio.sleep(0.01)
            with contextlib.suppress(BlockingIOError):
                self.screen += os.read(self._far, 4096).decode()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.delenv("NO_COLOR", raising=False)
    made = Terminal(monkeypatch)
    yield made
    made.close()


def proposal(diff: str = "+new\n") -> Proposal:
    return Proposal(
        reason="Near misses were accepted.",
        changed=("verify.py",),
        diff=diff,
        diff_sha256="ab" * 32,
        before=Measured(),
        after=Measured(),
    )


async def decided(terminal: Terminal, *typed: str, diff: str = "+new\n") -> Decision | None:
    """The decision of someone who types each line when there is a prompt for it."""
    deciding = asyncio.create_task(terminal.person().decide(proposal(diff)))
    for number, each in enumerate(typed, 1):
        await terminal.until("why not> ", number)
        terminal.type(each)
    return await deciding


@pytest.mark.parametrize(
    ("typed", "yes", "words"),
    [
        ("yes\n", True, ""),
        ("YES.\n", True, ""),
        ("yes: thank you\n", True, "thank you"),
        ("no\n", False, ""),
        ("no: too wide\n", False, "too wide"),
        ("the criterion is 10 mm\n", False, "the criterion is 10 mm"),
        ("not yes\n", False, "not yes"),
    ],
)
async def test_only_a_typed_yes_takes_a_change_over(terminal, typed, yes, words) -> None:
    found = await decided(terminal, typed)
    assert found is not None
    assert (found.yes, found.words, found.about) == (yes, words, "ab" * 32)


async def test_what_was_typed_before_the_change_was_shown_is_no_answer_to_it(terminal) -> None:
    terminal.type("yes\n")
    found = await decided(terminal, "no\n")
    assert found is not None
    assert not found.yes


@pytest.mark.parametrize("unclear", ["\n", "y\n", "ok\n", "yes please\n"])
async def test_what_may_be_meant_as_a_yes_is_asked_again(terminal, unclear) -> None:
    deciding = asyncio.create_task(terminal.person().decide(proposal()))
    await terminal.until("why not> ")
    terminal.type(unclear)
    await terminal.until("say why not> ")
    terminal.type("too wide\n")
    found = await deciding
    assert found is not None
    assert (found.yes, found.words) == (False, "too wide")


async def test_nothing_that_an_agent_writes_hides_a_part_of_its_change(terminal) -> None:
    await decided(terminal, "no\n", diff=f"{HIDDEN}\n")
    assert "+    return True  # \\x1b[2K\\x1b[1A\\u202e" in terminal.screen
    assert "\x1b[2K" not in terminal.screen
    assert "\u202e" not in terminal.screen


async def test_a_question_is_answered_by_the_number_of_a_choice_or_in_words(terminal) -> None:
    for typed, wanted in (("2\n", "within 50 mm"), ("3\n", "3"), ("neither\n", "neither")):
        terminal.screen = ""
        answering = terminal.person().answer("How near?", ("within 10 mm", "within 50 mm"))
        task = asyncio.create_task(answering)
        await terminal.until("words> ")
        terminal.type(typed)
        assert await task == wanted
    assert "  2  within 50 mm" in terminal.screen


async def test_long_answers_of_tools_are_cut_and_words_wrapped(terminal) -> None:
    person = terminal.person()
    person.told("tool", f"read_file {'x' * 200}")
    person.told("result", "\n".join(f"row {number}" for number in range(30)))
    person.told("agent", "word " * 40)
    await terminal.until("agent: ")
    await asyncio.sleep(0)
    assert "row 7" in terminal.screen
    assert "row 8" not in terminal.screen
    assert "… 22 more lines" in terminal.screen
    await terminal.until("word", 40)
    assert all(len(row) <= 75 for row in terminal.screen.splitlines())
