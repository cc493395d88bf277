"""Search over a transcript: a block of its file at a time, so that it can be shown and given up.

A pattern without capital letters finds both cases, as in `less -i`; letters beyond ASCII are found
as they are written. A line is a hit once, however often it matches.
"""

import re
from array import array

from enpire_tui.review.transcript import Transcript
from robots.wire.records import Frozen

BLOCK_BYTES = 1 << 20

_CLASSES = re.compile(r"\\.")


class PatternWrong(ValueError):
    """A regular expression that is none; the message says where."""


class Query(Frozen):
    """What is looked for.

    Attributes:
        regex: Whether `text` is a regular expression (Python's, over the line's UTF-8 bytes).
    """

    text: str
    regex: bool = False

    @property
    def any_case(self) -> bool:
        """Whether capital letters do not matter."""
        text = _CLASSES.sub("", self.text) if self.regex else self.text
        return text == text.lower()

    def pattern(self) -> re.Pattern[str]:
        """The query for text, such as a line on the screen.

        Raises:
            PatternWrong: It is no regular expression.
        """
        if not self.text:
            raise PatternWrong("nothing to look for")
        text = self.text if self.regex else re.escape(self.text)
        try:
            return re.compile(text, re.IGNORECASE | re.ASCII if self.any_case else re.ASCII)
        except re.error as error:
            raise PatternWrong(f"{self.text!r} is no regular expression: {error}") from None


class Search:
    """One query over one transcript; `step` goes on, also over lines that were read since.

    Raises:
        PatternWrong: The query is no regular expression.
    """

    def __init__(self, transcript: Transcript, query: Query) -> None:
        self.query = query
        self.pattern = query.pattern()
        self.hits = array("I")
        self._transcript = transcript
        self._scanned = 0
        self._fold = query.any_case
        self._needle = query.text.encode()
        self._regex = re.compile(self._needle, re.MULTILINE) if query.regex else None

    @property
    def progress(self) -> float:
        """Share of the lines that were searched, 0 to 1."""
        return self._scanned / len(self._transcript) if len(self._transcript) else 1.0

    def step(self) -> bool:
        """Searches the next block; False when every line there is was searched."""
        transcript, first = self._transcript, self._scanned
        if first == len(transcript):
            return False
        start, _ = transcript.span(first)
        last = transcript.line_at(start + BLOCK_BYTES)
        _, end = transcript.span(last)
        block = transcript.read(start, end - start)
        if self._fold:
            block = block.lower()
        self._scan(block, first)
        self._scanned = last + 1
        return self._scanned < len(transcript)

    def _scan(self, block: bytes, line: int) -> None:
        """Notes the lines of a block that match; the block starts with `line`."""
        start = 0
        while (at := self._next(block, start)) >= 0:
            line += block.count(b"\n", start, at)
            self.hits.append(line)
            start = block.find(b"\n", at) + 1
            line += 1

    def _next(self, block: bytes, start: int) -> int:
        """Where the next line that matches has its match, -1 if there is none."""
        if self._regex is None:
            return block.find(self._needle, start)
        while start < len(block):
            match = self._regex.search(block, start)
            if match is None:
                return -1
            end = block.find(b"\n", match.start())
            if end < 0:
                return -1
            if match.end() <= end:
                return match.start()
            # The match reaches into the next line: this one counts if it matches by itself.
            begin = block.rfind(b"\n", 0, match.start()) + 1
            alone = self._regex.search(block, max(start, begin), end)
            if alone is not None:
                return alone.start()
            start = end + 1
        return -1


def find(transcript: Transcript, query: Query) -> "array[int]":
    """Numbers of all lines that match, at once.

    Raises:
        PatternWrong: The query is no regular expression.
    """
    search = Search(transcript, query)
    while search.step():
        pass
    return search.hits
