"""One core for a lockstep station and its workers, where there is one to be had.

In lockstep either the station computes or the worker it waits for, never both. Left to itself the
scheduler wakes each on another, sleeping core, which takes longer than the call. On one core a call
is a hand-over (20 against 60 us and more). On a machine that is full the scheduler knows better: a
core that turns out to be contended is let go for some episodes, then another is tried, drawn at
random, so that stations and whatever else runs spread without knowing of each other. Real time is
not pinned: there the control thread has to run beside its workers.
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

MOST_PATIENCE = 32
"""Episodes for which a station on a full machine does without a core of its own, at most."""

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
        self._cpu: int | None = None
        self._away = False
        self._free = 0
        self._patience = 1
        self._since_s = self._computed_s = 0.0

    def settle(self, workers: Iterable[int]) -> set[int]:
        """Before an episode: move the calling thread to a core, or let it go.

        Args:
            workers: Processes that work for it while it waits for them.

        Returns:
            The cores that thread and workers shall use.
        """
        everywhere = set(self._allowed)
        if len(everywhere) < 2:
            return everywhere
        now_s = time.monotonic()
        computed_s = time.thread_time() + sum(map(computed, workers))
        spent_s = now_s - self._since_s
        if self._cpu is not None and self._away:
            self._away = False
            self._since_s, self._computed_s = now_s, computed_s
            move(0, {self._cpu})
        elif self._cpu is not None and spent_s >= _LEAST_S:
            if (computed_s - self._computed_s) / spent_s < UNCONTENDED:
                self._cpu = None
                self._free = self._patience
                self._patience = min(2 * self._patience, MOST_PATIENCE)
                move(0, everywhere)
            else:
                self._patience = 1
            self._since_s, self._computed_s = now_s, computed_s
        if self._cpu is None:
            if self._free > 0:
                self._free -= 1
                return everywhere
            self._cpu = self._random.choice(self._allowed)
            self._since_s, self._computed_s = now_s, computed_s
            move(0, {self._cpu})
        return {self._cpu}

    def leave(self) -> None:
        """Let the thread run anywhere until the next episode; its core is kept in mind."""
        if self._cpu is not None and not self._away:
            self._away = True
            move(0, set(self._allowed))


def computed(pid: int) -> float:
    """Processor seconds of a process, 0 if it is gone."""
    try:
        return process_cpu_s(pid)
    except OSError:
        return 0.0


def waited_s(pid: int | None = None) -> float:
    """Seconds that a process was ready to run and did not; 0 where it is not counted.

    Args:
        pid: The process; None for the calling thread.
    """
    who = "thread-self" if pid is None else str(pid)
    with contextlib.suppress(OSError, ValueError, IndexError):
        text = Path(f"/proc/{who}/schedstat").read_text(encoding="ascii")
        return int(text.split()[1]) / 1e9
    return 0.0


def move(pid: int, cpus: set[int]) -> None:
    """Have a process run on these cores; one that is gone or another's stays as it is."""
    with contextlib.suppress(OSError):
        os.sched_setaffinity(pid, cpus)
