"""`python -m agents.gateway --home HOME`: the gateway daemon of a host."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import msgspec

from agents.gateway.ledger import Ledger
from agents.gateway.settings import SettingsRefused, load_settings
from robots.wire.clock import SystemClock
from robots.wire.commands import AnyCommand, GetStatus
from robots.wire.endpoints import EndpointError, socket_path
from robots.wire.events import DaemonStarted
from robots.wire.keys import KeyFileError
from robots.wire.reception import Peer, Refused
from robots.wire.rows import JournalFull, JournalTaken
from robots.wire.server import EndpointTaken
from robots.wire.sqlite_journal import SqliteJournal
from robots.wire.transport import ZmqTransport

NAME = "gateway"
VERSION = "1"
log = logging.getLogger(__name__)


async def serve(home: Path) -> None:
    """Run the gateway until SIGTERM."""
    from agents.gateway.arxiv import Arxiv
    from agents.gateway.proxy import Gateway

    settings = load_settings(home / "gateway" / "gateway.toml")
    clock = SystemClock()
    journal = SqliteJournal.open(home / "journals" / f"{NAME}.db", clock)
    ledger = Ledger(journal, settings)
    offline = settings.gateway.mode == "replay"
    arxiv = Arxiv(settings.arxiv, home / "gateway" / "arxiv", clock, offline=offline)
    gateway = Gateway(settings, ledger.budget, ledger.record, arxiv)

    async def handle(command: AnyCommand, peer: Peer) -> msgspec.Struct | None:
        if isinstance(command, GetStatus):
            return ledger.status(gateway.paces())
        raise Refused(f"unknown_command: {type(command).__name__} from {peer.name}")

    server = ZmqTransport(home, clock).server(NAME, journal, handle)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    try:
        await server.start()
        ledger.record(
            DaemonStarted(
                name=NAME,
                incarnation=server.incarnation,
                pid=os.getpid(),
                restarts=ledger.starts,
                version=VERSION,
            )
        )
        await gateway.serve({name: socket_path(home, name, "api") for name in settings.agents})
        await stopped.wait()
    finally:
        await gateway.close()
        await server.close()
        journal.close()


def main(argv: list[str] | None = None) -> int:
    """Run the gateway; 0 after SIGTERM, 1 for an error."""
    parser = argparse.ArgumentParser(prog="python -m agents.gateway", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder of the fleet")
    options = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        asyncio.run(serve(options.home))
    except (
        SettingsRefused,
        EndpointError,
        EndpointTaken,
        KeyFileError,
        JournalFull,
        JournalTaken,
    ) as error:
        sys.stderr.write(f"gateway: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
