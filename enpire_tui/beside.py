"""The person beside an agent that builds an environment: a terminal, or standard input and output.

Words and code of an agent are shown with control and direction characters spelled out: nothing of them
moves the cursor, or hides a part of what a person is asked to take over.
"""

import asyncio
import getpass
import os
import shutil
import sys
import termios
import textwrap
import time

from agents.authoring.people import Decision, Measured, Proposal, figures
from enpire_tui.lines import say

CHUNK_BYTES = 4096
RESULT_ROWS = 8
"""Of an answer of a tool; the agent reads it whole."""

DIM, BOLD, RED, GREEN, CYAN = "2", "1", "31", "32", "36"
_MEANT = ("y", "yes", "yeah", "ok", "")
"""What may be meant as a yes and is none: on a terminal it is asked again."""


class Person:
    """Whoever sits at the terminal, or writes to standard input.

    Args:
        json: Questions and proposals as JSON lines; answers are lines of words all the same.
    """

    def __init__(self, *, json: bool) -> None:
        self.by = getpass.getuser()
        self._json = json
        self._read = b""
        self._terminal = not json and sys.stdin.isatty() and sys.stderr.isatty()
        self._waiting = Waiting()
        self._proposals = 0

    def told(self, role: str, text: str) -> None:
        """Shows a line of the transcript."""
        if self._json:
            say("Line", role=role, text=text)
            return
        self._waiting.end()
        wide = sys.stdout.isatty()
        sys.stdout.write(_in_rows(role, shown(text)) if wide else f"{role}: {shown(text)}\n")
        sys.stdout.flush()
        if self._terminal:
            tool = text.partition(" ")[0]
            self._waiting.begin(f"{shown(tool)} runs" if role == "tool" else "the model is at work")

    async def answer(self, question: str, choices: tuple[str, ...]) -> str | None:
        """Words, or the number of a choice; None at the end of the input."""
        if self._json:
            say("Question", question=question, choices=choices)
            return await self._line()
        offered = [f"{number}  {shown(each)}" for number, each in enumerate(choices, 1)]
        head = _tinted("Question", BOLD)
        rows = [_wrapped(shown(question)), *(_wrapped(each, "  ", "     ") for each in offered)]
        prompt = "a number, or your words> " if choices else "your answer> "
        line = await self._asked("\n".join(["", head, *rows, prompt]), again=prompt, empty=("",))
        if line is not None and line.isdecimal() and 1 <= int(line) <= len(choices):
            return choices[int(line) - 1]
        return line

    async def decide(self, proposal: Proposal) -> Decision | None:
        """A decision: `yes`, or `yes: WORDS`; anything else is a no, with its words."""
        if self._json:
            say("Proposed", proposal)
            line = await self._line()
        else:
            self._proposals += 1
            line = await self._asked(
                f"{_proposed(proposal, self._proposals)}take it over? `yes`, or why not> ",
                again="`yes` in full takes it over; or say why not> ",
                empty=_MEANT,
            )
        if line is None:
            return None
        verdict, _, words = line.partition(":")
        yes = _word(verdict) == "yes"
        told = words.strip() if _word(verdict) in ("yes", "no") else line
        return Decision(yes=yes, words=told, by=self.by, about=proposal.diff_sha256)

    async def _asked(self, prompt: str, again: str, empty: tuple[str, ...]) -> str | None:
        """A line in answer to a prompt.

        Args:
            prompt: With all that is to be read before.
            again: What a terminal is asked with after one that says too little.
            empty: First words that say too little, unless a `yes` stands alone or before a colon.
        """
        self._waiting.end()
        if self._terminal:
            # What was typed before the question was there is no answer to it.
            termios.tcflush(sys.stdin, termios.TCIFLUSH)
            self._read = b""
        _prompt(prompt)
        while (line := await self._line()) is not None:
            first = _word(line.partition(" ")[0])
            clear = first not in empty or _word(line.partition(":")[0]) == "yes"
            if clear or not self._terminal:
                return line
            _prompt(again)
        _prompt("\n")
        return None

    async def _line(self) -> str | None:
        """The next line of standard input, while the gateway goes on; None at its end."""
        descriptor = sys.stdin.fileno()
        while b"\n" not in self._read:
            await _readable(descriptor)
            chunk = os.read(descriptor, CHUNK_BYTES)
            if not chunk:
                return None
            self._read += chunk
        line, _, self._read = self._read.partition(b"\n")
        return line.decode(errors="replace").strip()


