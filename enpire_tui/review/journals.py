"""Rows of a run's journals in one order of time, read beside the daemons that write them.

Each page is a read transaction of its own, opened read-only, so that no reader keeps a writer from
checkpointing. Bodies that no transcript shows stay on the disk.
"""

import math
import sqlite3
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

from enpire_tui.review.runs import Unreadable
from enpire_tui.review.words import SHOWN
from robots.wire import codec
from robots.wire.events import AnyEvent, Noted
from robots.wire.rows import Row

# A step of this size keeps a screen in motion.
BUFFERED_ROWS = 1000
LEAST_PAGE = 20
# Beside 64 writers, SQLite's own 2 MiB of page cache a reader would be 128 MiB.
CACHE_KIB = 256

# Wall seconds, number of the journal, seq, body; None for a kind that is not shown.
StoredRow = tuple[float, int, int, bytes | None]

_SHOWN = ", ".join(f"'{each}'" for each in sorted(SHOWN))
_PAGE = f"""SELECT wall, ?, seq, CASE WHEN kind IN ({_SHOWN}) THEN body END
FROM rows WHERE seq > ? ORDER BY seq LIMIT ?"""  # noqa: S608 - names of our own types.


class JournalMoved(Exception):
    """Another file, or none, is where a journal was opened."""


class JournalReader:
    """One journal, read on from the last row taken. A journal that is not there yet has no rows."""

    def __init__(self, path: Path, number: int, page_rows: int) -> None:
        self.path = path
        self._number = number
        self._page_rows = page_rows
        self._database: sqlite3.Connection | None = None
        self._inode = 0
        self._taken_seq = 0
        self._wall_s = 0.0
        self.rows: list[StoredRow] = []
        self.more = False

    def fill(self) -> None:
        """Reads the next page if all of the last one was taken; `more` says whether it was full.

        Raises:
            JournalMoved: The file is no longer where it was.
            Unreadable: It cannot be read.
        """
        if self.rows:
            return
        database = self._open()
        if database is None:
            return
        asked = (self._number, self._taken_seq, self._page_rows)
        try:
            rows: list[StoredRow] = database.execute(_PAGE, asked).fetchall()
        except sqlite3.DatabaseError as error:
            raise Unreadable(f"{self.path} cannot be read: {error}") from error
        self.more = len(rows) == self._page_rows
        if rows:
            self._taken_seq = rows[-1][2]
            self.rows = self._forward(rows)
        elif self._inode != self._inode_now():
            raise JournalMoved(str(self.path))

    def take(self, until_wall_s: float) -> list[StoredRow]:
        """The buffered rows up to a moment."""
        cut = bisect_right(self.rows, (until_wall_s, math.inf))
        taken, self.rows = self.rows[:cut], self.rows[cut:]
        return taken

    def row(self, seq: int) -> Row:
        """One row, whole.

        Raises:
            Unreadable: It cannot be read.
        """
        database = self._open()
        assert database is not None, f"{self.path} had rows and is gone"
        query = "SELECT seq, wall, kind, body FROM rows WHERE seq = ?"
        try:
            number, wall_s, kind, body = database.execute(query, (seq,)).fetchone()
        except sqlite3.DatabaseError as error:
            raise Unreadable(f"{self.path} cannot be read: {error}") from error
        return Row(number, wall_s, kind, decoded(body))

    def size(self) -> int:
        """The last seq, for a progress bar."""
        database = self._open()
        if database is None:
            return 0
        try:
            return int(database.execute("SELECT coalesce(max(seq), 0) FROM rows").fetchone()[0])
        except sqlite3.DatabaseError as error:
            raise Unreadable(f"{self.path} cannot be read: {error}") from error

    @property
    def taken_seq(self) -> int:
        """The last seq that was read."""
        return self._taken_seq

    def moved_to(self, path: Path) -> bool:
        """Follows the same file to its new place; False if another file is there."""
        self.path = path
        return self._database is None or self._inode == self._inode_now()

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open(self) -> sqlite3.Connection | None:
        if self._database is None and self.path.exists():
            try:
                self._inode = self._inode_now()
                self._database = sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True)
                self._database.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
            except sqlite3.DatabaseError as error:
                raise Unreadable(f"{self.path} cannot be read: {error}") from error
        return self._database

    def _inode_now(self) -> int:
        try:
            return self.path.stat().st_ino
        except FileNotFoundError:
            return 0

    def _forward(self, rows: list[StoredRow]) -> list[StoredRow]:
        """The rows with times that never go back, as a wall clock may; a journal's order stands."""
        if rows[0][0] < self._wall_s or rows != sorted(rows):
            lifted: list[StoredRow] = []
            for wall_s, number, seq, body in rows:
                self._wall_s = max(self._wall_s, wall_s)
                lifted.append((self._wall_s, number, seq, body))
            rows = lifted
        self._wall_s = rows[-1][0]
        return rows


class MergedJournals:
    """All journals of a run as one sequence of rows."""

    def __init__(self, paths: Sequence[Path]) -> None:
        page_rows = max(LEAST_PAGE, BUFFERED_ROWS // max(1, len(paths)))
        self.readers = [JournalReader(path, n, page_rows) for n, path in enumerate(paths)]
        self.caught_up = False

    def step(self) -> list[StoredRow]:
        """The next rows that are shown, oldest first; `caught_up` once there are no more for now.

        Raises:
            JournalMoved: A journal is no longer where it was.
            Unreadable: A journal cannot be read.
        """
        horizon_s = math.inf
        for reader in self.readers:
            reader.fill()
            if reader.more:
                # What comes after this page is not older than the page's last row.
                horizon_s = min(horizon_s, reader.rows[-1][0])
        self.caught_up = not any(reader.more for reader in self.readers)
        taken = [row for reader in self.readers for row in reader.take(horizon_s)]
        return sorted(row for row in taken if row[3] is not None)

    def close(self) -> None:
        for reader in self.readers:
            reader.close()


def decoded(body: bytes) -> AnyEvent:
    """A row's event; one that is damaged or of another version says so in its place."""
    try:
        return codec.decode_event(body)
    except codec.DecodeError as error:
        return Noted(level="error", text=f"row not understood: {error}")
