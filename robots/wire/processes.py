"""Which process a number means: a pid alone is given again, with its start time it is not."""

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

# Fields of /proc/PID/stat behind the command's closing parenthesis (proc(5), counted from 0).
_STATE, _START = 0, 19


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process, for ever.

    Attributes:
        start_ticks: Clock ticks between boot and its start.
        boot_id: Of the boot it ran under.
    """

    pid: int
    start_ticks: int
    boot_id: str


def identify(pid: int) -> ProcessIdentity | None:
    """The process that has this pid now; None if there is none or it has ended."""
    fields = _stat(pid)
    if fields is None or fields[_STATE] in ("Z", "X"):
        return None
    return ProcessIdentity(pid, int(fields[_START]), boot_id())


def is_alive(identity: ProcessIdentity) -> bool:
    """Whether this very process still runs."""
    return identify(identity.pid) == identity


def be_nice(nice: int) -> None:
    """Add to this process's niceness, and to that of its session where the kernel groups by session.

    Such a kernel (`sched_autogroup_enabled`) weighs sessions against each other, and niceness only
    within one: a daemon in a session of its own would be as greedy as any other.
    """
    total = os.nice(nice)
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(total))


def read_pid_file(path: Path) -> ProcessIdentity | None:
    """The process that a pid file names, running or not; None without a readable file."""
    try:
        pid, start, boot = path.read_text().split()
        return ProcessIdentity(int(pid), int(start), boot)
    except (OSError, ValueError):
        return None


def write_pid_file(path: Path, identity: ProcessIdentity) -> None:
    """Name a process in a file, at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(f"{identity.pid} {identity.start_ticks} {identity.boot_id}\n")
    new.replace(path)


def send_signal(identity: ProcessIdentity, number: signal.Signals, *, group: bool = False) -> bool:
    """Signal this very process (or the group it leads); False if it is gone."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except (ProcessLookupError, OSError):
        return False
    try:
        # The descriptor pins the pid: checked now, it cannot become another process.
        if not is_alive(identity):
            return False
        if group and os.getpgid(identity.pid) == identity.pid:
            os.killpg(identity.pid, number)
        else:
            signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def boot_id() -> str:
    """Changes with each boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()
