"""The link to a remote host: one SSH connection that carries the sockets of its daemons.

`python -m enpire_tui.link HOME HOST` reads `HOME/hosts/HOST.json` and makes each remote daemon's
Unix socket appear in this home's runtime folder, and ours in the remote one where asked. Nothing
listens on the network. When the connection breaks it is made again; what was on its way is the
wire's to repeat or refuse.
"""

import asyncio
import logging
import os
import secrets
import shlex
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import asyncssh
import msgspec

from robots.wire.clock import Clock, SystemClock
from robots.wire.commands import AnyCommand, GetStatus
from robots.wire.endpoints import runtime_dir
from robots.wire.events import DaemonStarted, LinkChanged
from robots.wire.journal import Journal, JournalFull, JournalTaken, SqliteJournal
from robots.wire.keys import KeyFileError
from robots.wire.reception import Peer, Refused
from robots.wire.ssh import HostSpec, LinkError, LinkRefused, connect
from robots.wire.transport import ZmqTransport

log = logging.getLogger("link")

COMMAND_S = 60.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
REFUSED_PAUSE_S = 30.0  # A person has to act; asking again sooner helps nobody.

CONNECTED, LOST, REFUSED = "CONNECTED", "LOST", "REFUSED"


class LinkStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to `GetStatus`."""

    host: str
    state: str
    detail: str
    connections: int


def read_host(home: Path, name: str) -> HostSpec:
    """A host's description.

    Raises:
        LinkError: It is missing or malformed.
    """
    path = home / "hosts" / f"{name}.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=HostSpec)
    except (OSError, msgspec.DecodeError) as error:
        raise LinkError(f"{path}: {error}; `enpire-tui up` writes it") from error


def write_host(home: Path, host: HostSpec) -> None:
    """Write a host's description."""
    path = home / "hosts" / f"{host.name}.json"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(host)))


async def run_on(
    connection: asyncssh.SSHClientConnection, host: HostSpec, argv: Sequence[str]
) -> str:
    """Run a short command on the host and return its output.

    Raises:
        LinkError: It failed, did not end in time, or the link broke while it ran.
    """
    line = shlex.join(argv)
    return await _run_line(connection, host, line)


async def start_remote(host: HostSpec, argv: Sequence[str], log_path: str) -> None:
    """Start a process on the host, in its own session, that outlives this connection.

    Args:
        host: Where.
        argv: Command line, program by absolute path.
        log_path: File on the host that takes its output.

    Raises:
        LinkError: It could not be started, or whether it was is not known.
    """
    folder = shlex.quote(str(Path(log_path).parent))
    # A process that prints to an SSH channel dies with it: it gets a file and a session.
    line = (
        f"mkdir -p {folder} && (setsid {shlex.join(argv)}"
        f" >>{shlex.quote(log_path)} 2>&1 </dev/null &)"
    )
    async with await connect(host) as connection:
        await _run_line(connection, host, line)


async def copy_files(host: HostSpec, files: Sequence[tuple[Path, str]]) -> None:
    """Copy files to absolute paths on the host, each at once or not at all, with its mode.

    Raises:
        LinkError: A file could not be written; names it.
    """
    async with await connect(host) as connection:
        try:
            async with asyncio.timeout(COMMAND_S), connection.start_sftp_client() as sftp:
                for local, remote in files:
                    await sftp.makedirs(str(Path(remote).parent), exist_ok=True)
                    await sftp.put(str(local), f"{remote}.new")
                    await sftp.chmod(f"{remote}.new", local.stat().st_mode & 0o777)
                    await sftp.posix_rename(f"{remote}.new", remote)
        except (OSError, asyncssh.Error, TimeoutError) as error:
            raise LinkError(f"copying to {host.name} failed: {error}") from error


