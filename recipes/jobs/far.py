"""A box by its description: this machine, or a host that is reached over one SSH connection."""

import asyncio
import shlex
from collections.abc import Sequence
from pathlib import Path

import asyncssh
import msgspec

from recipes.jobs.box import CALL_S, Box, LocalBox, ShellBroken
from recipes.jobs.records import JobRefused
from robots.wire.ssh import HostSpec, LinkError, LinkRefused, connect


class BoxSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A box, as `HOME/boxes/NAME.json` describes it.

    Attributes:
        name: As people call it.
        root: Folder of its jobs there, an absolute path.
        launcher: process, slurm or ray.
        ray: Address of Ray's dashboard, seen from the box.
        host: How it is reached; None for this machine.
    """

    name: str
    root: str
    launcher: str = "process"
    ray: str = ""
    host: HostSpec | None = None

    def open(self) -> Box:
        """The box itself; nothing is connected before it is asked something."""
        if self.host is None:
            return LocalBox(self.name, self.root, launcher=self.launcher, ray=self.ray)
        shell = SshShell(self.host)
        return Box(
            self.name, shell, self.root, self.host.python, launcher=self.launcher, ray=self.ray
        )


def write_box(home: Path, box: BoxSpec) -> None:
    """Write a box's description."""
    path = home / "boxes" / f"{box.name}.json"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(box)))


def read_box(home: Path, name: str) -> BoxSpec:
    """A box's description.

    Raises:
        JobRefused: It is missing or malformed.
    """
    path = home / "boxes" / f"{name}.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=BoxSpec)
    except (OSError, msgspec.DecodeError) as error:
        raise JobRefused(f"{path}: {error}; `enpire-tui up` writes it") from None


class SshShell:
    """A host, over one connection that is made when it is first needed and again when it broke."""

    def __init__(self, host: HostSpec) -> None:
        self._host = host
        self._connection: asyncssh.SSHClientConnection | None = None
        self._making = asyncio.Lock()

    async def run(self, argv: Sequence[str], stdin: bytes = b"") -> tuple[int, bytes, str]:
        """Exit code, stdout and stderr of a program on the host.

        Raises:
            JobRefused: Host or client key is refused: a person has to act.
            ShellBroken: It is not known how it ended.
        """
        connection = await self._connected()
        try:
            # encoding=None: bytes as they are. The time-out kills the channel, not the program.
            done = await connection.run(
                shlex.join(argv), input=stdin, encoding=None, timeout=CALL_S, check=False
            )
        except (OSError, asyncssh.Error) as error:
            self.close()
            raise ShellBroken(f"{self._host.name}: {error or type(error).__name__}") from None
        # A lost link ends `run` without an exit status and without an error.
        if done.exit_status is None:
            self.close()
            raise ShellBroken(f"{self._host.name}: the link broke")
        assert isinstance(done.stdout, bytes)
        assert isinstance(done.stderr, bytes)
        return done.exit_status, done.stdout, done.stderr.decode("utf-8", "replace")

    def close(self) -> None:
        """Hang up; jobs go on."""
        if self._connection is not None:
            self._connection.abort()
            self._connection = None

    async def _connected(self) -> asyncssh.SSHClientConnection:
        async with self._making:
            if self._connection is None or self._connection.is_closed():
                try:
                    self._connection = await connect(self._host)
                except LinkRefused as error:
                    raise JobRefused(str(error)) from None
                except LinkError as error:
                    raise ShellBroken(str(error)) from None
            return self._connection
