"""A transcript under review as rows, and what stands above it. Pure."""

import re
from collections.abc import Iterator, Sequence

from enpire_tui.review.session import Session
from enpire_tui.review.transcript import KIND_WIDTH, Filter
from enpire_tui.room.text import Line, Span, wrap
from enpire_tui.room.views.pieces import bar, spread

TIME_WIDTH = 9
BAR_WIDTH = 12
CACHED = 1024

TONES = {
    "agent": "",
    "tool": "work",
    "result": "dim",
    "system": "faint",
    "person": "note",
    "idea": "bold",
    "commit": "note",
    "decision": "good",
    "state": "faint",
    "note": "warn",
    "tokens": "faint",
    "run": "dim",
}


class ReviewRows:
    """The filtered lines of a session, hits marked; keys are numbers of lines."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._selection = session.selection
        search = session.search
        self._pattern = search.pattern if search is not None else None
        self._known: dict[tuple[int, int], Line] = {}

    def is_of(self, session: Session) -> bool:
        """Whether these rows still show what a session holds."""
        search = session.search
        pattern = search.pattern if search is not None else None
        same = session is self._session and session.selection is self._selection
        return same and pattern == self._pattern

    def __len__(self) -> int:
        return len(self._selection)

    def key(self, index: int) -> str:
        return str(self._selection[index])

    def find(self, key: str) -> int | None:
        line = int(key)
        place = self._selection.place_of(line)
        return place if place < len(self) and self._selection[place] == line else None

    def line(self, index: int, width: int) -> Line:
        number = self._selection[index]
        known = self._known.get((number, width))
        if known is None:
            if len(self._known) >= CACHED:
                self._known.clear()
            known = self._known[number, width] = self._line(number, width)
        return known

    def _line(self, number: int, width: int) -> Line:
        transcript = self._session.transcript
        text = transcript.text(number)
        tone = "bad" if transcript.is_error(number) else TONES[transcript.kind(number)]
        kind_at = len(text.split(" ", 1)[0]) + 1 + transcript.name_width + 1
        parts = (
            (text[:TIME_WIDTH], "faint"),
            (text[TIME_WIDTH:kind_at], "dim"),
            (text[kind_at : kind_at + KIND_WIDTH + 1], tone or "dim"),
            (text[kind_at + KIND_WIDTH + 1 :][: 2 * width], tone),
        )
        if self._pattern is None:
            return parts
        shown = "".join(part for part, _ in parts)
        return tuple(marked(parts, [each.span() for each in self._pattern.finditer(shown)]))


def marked(parts: Sequence[Span], found: Sequence[tuple[int, int]]) -> Iterator[Span]:
    """The same spans with what was found in reverse."""
    at = 0
    for text, tone in parts:
        done = 0
        for start, end in found:
            first, last = max(start - at, done), min(end - at, len(text))
            if first < last:
                yield text[done:first], tone
                yield text[first:last], f"reverse {tone}".rstrip()
                done = last
        yield text[done:], tone
        at += len(text)


def head(session: Session, place: int, width: int) -> Line:
    """Which run this is, where one is in it, and what is going on."""
    run, transcript, selection = session.transcript.run, session.transcript, session.selection
    left: list[Span] = [(f" {run.run_id} ", "bold"), (f"{run.outcome or 'live'} ", "note")]
    if selection.filter != Filter():
        wanted = selection.filter
        words = " ".join(filter(None, (wanted.agent, wanted.kind, wanted.idea)))
        left.append((f"only {words} ", "warn"))
    if session.notice:
        left.append((f"{session.notice} ", "bold warn"))
    if len(selection):
        line = selection[place]
        left.append((f"{place + 1:,} of {len(selection):,} ", ""))
        turn, agent = transcript.turn(line), transcript.agent(line)
        if turn:
            left.append((f"{agent} turn {turn} ", "dim"))
            spent = 0 if session.reading else session.turn_tokens(line)
            left += [(f"{spent:,} tokens ", "dim")] if spent else []
    else:
        left.append(("nothing to show ", "dim"))
    return spread(tuple(left), _doing(session, place), width)


def _doing(session: Session, place: int) -> Line:
    if session.reading:
        return (
            (f"reading {len(session.transcript):,} ", "note"),
            *_bar(session.transcript.progress),
        )
    search = session.search
    if search is None:
        return ()
    if session.searching:
        return (("searching ", "note"), *_bar(search.progress))
    hits = session.hits()
    at = int(hits.searchsorted(place, side="right"))
    return ((f"{at:,} of {len(hits):,} hits of {search.query.text} ", "key"),)


def _bar(share: float) -> Line:
    return bar(share, BAR_WIDTH, "work")


_CHANGES = ((re.compile(r"\+(?!\+\+)"), "good"), (re.compile(r"-(?!--)"), "bad"))


def opened(rows: Sequence[str], width: int) -> list[Line]:
    """An opened row, wrapped."""
    return [
        ((part, "dim" if n else ""),) for row in rows for n, part in enumerate(wrap(row, width))
    ]


def change(rows: Sequence[str], width: int) -> list[Line]:
    """A diff: what came and what went in their tones, long lines wrapped."""
    told: list[Line] = []
    for row in rows:
        tone = next((tone for sign, tone in _CHANGES if sign.match(row)), "")
        if row.startswith(("@@", "diff ", "index ", "--- ", "+++ ")):
            tone = "note" if row.startswith("@@") else "dim"
        told += [((part, tone),) for part in wrap(row, width)]
    return told