class Link:
    """Keeps one host's sockets forwarded until it is stopped."""

    def __init__(self, home: Path, host: HostSpec, journal: Journal, clock: Clock) -> None:
        self.status = LinkStatus(host=host.name, state=LOST, detail="not yet tried", connections=0)
        self._home = home
        self._host = host
        self._journal = journal
        self._clock = clock
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Hang up and end."""
        self._stopping.set()

    async def run(self) -> None:
        """Connect, forward, and connect again, until stopped."""
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            try:
                await self._carry()
                pause_s = FIRST_PAUSE_S
            except LinkRefused as refused:
                self._note(REFUSED, str(refused))
                pause_s = REFUSED_PAUSE_S
            except LinkError as error:
                self._note(LOST, str(error))
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            try:
                await self._clock.wait_for(self._stopping.wait(), pause_s)
            except TimeoutError:
                continue

    async def handle(self, command: AnyCommand, peer: Peer) -> msgspec.Struct:
        """Answer commands: a link has a status and a journal, nothing else."""
        del peer
        if isinstance(command, GetStatus):
            return self.status
        raise Refused(f"invalid: a link does not take {type(command).__name__}")

    async def _carry(self) -> None:
        """One connection, from its making to its end."""
        async with await connect(self._host) as connection:
            await self._forward(connection)
            self._note(CONNECTED, self._host.at, connections=self.status.connections + 1)
            closed = asyncio.ensure_future(connection.wait_closed())
            stopping = asyncio.ensure_future(self._stopping.wait())
            try:
                await asyncio.wait({closed, stopping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                closed.cancel()
                stopping.cancel()
        self._note(LOST, "stopped" if self._stopping.is_set() else "the connection broke")

    async def _forward(self, connection: asyncssh.SSHClientConnection) -> None:
        host = self._host
        argv = [host.python, "-m", "robots.wire.endpoints", host.home, *host.reverse]
        theirs = Path((await run_on(connection, host, argv)).strip())
        ours = runtime_dir(self._home)
        try:
            for socket in host.forwards:
                # Ours from an earlier connection: this process holds the link's journal alone.
                (ours / socket).unlink(missing_ok=True)
                await connection.forward_local_path(str(ours / socket), str(theirs / socket))
            for socket in host.reverse:
                await connection.forward_remote_path(str(theirs / socket), str(ours / socket))
        except (OSError, asyncssh.Error) as error:
            raise LinkError(f"forwarding to {host.name} failed: {error}") from error

    def _note(self, state: str, detail: str, connections: int | None = None) -> None:
        before = self.status
        self.status = LinkStatus(
            host=self._host.name,
            state=state,
            detail=detail,
            connections=before.connections if connections is None else connections,
        )
        if (before.state, before.detail) == (state, detail):
            return
        log.info("%s: %s %s", self._host.name, state, detail)
        try:
            event = LinkChanged(host=self._host.name, state=state, detail=detail)
            self._journal.append(event, durable=True)
        except JournalFull as fault:
            log.warning("%s", fault)  # The link itself goes on.


async def _run_line(connection: asyncssh.SSHClientConnection, host: HostSpec, line: str) -> str:
    try:
        done = await connection.run(line, stdin=asyncssh.DEVNULL, timeout=COMMAND_S)
    except (OSError, asyncssh.Error) as error:
        raise LinkError(f"{host.name}: `{line}` did not run: {error}") from error
    # A lost link ends `run` without an exit status and without an error.
    if done.exit_status is None:
        raise LinkError(f"{host.name}: the link broke while `{line}` ran; its outcome is unknown")
    if done.exit_status != 0:
        words = str(done.stderr or "").strip()
        raise LinkError(f"{host.name}: `{line}` ended with {done.exit_status}: {words}")
    return str(done.stdout or "")


async def serve(home: Path, name: str) -> None:
    """Be the link of one host until SIGTERM.

    Raises:
        LinkError: The host's description is missing or malformed.
        JournalTaken: A link to this host runs already.
    """
    clock = SystemClock()
    host = read_host(home, name)
    me = f"link-{name}"
    journal = SqliteJournal.open(home / "journals" / f"{me}.db", clock)
    link = Link(home, host, journal, clock)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, link.stop)
    loop.add_signal_handler(signal.SIGINT, link.stop)
    try:
        try:
            server = ZmqTransport(home, clock).server(me, journal, link.handle)
        except KeyFileError as error:
            log.warning("%s; the link works, but nobody can follow it", error)
            server = None
        started = DaemonStarted(
            name=me,
            incarnation=server.incarnation if server else secrets.token_hex(8),
            pid=os.getpid(),
            restarts=sum(isinstance(row.event, DaemonStarted) for row in journal.rows(0, 10_000)),
            version=version("enpire-tui"),
        )
        journal.append(started, durable=True)
        if server is None:
            await link.run()
        else:
            async with server:
                await link.run()
    finally:
        journal.close()


def main() -> int:
    """Run the link named on the command line."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s link: %(message)s")
    logging.getLogger("asyncssh").setLevel(logging.WARNING)
    home, name = Path(sys.argv[1]).expanduser().absolute(), sys.argv[2]
    try:
        asyncio.run(serve(home, name))
    except JournalTaken as taken:
        log.info("%s", taken)
    except LinkError as error:
        log.error("%s", error)  # noqa: TRY400 - the message is for people
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
