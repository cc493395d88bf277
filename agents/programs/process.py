"""A program as a process: its sandbox, its standard streams, its two sockets.

It sees the working tree (writable), the run's objects, a home of its own that outlives it, the
usual tools, and two Unix sockets: the gateway's and that of our tools. No network, no keys.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from agents.git.workspace import CLONE, OBJECTS, tool_mounts
from agents.programs import inside
from agents.programs.table import INSIDE_HOME, Program
from robots.sandbox import (
    SANDBOX_UID,
    Bind,
    Limits,
    Mount,
    Sandbox,
    SandboxError,
    SandboxSpec,
    python_mounts,
    start,
)
from robots.sandbox.spec import GIB, MIB

GATEWAY, TOOLS, SCRIPT, PLACE, RUNNER = (
    "/enpire/gateway.sock",
    "/enpire/tools.sock",
    "/enpire/inside.py",
    "/enpire/program",
    "/enpire/runner",
)
# Interpreters that are one file: one that is not among the usual tools is put into view.
_RUNNERS = frozenset({"node", "bun", "deno"})
MESSAGE_LIMIT_BYTES = 50 << 20
# What /usr holds of Python is among the usual tools already.
_SYSTEM, _PYTHON = {Path("/usr"), Path("/")}, ("bin", "lib")
LIMITS = Limits(
    memory_bytes=4 * GIB,
    processes=512,
    file_bytes=256 * MIB,
    open_files=4096,
    scratch_bytes=256 * MIB,
)


class Folders(NamedTuple):
    """What of the host a program is given.

    Attributes:
        clone: The agent's working tree, writable.
        objects: The object store of the station's gate.
        home: The program's own folder, writable; its sessions lie there.
        gateway: The agent's socket of the gateway.
        tools: The socket of its tools.
    """

    clone: Path
    objects: Path
    home: Path
    gateway: Path
    tools: Path


class Started(NamedTuple):
    """A running program.

    Attributes:
        reader: What it says, message by message.
        writer: What it is told.
        directory: The working tree, as a path inside.
        bridge: Command of the MCP server that it is to start, as a path inside.
    """

    sandbox: Sandbox
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    directory: str
    bridge: list[str]


@asynccontextmanager
async def started(
    program: Program, folders: Folders, *, sandboxed: bool = True
) -> AsyncGenerator[Started]:
    """Run a program; ended with everything it started when the context ends.

    Raises:
        ProgramMissing: It is not installed.
        SandboxError: There could be no sandbox.
    """
    executable = program.found()
    folders.home.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0 and sandboxed:
        os.chown(folders.home, SANDBOX_UID, SANDBOX_UID)
    spec, command = _spec(program, executable, folders)

    def at(target: str) -> str:
        covered = target.startswith("/enpire/") or target == CLONE
        return str(spec.outside(target)) if covered and not sandboxed else target

    python = python_mounts(()).executable if sandboxed else sys.executable
    script = [python, "-I", "-S", at(SCRIPT)]
    argv = [*script, "run", at(GATEWAY), *map(at, command), *program.arguments]
    if not sandboxed:
        outside = {k: v.replace(INSIDE_HOME, at(INSIDE_HOME)) for k, v in spec.environment.items()}
        spec = msgspec.structs.replace(spec, environment={"PATH": os.environ["PATH"], **outside})
    # A pair for each direction: of one socket for both, what is told would wake who only says.
    (telling, told), (hearing, heard) = socket.socketpair(), socket.socketpair()
    with contextlib.ExitStack() as ours:
        for end in (telling, hearing):
            ours.enter_context(end)
        with told, heard:
            streams = {"stdin": told.fileno(), "stdout": heard.fileno()}
            starting = asyncio.to_thread(start, spec, argv, sandboxed=sandboxed, **streams)
            sandbox = await _whole(asyncio.ensure_future(starting))
        # They are the streams' from here on.
        ours.pop_all()
    _, writer = await asyncio.open_unix_connection(sock=telling)
    reader, silent = await asyncio.open_unix_connection(sock=hearing, limit=MESSAGE_LIMIT_BYTES)
    try:
        yield Started(sandbox, reader, writer, at(CLONE), [*script, "stdio", at(TOOLS)])
    finally:
        writer.close()
        silent.close()
        await asyncio.to_thread(sandbox.close)


async def _whole(starting: asyncio.Future[Sandbox]) -> Sandbox:
    """A sandbox that is being started; who is cancelled meanwhile leaves none behind."""
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(SandboxError):
            await asyncio.to_thread((await starting).close)
        raise


def _spec(program: Program, executable: Path, folders: Folders) -> tuple[SandboxSpec, list[str]]:
    """The sandbox, and the program inside it with what runs it."""
    package = _package(executable)
    runner, needed = _runner(executable)
    spec = SandboxSpec(
        mounts=(
            *tool_mounts(),
            *needed,
            Bind(package, f"{PLACE}/{package.name}"),
            Bind(Path(inside.__file__).resolve(), SCRIPT),
            Bind(folders.gateway, GATEWAY),
            Bind(folders.tools, TOOLS),
            Bind(folders.objects, OBJECTS),
            Bind(folders.clone, CLONE, writable=True),
            Bind(folders.home, INSIDE_HOME, writable=True),
        ),
        environment={
            "HOME": INSIDE_HOME,
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            **program.environment,
        },
        limits=LIMITS,
        directory=CLONE,
    )
    return spec, [*runner, f"{PLACE}/{executable.relative_to(package.parent)}"]


def _package(executable: Path) -> Path:
    """What must be in view for a program to run: the outermost node_modules, or itself."""
    outermost = [each for each in executable.parents if each.name == "node_modules"]
    return outermost[-1] if outermost else executable


def _runner(executable: Path) -> tuple[list[str], list[Mount]]:
    """What runs a script, and its mounts; nothing for a program that runs by itself.

    A Python of a virtual environment keeps its path, which is written into it.
    """
    with executable.open("rb") as file:
        first = file.readline(256)
    if not first.startswith(b"#!"):
        return [], []
    words = first[2:].decode().split()
    python = Path(words[0])
    settings = python.parents[1] / "pyvenv.cfg"
    if not settings.is_file():
        if python.name != "env":
            return words, []
        found = shutil.which(words[-1]) if words[-1] in _RUNNERS else None
        if found is None or Path(found).resolve().is_relative_to("/usr"):
            return [words[-1]], []
        runner = f"{RUNNER}/{words[-1]}"
        return [runner], [Bind(Path(found).resolve(), runner)]
    told = dict(line.split(" = ", 1) for line in settings.read_text().splitlines() if " = " in line)
    base = Path(told["home"]).resolve().parent
    mounts = [] if base in _SYSTEM else [Bind(base / each, f"{base}/{each}") for each in _PYTHON]
    return words, [*mounts, Bind(python.parents[1].resolve(), str(python.parents[1]))]
