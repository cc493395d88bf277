"""The journal on a real disk: what is acknowledged stays, what is damaged is moved aside."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from robots.wire.clock import SystemClock
from robots.wire.events import EpisodeStarted, Noted
from robots.wire.journal import (
    JournalCorrupt,
    JournalFull,
    JournalTaken,
    SqliteJournal,
    read_rows,
)
from tests.robots.wire.memory import MemoryJournal, VirtualClock

# Appends decisions for ever and prints each seq once it is acknowledged.
APPENDS = """
import sys
from pathlib import Path
from robots.wire.clock import SystemClock
from robots.wire.events import EpisodeStarted
from robots.wire.journal import SqliteJournal
journal = SqliteJournal.open(Path(sys.argv[1]), SystemClock())
while True:
    number = journal.last_seq + 1
    event = EpisodeStarted(batch_id="b", index=number, number=number)
    seq = journal.append(event, durable=number % 3 == 0)
    if number % 3 == 0:
        print(seq, flush=True)
"""


def started(number: int) -> EpisodeStarted:
    return EpisodeStarted(batch_id="b", index=number, number=number)


@pytest.fixture(params=["sqlite", "memory"])
def journal(request, tmp_path):
    clock = SystemClock()
    made = SqliteJournal.open(tmp_path / "j.db", clock) if request.param == "sqlite" else None
    made = made or MemoryJournal(clock)
    yield made
    made.close()


def test_rows_come_back_in_order_with_their_events(journal) -> None:
    seqs = [journal.append(started(n), durable=n == 2) for n in range(1, 6)]

    assert seqs == [1, 2, 3, 4, 5]
    assert [row.event for row in journal.rows()] == [started(n) for n in range(1, 6)]
    assert [row.seq for row in journal.rows(after_seq=2, limit=2)] == [3, 4]
    assert {row.kind for row in journal.rows()} == {"EpisodeStarted"}
    assert journal.last_seq == 5


def test_readers_see_a_decision_with_what_came_before_it(journal) -> None:
    told: list[int] = []
    unsubscribe = journal.subscribe(told.append)
    journal.append(started(1), durable=False)
    journal.append(started(2), durable=True)

    assert [row.seq for row in journal.raw_rows(0, 10)] == [1, 2]
    assert told[-1] == journal.committed_seq == 2
    unsubscribe()
    journal.append(started(3), durable=True)
    assert told[-1] == 2


def test_a_page_is_cut_by_size_but_never_empty(journal) -> None:
    for n in range(4):
        journal.append(Noted(level="info", text="x" * 1000), durable=n == 3)

    assert len(journal.raw_rows(0, 10, max_bytes=2500)) == 2
    assert len(journal.raw_rows(0, 10, max_bytes=1)) == 1


def test_a_snapshot_and_the_tail_make_the_state(journal) -> None:
    for n in range(1, 8):
        journal.append(started(n), durable=True)
        if n == 5:
            journal.snapshot(b"sum=15", n)

    state, seq = journal.load_snapshot()
    tail = [row.event.number for row in journal.rows(after_seq=seq)]

    assert (state, seq) == (b"sum=15", 5)
    assert int(state[4:]) + sum(tail) == sum(range(1, 8))


async def test_observations_are_committed_within_a_tenth_of_a_second(tmp_path, until) -> None:
    with_loop = SqliteJournal.open(tmp_path / "j.db", SystemClock())
    with_loop.append(started(1), durable=False)
    assert with_loop.committed_seq == 0

    await until(lambda: with_loop.committed_seq == 1, timeout_s=5)

    assert [row.seq for row in read_rows(tmp_path / "j.db")] == [1]
    with_loop.close()


@pytest.mark.parametrize("after", [1, 40, 200])
def test_kill_9_loses_no_acknowledged_row(tmp_path, after: int) -> None:
    path = tmp_path / "j.db"
    daemon = subprocess.Popen(
        [sys.executable, "-c", APPENDS, str(path)], stdout=subprocess.PIPE, text=True
    )
    acknowledged = [int(daemon.stdout.readline()) for _ in range(after)]
    daemon.send_signal(signal.SIGKILL)
    acknowledged += [int(line) for line in daemon.stdout if line.endswith("\n")]
    daemon.wait(10)
    daemon.stdout.close()

    journal = SqliteJournal.open(path, SystemClock())
    kept = [row.seq for row in journal.rows(limit=1_000_000)]

    assert kept == list(range(1, len(kept) + 1))
    assert len(kept) >= acknowledged[-1]
    assert journal.append(started(0), durable=True) == len(kept) + 1
    journal.close()


def test_decisions_are_synced_and_observations_are_not(tmp_path) -> None:
    if subprocess.run(["which", "strace"], capture_output=True).returncode:
        pytest.skip("strace is not installed")
    script = """
import sys
from pathlib import Path
from robots.wire.clock import SystemClock
from robots.wire.events import Noted
from robots.wire.journal import SqliteJournal
journal = SqliteJournal.open(Path(sys.argv[1]), SystemClock())
print("--begin", flush=True)
for _ in range(20):
    journal.append(Noted(level="info", text=""), durable=sys.argv[2] == "durable")
    journal.flush()
