"""The realtime clock: a control thread at the task's control rate, on absolute deadlines.

The control thread owns the limiter and its own connection to the robot. It asks nobody else for
anything: each tick it looks whether the robot may move and how old the action in force is, moves
the set-point, sends it, and measures how late it was. The batch thread hands actions in.
"""

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable

from robots.drivers.base import DriverError, Fault
from robots.drivers.remote import RemoteDriver
from robots.safety.limits import Limiter
from robots.safety.table import LATE_TICK_S, Condition
from robots.safety.watchdog import ActionWatchdog
from robots.station.authority import Authority
from robots.station.tasks import Observation, TaskSpec

Report = Callable[[Condition], None]

JITTER_TICKS = 1000
_PRIORITY = 10
_SWITCH_S = 0.0005


class ControlLoop:
    """One tick of control, on whatever time it is given.

    Args:
        spec: Rates and limits.
        setpoint: Where the robot is commanded to be.
        may_move: Whether hold, stop, grant and the machine's own state let it move now.
        send: Sends a set-point to the robot; raises `DriverError` when it is silent.
        fault: Told of what is wrong with machine or robot.
    """

    def __init__(
        self,
        spec: TaskSpec,
        setpoint: list[float],
        may_move: Callable[[], bool],
        send: Callable[[list[float]], object],
        fault: Callable[[Fault], None],
    ) -> None:
        self._watchdog = ActionWatchdog(spec.period_s)
        self._may_move = may_move
        self._send = send
        self._fault = fault
        self._lock = threading.Lock()
        self._acted_s: float | None = None
        self.limiter = Limiter(spec.limits, spec.tick_s, setpoint)
        self.seen: set[Condition] = set()
        self.lateness_s: deque[float] = deque(maxlen=JITTER_TICKS)

    def act(self, action: list[float], now_s: float) -> bool:
        """Take a validated action into force; returns whether it was clipped."""
        with self._lock:
            self._acted_s = now_s
            return self.limiter.accept(action)

    def hold(self) -> None:
        """Stay, and expect no action until the next one."""
        with self._lock:
            self._acted_s = None
            self.limiter.hold()

    def relocate(self, setpoint: list[float]) -> None:
        """Start anew from a measured pose."""
        with self._lock:
            self._acted_s = None
            self.limiter.relocate(setpoint)

    def tick(self, due_s: float, now_s: float) -> None:
        """Move the set-point for this tick and send it.

        Args:
            due_s: When this tick should have been.
            now_s: When it is.
        """
        late_s = now_s - due_s
        self.lateness_s.append(late_s)
        if late_s > LATE_TICK_S:
            self._fault(Fault(Condition.TICK_LATE, f"{late_s * 1e3:.0f} ms late"))
        with self._lock:
            condition = self._aged(now_s)
            if condition is not None:
                self.seen.add(condition)
            # SAFETY: whatever the batch thread waits for, the robot stops within this tick.
            if condition is not None or late_s > LATE_TICK_S or not self._may_move():
                self.limiter.hold()
            self.limiter.tick()
            setpoint = list(self.limiter.setpoint)
        try:
            self._send(setpoint)
        except DriverError as error:
            self._fault(Fault(Condition.BUS_STALE, str(error)))

    def had(self, condition: Condition) -> bool:
        """Whether the action in force became this old since the last question."""
        with self._lock:
            found = condition in self.seen
            self.seen.discard(condition)
            return found

    def _aged(self, now_s: float) -> Condition | None:
        if self._acted_s is None:
            return None
        return self._watchdog.condition(now_s - self._acted_s)


class Realtime:
    """Moves a robot at the wall clock's pace.

    Args:
        driver: The robot.
        spec: Rates and limits.
        authority: Who lets it move.
        report: Told of conditions that the table has a row for.
    """

    def __init__(
        self, driver: RemoteDriver, spec: TaskSpec, authority: Authority, report: Report
    ) -> None:
        self._driver = driver
        self._spec = spec
        self._report = report
        # SAFETY: a fault of the machine stops it within a tick, not at the next policy step.
        self.loop = ControlLoop(
            spec,
            driver.setpoint(),
            lambda: authority.may_move() and driver.sound(),
            driver.exchange,
            driver.report,
        )
        self._begun_s = time.monotonic()
        self._next_step_s = self._begun_s
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="control", daemon=True)
        # The interpreter's default lets a busy thread keep the control thread waiting for 5 ms.
        sys.setswitchinterval(_SWITCH_S)
        self._thread.start()

    @property
    def time_s(self) -> float:
        """Seconds since `begin`."""
        return time.monotonic() - self._begun_s

    def begin(self) -> None:
        self._driver.begin()
        self.loop.hold()
        self.loop.seen.clear()
        self._begun_s = self._next_step_s = time.monotonic()

    def observe(self) -> Observation:
        return self._driver.observe()

    def step(self, action: list[float], latency_s: float) -> bool:
        """Put an action into force and wait for the next policy step.

        Returns:
            False if the action before it was in force for too long: the robot holds.
        """
        del latency_s
        if self.loop.had(Condition.ACTION_STALE):
            self._report(Condition.ACTION_STALE)
        if self.loop.had(Condition.ACTION_LOST):
            self._report(Condition.ACTION_LOST)
            self.loop.hold()
            return False
        if self.loop.act(action, time.monotonic()):
            self._report(Condition.ACTION_CLIPPED)
        period_s, now_s = self._spec.period_s, time.monotonic()
        self._next_step_s += period_s
        if self._next_step_s < now_s:
            # A step that was missed is not made up for.
            self._next_step_s = now_s
        time.sleep(max(0.0, self._next_step_s - time.monotonic()))
        return True

    def hold(self, seconds: float) -> None:
        self.loop.hold()
        time.sleep(seconds)

    def relocate(self) -> None:
        self.loop.relocate(self._driver.setpoint())

    def jitter_s(self) -> float:
        """99th percentile of the control ticks' lateness."""
        late_s = sorted(self.loop.lateness_s)
        return late_s[int(0.99 * (len(late_s) - 1))] if late_s else 0.0

    def close(self) -> None:
        """End the control thread; the robot then holds by its own time-out."""
        self._closing.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        with contextlib.suppress(PermissionError, OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
        tick_s = self._spec.tick_s
        due_s = time.monotonic()
        while not self._closing.is_set():
            time.sleep(max(0.0, due_s - time.monotonic()))
            now_s = time.monotonic()
            self.loop.tick(due_s, now_s)
            due_s += tick_s
            if now_s - due_s > LATE_TICK_S:
                # It was reported; the ticks that were missed are gone.
                due_s = now_s
