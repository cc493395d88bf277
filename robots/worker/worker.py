"""The station's side of a worker: start it in a sandbox, call it with a deadline, name its failures.

A call blocks its thread, on purpose: the control loop is a thread of its own and a blocking Unix
socket is the fastest round trip there is. Processor time is measured from out here, with the
process's own clock, and charged from reply to reply, so that work done between calls is not free.
"""

import json
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np

from robots import policy
from robots.sandbox import (
    Bind,
    Exit,
    Limits,
    Mount,
    PythonInside,
    Sandbox,
    SandboxError,
    SandboxSpec,
    SyscallFilter,
    python_mounts,
    start,
)
from robots.sandbox.process import process_cpu_s
from robots.sandbox.spec import GIB, MIB
from robots.worker import child, protocol, quick
from robots.worker.channel import Channel
from robots.worker.failures import WorkerBadReply, WorkerDied, WorkerRaised, WorkerTimedOut

RECIPE = "/recipe"
_HOME = "/enpire"
_PACKAGES = ("numpy", "msgspec")
_TEXT_CHARACTERS = 2_000
_MOST_BLOCKED = 16
_NUMBERS = 0xFFFFFFFF
_REPLY_LIMIT_BYTES = 8 * MIB
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_ENVIRONMENT = {
    # The same figures on every machine and every run, and one thread, whose time is counted.
    "PYTHONHASHSEED": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "LC_ALL": "C.UTF-8",
    "HOME": "/tmp",  # noqa: S108 - inside.
}


class WorkerKind(StrEnum):
    """What a worker serves."""

    POLICY = "policy"
    RESET = "reset"
    VERIFIER = "verifier"


class _Served(msgspec.Struct, frozen=True):
    """The file, the name in it and the methods of one kind."""

    entry: str
    name: str
    methods: tuple[str, ...]


_SERVED = {
    WorkerKind.POLICY: _Served("policy.py", "Policy", ("reset", "act")),
    WorkerKind.RESET: _Served("reset.py", "Reset", ("reset", "act")),
    WorkerKind.VERIFIER: _Served("verify.py", "verify", ("verify",)),
}


class CallResult(msgspec.Struct, frozen=True):
    """A reply.

    Attributes:
        value: an array (any dtype and shape: the safety table checks an action), a dict or None.
        cpu_s: processor seconds of the process since its previous reply.
        wall_s: wall seconds of the call.
        blocked: what the code tried and may not, as far as it was noticed.
    """

    value: Any
    cpu_s: float
    wall_s: float
    blocked: tuple[str, ...]


def worker_limits(
    memory_bytes: int = 512 * MIB, processes: int = 16, scratch_bytes: int = 32 * MIB
) -> Limits:
    """Caps of a worker; ``processes`` counts threads, and three are the sandbox's own."""
    return Limits(
        memory_bytes=memory_bytes,
        processes=processes,
        file_bytes=16 * MIB,
        open_files=64,
        # Virtual memory, so that one absurd array is a MemoryError and not a dead process.
        address_space_bytes=memory_bytes + 2 * GIB,
        scratch_bytes=scratch_bytes,
    )


