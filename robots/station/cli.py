"""`enpire-robot`: the station daemon's command line."""

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

from robots.station.config import ConfigError, station_folder


def main(argv: list[str] | None = None) -> int:
    """Run a station, or clear its emergency stop as a person at the robot.

    Returns:
        0 after SIGTERM, 1 for an error, 2 for wrong usage.
    """
    parser = argparse.ArgumentParser(
        prog="enpire-robot",
        description="Station daemon: one robot with its task, safety, episodes and ledger.",
    )
    parser.add_argument("--home", type=Path, required=True, help="folder of the fleet")
    parser.add_argument("--name", required=True, help="the station's name, such as s1")
    parser.add_argument(
        "--clear-stop",
        action="store_true",
        help="clear a latched emergency stop; for a person standing at the robot",
    )
    parser.add_argument("--verbose", action="store_true", help="log more")
    options = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    # Tells at every start which of its accelerators is not installed.
    logging.getLogger("OpenGL").setLevel(logging.WARNING)
    if options.clear_stop:
        return _clear_stop(options.home, options.name)
    return _serve(options.home, options.name)


def _clear_stop(home: Path, name: str) -> int:
    path = station_folder(home, name) / "estop"
    if not path.exists():
        sys.stderr.write(f"{name}: no emergency stop is latched\n")
        return 0
    path.unlink()
    sys.stderr.write(f"{name}: cleared; the station stays held until an operator releases it\n")
    return 0


def _serve(home: Path, name: str) -> int:
    # Figures of a policy must not depend on how many cores its station has.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from robots.drivers.base import DriverError
    from robots.station.ledger import LedgerBroken
    from robots.station.service import serve
    from robots.station.tasks import TaskError
    from robots.wire.endpoints import EndpointError
    from robots.wire.keys import KeyFileError
    from robots.wire.rows import JournalFull, JournalTaken
    from robots.wire.server import EndpointTaken

    try:
        asyncio.run(serve(home, name))
    except (
        ConfigError,
        TaskError,
        DriverError,
        LedgerBroken,
        EndpointError,
        EndpointTaken,
        KeyFileError,
        JournalFull,
        JournalTaken,
    ) as error:
        sys.stderr.write(f"enpire-robot {name}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
