"""The fleet's journal as a list. Pure."""

import time
from collections.abc import Sequence

from enpire_tui.room.state import EventSeen, RoomState
from enpire_tui.room.text import Line, fit
from enpire_tui.room.views.fleet import matches

STAMP, SOURCE, KIND = 9, 11, 20


class Events:
    """Rows of the events that pass a filter, oldest first; extended as events come.

    Args:
        wanted: See `fleet.matches`.
        quiet: Whether the many small ones are shown as well.
    """

    def __init__(self, wanted: str = "", *, quiet: bool = False) -> None:
        self._wanted = wanted
        self._quiet = quiet
        self._events: list[EventSeen] = []
        self._taken = 0
        self._order = -1

    def take(self, state: RoomState) -> None:
        """Take in what came since the last time; all anew where the order has changed."""
        if state.order != self._order:
            self._events, self._taken, self._order = [], 0, state.order
        fresh = state.events[self._taken :]
        self._taken += len(fresh)
        self._events += [each for each in fresh if self._passes(each)]

    def _passes(self, each: EventSeen) -> bool:
        if each.quiet and not self._quiet:
            return False
        told = f"{each.source} {each.kind} {each.text}" if self._wanted else ""
        return matches(told, self._wanted)

    def __len__(self) -> int:
        return len(self._events)

    def key(self, index: int) -> str:
        return self._events[index].key

    def find(self, key: str) -> int | None:
        # From the end, where the cursor mostly is.
        places = range(len(self._events) - 1, -1, -1)
        return next((index for index in places if self._events[index].key == key), None)

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
