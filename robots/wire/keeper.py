"""The keeper: starts a host's daemons in their own sessions and restarts them with back-off.

`python -m robots.wire.keeper HOME` reads `HOME/keeper.json`. SIGHUP reads it again; SIGTERM stops
every daemon and ends. A daemon that exits with 0 is done and stays down until its spec changes.
If the keeper dies, daemons go on; the next one finds them by `HOME/pids` and adopts them. The exit
code of an adopted daemon cannot be known: it is started once more, and leaves with 0 if it is done.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from robots.wire.processes import (
    ProcessIdentity,
    be_nice,
    identify,
    is_alive,
    read_pid_file,
    send_signal,
    write_pid_file,
)

log = logging.getLogger("keeper")

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
STEADY_S = 30.0  # A run this long was no failed start: the back-off begins anew.
STOP_GRACE_S = 10.0
LOG_BYTES = 64 << 20

RUNNING, BACKOFF, DONE, STOPPED = "RUNNING", "BACKOFF", "DONE", "STOPPED"


class ProcessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A daemon to keep.

    Attributes:
        argv: Command line, program first, by absolute path.
        env: Added to the keeper's environment.
        log: File that takes its output, appended.
        nice: Added to its niceness.
        generation: Raise it to have a daemon that is done started again.
    """

    name: str
    argv: tuple[str, ...]
    log: str
    env: dict[str, str] = {}
    nice: int = 0
    generation: int = 0


class KeptState(msgspec.Struct, frozen=True, kw_only=True):
    """How a daemon stands, as `HOME/keeper.state.json` lists it.

    Attributes:
        state: RUNNING, BACKOFF, DONE or STOPPED.
        restarts: Starts after the first by this keeper.
        last_exit: Exit code of its last end (negative: signal), None if unknown.
    """

    name: str
    state: str
    pid: int = 0
    restarts: int = 0
    last_exit: int | None = None


class KeeperTaken(Exception):
    """Another keeper runs in this home."""


def read_specs(home: Path) -> list[ProcessSpec]:
    """What `keeper.json` asks for.

    Raises:
        ValueError: It is malformed; names the file.
    """
    path = home / "keeper.json"
    try:
        specs = msgspec.json.decode(path.read_bytes(), type=list[ProcessSpec])
    except (OSError, msgspec.DecodeError) as error:
        raise ValueError(f"{path}: {error}") from error
    names = [spec.name for spec in specs]
    if len(set(names)) != len(names):
        raise ValueError(f"{path}: a name occurs twice among {names}")
    return specs


def write_specs(home: Path, specs: list[ProcessSpec]) -> None:
    """Write `keeper.json`, at once or not at all; SIGHUP makes a running keeper read it."""
    _replace(home / "keeper.json", msgspec.json.format(msgspec.json.encode(specs)))


def read_state(home: Path) -> list[KeptState]:
    """How the daemons stood when the keeper last wrote it; empty without a keeper."""
    try:
        data = (home / "keeper.state.json").read_bytes()
        return msgspec.json.decode(data, type=list[KeptState])
    except (OSError, msgspec.DecodeError):
        return []


def keeper_identity(home: Path) -> ProcessIdentity | None:
    """The keeper that runs in this home, None if none does."""
    identity = read_pid_file(home / "pids" / "keeper")
    return identity if identity is not None and is_alive(identity) else None


