"""Starts and ends a fleet. Whoever starts it may leave: the keeper holds it.

Either everything answers or nothing is left running: a daemon that does not come up ends the
keeper, and with it all that it had started.
"""

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from enpire_tui import home as places
from enpire_tui.fleet import Fleet, FleetError, check_tasks, read_fleet
from enpire_tui.provision import provision
from enpire_tui.run_spec import FILE, RunSpec, read_spec
from robots.wire import keeper
from robots.wire.client import Client, Unreachable
from robots.wire.clock import SystemClock
from robots.wire.endpoints import EndpointError, remove_runtime_dir, socket_path
from robots.wire.processes import ProcessIdentity, is_alive, read_pid_file, send_signal
from robots.wire.transport import ZmqTransport

UP_S = 90.0
DOWN_S = 40.0
POLL_S = 0.05
LOG_LINES = 12


class Fault(Exception):
    """A fleet that could not be started or ended, with the reason and what to do."""


def running(home: Path) -> bool:
    """Whether a keeper holds a fleet in this home."""
    return keeper.keeper_identity(home) is not None


def told(home: Path) -> bool:
    """Whether the run of a home is over and somebody was told; a new command begins a new run."""
    if not (home / FILE).exists():
        return False
    spec = read_spec(home)
    return places.ended(home, spec) and places.reported(home, spec)


def up(fleet: Fleet, home: Path, source: str) -> tuple[RunSpec, bool]:
    """Starts the fleet, or finds it running.

    Returns:
        The run's spec, and whether this call started the fleet.

    Raises:
        FleetError: The fleet cannot be used as it is.
        Fault: A daemon did not come up; nothing is left running.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(home):
        if running(home):
            return read_spec(home), False
        check_tasks(fleet, source)
        _refuse_taken(fleet, home, source)
        spec = provision(fleet, home)
        try:
            if fleet.hosts:
                _start_hosts(fleet, home, spec)
            _start_keeper(home)
            asyncio.run(_answered(fleet, home))
        except BaseException:
            # Nothing half-started: whatever came up goes down again.
            _stop_keeper(home)
            _stop_hosts(fleet)
            raise
        return spec, True


def down(home: Path) -> bool:
    """Ends what the keeper of this home started; whether there was anything.

    Raises:
        Fault: Something is still running.
    """
    found = running(home)
    if found:
        _stop_keeper(home)
    found = _end_orphans(home) or found
    if (home / "fleet.toml").exists():
        _stop_hosts(read_fleet(home / "fleet.toml"))
        with _alone(home):
            if not running(home):
                remove_runtime_dir(home)
    return found


@contextmanager
def _alone(home: Path) -> Generator[None, None, None]:
    """Two `up` at once: the second waits and then finds the fleet running."""
    lock = os.open(home / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + UP_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Fault(f"{home}: another `enpire-tui up` is at work there") from None
                time.sleep(POLL_S)
        yield
    finally:
        os.close(lock)


def _refuse_taken(fleet: Fleet, home: Path, source: str) -> None:
    """Refuses a fleet whose sockets somebody else serves; our own left-over daemons do not count.

    Raises:
        FleetError: Naming the daemon and its socket.
    """
    remote = {each.name for each in fleet.station if each.host}
    for name in places.daemons_of(fleet):
        if name in remote or _alive(home, name) is not None:
            continue
        try:
            path = socket_path(home, name, "cmd")
        except EndpointError as error:
            raise FleetError(f"{source}: {name}: {error}") from None
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FleetError(
                f"{source}: {name}: its socket {path} is taken by another process; end that "
                "process or choose another --home"
            ) from None
        finally:
            os.close(lock)


def _start_hosts(fleet: Fleet, home: Path, spec: RunSpec) -> None:
    from enpire_tui import hosts
    from robots.wire.ssh import LinkError

    try:
        asyncio.run(hosts.start(fleet, home, spec))
    except LinkError as error:
        raise Fault(str(error)) from None


def _stop_hosts(fleet: Fleet) -> None:
    if not fleet.hosts:
        return
    from enpire_tui import hosts

    for text in asyncio.run(hosts.stop(fleet)):
        sys.stderr.write(f"enpire-tui: {text}\n")


def _alive(home: Path, name: str) -> ProcessIdentity | None:
    identity = read_pid_file(home / "pids" / name)
    return identity if identity is not None and is_alive(identity) else None


def _start_keeper(home: Path) -> None:
    with (home / "logs" / "keeper.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "robots.wire.keeper", str(home)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home,
            start_new_session=True,
        )


def _stop_keeper(home: Path) -> None:
    identity = keeper.keeper_identity(home)
    if identity is None:
        return
    send_signal(identity, signal.SIGTERM)
    if not _gone(identity, DOWN_S):
        raise Fault(f"{home}: the keeper (process {identity.pid}) did not end in {DOWN_S:g} s")


def _end_orphans(home: Path) -> bool:
    """Ends daemons whose keeper is gone."""
    found = False
    for path in sorted((home / "pids").glob("*")):
        identity = read_pid_file(path)
        if identity is None or not is_alive(identity):
            continue
        found = True
        send_signal(identity, signal.SIGTERM)
        if not _gone(identity, keeper.STOP_GRACE_S):
            send_signal(identity, signal.SIGKILL, group=True)
            if not _gone(identity, keeper.STOP_GRACE_S):
                raise Fault(f"{home}: {path.name} (process {identity.pid}) cannot be ended")
    return found


def _gone(identity: ProcessIdentity, deadline_s: float) -> bool:
    until = time.monotonic() + deadline_s
    while is_alive(identity):
        if time.monotonic() > until:
            return False
        time.sleep(POLL_S)
    return True


async def _answered(fleet: Fleet, home: Path) -> None:
    """Waits until every daemon answers.

    Raises:
        Fault: One does not, with the end of its log.
    """
    clock = SystemClock()
    transport = ZmqTransport(home, clock)
    deadline = clock.monotonic() + UP_S

    async def one(name: str) -> None:
        client: Client = transport.client(places.OPERATOR, name)
        try:
            while True:
                left_s = deadline - clock.monotonic()
                try:
                    await client.hello(min(1.0, max(0.1, left_s)))
                except Unreachable as error:
                    if left_s <= 0 or _failed_for_good(home, name):
                        raise Fault(
                            f"{name} did not come up: {error}\n{_tail(home, name)}"
                        ) from None
                else:
                    return
        finally:
            client.close()

    try:
        async with asyncio.TaskGroup() as tasks:
            for name in places.daemons_of(fleet):
                tasks.create_task(one(name))
    except* Fault as group:
        first = group.exceptions[0]
        raise Fault(str(first)) from None


def _failed_for_good(home: Path, name: str) -> bool:
    """Whether the keeper has seen a daemon fail at its start several times in a row."""
    state = next((each for each in keeper.read_state(home) if each.name == name), None)
    return state is not None and state.state == keeper.BACKOFF and state.restarts >= 2


def _tail(home: Path, name: str) -> str:
    path = home / "logs" / f"{name}.log"
    try:
        lines = path.read_text(errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        return f"(no log at {path})"
    return "\n".join([f"the end of {path}:", *lines])
