"""A started sandbox: its pids, its processor time, its end."""

import contextlib
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from robots.sandbox import cgroup
from robots.sandbox.exits import Counters, Exit, explain
from robots.sandbox.spec import Limits, SandboxError
from robots.sandbox.watch import Watch, descendants, usage

_CPUCLOCK_SCHED = 2
_FORK_TIMEOUT_S = 5.0
_SET_UP_FAILED = ("bwrap: ", "sandbox: ")  # How bubblewrap's and the launcher's complaints begin.
_OUTPUT_TAIL_BYTES = 16 << 10


def process_clock(pid: int) -> int:
    """Return the clock id of a process's processor time, for ``time.clock_gettime``.

    Source: Linux, include/linux/posix-timers_types.h (``~pid << 3 | CPUCLOCK_SCHED``).
    """
    return (~pid << 3) | _CPUCLOCK_SCHED


def process_cpu_s(pid: int) -> float:
    """Processor seconds that a process has used, all its threads together.

    Args:
        pid: as seen from here; it may belong to another user.

    Raises:
        OSError: if there is no such process.
    """
    try:
        return time.clock_gettime(process_clock(pid))
    except OSError:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Sandbox:
    """A sandboxed process. Its owner ends it with `close`, or by using it as a context.

    Attributes:
        process: the outermost process (bubblewrap, or the program itself without walls); its
            pipes, if any were asked for.
    """

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        caps: cgroup.Cgroup | None,
        output: int,
        limits: Limits,
    ) -> None:
        self.process = process
        self._caps = caps
        self._output: int | None = output
        self._limits = limits
        self._pidfd = os.pidfd_open(process.pid)
        self._init_pid: int | None = None
        self._init_pidfd: int | None = None
        self._inner_pid: int | None = None
        self._watch: Watch | None = None
        self._stopped = False
        self._exit: Exit | None = None
        self._tail = ""

    def settle(self, init_pid: int | None) -> None:
        """Take note of the first process inside (None: there are no walls); start the watch.

        Bubblewrap tells that pid before it mounts anything, so this also waits until the program
        is forked, which comes last.

        Raises:
            SandboxError: if the walls could not be set up.
        """
        if init_pid is None:
            self._inner_pid = self.process.pid
        else:
            self._init_pid = init_pid
            with contextlib.suppress(ProcessLookupError):
                self._init_pidfd = os.pidfd_open(init_pid)
        memory = None if self._caps and self._caps.holds_memory else self._limits.memory_bytes
        processes = None if self._caps and self._caps.holds_processes else self._limits.processes
        if memory is not None or processes is not None:
            self._watch = Watch(self.process.pid, memory, processes, self._kill)
        try:
            _ = self.inner_pid
        except SandboxError:
            # A program may also have run and ended meanwhile.
            if self.wait(0) is None or self.output().startswith(_SET_UP_FAILED):
                raise

    @property
    def inner_pid(self) -> int:
        """Host pid of the program inside (bubblewrap's own first process is its parent).

        Raises:
            SandboxError: if it has ended, or does not start within seconds.
        """
        deadline_s = time.monotonic() + _FORK_TIMEOUT_S
        while self._inner_pid is None:
            assert self._init_pid is not None
            below = descendants(self._init_pid)[1:2]
            if below:
                self._inner_pid = below[0]
            elif self.wait(0.001) or time.monotonic() > deadline_s:
                raise SandboxError("The program inside has ended, or did not start.")
        return self._inner_pid

    @property
    def groups(self) -> tuple[Path, ...]:
        """The membership files of its control groups; empty where there are none."""
        return () if self._caps is None else self._caps.members

    @property
    def counters(self) -> Counters:
        """What the kernel counted against the caps so far."""
        return Counters() if self._caps is None else self._caps.counters()

    def cpu_s(self) -> float:
        """Processor seconds of everything inside, or where groups do not count, of the program."""
        counted = None if self._caps is None else self._caps.cpu_s()
        return process_cpu_s(self.inner_pid) if counted is None else counted

    def memory_bytes(self) -> int:
        """Resident memory of everything inside; pages that several share count for each."""
        return usage(descendants(self.process.pid))[0]

    def output(self) -> str:
        """The end of what it wrote where stdout or stderr were kept in memory."""
        return self._tail if self._output is None else self._read_output(self._output)

    def poll(self) -> Exit | None:
        """How it ended, or None while it runs."""
        return self.wait(0)

    def wait(self, timeout_s: float) -> Exit | None:
        """Wait for the end; None if it still runs after ``timeout_s``."""
        if self._exit is None:
            poller = select.poll()
            poller.register(self._pidfd, select.POLLIN)
            if not poller.poll(timeout_s * 1e3):
                return None
            self._conclude()
        return self._exit

    def close(self) -> Exit:
        """Kill whatever still runs and release everything; may be called again.

        Returns:
            How it ended, STOPPED if that was by this call.
        """
        if self._exit is None:
            self._stopped = self.wait(0) is None
            if self._stopped:
                self._kill()
        return self._exit or self._conclude()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _kill(self) -> None:
        """End every process: those inside die with their first one, in the kernel's hands."""
        for descriptor in (self._init_pidfd, self._pidfd):
            if descriptor is not None:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        if self._init_pid is None:
            self._kill_without_walls()

    def _kill_without_walls(self) -> None:
        """End the session and, where groups tell them, those that left it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for pid in self._caps.pids() if self._caps else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _conclude(self) -> Exit:
        """Reap, name the cause, release."""
        status = self.process.wait()
        self._kill()
        if self._watch is not None:
            self._watch.stop()
        counters = self.counters
        capped = self._watch.verdict if self._watch is not None else None
        self._exit = explain(status, counters, stopped=self._stopped, capped=capped)
        if self._caps is not None:
            self._caps.remove()
        if self._output is not None:
            self._tail = self._read_output(self._output)
        for descriptor in (self._output, self._pidfd, self._init_pidfd):
            if descriptor is not None:
                os.close(descriptor)
        self._output = None
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return self._exit

    @staticmethod
    def _read_output(descriptor: int) -> str:
        size = os.fstat(descriptor).st_size
        tail = os.pread(descriptor, _OUTPUT_TAIL_BYTES, max(0, size - _OUTPUT_TAIL_BYTES))
        return tail.decode("utf-8", "replace")
