"""The boxes of a fleet file, as training jobs reach them: this machine, or one SSH connection a host."""

import asyncio
import shlex
from collections.abc import Sequence
from pathlib import Path

import asyncssh

from enpire_tui.fleet import BoxEntry, Fleet, FleetError
from enpire_tui.hosts import host_spec
from enpire_tui.link import HostSpec, LinkError, LinkRefused, connect
from recipes.jobs.box import CALL_S, Box, LocalBox, ShellBroken
from recipes.jobs.records import JobRefused

LAUNCHERS = {"local": "process", "ssh": "process", "slurm": "slurm", "ray": "ray"}
LOCAL = "local"


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


def box_of(fleet: Fleet, name: str, home: Path) -> Box:
    """A box by its name in the fleet file; `local` needs no entry.

    Args:
        fleet: With `[boxes.NAME]` and the `[hosts.NAME]` that they name.
        name: Of the box.
        home: The fleet's folder here, where jobs of this machine lie.

    Raises:
        FleetError: There is no such box.
    """
    entry = fleet.boxes.get(name, BoxEntry() if name == LOCAL else None)
    if entry is None:
        known = ", ".join(sorted({*fleet.boxes, LOCAL}))
        raise FleetError(f"boxes.{name}: no such box; known are {known}")
    launcher = LAUNCHERS[entry.kind]
    if not entry.host:
        return LocalBox(name, home / "jobs", launcher=launcher, ray=entry.ray)
    host = host_spec(fleet, entry.host)
    root = f"{host.home}/jobs"
    return Box(name, SshShell(host), root, host.python, launcher=launcher, ray=entry.ray)
