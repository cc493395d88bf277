"""The link over a real sshd on a loopback port, with a proxy in between that can be cut."""

import asyncio
import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import msgspec
import psutil
import pytest

from enpire_tui.link import (
    CONNECTED,
    LinkStatus,
    copy_files,
    read_host,
    run_on,
    start_remote,
    write_host,
)
from robots.wire import commands as c
from robots.wire.client import Unreachable
from robots.wire.clock import SystemClock
from robots.wire.endpoints import runtime_dir
from robots.wire.journal import read_rows
from robots.wire.keys import provision
from robots.wire.processes import identify, read_pid_file, send_signal
from robots.wire.records import Role
from robots.wire.ssh import HostSpec, LinkError, LinkRefused, connect
from robots.wire.transport import ZmqTransport

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/sbin:/usr/local/sbin")
DAEMON = Path(__file__).parents[1] / "robots" / "wire" / "daemon.py"
ROLES = {"s1": None, "sup": Role.SUPERVISOR, "view": Role.VIEWER, "link-far": None}

pytestmark = pytest.mark.skipif(SSHD is None, reason="sshd is not installed")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_key(path: Path) -> str:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, timeout=20
    )
    return " ".join(path.with_name(path.name + ".pub").read_text().split()[:2])


class Sshd:
    """A host of its own, as far as SSH can tell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.host_key = make_key(folder / "host_key")
        client = make_key(folder / "client_key")
        authorized = folder / "authorized_keys"
        authorized.write_text(client + "\n")
        authorized.chmod(0o600)
        self.config = folder / "sshd_config"
        self.config.write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\n"
            f"AuthorizedKeysFile {authorized}\nPidFile none\nUsePAM no\nStrictModes no\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            "PermitRootLogin prohibit-password\nSubsystem sftp internal-sftp\nMaxStartups 50\n"
            # Sockets lie below the temporary folder: both ends must have the same one.
            f"SetEnv TMPDIR={tempfile.gettempdir()}\n"
        )
        self.process = None

    def start(self) -> None:
        if os.getuid() == 0:
            # What the service manager makes for an sshd that can separate privileges.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(self.config)], stderr=subprocess.DEVNULL
        )
        for _ in range(500):
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.port), 1),
            ):
                return
            assert self.process.poll() is None, "sshd did not start"
            threading.Event().wait(0.01)
        raise AssertionError("sshd does not listen")

    def sessions(self) -> list[int]:
        return [child.pid for child in psutil.Process(self.process.pid).children(recursive=False)]

    def runs(self, name: str) -> bool:
        below = psutil.Process(self.process.pid).children(recursive=True)
        with contextlib.suppress(psutil.NoSuchProcess):
            return any(process.name() == name for process in below)
        return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)


class Proxy:
    """A network that can be cut: connections through it die, new ones are refused."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task] = set()
        self._server = None
        self.port = free_port()

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in tuple(self._writers):
            writer.transport.abort()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry(self, reader, writer) -> None:
        self._tasks.add(asyncio.current_task())
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
        self._writers |= {writer, far_writer}
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, far_writer))
                tasks.create_task(self._pump(far_reader, writer))
        finally:
            self._writers -= {writer, far_writer}
            self._tasks.discard(asyncio.current_task())
            for one in (writer, far_writer):
                one.transport.abort()

    async def _pump(self, reader, writer) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