class Worker:
    """One policy, reset or verifier in a sandboxed process. Start it with `Worker.start`.

    Not for use from several threads at once. After any failure but `WorkerRaised` it is dead.
    """

    def __init__(self, kind: WorkerKind, sandbox: Sandbox, connected: socket.socket) -> None:
        self.kind = kind
        self.sandbox = sandbox
        self._methods = frozenset((*_SERVED[kind].methods, "load"))
        self._channel = Channel(connected, _REPLY_LIMIT_BYTES)
        self._codec = protocol.Codec(protocol.Reply)
        self._number = 0
        self._layout: quick.Layout | None = None
        self._pid = 0
        self._cpu_s = 0.0

    @classmethod
    def start(
        cls,
        kind: WorkerKind,
        source: Path,
        *,
        knobs: Mapping[str, policy.Knob] | None = None,
        files: Sequence[Path] = (),
        packages: Mapping[str, Path] | None = None,
        limits: Limits | None = None,
        sandboxed: bool = True,
        nice: int = 5,
        wall_s: float = 20.0,
    ) -> Self:
        """Start a fresh worker and load what it serves.

        Args:
            kind: what it serves; a policy is ``class Policy`` of ``policy.py``, a reset ``class
                Reset`` of ``reset.py``, a verifier ``def verify`` of ``verify.py``.
            source: the recipe's folder, seen as ``/recipe``; or the file to load alone.
            knobs: a policy's knobs.
            files: more files to show beside it.
            packages: folders whose modules it may import, by their dotted names.
            limits: caps, `worker_limits` by default.
            sandboxed: False for no walls (``--unsandboxed``).
            nice: added niceness, so that the control thread comes first.
            wall_s: deadline for the start.

        Raises:
            SandboxError: if there can be no sandbox.
            WorkerFailed: if the code cannot be loaded.
        """
        served = _SERVED[kind]
        python = python_mounts(_PACKAGES)
        entry = f"{RECIPE}/{served.entry if source.is_dir() else source.name}"
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            spec = SandboxSpec(
                mounts=(
                    *python.mounts,
                    *_own_files(),
                    *_recipe(source, files),
                    *_packages(packages or {}),
                ),
                environment=_ENVIRONMENT,
                limits=limits or worker_limits(),
                keep_fds=(theirs.fileno(),),
                nice=nice,
                syscalls=SyscallFilter.WORKER,
            )
            argv = _arguments(
                spec,
                python,
                entry,
                served,
                theirs.fileno(),
                permitted=list(packages or {}),
                sandboxed=sandboxed,
            )
            try:
                sandbox = start(spec, argv, sandboxed=sandboxed)
            except SandboxError:
                ours.close()
                raise
        worker = cls(kind, sandbox, ours)
        try:
            worker.call(
                "load", *([dict(knobs or {})] if kind is WorkerKind.POLICY else []), wall_s=wall_s
            )
            worker._note_process()
        except BaseException:
            worker.close()
            raise
        return worker

    def call(self, method: str, *arguments: Any, wall_s: float) -> CallResult:  # noqa: ANN401
        """Call a method and wait for its reply.

        Args:
            method: one of the kind's.
            arguments: arrays, and dicts of them; see `robots.worker.protocol`.
            wall_s: deadline.

        Raises:
            WorkerRaised: the code raised; the worker is still usable.
            WorkerTimedOut: no reply in time; the worker was killed.
            WorkerDied: the process ended or closed its channel.
            WorkerBadReply: the reply was not one; the worker was killed.
        """
        assert method in self._methods, f"a {self.kind} worker has no method {method!r}"
        if method == "reset":
            self._layout = quick.Layout.of(arguments[0])
        self._number = (self._number + 1) & _NUMBERS
        frame = self._codec.frame(protocol.Request(self._number, method, arguments))
        return self._exchange(method, frame, wall_s)

    def act(self, observation: Mapping[str, Any], wall_s: float) -> CallResult:
        """`call` of ``act``, by the short way where observation and action allow it."""
        layout = self._layout
        if layout is not None:
            frame = layout.frame((self._number + 1) & _NUMBERS, observation)
            if frame is not None:
                self._number = (self._number + 1) & _NUMBERS
                return self._exchange("act", frame, wall_s)
        return self.call("act", observation, wall_s=wall_s)

    def _exchange(self, method: str, frame: bytes | bytearray, wall_s: float) -> CallResult:
        """Send a request's frame and make a result of its reply."""
        begun_s = time.perf_counter()
        try:
            body = self._channel.exchange(frame, wall_s)
            if quick.is_quick(body):
                value = quick.read_numbers(body, self._number)
                return CallResult(value, self._charge(), time.perf_counter() - begun_s, ())
            reply = self._checked(body)
        except TimeoutError:
            used_s = self._charge()
            raise WorkerTimedOut(method, wall_s, used_s, self.close()) from None
        except EOFError:
            self.sandbox.wait(1.0)
            raise WorkerDied(method, self.close()) from None
        except (msgspec.DecodeError, ValueError) as error:
            self.close()
            raise WorkerBadReply(f"the reply cannot be read: {plain(str(error))}") from None
        except WorkerBadReply:
            self.close()
            raise
        cpu_s = self._charge()
        blocked = _clipped(reply.blocked)
        if reply.raised is not None:
            name, message, traceback = map(plain, reply.raised)
            raise WorkerRaised(name, message, traceback, blocked)
        return CallResult(reply.value, cpu_s, time.perf_counter() - begun_s, blocked)

    def output(self) -> str:
        """The end of what the code printed, raw: it may hold terminal escapes."""
        return self.sandbox.output()

    def close(self) -> Exit:
        """End the process and release everything; may be called again."""
        self._channel.close()
        return self.sandbox.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _note_process(self) -> None:
        """Take note of the process whose time is charged; its code has run by now.

        Raises:
            WorkerDied: it has ended since it was loaded, which is its own doing.
        """
        try:
            self._pid = self.sandbox.inner_pid
            self._cpu_s = process_cpu_s(self._pid)
        except (SandboxError, OSError):
            self.sandbox.wait(1.0)
            raise WorkerDied("load", self.close()) from None

    def _charge(self) -> float:
        """Processor seconds since the last reply."""
        if not self._pid:
            return 0.0
        try:
            now_s = process_cpu_s(self._pid)
        except OSError:
            return 0.0
        used_s, self._cpu_s = now_s - self._cpu_s, now_s
        return used_s

    def _checked(self, body: memoryview) -> protocol.Reply:
        """Decode a reply. SAFETY: every byte of it comes from untrusted code."""
        try:
            reply: protocol.Reply = self._codec.message(body)
        except RecursionError:
            raise ValueError("it is nested too deeply") from None
        if reply.number != self._number:
            fault = f"reply {reply.number} to request {self._number}"
        elif reply.unsendable is not None:
            fault = f"the value cannot be sent: {plain(reply.unsendable)}"
        elif not (reply.value is None or isinstance(reply.value, np.ndarray | dict)):
            fault = f"a reply is an array, a dict or None, not {type(reply.value).__name__}"
        else:
            return reply
        raise WorkerBadReply(fault, _clipped(reply.blocked))


