"""Caps on memory, processes and processor through control groups, version 1 or 2.

Each sandbox gets a group of its own, in a folder of ours at the root of the hierarchy or, where that
is not writable, beside or below the daemon's own group. Where nothing is writable there is no group,
and `robots.sandbox.watch` enforces the caps less exactly.
"""

import errno
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import msgspec

from robots.sandbox.exits import Counters
from robots.sandbox.spec import Limits

_FOLDER = "enpire"
_WANTED = ("memory", "pids", "cpu", "cpuacct")
_PERIOD_US = 100_000
# What the scheduler gives niceness 0, by how much a step of it changes that, and the least it takes.
_SHARES, _NICE_STEP, _LEAST_SHARES = 1024, 1.25, 2


class Hierarchy(msgspec.Struct, frozen=True):
    """Where one controller's groups may be made, best place first."""

    version: int
    places: tuple[Path, ...]


def hierarchies(mounts: str, own: str) -> dict[str, Hierarchy]:
    """Map each controller of interest to its hierarchy.

    Args:
        mounts: text of ``/proc/self/mounts``.
        own: text of ``/proc/self/cgroup``.
    """
    paths: dict[str, str] = {}
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path.lstrip("/")

    found: dict[str, Hierarchy] = {}
    unified: Hierarchy | None = None
    for line in mounts.splitlines():
        _, point, kind, options, *_ = line.split()
        root = Path(point)
        if kind == "cgroup":
            for controller in set(options.split(",")) & set(_WANTED):
                here = root / paths.get(controller, "")
                found[controller] = Hierarchy(1, tuple(dict.fromkeys((root, here))))
        elif kind == "cgroup2":
            # A group that holds processes cannot have children with controllers, so a sibling of
            # the daemon's own group comes before a child of it.
            here = root / paths.get("", "")
            places = (root, here.parent, here) if here != root else (root,)
            unified = Hierarchy(2, tuple(dict.fromkeys(places)))
    if unified is not None:
        for controller in ("memory", "pids", "cpu"):
            found.setdefault(controller, unified)
    return found


class Cgroup:
    """The control groups of one sandbox, one folder a hierarchy."""

    def __init__(self, folders: Mapping[str, Path], version: Mapping[str, int]) -> None:
        self._folders = dict(folders)
        self._version = dict(version)
        self._cpu_fd: int | None = self._open_cpu()

    @property
    def holds_memory(self) -> bool:
        """Whether the memory cap is the kernel's matter."""
        return "memory" in self._folders

    @property
    def holds_processes(self) -> bool:
        """Whether the cap on processes is the kernel's matter."""
        return "pids" in self._folders

    @property
    def members(self) -> tuple[Path, ...]:
        """The files into which a process writes itself to join."""
        return tuple(dict.fromkeys(folder / "cgroup.procs" for folder in self._folders.values()))

    def counters(self) -> Counters:
        """Read what the kernel counted; zero where it does not count."""
        ooms = forks = 0
        if "memory" in self._folders:
            name = "memory.oom_control" if self._version["memory"] == 1 else "memory.events"
            ooms = _fields(self._folders["memory"] / name).get("oom_kill", 0)
        if "pids" in self._folders:
            forks = _fields(self._folders["pids"] / "pids.events").get("max", 0)
        return Counters(oom_kills=ooms, refused_forks=forks)

    def cpu_s(self) -> float | None:
        """Processor seconds of every process that was ever in the group, or None if uncounted."""
        if self._cpu_fd is None:
            return None
        text = os.pread(self._cpu_fd, 256, 0)
        if text.startswith(b"usage_usec"):
            return int(text.split(None, 2)[1]) / 1e6
        return int(text) / 1e9

    def pids(self) -> list[int]:
        """Host process ids of the members."""
        found: set[int] = set()
        for member in self.members:
            try:
                found.update(int(line) for line in member.read_text().split())
            except OSError:
                continue
        return sorted(found)

    def remove(self, timeout_s: float = 1.0) -> bool:
        """Remove the groups once their processes are gone; False if some stayed."""
        if self._cpu_fd is not None:
            os.close(self._cpu_fd)
            self._cpu_fd = None
        deadline = time.monotonic() + timeout_s
        left = set(self._folders.values())
        while left:
            left = {folder for folder in left if not _removed(folder)}
            if left and time.monotonic() > deadline:
                return False
            if left:
                time.sleep(0.002)
        return True

    def _open_cpu(self) -> int | None:
        if "cpuacct" in self._folders:
            return os.open(self._folders["cpuacct"] / "cpuacct.usage", os.O_RDONLY | os.O_CLOEXEC)
        if self._version.get("cpu") == 2:
            return os.open(self._folders["cpu"] / "cpu.stat", os.O_RDONLY | os.O_CLOEXEC)
        return None


