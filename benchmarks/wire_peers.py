"""What `benchmarks.wire` sets beside ours or in between: bare SQLite, and a proxy that cuts."""

import asyncio
import sqlite3
import time
from contextlib import suppress
from pathlib import Path

from robots.wire import codec
from robots.wire.events import EpisodeStarted


class Cutter:
    """A proxy between Unix sockets whose connections are aborted at will."""

    def __init__(self, listen: Path, to: Path) -> None:
        self._listen = listen
        self._to = to
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._carry, str(self._listen))

    def cut(self) -> None:
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def close(self) -> None:
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_unix_connection(str(self._to))
        self.connections += 1
        self._writers |= {writer, far_writer}
        pumps = [
            asyncio.create_task(self._pump(reader, far_writer)),
            asyncio.create_task(self._pump(far_reader, writer)),
        ]
        self._tasks |= set(pumps)
        await asyncio.wait(pumps)
        self._tasks -= set(pumps)
        self._writers -= {writer, far_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


def bare_sqlite(path: Path, synchronous: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute(f"PRAGMA synchronous={synchronous}")
    database.execute("CREATE TABLE rows (seq INTEGER PRIMARY KEY, wall REAL, kind TEXT, body BLOB)")
    return database


def bare_ingest(path: Path, count: int) -> float:
    database = bare_sqlite(path, "NORMAL")
    body = codec.encode(EpisodeStarted(batch_id="run/idea/x1", index=0, number=0))
    began_s = time.perf_counter()
    for start in range(0, count, 100):
        database.execute("BEGIN")
        rows = [(start + n, 0.0, "EpisodeStarted", body) for n in range(100)]
        database.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", rows)
        database.execute("COMMIT")
    rate = count / (time.perf_counter() - began_s)
    database.close()
    return rate


def bare_decisions(path: Path, count: int = 300) -> float:
    database = bare_sqlite(path, "FULL")
    began_s = time.perf_counter()
    for n in range(count):
        database.execute("INSERT INTO rows VALUES (?, ?, ?, ?)", (n, 0.0, "k", b"x" * 60))
    rate = count / (time.perf_counter() - began_s)
    database.close()
    return rate
