"""A run's transcript as numbered lines: the words in a private file, a few bytes a line in memory.

Lines are appended and never move, so a line's number is its key for cursors and hits. The file has
no name and goes with the process; nothing of a transcript is kept twice on the disk.
"""

import os
import tempfile
import time
from array import array
from collections.abc import Iterator
from typing import Self

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from enpire_tui.home import GATEWAY, SUPERVISOR
from enpire_tui.review import ideas as stories
from enpire_tui.review.column import Column
from enpire_tui.review.journals import JournalMoved, MergedJournals, decoded
from enpire_tui.review.runs import ReviewedRun, Unreadable, locate
from enpire_tui.review.words import KINDS, redact, said
from robots.wire.events import AnyEvent, RunEnded
from robots.wire.records import Frozen
from robots.wire.rows import Row

RUN = "run"
ERROR, TURN = 1, 2
JUMPS = ("turn", "tool", "error", "idea", "decision")
KIND_WIDTH = max(map(len, KINDS))
PAINTED_BYTES = 4096
BLOCK_LINES = 4096

_CODES = {kind: code for code, kind in enumerate(KINDS)}

Lines = npt.NDArray[np.uint32]
Mask = npt.NDArray[np.bool_]
# A line's words, then a number for each column.
Taken = tuple[bytes, int, int, int, int, int, int, int, int, int]


class Filter(Frozen):
    """Which lines are wanted; "" stands for all."""

    agent: str = ""
    kind: str = ""
    idea: str = ""