print("--end", flush=True)
journal.close()
"""
    syncs = {}
    for kind in ("durable", "batched"):
        trace = tmp_path / f"{kind}.trace"
        argv = ["strace", "-f", "-e", "trace=fsync,fdatasync,write", "-o", str(trace)]
        argv += [sys.executable, "-c", script, str(tmp_path / f"{kind}.db"), kind]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        if "ptrace" in done.stderr.lower():
            pytest.skip(f"strace may not trace here: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
        text = trace.read_text()
        between = text[text.index("--begin") : text.index("--end")]
        syncs[kind] = between.count("fsync(") + between.count("fdatasync(")

    assert syncs["durable"] >= 20
    assert syncs["batched"] == 0


def test_a_second_writer_leaves(tmp_path) -> None:
    first = SqliteJournal.open(tmp_path / "j.db", SystemClock())

    with pytest.raises(JournalTaken, match="another process"):
        SqliteJournal.open(tmp_path / "j.db", SystemClock())

    first.close()
    SqliteJournal.open(tmp_path / "j.db", SystemClock()).close()


def test_a_full_disk_refuses_rows_keeps_reading_and_resumes(tmp_path) -> None:
    journal = SqliteJournal.open(tmp_path / "j.db", SystemClock())
    journal.append(started(1), durable=True)
    pages = journal._database.execute("PRAGMA page_count").fetchone()[0]
    journal._database.execute(f"PRAGMA max_page_count={pages}")

    journal.append(Noted(level="info", text="observed"), durable=False)
    with pytest.raises(JournalFull, match="full"):
        fill(journal)
    full_at = journal.last_seq
    assert [row.seq for row in journal.rows()] == list(range(1, full_at + 1))

    journal._database.execute("PRAGMA max_page_count=1000000")
    assert journal.append(started(2), durable=True) == full_at + 1
    assert [row.seq for row in read_rows(tmp_path / "j.db")] == list(range(1, full_at + 2))
    journal.close()


def test_a_really_full_disk_refuses_rows_and_resumes(tmp_path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted: {mounted.stderr.strip()}")
    try:
        journal = SqliteJournal.open(disk / "j.db", SystemClock())
        journal.append(started(1), durable=True)
        ballast = disk / "ballast"
        with ballast.open("wb") as file:
            try:
                while True:
                    file.write(b"\0" * 65536)
                    file.flush()
            except OSError:
                pass
        with pytest.raises(JournalFull, match="cannot be written"):
            fill(journal)
        full_at = journal.last_seq
        assert len(journal.rows(limit=10_000)) == full_at
        ballast.unlink()
        assert journal.append(started(2), durable=True) == full_at + 1
        journal.close()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def fill(journal: SqliteJournal) -> None:
    for _ in range(2000):
        journal.append(Noted(level="info", text="x" * 1000), durable=True)


def damage(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(os.urandom(4096))


def test_a_damaged_journal_is_moved_aside_and_the_operator_told(tmp_path) -> None:
    path = tmp_path / "j.db"
    journal = SqliteJournal.open(path, SystemClock())
    for n in range(1, 2001):
        journal.append(started(n), durable=n == 2000)
    first_id = journal.journal_id
    journal.close()
    damage(path, path.stat().st_size // 2 // 4096 * 4096)

    journal = SqliteJournal.open(path, SystemClock())
    rows = journal.rows(limit=10_000)

    assert journal.moved_aside is not None
    assert journal.moved_aside.exists()
    assert journal.journal_id != first_id
    told = rows[-1].event
    assert isinstance(told, Noted)
    assert told.level == "error"
    assert str(journal.moved_aside) in told.text
    saved = [row.event.number for row in rows[:-1]]
    assert saved == list(range(1, len(saved) + 1))
    journal.close()


def test_a_journal_that_is_no_database_is_moved_aside(tmp_path) -> None:
    path = tmp_path / "j.db"
    path.write_bytes(os.urandom(20_000))

    journal = SqliteJournal.open(path, SystemClock())

    assert [row.kind for row in journal.rows()] == ["Noted"]
    journal.close()


def test_damage_met_while_reading_is_named(tmp_path) -> None:
    path = tmp_path / "j.db"
    journal = SqliteJournal.open(path, SystemClock())
    for n in range(1, 5001):
        journal.append(started(n), durable=n == 5000)
    journal._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for page in range(8, path.stat().st_size // 4096):
        damage(path, page * 4096)
    journal._database.execute("PRAGMA cache_size=0")

    with pytest.raises(JournalCorrupt, match="moved aside"):
        journal.rows(limit=10_000)
    journal._pending.clear()
    journal.close()


def test_after_a_power_loss_no_seq_is_given_twice(tmp_path) -> None:
    path = tmp_path / "j.db"
    journal = SqliteJournal.open(path, SystemClock())
    journal.append(started(1), durable=True)
    journal.close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE meta SET value = 'another boot' WHERE key = 'boot'")
    database.close()

    journal = SqliteJournal.open(path, SystemClock())

    assert journal.append(started(2), durable=True) > 1_000_000
    journal.close()


def test_a_wall_clock_that_jumps_changes_no_order(tmp_path) -> None:
    clock = VirtualClock()
    journal = SqliteJournal.open(tmp_path / "j.db", clock)
    for n, jump_s in enumerate((0, 300, -600), start=1):
        clock.jump_wall(jump_s)
        journal.append(started(n), durable=True)

    assert [row.event.number for row in journal.rows()] == [1, 2, 3]
    journal.close()
