"""How rows get into the station's journal: at once, or as soon as there is space again.

Decisions of a command are appended before it is answered, or the command is refused. What has
happened already, an outcome, a hold, waits here in order while the disk is full; the batch thread
waits with it, so that no further episode begins that could not be put on record.
"""

import asyncio
import concurrent.futures
import logging
from collections.abc import Callable

from robots.wire.clock import Clock
from robots.wire.events import AnyEvent
from robots.wire.journal import Journal, JournalFull

log = logging.getLogger(__name__)

RETRY_S = 0.5


class Scribe:
    """Appends to one journal and folds each row as it is appended.

    Args:
        journal: The station's.
        clock: For wall times.
        fold: Takes each appended event and its wall time into account.
    """

    def __init__(
        self, journal: Journal, clock: Clock, fold: Callable[[AnyEvent, float], None]
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._fold = fold
        self._loop = asyncio.get_running_loop()
        self._waiting: list[tuple[AnyEvent, bool, concurrent.futures.Future[None]]] = []
        self.full = ""

    def append(self, event: AnyEvent, *, durable: bool = True) -> None:
        """Append a row now.

        Raises:
            JournalFull: Nothing was appended.
        """
        self._journal.append(event, durable=durable)
        self._fold(event, self._clock.wall())

    def note(self, event: AnyEvent) -> None:
        """Append a row about what has taken effect already, now or when there is space."""
        self._take(event, True, concurrent.futures.Future())

    def post(self, event: AnyEvent, durable: bool) -> "concurrent.futures.Future[None]":
        """From another thread: have a row appended; the future is done when it is."""
        done: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._loop.call_soon_threadsafe(self._take, event, durable, done)
        return done

    def _take(
        self, event: AnyEvent, durable: bool, done: "concurrent.futures.Future[None]"
    ) -> None:
        if self._waiting:
            self._waiting.append((event, durable, done))
            return
        try:
            self.append(event, durable=durable)
        except JournalFull as fault:
            self.full = str(fault)
            log.warning("the journal takes nothing: %s", fault)
            self._waiting.append((event, durable, done))
            self._loop.call_later(RETRY_S, self._retry)
            return
        done.set_result(None)

    def _retry(self) -> None:
        """Append what waits for space, in order."""
        waiting, self._waiting = self._waiting, []
        self.full = ""
        for item in waiting:
            self._take(*item)
