"""Caps where the kernel's control groups are out of reach: sample the process tree, kill it beyond.

Less exact than cgroups (a burst between two samples passes), and said so by `probe`.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path

from robots.sandbox.exits import ExitReason

_PERIOD_S = 0.05
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def descendants(pid: int) -> list[int]:
    """Host pids of a process and all below it, parents first; those gone meanwhile are left out."""
    found = [pid]
    for parent in found:
        try:
            tasks = os.listdir(f"/proc/{parent}/task")
        except OSError:
            continue
        for task in tasks:
            try:
                found.extend(
                    map(int, Path(f"/proc/{parent}/task/{task}/children").read_text().split())
                )
            except OSError:
                continue
    return found


def usage(pids: list[int]) -> tuple[int, int]:
    """Resident bytes and the number of threads of some processes."""
    resident = threads = 0
    for pid in pids:
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            threads += len(os.listdir(f"/proc/{pid}/task"))
        except (OSError, IndexError):
            continue
        resident += pages * _PAGE_BYTES
    return resident, threads


def exceeded(
    resident_bytes: int, threads: int, memory_bytes: int | None, processes: int | None
) -> ExitReason | None:
    """Decide which cap is passed, if any."""
    if memory_bytes is not None and resident_bytes > memory_bytes:
        return ExitReason.MEMORY
    if processes is not None and threads > processes:
        return ExitReason.PROCESSES
    return None


class Watch:
    """A thread that samples one sandbox and calls ``kill`` once when a cap is passed."""

    def __init__(
        self,
        pid: int,
        memory_bytes: int | None,
        processes: int | None,
        kill: Callable[[], None],
    ) -> None:
        self.verdict: ExitReason | None = None
        self._pid = pid
        self._memory_bytes = memory_bytes
        self._processes = processes
        self._kill = kill
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch-{pid}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_PERIOD_S):
            resident, threads = usage(descendants(self._pid))
            verdict = exceeded(resident, threads, self._memory_bytes, self._processes)
            if verdict is not None:
                self.verdict = verdict
                self._kill()
                return
