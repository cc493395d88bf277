"""When the verifier is asked, and when its verdicts make a success.

A look costs a camera frame and a call, and nothing moves the scene while the tool is away from it.
So the verifier is asked when the tool has just retracted, now and then while it stays away, and on
every step once it has said yes, until it has said so often enough in a row.
"""

from collections.abc import Callable

from robots.drivers.base import Driver
from robots.station.cameras import Images
from robots.station.children import Sight
from robots.station.labels import Snapshot
from robots.station.tasks import Observation, TaskSpec

LONGEST_WAIT_S = 4.0
"""Negative verdicts on a scene that nothing touches are asked again at twice the wait each time, up
to this: a second look guards against a block that still slid, the tenth tells nothing new."""

REPEATED_RETRACTION_S = 0.2
"""A tool that flutters across the gate's edge is not looked at more often than this."""


class Judge:
    """Decides about success during one episode after another.

    Args:
        driver: For the gate, the cameras, or the world's own verdict.
        spec: The task's debounce.
        ask: Asks the verifier's child; may raise `ChildFailed`.
    """

    def __init__(
        self, driver: Driver, spec: TaskSpec, ask: Callable[[Images, Observation], Sight]
    ) -> None:
        self._driver = driver
        self._spec = spec
        self._ask = ask
        self.score: float | None = None
        self.looks = 0
        self.ended: bool | None = None
        self.accepted: Snapshot | None = None
        self._streak = 0
        self._next_s = self._last_s = float("-inf")
        self._wait_s = spec.verify_period_s

    def begin(self) -> None:
        """Forget the episode before."""
        self.score = self.ended = None
        self.looks = self._streak = 0
        self._next_s = self._last_s = float("-inf")
        self._wait_s = self._spec.verify_period_s

    def look(self, observation: Observation, now_s: float) -> bool:
        """Look once a policy step, if it is time to; returns whether the task is done.

        `ended` is False after the world itself has declared the episode lost.
        """
        driver = self._driver
        if not driver.capabilities.verifies:
            self.ended = driver.success()
            return self.ended is True
        if not driver.retracted(observation):
            self._streak = 0
            self._next_s = self._last_s + REPEATED_RETRACTION_S
            self._wait_s = self._spec.verify_period_s
            return False
        if not self._streak and (now_s < self._next_s or not driver.plausible(observation)):
            return False
        images = driver.camera()
        sight = self._ask(images, observation)
        self.looks += 1
        self.score = sight.score
        self._last_s = now_s
        if not sight.success:
            self._streak = 0
            self._next_s = now_s + self._wait_s
            self._wait_s = min(2.0 * self._wait_s, LONGEST_WAIT_S)
            return False
        self._streak += 1
        if self._streak < self._spec.debounce_frames:
            return False
        self.accepted = Snapshot(images, observation)
        return True
