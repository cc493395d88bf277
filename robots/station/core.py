"""One core for a lockstep station and its workers.

In lockstep either the station computes or the worker it waits for, never both. Left to itself the
scheduler wakes each on another, sleeping core, which takes longer than the call. On one core a call
is a hand-over (20 against 60 us and more). A core that turns out to be contended is left for
another one, drawn at random, so that stations and whatever else runs spread without knowing of each
other. Real time is not pinned: there the control thread has to run beside its workers.
"""

import contextlib
import os
import random
import time
from collections.abc import Iterable
from pathlib import Path

from robots.sandbox.process import process_cpu_s

UNCONTENDED = 0.75
"""Share of an episode's time in which thread and workers computed, below which the core is left:
alone on it, one of them always does."""

_LEAST_S = 0.2


class Core:
    """The core that the calling thread and its workers share; used by one thread.

    Args:
        allowed: Cores to choose from; by default those this thread may use now.
        seed: Of the choices; by default each process makes its own.
    """

    def __init__(self, allowed: Iterable[int] | None = None, seed: int | None = None) -> None:
        found = os.sched_getaffinity(0) if allowed is None else allowed
        self._allowed = sorted(found)
        self._random = random.Random(os.getpid() if seed is None else seed)
        self._cpu = self._random.choice(self._allowed)
        self._there = False
        self._since_s = self._computed_s = 0.0

    def settle(self, workers: Iterable[int]) -> int | None:
        """Move the calling thread to its core, or to a better one, and say which.

        Args:
            workers: Processes that work for it while it waits for them.

        Returns:
            None if there is only one core.
        """
        if len(self._allowed) < 2:
            return None
        now_s = time.monotonic()
        computed_s = time.thread_time() + sum(map(computed, workers))
        if self._there:
            if now_s - self._since_s < _LEAST_S:
                return self._cpu
            share = (computed_s - self._computed_s) / (now_s - self._since_s)
            # Of two that meet on a core one shall go, not both, and neither knows of the other.
            if share < UNCONTENDED and self._random.random() < 0.5:
                others = [cpu for cpu in self._allowed if cpu != self._cpu]
                self._cpu = self._random.choice(others)
                self._there = False
        self._since_s, self._computed_s = now_s, computed_s
        if not self._there:
            move(0, {self._cpu})
            self._there = True
        return self._cpu

    def leave(self) -> None:
        """Let the thread run anywhere again; its core is kept in mind."""
        if self._there:
            self._there = False
            move(0, set(self._allowed))


def computed(pid: int) -> float:
    """Processor seconds of a process, 0 if it is gone."""
    try:
        return process_cpu_s(pid)
    except OSError:
        return 0.0


def waited_s(pid: int) -> float:
    """Seconds that a process was ready to run and did not; 0 where it is not counted."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii")
        return int(text.split()[1]) / 1e9
    return 0.0


def move(pid: int, cpus: set[int]) -> None:
    """Have a process run on these cores; one that is gone or another's stays as it is."""
    with contextlib.suppress(OSError):
        os.sched_setaffinity(pid, cpus)
