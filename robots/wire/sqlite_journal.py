"""The journal on disk: SQLite in WAL mode, one writer, any number of readers."""

import asyncio
import contextlib
import fcntl
import os
import secrets
import sqlite3
from collections.abc import Callable, Generator
from pathlib import Path

import msgspec

from robots.wire import codec
from robots.wire.clock import Clock
from robots.wire.events import AnyEvent, Noted
from robots.wire.rows import (
    PAGE_BYTES,
    JournalCorrupt,
    JournalFull,
    JournalTaken,
    RawRow,
    Row,
    cut_page,
    decode_row,
)

FLUSH_S = 0.1
PENDING_ROWS = 1000  # A batch of this size is committed at once.
PENDING_LIMIT = 50_000  # What is kept in memory while the disk takes nothing.

# After a power loss, rows that followers saw may be gone: seqs jump so that none is given twice.
LOST_TAIL_JUMP = 1_000_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS rows (seq INTEGER PRIMARY KEY, wall REAL, kind TEXT, body BLOB);
CREATE TABLE IF NOT EXISTS snapshot (one INTEGER PRIMARY KEY, seq INTEGER, state BLOB);
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT);
"""

_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class SqliteJournal:
    """See `Journal`. `moved_aside` names the damaged file that `open` replaced, if it did."""

    def __init__(self, path: Path, clock: Clock, lock: int, database: sqlite3.Connection) -> None:
        self._path = path
        self._clock = clock
        self._lock = lock
        self._database = database
        self._pending: list[tuple[int, float, str, bytes]] = []
        self._pending_since_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._subscribers: list[Callable[[int], None]] = []
        self.moved_aside: Path | None = None
        self.journal_id = _meta(database, "journal_id")
        self._committed = _last_seq(database)
        self._last = self._committed
        self._skip_lost_tail()

    @classmethod
    def open(cls, path: Path, clock: Clock) -> "SqliteJournal":
        """Open or create the journal, with its lock.

        A damaged file is moved aside, its readable rows copied, and an error noted in the new one.

        Raises:
            JournalTaken: Another process has it open.
            JournalFull: It cannot be created or prepared.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _take_lock(path)
        try:
            aside: Path | None = None
            salvaged = 0
            try:
                database = _open(path)
            except JournalCorrupt:
                aside = _move_aside(path, clock)
                database = _open(path)
                salvaged = _salvage(aside, database)
            journal = cls(path, clock, lock, database)
        except BaseException:
            os.close(lock)
            raise
        if aside is not None:
            journal.moved_aside = aside
            text = f"journal was damaged: moved to {aside}, {salvaged} rows saved from it"
            journal.append(Noted(level="error", text=text), durable=True)
        return journal

    @property
    def last_seq(self) -> int:
        return self._last

    @property
    def committed_seq(self) -> int:
        return self._committed

    def append(self, event: AnyEvent, *, durable: bool) -> int:
        body = codec.encode(event)
        row = (self._last + 1, self._clock.wall(), type(event).__name__, body)
        if durable:
            self._commit([*self._pending, row], full=True)
            self._last = row[0]
            self._committed_all()
            return row[0]
        if len(self._pending) >= PENDING_LIMIT:
            self.flush()
        if not self._pending:
            self._pending_since_s = self._clock.monotonic()
            self._arm()
        self._pending.append(row)
        self._last = row[0]
        if len(self._pending) % PENDING_ROWS == 0 or self._timer is None:
            self._flush_if_due()
        return row[0]

    def rows(self, after_seq: int = 0, limit: int = 1000) -> list[Row]:
        if self._pending and after_seq + limit > self._committed:
            with contextlib.suppress(JournalFull):
                self.flush()
        found = [decode_row(row) for row in self._read(after_seq, limit)]
        # The disk takes nothing: reading works all the same, from memory.
        for seq, wall_s, kind, body in self._pending:
            if seq > after_seq and len(found) < limit:
                found.append(decode_row(RawRow(seq, wall_s, kind, msgspec.Raw(body))))
        return found

    def raw_rows(self, after_seq: int, limit: int, max_bytes: int = PAGE_BYTES) -> list[RawRow]:
        if after_seq >= self._committed:
            return []
        return cut_page(self._read(after_seq, limit, max_bytes), max_bytes)

    def subscribe(self, callback: Callable[[int], None]) -> Callable[[], None]:
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def flush(self) -> None:
        """Commit pending observations now.

        Raises:
            JournalFull: The disk takes nothing; they stay pending.
        """
        if self._pending:
            self._commit(self._pending, full=False)
            self._committed_all()

    def snapshot(self, state: bytes, seq: int) -> None:
        """Keep a snapshot; a full disk keeps the last one.

        Raises:
            JournalFull: It could not be written.
        """
        with self._writing():
            self._database.execute("INSERT OR REPLACE INTO snapshot VALUES (1, ?, ?)", (seq, state))

    def load_snapshot(self) -> tuple[bytes, int] | None:
        found = self._database.execute("SELECT state, seq FROM snapshot").fetchone()
        return None if found is None else (found[0], found[1])

    def close(self) -> None:
        """Commit what is pending; on a full disk it is lost, as `JournalFull` has said."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        with contextlib.suppress(JournalFull):
            self.flush()
            with self._writing(full=True):
                self._database.execute("INSERT OR REPLACE INTO meta VALUES ('boot', 'closed')")
        self._subscribers.clear()
        self._database.close()
        os.close(self._lock)

    def _arm(self) -> None:
        if self._timer is not None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # No loop: flushed by the appends themselves.
        self._timer = loop.call_later(FLUSH_S, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        try:
            self.flush()
        except JournalFull:
            self._arm()  # Kept, and tried again; the next decision tells the daemon.

    def _flush_if_due(self) -> None:
        old = self._clock.monotonic() - self._pending_since_s >= FLUSH_S
        if old or len(self._pending) % PENDING_ROWS == 0:
            with contextlib.suppress(JournalFull):
                self.flush()

    def _committed_all(self) -> None:
        self._pending.clear()
        self._committed = self._last
        for callback in tuple(self._subscribers):
            callback(self._committed)

    def _commit(self, rows: list[tuple[int, float, str, bytes]], *, full: bool) -> None:
        with self._writing(full=full):
            self._database.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", rows)

    @contextlib.contextmanager
    def _writing(self, *, full: bool = False) -> Generator[None]:
        """One transaction; FULL makes SQLite sync the log, and all before it, at commit."""
        try:
            if full:
                self._database.execute("PRAGMA synchronous=FULL")
            self._database.execute("BEGIN IMMEDIATE")
            yield
            self._database.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            with contextlib.suppress(sqlite3.DatabaseError):
                self._database.execute("ROLLBACK")
            raise _translated(error, self._path) from error
        finally:
            if full:
                with contextlib.suppress(sqlite3.DatabaseError):
                    self._database.execute("PRAGMA synchronous=NORMAL")

    def _read(self, after_seq: int, limit: int, max_bytes: int | None = None) -> list[RawRow]:
        query = "SELECT seq, wall, kind, body FROM rows WHERE seq > ? ORDER BY seq LIMIT ?"
        rows: list[RawRow] = []
        size = 0
        try:
            for seq, wall_s, kind, body in self._database.execute(query, (after_seq, limit)):
                rows.append(RawRow(seq, wall_s, kind, msgspec.Raw(body)))
                size += len(body)
                if max_bytes is not None and size > max_bytes:
                    break
        except sqlite3.DatabaseError as error:
            raise _translated(error, self._path) from error
        return rows

    def _skip_lost_tail(self) -> None:
        """Jump ahead if the machine, not only the process, went down while this was open."""
        boot = _boot_id()
        before = _meta(self._database, "boot")
        if before not in ("", "closed", boot):
            self._last += LOST_TAIL_JUMP
            self._committed = self._last
        with self._writing(full=True):
            self._database.execute("INSERT OR REPLACE INTO meta VALUES ('boot', ?)", (boot,))


def read_rows(path: Path, after_seq: int = 0, limit: int = -1) -> list[Row]:
    """Committed rows of a journal that another process may be writing; opens it read-only."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5.0)
    try:
        query = "SELECT seq, wall, kind, body FROM rows WHERE seq > ? ORDER BY seq LIMIT ?"
        return [
            decode_row(RawRow(seq, wall_s, kind, msgspec.Raw(body)))
            for seq, wall_s, kind, body in database.execute(query, (after_seq, limit))
        ]
    finally:
        database.close()