class Transcript:
    """See the module. Used on one thread; `step` reads on, a batch at a time."""

    def __init__(self, run: ReviewedRun) -> None:
        self.run = run
        self.agents = [*run.agents, RUN]
        self.ideas: dict[str, stories.IdeaStory] = {}
        names = [SUPERVISOR, *((GATEWAY,) if run.gateway else ()), *run.agents]
        self._files = [f"{name}.db" for name in names]
        self._owner = [self._agent(RUN if n in (SUPERVISOR, GATEWAY) else n) for n in names]
        self._journals = MergedJournals([run.journals / file for file in self._files])
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`.
        self._size = 0
        self._idea_names, self._idea_numbers = [""], {"": 0}
        self._turns: dict[int, int] = {}
        self.name_width = max(map(len, self.agents))
        # A column each: 28 bytes a line in all.
        self._sources, self._agents, self._kinds, self._flags = (Column(np.uint8) for _ in range(4))
        self._ideas, self._turn, self._seqs, self._tokens = (Column(np.uint32) for _ in range(4))
        self._ends = Column(np.uint64)
        self._columns = (
            *(self._sources, self._agents, self._kinds, self._flags, self._ideas),
            *(self._turn, self._seqs, self._tokens, self._ends),
        )
        self._clock_s, self._clock = -1, ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._ends)

    def close(self) -> None:
        self._journals.close()
        self._words.close()

    # --- reading on ---

    def step(self) -> bool:
        """Takes in the next rows; False when there are no more for now.

        Raises:
            Unreadable: A journal cannot be read, or another one is in its place.
        """
        try:
            rows = self._journals.step()
        except JournalMoved as moved:
            self._follow_move(moved)
            return True
        if rows:
            taken = [
                self._take(wall_s, source, seq, decoded(body))
                for wall_s, source, seq, body in rows
                if body is not None
            ]
            self._append(taken)
        return not self._journals.caught_up

    def _append(self, taken: list[Taken]) -> None:
        words, *columns = zip(*taken, strict=True)
        try:
            self._words.write(b"".join(words))
            self._words.flush()
        except OSError as error:
            folder = tempfile.gettempdir()
            raise Unreadable(f"no room for a transcript in {folder}: {error}") from None
        for column, values in zip(self._columns, columns, strict=True):
            column.extend(values)

    @property
    def progress(self) -> float:
        """Share of the journals' rows that were read, 0 to 1."""
        readers = self._journals.readers
        total = sum(each.size() for each in readers)
        return sum(each.taken_seq for each in readers) / total if total else 1.0

    def _take(self, wall_s: float, source: int, seq: int, event: AnyEvent) -> Taken:
        kind, text, idea_id, turn, error, tokens, agent = said(event)
        if kind in stories.KINDS:
            stories.apply(self.ideas, event)
        elif isinstance(event, RunEnded):
            self.run = replace(self.run, outcome=event.outcome)
        owner = self._agent(agent) if agent else self._owner[source]
        flags = ERROR if error else 0
        if turn >= 0 and turn != self._turns.get(owner, 0):
            self._turns[owner] = turn
            flags |= TURN
        idea = self._idea_numbers.get(idea_id)
        if idea is None:
            idea = self._idea_numbers[idea_id] = len(self._idea_names)
            self._idea_names.append(idea_id)
        name, at = self.agents[owner], self._time(wall_s)
        line = f"{at} {name:{self.name_width}} {kind:{KIND_WIDTH}} {text}\n"
        words = line.encode("utf-8", "replace")
        self._size += len(words)
        turn = self._turns.get(owner, 0)
        return words, source, owner, _CODES[kind], flags, idea, turn, seq, tokens, self._size

    def _agent(self, name: str) -> int:
        if name not in self.agents:
            self.agents.append(name)
        return self.agents.index(name)

    def _time(self, wall_s: float) -> str:
        second = int(wall_s)
        if second != self._clock_s:
            self._clock_s, self._clock = second, time.strftime("%H:%M:%S", time.gmtime(second))
        return self._clock

    def _follow_move(self, moved: JournalMoved) -> None:
        """The next run's start moves this run's journals; anything else ends this review."""
        run = locate(self.run.home, self.run.run_id)
        readers = zip(self._journals.readers, self._files, strict=True)
        if run is None or not all(each.moved_to(run.journals / file) for each, file in readers):
            raise Unreadable(f"{moved}: another journal is there now; open the review again")
        self.run = run

    # --- one line ---

    def text(self, line: int, limit: int = PAINTED_BYTES) -> str:
        """A line as it is shown, its first `limit` bytes, secrets redacted."""
        start, end = self.span(line)
        content = self.read(start, min(limit, end - start - 1))
        return redact(content.decode(errors="ignore"))

    def row(self, line: int) -> Row:
        """The journal row behind a line, whole.

        Raises:
            Unreadable: It cannot be read.
        """
        return self._journals.readers[self._sources[line]].row(self._seqs[line])

    def agent(self, line: int) -> str:
        return self.agents[self._agents[line]]

    def kind(self, line: int) -> str:
        return KINDS[self._kinds[line]]

    def idea(self, line: int) -> str:
        """The idea a line is about, "" if none."""
        return self._idea_names[self._ideas[line]]

    def turn(self, line: int) -> int:
        return self._turn[line]

    def is_error(self, line: int) -> bool:
        return bool(self._flags[line] & ERROR)

    def span(self, line: int) -> tuple[int, int]:
        """Where a line lies in the file: its first byte and the one after its newline."""
        return (self._ends[line - 1] if line else 0), self._ends[line]

    def line_at(self, byte: int) -> int:
        """The line that a byte of the file belongs to, or the last one."""
        return min(self._ends.place_of(byte, after=True), len(self) - 1)

    def read(self, start: int, size: int) -> bytes:
        """Bytes of the file."""
        return os.pread(self._words.fileno(), size, start)

    # --- many lines ---

    def matching(self, wanted: Filter, start: int = 0) -> Lines:
        """Numbers of the lines from `start` on that a filter lets through."""
        found = np.ones(len(self) - start, np.bool_)
        if wanted.agent:
            code = self.agents.index(wanted.agent) if wanted.agent in self.agents else -1
            found &= self._agents.view()[start:] == code
        if wanted.kind:
            found &= self._kinds.view()[start:] == _CODES[wanted.kind]
        if wanted.idea:
            found &= self._ideas.view()[start:] == self._idea_numbers.get(wanted.idea, -1)
        return (np.flatnonzero(found) + start).astype(np.uint32)

    def marked(self, jump: str) -> Mask:
        """Which lines a jump stops at: one of `JUMPS`."""
        if jump == "turn":
            return (self._flags.view() & TURN) != 0
        if jump == "error":
            return (self._flags.view() & ERROR) != 0
        return self._kinds.view() == _CODES[jump]

    def tokens(self, agent: str = "", turn: int | None = None) -> int:
        """Fresh input and output tokens of an agent, or of one of its turns."""
        wanted = np.ones(len(self), np.bool_)
        if agent:
            wanted &= self._agents.view() == self._agent(agent)
        if turn is not None:
            wanted &= self._turn.view() == turn
        return int(self._tokens.view()[wanted].sum(dtype=np.uint64))

    def counts(self) -> dict[str, int]:
        """Lines by kind."""
        found = np.bincount(self._kinds.view(), minlength=len(KINDS))
        return {kind: int(n) for kind, n in zip(KINDS, found, strict=True) if n}


class Selection:
    """The lines that a filter lets through, in order; grows with the transcript."""

    def __init__(self, transcript: Transcript, wanted: Filter | None = None) -> None:
        self.transcript = transcript
        self.filter = wanted or Filter()
        self._lines = Column(np.uint32)
        self._seen = 0
        self.grow()

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, place: int) -> int:
        return self._lines[place]

    def __iter__(self) -> Iterator[int]:
        for start in range(0, len(self), BLOCK_LINES):
            yield from self._lines.view()[start : start + BLOCK_LINES].tolist()

    def grow(self) -> int:
        """Takes in what was read since; returns how many lines came."""
        before = len(self._lines)
        self._lines.extend(self.transcript.matching(self.filter, self._seen))
        self._seen = len(self.transcript)
        return len(self._lines) - before

    def place_of(self, line: int) -> int:
        """The place of a line, or of the first one after it."""
        return self._lines.place_of(line)

    def jump(self, place: int, jump: str, *, forward: bool) -> int | None:
        """The place of the next or previous line that a jump stops at."""
        marked = self.transcript.marked(jump)[self._lines.view()]
        return _beside(np.flatnonzero(marked), place, forward=forward)

    def among(self, lines: "array[int]") -> npt.NDArray[np.int64]:
        """Places of those of the lines that are in this selection."""
        found = np.frombuffer(lines, np.uint32)
        if len(self) == self._seen:
            return found.astype(np.int64)
        own = self._lines.view()
        places = np.searchsorted(own, found)
        places[places == len(own)] = 0
        return places[own[places] == found] if len(own) else places[:0]


def _beside(places: npt.NDArray[np.int64], place: int, *, forward: bool) -> int | None:
    at = int(np.searchsorted(places, place, side="right" if forward else "left"))
    at = at if forward else at - 1
    return int(places[at]) if 0 <= at < len(places) else None
