"""The journal seam: one append-only journal a daemon, and all state a fold over it.

A *decision* (durable) is on the disk before `append` returns. An *observation* is committed in a
batch, at most 100 ms later or with the next decision. Readers see committed rows only, so what
a follower has seen survives the daemon's death. Used on the daemon's event-loop thread alone.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

from robots.wire.events import AnyEvent
from robots.wire.rows import (
    PAGE_BYTES,
    JournalCorrupt,
    JournalFull,
    JournalPage,
    JournalReplaced,
    JournalTaken,
    RawRow,
    Row,
)
from robots.wire.sqlite_journal import SqliteJournal, read_rows

__all__ = [
    "Journal",
    "JournalCorrupt",
    "JournalFull",
    "JournalPage",
    "JournalReplaced",
    "JournalTaken",
    "RawRow",
    "Row",
    "SqliteJournal",
    "Unsubscribe",
    "read_rows",
    "replay",
]

Unsubscribe = Callable[[], None]


class Journal(Protocol):
    """What daemons store events in; the seam for storage shims in tests."""

    @property
    def journal_id(self) -> str:
        """Changes when a journal starts anew, such as after corruption."""
        ...

    @property
    def last_seq(self) -> int:
        """The last appended row, 0 before the first."""
        ...

    @property
    def committed_seq(self) -> int:
        """The last row that readers see."""
        ...

    def append(self, event: AnyEvent, *, durable: bool) -> int:
        """Append a row and return its seq.

        Raises:
            JournalFull: It cannot be written; nothing was appended.
        """
        ...

    def rows(self, after_seq: int = 0, limit: int = 1000) -> list[Row]:
        """Rows after `after_seq`, oldest first, the daemon's own uncommitted ones among them."""
        ...

    def raw_rows(self, after_seq: int, limit: int, max_bytes: int = PAGE_BYTES) -> list[RawRow]:
        """Committed rows still encoded; at least one if there is one, else up to `max_bytes`."""
        ...

    def subscribe(self, callback: Callable[[int], None]) -> Unsubscribe:
        """Call back with `committed_seq` after each commit, on the same thread."""
        ...

    def flush(self) -> None:
        """Commit pending observations now."""
        ...

    def snapshot(self, state: bytes, seq: int) -> None:
        """Keep the daemon's folded state up to and with row `seq`, in place of the last one."""
        ...

    def load_snapshot(self) -> tuple[bytes, int] | None:
        """The last snapshot's state and seq."""
        ...

    def close(self) -> None:
        """Commit what is pending and let go."""
        ...


def replay(journal: Journal) -> Iterator[Row]:
    """Every row, oldest first, read a page at a time."""
    after_seq = 0
    while rows := journal.rows(after_seq):
        yield from rows
        after_seq = rows[-1].seq
