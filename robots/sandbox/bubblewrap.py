"""Start a process in a sandbox, know its host pid, end it, and say why it ended.

The walls are namespaces (user, process, mount, network, IPC, host name), a minimal list of mounts,
no capabilities, no new privileges, another real user where the daemon is root, a system call
filter, and caps. Rejected: a container engine (a daemon with root of its own, seconds to start) and
running bubblewrap as root (its user namespace would map root, who owns the host's files).
"""

import contextlib
import json
import os
import resource
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from robots.sandbox import cgroup, launcher, seccomp
from robots.sandbox.command import arguments, installed
from robots.sandbox.process import Sandbox
from robots.sandbox.spec import Bind, Data, Limits, SandboxError, SandboxSpec

_STAGES = ("/mnt", "/media", "/tmp")  # noqa: S108 - covered by a private mount, never written to.
_START_TIMEOUT_S = 10.0
# PR_SET_PDEATHSIG fires when the *thread* that forked ends, so one thread that lives as long as the
# process starts them all.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox-spawner")


def start(
    spec: SandboxSpec,
    argv: Sequence[str],
    *,
    sandboxed: bool = True,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
    stderr: int | None = None,
) -> Sandbox:
    """Start a process in a fresh sandbox; returns once its namespaces stand.

    Args:
        spec: what the sandbox holds.
        argv: program, as a path inside, and its arguments.
        sandboxed: False starts a plain process of the daemon's user, with limits but without walls;
            paths in ``argv`` are then the host's (`SandboxSpec.outside`).
        stdin: a descriptor, or ``subprocess.PIPE`` or ``DEVNULL``.
        stdout: likewise; None keeps it in memory for `Sandbox.output`, up to the cap on file size.
        stderr: likewise.

    Raises:
        SandboxError: if it could not be set up.
    """
    caps = cgroup.create(spec.limits, min(os.getpriority(os.PRIO_PROCESS, 0) + spec.nice, 19))
    with contextlib.ExitStack() as stack:
        stack.callback(_discard, caps)
        output = os.memfd_create("output", os.MFD_CLOEXEC)
        stack.callback(os.close, output)
        kept = stack.enter_context(_Descriptors())
        info = kept.pipe() if sandboxed else None
        plan = _plan(spec, argv, caps, kept, None if info is None else info[1])
        directory = None if sandboxed else _directory_outside(spec)
        process = _spawner.submit(
            subprocess.Popen[bytes],
            [sys.executable, "-I", "-S", launcher.__file__, json.dumps(plan)],
            stdin=stdin,
            stdout=output if stdout is None else stdout,
            stderr=output if stderr is None else stderr,
            cwd=directory,
            pass_fds=(*spec.keep_fds, *kept.passed),
            start_new_session=True,
        ).result()
        sandbox = Sandbox(process, caps, output, spec.limits)
        stack.pop_all()  # The sandbox owns group and output from here on.
    with kept:
        kept.close_passed()
        try:
            sandbox.settle(None if info is None else _read_info(info[0]))
        except SandboxError as error:
            sandbox.close()
            raise SandboxError(f"{error} {sandbox.output().strip()}".strip()) from None
    return sandbox


def _plan(
    spec: SandboxSpec,
    argv: Sequence[str],
    caps: cgroup.Cgroup | None,
    kept: "_Descriptors",
    info_fd: int | None,
) -> launcher.Plan:
    """Decide what the launcher takes on; without ``info_fd``, no walls."""
    root = os.geteuid() == 0
    sandboxed = info_fd is not None
    bound = [mount.source for mount in spec.mounts if isinstance(mount, Bind)]
    binds = dict.fromkeys([*bound, *spec.devices])
    stage = _stage() if root and sandboxed else ""
    if info_fd is not None:
        program = seccomp.program(spec.syscalls)
        argv = arguments(
            spec,
            argv,
            sources={
                source: f"{stage}/{number}" if stage else str(source)
                for number, source in enumerate(binds)
            },
            data_fds={
                mount: kept.memory(mount.content)
                for mount in spec.mounts
                if isinstance(mount, Data)
            },
            info_fd=info_fd,
            seccomp_fd=None if program is None else kept.memory(program),
            uid=spec.uid if root else os.getuid(),
            gid=spec.gid if root else os.getgid(),
            bwrap=installed(),
        )
    limits = spec.limits
    kernel_counts = caps is not None and caps.holds_processes
    return launcher.Plan(
        parent=os.getpid() if spec.die_with_parent else 0,
        members=[] if caps is None else [str(member) for member in caps.members],
        rlimits=list(_rlimits(limits)),
        processes=None if kernel_counts else limits.processes,
        nice=spec.nice,
        stage=stage,
        sources=[str(source) for source in binds] if stage else [],
        uid=spec.uid if stage else None,
        gid=spec.gid,
        argv=list(argv),
        environment={"PATH": "/usr/bin:/bin", **spec.environment},
    )


def _rlimits(limits: Limits) -> Iterator[tuple[int, int]]:
    yield resource.RLIMIT_CORE, 0
    yield resource.RLIMIT_NOFILE, limits.open_files
    if limits.file_bytes is not None:
        yield resource.RLIMIT_FSIZE, limits.file_bytes
    if limits.cpu_s is not None:
        yield resource.RLIMIT_CPU, limits.cpu_s
    if limits.address_space_bytes is not None:
        yield resource.RLIMIT_AS, limits.address_space_bytes


class _Descriptors:
    """Descriptors made for one start: those to pass on are closed here once they are passed."""

    def __init__(self) -> None:
        self.passed: list[int] = []
        self._read: list[int] = []

    def __enter__(self) -> "_Descriptors":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close_passed()
        for descriptor in self._read:
            os.close(descriptor)

    def pipe(self) -> tuple[int, int]:
        read, write = os.pipe()
        self._read.append(read)
        self.passed.append(write)
        return read, write

    def memory(self, content: bytes) -> int:
        descriptor = os.memfd_create("data", os.MFD_CLOEXEC)
        self.passed.append(descriptor)
        os.pwrite(descriptor, content, 0)
        return descriptor

    def close_passed(self) -> None:
        while self.passed:
            os.close(self.passed.pop())


def _read_info(descriptor: int) -> int:
    """Read the host pid of the first process inside; bubblewrap writes it when it stands."""
    ready, _, _ = select.select([descriptor], [], [], _START_TIMEOUT_S)
    if not ready:
        raise SandboxError(f"The sandbox did not stand within {_START_TIMEOUT_S:g} s.")
    text = b""
    while block := os.read(descriptor, 4096):
        text += block
    if not text:
        raise SandboxError("The sandbox could not be set up.")
    return int(json.loads(text)["child-pid"])


def _directory_outside(spec: SandboxSpec) -> str:
    try:
        return str(spec.outside(spec.directory))
    except SandboxError:
        return "/tmp"  # noqa: S108 - as inside; without walls it is everybody's.


def _discard(caps: cgroup.Cgroup | None) -> None:
    if caps is not None:
        caps.remove()


def _stage() -> str:
    for folder in _STAGES:
        if Path(folder).is_dir():
            return folder
    raise SandboxError(f"None of {', '.join(_STAGES)} exists; the sandbox is staged in one.")
