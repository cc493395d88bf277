"""Bubblewrap's command line for a spec: a pure function of it and of the installed version."""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

import msgspec

from robots.sandbox.spec import (
    Bind,
    Data,
    Mask,
    Mount,
    SandboxError,
    SandboxSpec,
    Scratch,
    Symlink,
)

_VERSION_TIMEOUT_S = 10.0


class Bubblewrap(msgspec.Struct, frozen=True):
    """The installed bubblewrap and what its version can do."""

    path: str
    version: tuple[int, ...]

    @property
    def disables_userns(self) -> bool:
        return self.version >= (0, 8)

    @property
    def sizes_tmpfs(self) -> bool:
        return self.version >= (0, 7)


def arguments(
    spec: SandboxSpec,
    argv: Sequence[str],
    *,
    sources: Mapping[Path, str],
    data_fds: Mapping[Data, int],
    info_fd: int,
    seccomp_fd: int | None,
    uid: int,
    gid: int,
    bwrap: Bubblewrap,
) -> list[str]:
    """Write bubblewrap's command line for a spec.

    Args:
        spec: what the sandbox holds.
        argv: program, as a path inside, and its arguments.
        sources: where each bound source is found when bubblewrap runs.
        data_fds: a descriptor for each `Data` mount; bubblewrap reads each once.
        info_fd: where bubblewrap writes the pid of the first process inside.
        seccomp_fd: holds the system call filter, if any.
        uid: user id inside, which is also the real one.
        gid: group id inside, likewise.
        bwrap: the installed program.
    """

    def tmpfs(target: str, size_bytes: int) -> Iterator[str]:
        if bwrap.sizes_tmpfs:
            yield from ("--size", str(size_bytes))
        yield from ("--tmpfs", target)

    def mounted(mount: Mount) -> Iterable[str]:
        match mount:
            case Bind(source, target, writable):
                return ("--bind" if writable else "--ro-bind", sources[source], target)
            case Scratch(target, size_bytes):
                return tmpfs(target, size_bytes)
            case Mask(target):
                return ("--tmpfs", target, "--remount-ro", target)
            case Symlink(text, target):
                return ("--symlink", text, target)
            case Data(_, target):
                return ("--ro-bind-data", str(data_fds[mount]), target)

    scratch_bytes = spec.limits.scratch_bytes
    command = [bwrap.path, "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
    command += ["--unshare-cgroup-try", "--new-session", "--cap-drop", "ALL"]
    command += [] if spec.network else ["--unshare-net"]
    command += ["--die-with-parent"] if spec.die_with_parent else []
    command += ["--disable-userns"] if bwrap.disables_userns else []
    command += ["--uid", str(uid), "--gid", str(gid), "--hostname", "sandbox"]
    command += ["--info-fd", str(info_fd)]
    command += [] if seccomp_fd is None else ["--seccomp", str(seccomp_fd)]
    command += ["--proc", "/proc", "--dev", "/dev", *tmpfs("/dev/shm", scratch_bytes)]  # noqa: S108
    for device in spec.devices:
        command += ["--dev-bind", sources[device], str(device)]
    command += ["--remount-ro", "/dev", *tmpfs("/tmp", scratch_bytes)]  # noqa: S108
    for mount in spec.mounts:
        command += mounted(mount)
    return [*command, "--remount-ro", "/", "--chdir", spec.directory, "--", *argv]


@cache
def installed() -> Bubblewrap:
    """Find the installed bubblewrap and its version.

    Raises:
        SandboxError: if there is none.
    """
    path = shutil.which("bwrap")
    if path is None:
        raise SandboxError(
            "bubblewrap is not installed. On Debian or Ubuntu: apt-get install bubblewrap"
        )
    said = subprocess.run(
        [path, "--version"], capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S, check=False
    ).stdout
    numbers = re.findall(r"\d+", said)
    return Bubblewrap(str(Path(path).resolve()), tuple(int(number) for number in numbers))
