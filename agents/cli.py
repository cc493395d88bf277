"""`enpire-agent`: the agent daemon's command line."""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Run an agent until it is stopped.

    Returns:
        0 after `StopAgent` or SIGTERM, 1 for an error, 2 for wrong usage.
    """
    parser = argparse.ArgumentParser(
        prog="enpire-agent",
        description="Agent daemon: one coding agent with its station, ideas and journal.",
    )
    parser.add_argument("--home", type=Path, required=True, help="folder of the fleet")
    parser.add_argument("--name", required=True, help="the agent's name, such as a1")
    parser.add_argument("--verbose", action="store_true", help="log more")
    options = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    from agents.backends.base import BackendMissing
    from agents.settings import SettingsRefused
    from agents.tools.calls import first_of
    from robots.wire.endpoints import EndpointError
    from robots.wire.keys import KeyFileError
    from robots.wire.rows import JournalFull, JournalTaken
    from robots.wire.server import EndpointTaken

    code = 0
    try:
        asyncio.run(serve(options.home, options.name))
    except* (
        BackendMissing,
        SettingsRefused,
        EndpointError,
        EndpointTaken,
        KeyFileError,
        JournalFull,
        JournalTaken,
    ) as errors:
        sys.stderr.write(f"enpire-agent {options.name}: {first_of(errors)}\n")
        code = 1
    return code


async def serve(home: Path, name: str) -> None:
    """Run an agent's daemon in this process."""
    from agents.backends.base import load_backend
    from agents.daemon import AgentDaemon
    from agents.settings import load_settings
    from robots.wire.clock import SystemClock
    from robots.wire.sqlite_journal import SqliteJournal
    from robots.wire.transport import ZmqTransport

    settings = load_settings(home, name)
    backend = load_backend(settings, name, home)
    clock = SystemClock()
    journal = SqliteJournal.open(home / "journals" / f"{name}.db", clock)
    try:
        transport = ZmqTransport(home, clock)
        daemon = AgentDaemon(home, name, settings, backend, journal, clock, transport)
        working = asyncio.ensure_future(daemon.run())
        # The journal says where the work stands: ending at once is as good as ending slowly.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, working.cancel)
        try:
            await working
        except asyncio.CancelledError:
            log.info("%s: ended by a signal", name)
    finally:
        journal.close()


if __name__ == "__main__":
    sys.exit(main())
