"""What an episode needs of a clock: observe, act until the next policy step, hold."""

from typing import Protocol

from robots.station.tasks import Observation


class Motion(Protocol):
    """The station's clock with the limiter on it; lockstep and realtime are its two kinds."""

    @property
    def time_s(self) -> float:
        """Robot seconds since `begin`: simulated in lockstep, monotonic in real time."""
        ...

    def begin(self) -> None: ...

    def observe(self) -> Observation: ...

    def step(self, action: list[float], latency_s: float) -> bool:
        """Apply a validated action until the next policy step; False if it came too late."""
        ...

    def hold(self, seconds: float) -> None: ...

    def relocate(self) -> None:
        """Take the robot's own set-point as the one in force."""
        ...

    def jitter_s(self) -> float:
        """99th percentile of the control ticks' lateness; 0 in lockstep, where none is late."""
        ...

    def close(self) -> None:
        """Let the robot hold and end what runs."""
        ...
