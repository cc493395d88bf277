"""A daemon of its own process for tests: serves s1, appends `rows` numbered rows, then waits."""

import asyncio
import sys
from pathlib import Path

from robots.wire.clock import SystemClock
from robots.wire.events import EpisodeStarted
from robots.wire.journal import SqliteJournal
from robots.wire.transport import ZmqTransport


async def main(home: Path, rows: int) -> None:
    clock = SystemClock()
    journal = SqliteJournal.open(home / "journals" / "s1.db", clock)

    async def handle(command, peer) -> None:
        print(type(command).__name__, flush=True)

    async with ZmqTransport(home, clock).server("s1", journal, handle):
        print("UP", flush=True)
        number = sum(row.kind == "EpisodeStarted" for row in journal.rows(limit=1_000_000))
        while number < rows:
            number += 1
            event = EpisodeStarted(batch_id="b", index=number, number=number)
            journal.append(event, durable=number % 10 == 0 or number == rows)
            await asyncio.sleep(0.001)
        await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