class Waiting:
    """A last row that says what is waited for and how long already; only for terminals."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._drawn = False

    def begin(self, what: str) -> None:
        """Begin with it, in the loop that runs."""
        self.end()
        self._task = asyncio.get_running_loop().create_task(self._draw(what))

    def end(self) -> None:
        """Take the row away."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._drawn:
            self._drawn = False
            _prompt("\r\x1b[K")

    async def _draw(self, what: str) -> None:
        began_s = time.monotonic()
        try:
            while True:
                await asyncio.sleep(1.0)
                self._drawn = True
                _prompt(f"\r\x1b[K{what}, {time.monotonic() - began_s:.0f} s ")
        finally:
            if self._task is asyncio.current_task():
                self.end()


def shown(text: str) -> str:
    """Text with whatever is not printable spelled out; line ends and tabs stay."""
    return "".join(
        each if each.isprintable() or each in "\n\t" else each.encode("unicode_escape").decode()
        for each in text
    )


def _in_rows(role: str, text: str) -> str:
    """A line of the transcript for a terminal: what was called in one row, answers in a few."""
    width = _width()
    if role == "tool":
        row = " ".join(f"> {text}".split())
        return _tinted(row if len(row) <= width else f"{row[: width - 1]}…", CYAN) + "\n"
    if role != "result":
        return f"{_wrapped(f'{role}: {text}', after=' ' * (len(role) + 2))}\n"
    rows = _wrapped(text, "  ", "  ").split("\n")
    left = len(rows) - RESULT_ROWS
    if left > 1:
        rows = [*rows[:RESULT_ROWS], f"  … {left} more lines"]
    return _tinted("\n".join(rows), DIM) + "\n"


def _proposed(proposal: Proposal, number: int) -> str:
    """All that a person decides by."""
    head = f"Proposal {number}: {', '.join(proposal.changed)}"
    return "\n".join(
        [
            "",
            _tinted(head, BOLD),
            *(_marked(line) for line in shown(proposal.diff).split("\n")),
            _wrapped(shown(proposal.reason)),
            "",
            *_measured("before", proposal.before),
            *_measured("after", proposal.after),
            "",
        ]
    )


def _marked(line: str) -> str:
    """A line of a difference in its colour."""
    if line.startswith(("---", "+++", "@@")):
        return _tinted(line, DIM)
    return _tinted(line, {"+": GREEN, "-": RED}.get(line[:1], ""))


def _measured(when: str, found: Measured) -> list[str]:
    first, *others = figures(found).split("; ")
    room = " " * 8
    return [
        _wrapped(first, f"{when:8}", room),
        *(_wrapped(each, room, room) for each in others),
    ]


def _word(text: str) -> str:
    return text.strip(" .!,:").lower()


def _width() -> int:
    return max(20, shutil.get_terminal_size().columns - 1)


def _wrapped(text: str, first: str = "", after: str = "") -> str:
    """Rows that fit the terminal, whose own line ends stay; as it is where there is none."""
    if not sys.stderr.isatty():
        return f"{first}{text}"
    rows: list[str] = []
    for line in text.split("\n"):
        start = after if rows else first
        kept = textwrap.wrap(
            line,
            _width(),
            initial_indent=start,
            subsequent_indent=after,
            replace_whitespace=False,
            break_on_hyphens=False,
        )
        rows += kept or [""]
    return "\n".join(rows)


def _tinted(text: str, tone: str) -> str:
    plain = not tone or not sys.stderr.isatty() or not sys.stdout.isatty()
    return text if plain or "NO_COLOR" in os.environ else f"\x1b[{tone}m{text}\x1b[0m"


async def _readable(descriptor: int) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except PermissionError:
        # A regular file, which never makes anyone wait.
        return
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


def _prompt(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
