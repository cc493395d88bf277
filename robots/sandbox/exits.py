"""Why a sandboxed process ended: one pure decision from what was counted."""

import signal
from enum import StrEnum

import msgspec


class ExitReason(StrEnum):
    """Why a sandboxed process ended, in one word for a record."""

    EXITED = "exited"
    KILLED = "killed"  # By a signal that was not ours: a crash, or somebody on the host.
    MEMORY = "memory"
    PROCESSES = "processes"
    CPU = "cpu"
    FILE_SIZE = "file_size"
    STOPPED = "stopped"  # By us: a deadline, or the end of its use.


class Counters(msgspec.Struct, frozen=True):
    """What the kernel counted against one sandbox.

    Attributes:
        oom_kills: processes killed because the memory cap was reached.
        refused_forks: attempts to start a process or thread beyond the cap.
    """

    oom_kills: int = 0
    refused_forks: int = 0


class Exit(msgspec.Struct, frozen=True):
    """How a sandboxed process ended.

    Attributes:
        reason: the cause.
        code: exit code, None if a signal ended it.
        signal: the signal's number, None if it exited.
        detail: one sentence for people.
    """

    reason: ExitReason
    code: int | None
    signal: int | None
    detail: str


def explain(
    status: int, counters: Counters, *, stopped: bool, capped: ExitReason | None = None
) -> Exit:
    """Name the cause of an exit.

    Args:
        status: exit code; negative for a signal, or above 128 as shells and bubblewrap report one.
        counters: what the kernel counted.
        stopped: whether we killed it.
        capped: the cap that our own watch enforced, where cgroups are missing.
    """
    number = -status if status < 0 else status - 128 if status > 128 else None
    code = status if number is None else None
    ended = f"exit code {code}" if number is None else _signal_name(number)

    def because(reason: ExitReason, detail: str) -> Exit:
        return Exit(reason, code, number, detail)

    if capped is not None:
        return because(capped, f"passed its cap on {capped} and was killed")
    if counters.oom_kills:
        return because(ExitReason.MEMORY, f"exhausted its memory cap ({ended})")
    if number == signal.SIGXCPU:
        return because(ExitReason.CPU, "exhausted its processor time")
    if number == signal.SIGXFSZ:
        return because(ExitReason.FILE_SIZE, "passed its cap on file size")
    if counters.refused_forks and status != 0:
        return because(ExitReason.PROCESSES, f"passed its cap on processes and threads ({ended})")
    if stopped:
        return because(ExitReason.STOPPED, "was stopped by its owner")
    if number is not None:
        return because(ExitReason.KILLED, f"was ended by {ended}")
    return because(ExitReason.EXITED, f"ended with {ended}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
