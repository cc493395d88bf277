"""The fleet's journal as a list. Pure."""

import time
from collections.abc import Sequence

from enpire_tui.room.state import EventSeen
from enpire_tui.room.text import Line, fit
from enpire_tui.room.views.fleet import matches

STAMP, SOURCE, KIND = 9, 11, 20


class Events:
    """Rows of the events that pass a filter, oldest first; made anew when anything changed.

    Args:
        events: All events, in order.
        wanted: See `fleet.matches`.
        quiet: Whether the many small ones are shown as well.
    """

    def __init__(self, events: Sequence[EventSeen], wanted: str, *, quiet: bool) -> None:
        self._events = [
            each
            for each in events
            if (quiet or not each.quiet)
            and (not wanted or matches(f"{each.source} {each.kind} {each.text}", wanted))
        ]
        self._places: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._events)

    def key(self, index: int) -> str:
        return self._events[index].key

    def find(self, key: str) -> int | None:
        if not self._places:
            self._places = {each.key: index for index, each in enumerate(self._events)}
        return self._places.get(key)

    def line(self, index: int, width: int) -> Line:
        return event_line(self._events[index], width)


def event_line(event: EventSeen, width: int) -> Line:
    """One event."""
    stamp = time.strftime("%H:%M:%S", time.localtime(event.wall_s))
    kind = ((fit(event.kind, KIND), "faint"),) if width >= 110 else ()
    return (
        (fit(stamp, STAMP), "faint"),
        (fit(event.source, SOURCE), "dim"),
        *kind,
        (event.text, event.tone),
    )


def header(width: int) -> Line:
    """Names of the columns."""
    kind = fit("kind", KIND) if width >= 110 else ""
    return ((f"{fit('time', STAMP)}{fit('from', SOURCE)}{kind}what", "dim"),)


def latest(events: Sequence[EventSeen], count: int) -> list[EventSeen]:
    """The last so many events that are not among the quiet ones, oldest first."""
    found: list[EventSeen] = []
    for each in reversed(events):
        if len(found) >= count:
            break
        if not each.quiet:
            found.append(each)
    return found[::-1]