class _Kept:
    """One daemon and the task that keeps it."""

    def __init__(self, spec: ProcessSpec) -> None:
        self.spec = spec
        self.state = KeptState(name=spec.name, state=STOPPED)
        self.stopping = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class Keeper:
    """Keeps the daemons of one home until `stop` is set."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._kept: dict[str, _Kept] = {}
        self._reload = asyncio.Event()
        self._stop = asyncio.Event()

    def reload(self) -> None:
        """Read `keeper.json` again, soon."""
        self._reload.set()

    def stop(self) -> None:
        """Stop every daemon, then end."""
        self._stop.set()
        self._reload.set()

    async def run(self) -> None:
        """Keep until told to stop.

        Raises:
            ValueError: `keeper.json` is malformed at the start.
        """
        self._apply(read_specs(self._home))
        while not self._stop.is_set():
            await self._reload.wait()
            self._reload.clear()
            if self._stop.is_set():
                break
            try:
                specs = read_specs(self._home)
            except ValueError as error:
                log.error("%s; going on with what was asked for before", error)  # noqa: TRY400
                continue
            await self._change(specs)
        await self._stop_all(list(self._kept))

    def _apply(self, specs: list[ProcessSpec]) -> None:
        for spec in specs:
            if spec.name not in self._kept:
                kept = _Kept(spec)
                self._kept[spec.name] = kept
                kept.task = asyncio.create_task(self._keep(kept), name=f"keep {spec.name}")

    async def _change(self, specs: list[ProcessSpec]) -> None:
        wanted = {spec.name: spec for spec in specs}
        changed = [name for name, kept in self._kept.items() if wanted.get(name) != kept.spec]
        await self._stop_all(changed)
        self._apply(specs)
        self._write_state()

    async def _stop_all(self, names: list[str]) -> None:
        stopped = [self._kept.pop(name) for name in names]
        for kept in stopped:
            kept.stopping.set()
        await asyncio.gather(*(kept.task for kept in stopped if kept.task is not None))
        self._write_state()

    async def _keep(self, kept: _Kept) -> None:
        pause_s = FIRST_PAUSE_S
        restarts = 0
        while not kept.stopping.is_set():
            began_s = time.monotonic()
            code = await self._run_once(kept, restarts)
            if kept.stopping.is_set():
                break
            if code == 0:
                self._note(kept, DONE, restarts=restarts, last_exit=0)
                return
            if time.monotonic() - began_s >= STEADY_S:
                pause_s = FIRST_PAUSE_S
            log.warning("%s ended with %s, again in %.1f s", kept.spec.name, code, pause_s)
            self._note(kept, BACKOFF, restarts=restarts, last_exit=code)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await kept.stopping.wait()
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            restarts += 1
        self._note(kept, STOPPED, restarts=restarts)

    async def _run_once(self, kept: _Kept, restarts: int) -> int | None:
        """Start (or adopt) the daemon and wait for its end; its exit code, None if unknown."""
        pid_file = self._home / "pids" / kept.spec.name
        identity = read_pid_file(pid_file)
        child: subprocess.Popen[bytes] | None = None
        if identity is None or not is_alive(identity):
            try:
                child = _start(kept.spec, self._home, pid_file)
            except (OSError, subprocess.SubprocessError) as error:
                log.error("%s cannot be started: %s", kept.spec.name, error)  # noqa: TRY400
                return 127
            identity = read_pid_file(pid_file)
        else:
            log.info("%s runs already as %d: adopted", kept.spec.name, identity.pid)
        if identity is not None:
            self._note(kept, RUNNING, pid=identity.pid, restarts=restarts)
            await _ended(identity, kept.stopping)
        code = child.wait() if child is not None else None
        pid_file.unlink(missing_ok=True)
        return code

    def _note(
        self, kept: _Kept, state: str, *, pid: int = 0, restarts: int, last_exit: int | None = None
    ) -> None:
        kept.state = KeptState(
            name=kept.spec.name, state=state, pid=pid, restarts=restarts, last_exit=last_exit
        )
        self._write_state()

    def _write_state(self) -> None:
        states = [kept.state for kept in self._kept.values()]
        _replace(self._home / "keeper.state.json", msgspec.json.encode(states))


async def _ended(identity: ProcessIdentity, stopping: asyncio.Event) -> None:
    """Wait until the process has ended; once `stopping` is set, see to it."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    gone: asyncio.Future[None] = loop.create_future()
    # A descriptor stays readable: it is taken off at its first word.
    loop.add_reader(descriptor, lambda: gone.done() or gone.set_result(None))
    stop = asyncio.ensure_future(stopping.wait())
    try:
        if not is_alive(identity):
            return
        await asyncio.wait({gone, stop}, return_when=asyncio.FIRST_COMPLETED)
        if not gone.done():
            send_signal(identity, signal.SIGTERM)
            await asyncio.wait({gone}, timeout=STOP_GRACE_S)
        if not gone.done():
            log.warning("%d did not end in %.0f s: killed", identity.pid, STOP_GRACE_S)
            send_signal(identity, signal.SIGKILL, group=True)
            await gone
    finally:
        stop.cancel()
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _start(spec: ProcessSpec, home: Path, pid_file: Path) -> subprocess.Popen[bytes]:
    log_path = Path(spec.log)
    log_path.parent.mkdir(parents=True, exist_ok=True)
    if log_path.exists() and log_path.stat().st_size > LOG_BYTES:
        log_path.replace(log_path.with_name(log_path.name + ".1"))

    def before_exec() -> None:
        # The child names itself before it becomes the daemon: a keeper that dies in between
        # leaves no daemon that its successor cannot find.
        be_nice(spec.nice)
        identity = identify(os.getpid())
        assert identity is not None
        write_pid_file(pid_file, identity)

    with log_path.open("ab") as output:
        return subprocess.Popen(
            spec.argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=home,
            env={**os.environ, **spec.env},
            start_new_session=True,
            preexec_fn=before_exec,  # noqa: PLW1509 - the keeper has no threads
        )


def _replace(path: Path, data: bytes) -> None:
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    new.replace(path)


def _take_lock(home: Path) -> int:
    lock = os.open(home / "keeper.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise KeeperTaken(f"a keeper runs in {home} already; this one leaves") from error
    return lock


async def keep(home: Path) -> None:
    """Be the keeper of a home until SIGTERM.

    Raises:
        KeeperTaken: There is one already.
        ValueError: `keeper.json` is malformed.
    """
    lock = _take_lock(home)
    pid_file = home / "pids" / "keeper"
    try:
        keeper = Keeper(home)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, keeper.reload)
        loop.add_signal_handler(signal.SIGTERM, keeper.stop)
        loop.add_signal_handler(signal.SIGINT, keeper.stop)
        identity = identify(os.getpid())
        assert identity is not None
        write_pid_file(pid_file, identity)
        await keeper.run()
        pid_file.unlink(missing_ok=True)
    finally:
        os.close(lock)


def main() -> int:
    """Run the keeper of the home named on the command line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s keeper: %(message)s")
    home = Path(sys.argv[1]).expanduser().absolute()
    try:
        asyncio.run(keep(home))
    except KeeperTaken as taken:
        log.info("%s", taken)
    except ValueError as error:
        log.error("%s", error)  # noqa: TRY400 - the message is for people
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