def plain(text: str) -> str:
    """Clip text of untrusted code and take out what a terminal would act on."""
    clipped = text[-_TEXT_CHARACTERS:]
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in clipped)


def _clipped(blocked: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(plain, blocked[:_MOST_BLOCKED])) if blocked else ()


def _own_files() -> Sequence[Mount]:
    """Our own files inside: the script, the protocol, and the shape of a policy."""
    return (
        Bind(Path(child.__file__), f"{_HOME}/child.py"),
        Bind(Path(protocol.__file__), f"{_HOME}/protocol.py"),
        Bind(Path(quick.__file__), f"{_HOME}/quick.py"),
        Bind(Path(policy.__file__), f"{_HOME}/lib/robots/policy.py"),
    )


def _recipe(source: Path, files: Sequence[Path]) -> Sequence[Mount]:
    if source.is_dir():
        assert not files, "a recipe is a folder and complete"
        return (Bind(source, RECIPE),)
    return [Bind(file, f"{RECIPE}/{file.name}") for file in (source, *files)]


def _packages(packages: Mapping[str, Path]) -> Sequence[Mount]:
    # SAFETY: sources alone, so that what runs is what a manifest hashes and no cache beside it.
    return [
        Bind(file, f"{_HOME}/lib/{name.replace('.', '/')}/{file.name}")
        for name, folder in packages.items()
        for file in sorted(folder.glob("*.py"))
    ]


def _arguments(
    spec: SandboxSpec,
    python: PythonInside,
    entry: str,
    served: _Served,
    channel: int,
    *,
    permitted: list[str],
    sandboxed: bool,
) -> list[str]:
    """The program that the sandbox runs; without walls, with the host's paths."""

    def at(inside: str) -> str:
        return inside if sandboxed else str(spec.outside(inside))

    site = [python.site, f"{_HOME}/lib"] if sandboxed else [*filter(None, sys.path)]
    plan = child.Plan(
        channel=channel,
        protocol=at(f"{_HOME}/protocol.py"),
        quick=at(f"{_HOME}/quick.py"),
        site=site,
        folder=str(Path(at(entry)).parent),
        entry=at(entry),
        name=served.name,
        methods=list(served.methods),
        readable=[
            *(mount.target for mount in spec.mounts if isinstance(mount, Bind)),
            *_DEVICES,
            *site,
            "/proc/self",
            str(Path(at(entry)).parent),
        ],
        writable=["/tmp", "/dev/shm", "/dev/null"],  # noqa: S108 - inside.
        permitted=permitted,
    )
    flags = ["-P", "-s", "-S", "-B", "-u"]
    return [python.executable, *flags, at(f"{_HOME}/child.py"), json.dumps(plan._asdict())]
