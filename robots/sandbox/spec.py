"""What a sandbox holds: mounts, limits, identity. Pure data, with the rules that make it valid.

A spec is a list of what is *in*. Nothing of the host is in view unless a spec names it, and the
root of the host can never be named.
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path, PurePosixPath

import msgspec

MIB = 1 << 20
GIB = 1 << 30

# Real user and group of a sandboxed process where the daemon is root. The range 60706..61183 is
# assigned to nobody by Linux distributions; 65534 would be shared with NFS and with reserved blocks
# of some file systems.
# Source: systemd, "Users, Groups, UIDs and GIDs on systemd Systems".
SANDBOX_UID = 60999


class SandboxError(Exception):
    """A sandbox could not be set up; the message says which rule or step failed, and the remedy."""


class Bind(msgspec.Struct, frozen=True, tag=True):
    """A file or folder of the host, seen at ``target``; read-only unless ``writable``.

    The last component of ``source`` must not be a symbolic link: what is mounted is what was named.
    """

    source: Path
    target: str
    writable: bool = False


class Scratch(msgspec.Struct, frozen=True, tag=True):
    """An empty folder in memory, of at most ``size_bytes``; its pages count as the sandbox's."""

    target: str
    size_bytes: int


class Mask(msgspec.Struct, frozen=True, tag=True):
    """An empty read-only folder that hides what an earlier mount shows at ``target``."""

    target: str


class Symlink(msgspec.Struct, frozen=True, tag=True):
    """A symbolic link at ``target`` that says ``text``."""

    text: str
    target: str


class Data(msgspec.Struct, frozen=True, tag=True):
    """A read-only file at ``target`` with the given content."""

    content: bytes
    target: str


Mount = Bind | Scratch | Mask | Symlink | Data


class SyscallFilter(StrEnum):
    """Which system calls are refused (EPERM) besides what namespaces and lost privileges refuse."""

    NONE = "none"
    BASE = "base"  # Kernel doors that no program of ours needs: ptrace, bpf, mount, new users...
    WORKER = "worker"  # BASE, and no new process and no socket.


class Limits(msgspec.Struct, frozen=True):
    """Caps of one sandbox. None leaves a quantity uncapped.

    Attributes:
        memory_bytes: resident memory of all its processes, scratch folders included.
        processes: processes and threads; three belong to the sandbox itself.
        cpus: processor share, for example 1.5; needs cgroups.
        cpu_s: processor time of any one process; it is killed beyond.
        file_bytes: size of any one file it writes, its redirected output included.
        open_files: descriptors of any one process.
        address_space_bytes: virtual memory of any one process.
        scratch_bytes: size of ``/tmp`` and of ``/dev/shm``, each.
    """

    memory_bytes: int | None = GIB
    processes: int | None = 64
    cpus: float | None = None
    cpu_s: int | None = None
    file_bytes: int | None = 64 * MIB
    open_files: int = 256
    address_space_bytes: int | None = None
    scratch_bytes: int = 64 * MIB


class SandboxSpec(msgspec.Struct, frozen=True):
    """One sandbox: the least that a process needs, and nothing else of the host.

    Attributes:
        mounts: in order; a later one hides an earlier one. ``/proc``, a minimal ``/dev`` and a
            scratch ``/tmp`` are always there.
        devices: device nodes of the host, such as a GPU's, under the same paths.
        environment: the whole environment of the process.
        network: share the host's network. False gives a loopback of its own with nobody on it.
        limits: caps.
        directory: working directory inside.
        uid: real user id that a root daemon drops to; a daemon that is not root keeps its own.
        gid: real group id, likewise.
        keep_fds: descriptors that the process inherits, under the same numbers.
        nice: added to the daemon's niceness.
        die_with_parent: end with the daemon. False for jobs, which outlive every client.
        syscalls: the filter on system calls.
    """

    mounts: tuple[Mount, ...] = ()
    devices: tuple[Path, ...] = ()
    environment: Mapping[str, str] = {}
    network: bool = False
    limits: Limits = Limits()
    directory: str = "/tmp"  # noqa: S108 - inside, where it is the sandbox's own.
    uid: int = SANDBOX_UID
    gid: int = SANDBOX_UID
    keep_fds: tuple[int, ...] = ()
    nice: int = 0
    die_with_parent: bool = True
    syscalls: SyscallFilter = SyscallFilter.BASE

    def __post_init__(self) -> None:
        """Refuse a spec that no sandbox may have.

        Raises:
            SandboxError: naming the rule and the value received.
        """
        if self.uid == 0 or self.gid == 0:
            raise SandboxError("A sandbox never runs as root: uid and gid must not be 0.")
        for mount in self.mounts:
            _check_target(mount.target)
            if isinstance(mount, Bind):
                _check_source(mount.source)
        for device in self.devices:
            _check_source(device)
            if not device.is_relative_to("/dev") or not device.is_char_device():
                raise SandboxError(f"A device is a character device below /dev: {device}")

    def outside(self, inside: str) -> Path:
        """Return the host's path of a path inside; the last bind that covers it wins.

        Raises:
            SandboxError: if no bind covers it.
        """
        wanted = PurePosixPath(inside)
        for mount in reversed(self.mounts):
            if isinstance(mount, Bind) and wanted.is_relative_to(mount.target):
                return mount.source / wanted.relative_to(mount.target)
        raise SandboxError(f"No mount of this sandbox covers {inside}.")


def _check_target(target: str) -> None:
    path = PurePosixPath(target)
    if not path.is_absolute() or ".." in path.parts or len(path.parts) < 2:
        raise SandboxError(f"A mount's target is an absolute path below /, without '..': {target}")
    if path.parts[1] == "proc":
        raise SandboxError(f"Nothing is mounted over /proc: {target}")


def _check_source(source: Path) -> None:
    if not source.is_absolute():
        raise SandboxError(f"A mount's source is an absolute path: {source}")
    if source.resolve() == Path("/"):
        raise SandboxError("The root of the host is never mounted into a sandbox.")
    if source.is_symlink():
        raise SandboxError(f"A mount's source must not be a symbolic link: {source}")
    if not source.exists():
        raise SandboxError(f"A mount's source does not exist: {source}")