def _open(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    database = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    try:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute("PRAGMA wal_autocheckpoint=1000")
        database.execute("PRAGMA journal_size_limit=16777216")
        found = database.execute("PRAGMA quick_check(1)").fetchone()
        sound = found == ("ok",)
        if sound:
            database.executescript(SCHEMA)
            fresh = (secrets.token_hex(8),)
            database.execute("INSERT OR IGNORE INTO meta VALUES ('journal_id', ?)", fresh)
    except sqlite3.DatabaseError as error:
        database.close()
        raise _translated(error, path) from error
    if not sound:
        database.close()
        raise JournalCorrupt(f"{path}: {found}")
    return database


def _translated(error: sqlite3.DatabaseError, path: Path) -> Exception:
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _CORRUPT:
        return JournalCorrupt(f"{path}: {error}; start the daemon again, it is moved aside then")
    return JournalFull(f"{path} cannot be written: {error}; free space or repair the disk")


def _take_lock(path: Path) -> int:
    lock = os.open(
        path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise JournalTaken(f"{path} is open in another process; this one leaves") from error
    return lock


def _move_aside(path: Path, clock: Clock) -> Path:
    aside = path.with_name(f"{path.name}.damaged-{int(clock.wall() * 1000)}")
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside


def _salvage(damaged: Path, database: sqlite3.Connection) -> int:
    """Copy rows in order up to the first that cannot be read; the rest is in the file aside."""
    source = sqlite3.connect(damaged)
    saved = 0
    try:
        database.execute("BEGIN")
        for row in source.execute("SELECT seq, wall, kind, body FROM rows ORDER BY seq"):
            codec.decode_event(row[3])
            database.execute("INSERT INTO rows VALUES (?, ?, ?, ?)", row)
            saved += 1
    except (sqlite3.DatabaseError, codec.DecodeError, TypeError):
        pass  # This is where the damage begins.
    finally:
        database.execute("COMMIT")
        source.close()
    return saved


def _meta(database: sqlite3.Connection, key: str) -> str:
    found = database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return "" if found is None else str(found[0])


def _last_seq(database: sqlite3.Connection) -> int:
    return int(database.execute("SELECT coalesce(max(seq), 0) FROM rows").fetchone()[0])


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