async def until(condition, timeout_s: float = 30.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - conditions of many kinds
            await asyncio.sleep(0.01)


@pytest.fixture
def sshd(tmp_path):
    folder = tmp_path / "sshd"
    folder.mkdir(mode=0o700)
    made = Sshd(folder)
    made.start()
    yield made
    made.stop()


class Fleet:
    """This home, a far one behind sshd, and the processes between them."""

    def __init__(self, tmp_path: Path, sshd: Sshd, proxy: Proxy) -> None:
        self.sshd = sshd
        self.proxy = proxy
        self.home = tmp_path / "near"
        self.far = tmp_path / "far"
        for home in (self.home, self.far):
            home.mkdir()
        provision(self.home, ROLES)
        shutil.copytree(self.home / "keys", self.far / "keys")
        self.known = tmp_path / "known_hosts"
        self.known.write_text(f"[127.0.0.1]:{proxy.port} {sshd.host_key}\n")
        self.host = HostSpec(
            name="far",
            address="127.0.0.1",
            port=proxy.port,
            username=getpass.getuser(),
            client_key=str(sshd.folder / "client_key"),
            known_hosts=str(self.known),
            home=str(self.far),
            python=sys.executable,
            forwards=("s1.cmd",),
            reverse=("view.cmd",),
        )
        self.processes: list[subprocess.Popen] = []

    def station(self, rows: int) -> subprocess.Popen:
        return self.run([sys.executable, str(DAEMON), str(self.far), str(rows)])

    def link(self) -> subprocess.Popen:
        write_host(self.home, self.host)
        return self.run([sys.executable, "-m", "enpire_tui.link", str(self.home), "far"])

    def run(self, argv: list[str]) -> subprocess.Popen:
        self.processes.append(subprocess.Popen(argv, stdout=subprocess.DEVNULL))
        return self.processes[-1]

    def states(self) -> list[tuple[str, str]]:
        path = self.home / "journals" / "link-far.db"
        if not path.exists():
            return []
        with contextlib.suppress(Exception):
            rows = read_rows(path)
            return [(r.event.state, r.event.detail) for r in rows if r.kind == "LinkChanged"]
        return []

    def client(self, me: str, to: str = "s1"):
        return ZmqTransport(self.home, SystemClock()).client(me, to)


@pytest.fixture
async def fleet(tmp_path, sshd):
    proxy = Proxy(sshd.port)
    await proxy.mend()
    made = Fleet(tmp_path, sshd, proxy)
    yield made
    for process in made.processes:
        process.kill()
        process.wait(10)
    await proxy.cut()


async def test_a_remote_station_is_commanded_and_followed_over_ssh(fleet) -> None:
    fleet.station(rows=50)
    fleet.link()
    client = fleet.client("sup")

    assert (await client.hello(30)).name == "s1"
    await client.request(c.PauseAgent(), 10)
    seen = []
    async for row in client.follow():
        seen.append(row.event.number)
        if len(seen) == 50:
            break
    link = fleet.client("view", "link-far")
    status = await link.call(c.GetStatus(), LinkStatus, 10)

    assert seen == list(range(1, 51))
    assert (status.state, status.connections) == (CONNECTED, 1)
    client.close()
    link.close()


async def test_a_cut_link_loses_no_row_and_executes_nothing_late(fleet) -> None:
    fleet.station(rows=4000)
    fleet.link()
    client = fleet.client("sup")
    await client.hello(30)
    seen: list[int] = []

    async def follow() -> None:
        async for row in client.follow():
            seen.append(row.event.number)
            if row.event.number == 4000:
                return

    async def cut() -> None:
        await until(lambda: len(seen) > 200)
        await fleet.proxy.cut()
        await until(lambda: not client.connected)
        with pytest.raises(Unreachable):
            await client.request(c.PauseAgent(), 2.5)
        await fleet.proxy.mend()

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(follow())
        tasks.create_task(cut())

    assert seen == list(range(1, 4001))
    await until(lambda: fleet.states()[-1][0] == CONNECTED)
    words = [state for state, _ in fleet.states()]
    assert words[0] == CONNECTED
    assert "LOST" in words
    client.close()


async def test_killed_ssh_sessions_lose_nothing(fleet) -> None:
    fleet.station(rows=1500)
    fleet.link()
    client = fleet.client("sup")
    await client.hello(30)
    seen: list[int] = []

    async with asyncio.timeout(60):
        async for row in client.follow():
            seen.append(row.event.number)
            if len(seen) in (100, 700):
                for pid in fleet.sshd.sessions():
                    send_signal(identify(pid), signal.SIGKILL)
            if row.event.number == 1500:
                break

    assert seen == list(range(1, 1501))
    client.close()


async def test_our_sockets_appear_on_the_far_host(fleet) -> None:
    # Whoever listens here as `view` is reached from there.
    fleet.link()
    there = runtime_dir(fleet.far) / "view.cmd"
    await until(there.exists)
    clock = SystemClock()

    async def handle(command, peer) -> None:
        return None

    provision(fleet.home, {**ROLES, "view": None, "a9": Role.AGENT})
    shutil.copytree(fleet.home / "keys", fleet.far / "keys", dirs_exist_ok=True)
    async with ZmqTransport(fleet.home, clock).server("view", None, handle):
        client = ZmqTransport(fleet.far, clock).client("a9", "view")
        assert (await client.hello(20)).role is Role.AGENT
        client.close()


async def test_an_unknown_host_key_is_refused_in_plain_words(fleet) -> None:
    fleet.known.write_text("elsewhere ssh-ed25519 AAAA\n")
    fleet.link()
    await until(fleet.states)

    state, detail = fleet.states()[0]
    assert state == "REFUSED"
    assert "is unknown and is refused" in detail
    assert "ssh-keyscan" in detail
    fleet.known.unlink()
    with pytest.raises(LinkRefused, match="unknown"):
        await connect(fleet.host)


async def test_a_changed_host_key_is_refused_in_plain_words(fleet, tmp_path) -> None:
    other = make_key(tmp_path / "other")
    fleet.known.write_text(f"[127.0.0.1]:{fleet.host.port} {other}\n")

    with pytest.raises(LinkRefused, match="has CHANGED and is refused"):
        await connect(fleet.host)


async def test_a_users_ssh_config_switches_nothing_off(fleet, tmp_path, monkeypatch) -> None:
    fleet.known.write_text("")
    (tmp_path / ".ssh").mkdir()
    config = "Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile none\n"
    (tmp_path / ".ssh" / "config").write_text(config)
    monkeypatch.setenv("HOME", str(tmp_path))

    with pytest.raises(LinkRefused, match="unknown"):
        await connect(fleet.host)


async def test_a_client_key_that_the_host_does_not_know_is_said(fleet, tmp_path) -> None:
    make_key(tmp_path / "stranger")
    host = msgspec.structs.replace(fleet.host, client_key=str(tmp_path / "stranger"))

    with pytest.raises(LinkRefused, match="does not accept"):
        await connect(host)


async def test_a_host_that_is_away_is_said(fleet) -> None:
    await fleet.proxy.cut()

    with pytest.raises(LinkError, match="cannot be reached"):
        await connect(fleet.host)


async def test_a_started_process_outlives_the_connection(fleet) -> None:
    mark = fleet.far / "pids" / "it"
    script = (
        "import os, sys, time; from pathlib import Path;"
        "from robots.wire.processes import identify, write_pid_file;"
        "print('hello', flush=True);"
        "write_pid_file(Path(sys.argv[1]), identify(os.getpid())); time.sleep(60)"
    )
    log = fleet.far / "logs" / "it.log"

    await start_remote(fleet.host, [sys.executable, "-c", script, str(mark)], str(log))
    await until(mark.exists)
    started = read_pid_file(mark)
    await fleet.proxy.cut()
    await until(lambda: not fleet.sshd.sessions())

    assert identify(started.pid) == started
    assert os.getsid(started.pid) == started.pid
    assert log.read_text() == "hello\n"
    send_signal(started, signal.SIGKILL)


async def test_files_are_copied_with_their_modes(fleet, tmp_path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"\0" * 100_000)
    secret.chmod(0o600)

    await copy_files(fleet.host, [(secret, str(fleet.far / "deep" / "er" / "secret"))])

    copied = fleet.far / "deep" / "er" / "secret"
    assert copied.read_bytes() == secret.read_bytes()
    assert copied.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in copied.parent.iterdir()] == ["secret"]
    with pytest.raises(LinkError, match="copying to far failed"):
        await copy_files(fleet.host, [(tmp_path / "missing", str(copied))])


async def test_a_failing_command_says_what_and_where(fleet) -> None:
    async with await connect(fleet.host) as connection:
        assert await run_on(connection, fleet.host, ["echo", "a b"]) == "a b\n"
        with pytest.raises(LinkError, match="far: `ls /no/such` ended with 2"):
            await run_on(connection, fleet.host, ["ls", "/no/such"])


async def test_a_link_that_breaks_under_a_command_leaves_its_outcome_unknown(fleet) -> None:
    async with await connect(fleet.host) as connection:
        running = asyncio.create_task(run_on(connection, fleet.host, ["sleep", "60"]))
        await until(lambda: fleet.sshd.runs("sleep"))
        await fleet.proxy.cut()
        with pytest.raises(LinkError, match=r"unknown|did not run"):
            await running


async def test_a_second_link_to_a_host_leaves(fleet) -> None:
    fleet.link()
    await until(fleet.states)

    assert await asyncio.to_thread(fleet.link().wait, 20) == 0


def test_a_missing_description_is_named(tmp_path) -> None:
    with pytest.raises(LinkError, match=r"hosts/far\.json"):
        read_host(tmp_path, "far")
