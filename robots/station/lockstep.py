"""The lockstep clock: the world waits for the action, and every guard counts simulated time.

A policy's latency is the processor time its worker used, not the time it took: a busy machine
never changes a score. An action that took longer than its period is late in the world too; until it
comes, the world goes on under the one before it, and the action watchdog counts.
"""

from collections.abc import Callable

from robots.drivers.base import Driver
from robots.safety.limits import ARRIVED, MOVING, Limiter
from robots.safety.table import Condition
from robots.safety.watchdog import ActionWatchdog
from robots.station.tasks import Observation, TaskSpec

Report = Callable[[Condition], None]


class Lockstep:
    """Moves a simulated world under the limiter, a control tick at a time.

    Args:
        driver: A driver that can `advance`.
        spec: The task's rates and limits.
        report: Told of each condition the table has a row for, as often as it occurs.
    """

    def __init__(self, driver: Driver, spec: TaskSpec, report: Report) -> None:
        assert driver.capabilities.lockstep, "this driver's world does not wait"
        self._driver = driver
        self._spec = spec
        self._report = report
        self._period_s = spec.period_s
        self._watchdog = ActionWatchdog(spec.period_s)
        self.limiter = Limiter(spec.limits, spec.tick_s, driver.setpoint())
        self.tick = 0
        self._step = 0

    @property
    def time_s(self) -> float:
        """Simulated seconds since `begin`."""
        return self.tick / self._spec.control_hz

    def begin(self) -> None:
        """Start to count a phase's time: a reset's or a policy's."""
        self.tick = self._step = 0

    def observe(self) -> Observation:
        return self._driver.observe()

    def relocate(self) -> None:
        """Take the driver's set-point as the one in force, after its world was put anew."""
        self.limiter.relocate(self._driver.setpoint())

    def step(self, action: list[float], latency_s: float) -> bool:
        """Apply an action and go on to the next policy step.

        Args:
            action: Validated, not yet limited.
            latency_s: Processor seconds between observation and action.

        Returns:
            False if the action came too late to count: the robot holds and the episode has failed.
        """
        if latency_s > self._period_s and not self._wait_out(latency_s):
            return False
        if self.limiter.accept(action):
            self._report(Condition.ACTION_CLIPPED)
        tick, tick_of = self.tick, self._spec.tick_of
        while True:
            self._step += 1
            following = tick_of(self._step)
            if following > tick:
                break
        self.advance(following - tick)
        return True

    def hold(self, seconds: float) -> None:
        """Hold for some simulated time."""
        self.limiter.hold()
        self.advance(round(seconds * self._spec.control_hz))

    def jitter_s(self) -> float:
        return 0.0

    def close(self) -> None:
        """Nothing runs by itself."""

    def advance(self, ticks: int) -> None:
        """Let control ticks pass: the set-point approaches its target, then stays."""
        limiter, drive = self.limiter, self._driver.drive
        self.tick += ticks
        while ticks:
            moved = limiter.tick()
            if moved == MOVING:
                drive(limiter.setpoint, 1)
                ticks -= 1
            elif moved == ARRIVED:
                # A set-point that has arrived stays: the rest of the period is one call.
                drive(limiter.setpoint, ticks)
                return
            else:
                self._driver.advance(ticks)
                return

    def _wait_out(self, latency_s: float) -> bool:
        """Let the world go on while a late action is awaited; False if it is lost."""
        watchdog, hertz = self._watchdog, self._spec.control_hz
        self.advance(round(min(latency_s, watchdog.stale_s) * hertz))
        condition = watchdog.condition(latency_s)
        if condition is None:
            return True
        self._report(Condition.ACTION_STALE)
        self.limiter.hold()
        self.advance(round((min(latency_s, watchdog.lost_s) - watchdog.stale_s) * hertz))
        if condition is Condition.ACTION_LOST:
            self._report(Condition.ACTION_LOST)
            return False
        return True