def create(limits: Limits, nice: int = 0) -> Cgroup | None:
    """Make the groups of one sandbox with its caps, or None where no hierarchy is writable.

    Args:
        limits: its caps.
        nice: niceness of the whole group: the kernel weighs groups against each other by their
            shares alone, whatever the niceness of the processes in them.
    """
    homes = _homes()
    name = f"{os.getpid()}-{secrets.token_hex(4)}"
    folders: dict[str, Path] = {}
    version: dict[str, int] = {}
    for controller, (home, its_version) in homes.items():
        folder = home / name
        try:
            folder.mkdir(exist_ok=True)
            for file, value in _settings(controller, its_version, limits, nice):
                _write(folder / file, value)
        except OSError:
            _removed(folder)
            continue
        folders[controller] = folder
        version[controller] = its_version
    return Cgroup(folders, version) if folders else None


def _settings(
    controller: str, version: int, limits: Limits, nice: int
) -> Iterator[tuple[str, str]]:
    """Yield the files to write, with their values, for one controller."""
    if controller == "cpu" and version == 1:
        yield "cpu.shares", str(max(_LEAST_SHARES, round(_SHARES / _NICE_STEP**nice)))
    elif controller == "cpu":
        yield "?cpu.weight.nice", str(nice)
    match controller:
        case "memory" if limits.memory_bytes is not None and version == 1:
            yield "memory.limit_in_bytes", str(limits.memory_bytes)
            yield "?memory.memsw.limit_in_bytes", str(limits.memory_bytes)
        case "memory" if limits.memory_bytes is not None:
            yield "memory.max", str(limits.memory_bytes)
            yield "?memory.swap.max", "0"
        case "pids" if limits.processes is not None:
            yield "pids.max", str(limits.processes)
        case "cpu" if limits.cpus is not None and version == 1:
            yield "cpu.cfs_period_us", str(_PERIOD_US)
            yield "cpu.cfs_quota_us", str(int(limits.cpus * _PERIOD_US))
        case "cpu" if limits.cpus is not None:
            yield "cpu.max", f"{int(limits.cpus * _PERIOD_US)} {_PERIOD_US}"
        case _:
            return


def _write(file: Path, value: str) -> None:
    """Write a setting; one whose name starts with ``?`` exists only on some kernels."""
    optional = file.name.startswith("?")
    file = file.with_name(file.name.removeprefix("?"))
    if optional and not file.exists():
        return
    file.write_text(value)


@cache
def _homes() -> dict[str, tuple[Path, int]]:
    """Find, once, a writable folder for our groups in each hierarchy; clear out dead owners'."""
    found = hierarchies(
        Path("/proc/self/mounts").read_text(), Path("/proc/self/cgroup").read_text()
    )
    homes: dict[str, tuple[Path, int]] = {}
    for controller, hierarchy in found.items():
        for place in hierarchy.places:
            home = place / _FOLDER
            try:
                home.mkdir(exist_ok=True)
                if hierarchy.version == 2:
                    _delegate(place, controller)
                    _delegate(home, controller)
            except OSError:
                continue
            if os.access(home, os.W_OK):
                homes[controller] = (home, hierarchy.version)
                break
    for home in {home for home, _ in homes.values()}:
        _sweep(home)
    return homes


def _delegate(folder: Path, controller: str) -> None:
    """Let children of a version 2 group use a controller."""
    control = folder / "cgroup.subtree_control"
    if controller not in control.read_text().split():
        control.write_text(f"+{controller}")


def _sweep(home: Path) -> None:
    """Remove groups whose owner died before it could; a group in use refuses to go."""
    for folder in home.iterdir():
        owner = folder.name.partition("-")[0]
        if folder.is_dir() and owner.isdigit() and not Path("/proc", owner).exists():
            _removed(folder)


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise
        return False
    return True


def _fields(file: Path) -> dict[str, int]:
    """Read a file of ``name value`` lines; empty if it is not there."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return {}
    return {name: int(value) for name, value in (line.split() for line in lines)}
