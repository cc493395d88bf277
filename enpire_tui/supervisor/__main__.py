"""`python -m enpire_tui.supervisor --home HOME`: the supervisor of one fleet, until told to end."""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

from enpire_tui.run_spec import read_spec
from enpire_tui.supervisor.checklist import read_environment
from enpire_tui.supervisor.daemon import NAME, Supervisor
from robots.wire.clock import SystemClock
from robots.wire.rows import JournalTaken
from robots.wire.server import EndpointTaken
from robots.wire.signing import SigningKey
from robots.wire.sqlite_journal import SqliteJournal
from robots.wire.transport import ZmqTransport

log = logging.getLogger(__name__)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


async def serve(home: Path) -> None:
    """Serves until SIGTERM or SIGINT."""
    clock = SystemClock()
    spec = read_spec(home)
    journal = SqliteJournal.open(home / "journals" / f"{NAME}.db", clock)
    try:
        supervisor = Supervisor(
            spec,
            journal,
            ZmqTransport(home, clock),
            clock,
            SigningKey.load(home / "keys" / f"{NAME}.sign"),
            boot_id=boot_id(),
            run_folder=home / "runs" / spec.run_id,
            environment=lambda: asyncio.to_thread(read_environment, home, spec.task, spec.people),
        )
        serving = asyncio.create_task(supervisor.serve())
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, serving.cancel)
        try:
            await serving
        except asyncio.CancelledError:
            log.info("told to end")
    finally:
        journal.close()


def boot_id() -> str:
    """Identity of this boot of the machine; "" where the kernel does not tell."""
    return BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""


def main() -> int:
    """Runs the daemon; 0 once it was told to end, 1 if it could not begin."""
    parser = argparse.ArgumentParser(prog="enpire_tui.supervisor", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the fleet's home")
    home: Path = parser.parse_args().home
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        asyncio.run(serve(home.absolute()))
    except (EndpointTaken, JournalTaken) as error:
        sys.stderr.write(f"supervisor: {error}; this one leaves\n")
        return 1
    except FileNotFoundError as error:
        sys.stderr.write(f"supervisor: {error}; `enpire-tui up` makes a home\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
