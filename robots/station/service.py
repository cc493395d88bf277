"""One station as a process: opens what it needs, serves until told to end, leaves tidily."""

import asyncio
import contextlib
import logging
import signal
from pathlib import Path

from robots.drivers.base import load_driver
from robots.safety.table import LOST_PERIODS
from robots.station.authority import Authority
from robots.station.config import ClockKind, StationConfig, load_config, station_folder, station_key
from robots.station.daemon import Station
from robots.station.ledger import Ledger
from robots.station.rollout import Rig
from robots.station.sandboxed import SandboxedChildren
from robots.station.seeds import SealedSeeds, load_secret
from robots.station.tasks import Task, load_task
from robots.wire.clock import Clock, SystemClock
from robots.wire.endpoints import socket_path, telemetry_endpoint
from robots.wire.keys import load_keypair
from robots.wire.server import Server
from robots.wire.sqlite_journal import SqliteJournal
from robots.wire.telemetry import TelemetryPublisher
from robots.wire.transport import ZmqTransport

log = logging.getLogger(__name__)

PULSE_S = 0.1


def answer_cap_s(config: StationConfig, period_s: float) -> float:
    """Wall seconds after which a worker that has not answered is killed."""
    if config.clock is ClockKind.LOCKSTEP:
        return config.call_timeout_s
    # An action later than this has failed its episode already.
    return min(config.call_timeout_s, (LOST_PERIODS + 3) * period_s)


def make_rig(
    task: Task, config: StationConfig, folder: Path, robot: Path, authority: Authority
) -> Rig:
    """The station's robot with its children and seeds; on the batch thread.

    Args:
        task: What it does.
        config: What the station was told.
        folder: The station's own.
        robot: Socket of the robot's process, for stations in real time.
        authority: Who lets the robot move.

    Raises:
        DriverError: The robot cannot be used.
    """
    published = config.manifest()
    manifest_sha256 = published.manifest_sha256 if published is not None else ""
    children = SandboxedChildren(
        task,
        folder / "work",
        sandboxed=config.sandbox != "off",
        memory_bytes=config.policy_memory_bytes,
        timeout_s=answer_cap_s(config, task.spec.period_s),
    )
    seeds = SealedSeeds(load_secret(folder / "secret"), folder / "counter")
    if config.clock is ClockKind.REALTIME:
        from robots.drivers.remote import RemoteDriver
        from robots.station.realtime import Realtime

        remote = RemoteDriver(task, config.station_seed, robot, authority.closing)
        return Rig(
            task,
            remote,
            children,
            authority,
            seeds,
            lambda driver, spec, report: Realtime(driver, spec, authority, report),
            manifest_sha256,
        )
    name = "gymnasium" if config.task.startswith("gym:") else config.driver
    driver = load_driver(name, task, config.station_seed)
    return Rig(task, driver, children, authority, seeds, manifest_sha256=manifest_sha256)


async def serve(home: Path, name: str, clock: Clock | None = None) -> None:
    """Run a station until SIGTERM or SIGINT.

    Raises:
        ConfigError: `station.toml` is wrong.
        TaskError: Its task is.
        EndpointTaken: Another process is this station already.
        JournalTaken: Likewise.
    """
    clock = clock or SystemClock()
    folder = station_folder(home, name)
    config = load_config(folder / "station.toml")
    config.manifest()
    task = load_task(config.task, config.task_options)
    key = station_key(home, name)
    robot = socket_path(home, name, "rob")
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    with contextlib.closing(SqliteJournal.open(home / "journals" / f"{name}.db", clock)) as journal:
        station = Station(
            name,
            folder,
            config,
            journal,
            Ledger(folder / "ledger", key),
            clock,
            lambda authority: make_rig(task, config, folder, robot, authority),
            public_key=key.public,
        )
        server = ZmqTransport(home, clock).server(name, journal, station.handle)
        async with server:
            station.start(server.incarnation)
            log.info("%s: serving %s", name, config.task)
            try:
                await _publish(home, name, station, server, clock, stopping)
            finally:
                await station.close()


async def _publish(
    home: Path, name: str, station: Station, server: Server, clock: Clock, stopping: asyncio.Event
) -> None:
    """Publish telemetry and keep the pulse until told to stop."""
    publisher = TelemetryPublisher(
        name, telemetry_endpoint(home, name), load_keypair(home, name), server.gate
    )
    publisher.start()
    try:
        while not stopping.is_set():
            station.pulse()
            publisher.publish(station.telemetry())
            with contextlib.suppress(TimeoutError):
                await clock.wait_for(stopping.wait(), PULSE_S)
    finally:
        publisher.close()
