"""The scene as the verifier would see it now, for whoever asks from another thread.

Robot and renderer belong to the batch thread, so it looks on the asker's behalf: between two policy
steps, while it waits for leave to move or for an approval, or when it has nothing to do. It never
looks during a reset.
"""

import concurrent.futures
import queue
from collections.abc import Callable
from typing import cast

from robots.drivers.base import Driver
from robots.station.labels import Snapshot
from robots.station.tasks import Observation

Glimpse = concurrent.futures.Future[Snapshot]

_WAITING = 4


class Glimpses:
    """Who asked for a look, in turn."""

    def __init__(self) -> None:
        self._asked: queue.Queue[Glimpse] = queue.Queue(_WAITING)

    def ask(self) -> Glimpse:
        """Ask for a look.

        Raises:
            queue.Full: Too many wait.
        """
        glimpse: Glimpse = concurrent.futures.Future()
        self._asked.put_nowait(glimpse)
        return glimpse

    @property
    def asked(self) -> bool:
        """Whether anybody waits."""
        return not self._asked.empty()

    def serve(self, driver: Driver, observation: Observation | None = None) -> None:
        """Look for everyone who waits; on the batch thread.

        Args:
            driver: The robot.
            observation: Of this policy step; None where there is none, to sense anew.
        """
        while self.asked:
            glimpse = self._asked.get_nowait()
            if glimpse.set_running_or_notify_cancel():
                self._fill(glimpse, driver, observation)

    def refuse(self, error: Exception) -> None:
        """Tell everyone who waits that there is nothing to be seen."""
        while self.asked:
            glimpse = self._asked.get_nowait()
            if glimpse.set_running_or_notify_cancel():
                glimpse.set_exception(error)

    def _fill(self, glimpse: Glimpse, driver: Driver, observation: Observation | None) -> None:
        try:
            seen = _sensed(driver) if observation is None else observation
            glimpse.set_result(Snapshot(driver.camera(), seen))
        except Exception as error:  # noqa: BLE001 - the asker's to tell; the batch goes on.
            glimpse.set_exception(error)


def _sensed(driver: Driver) -> Observation:
    """Sensors as they read now, without using up the draws of what was or will be rehearsed."""
    make = cast("Callable[[], Driver] | None", getattr(driver, "twin", None))
    if make is None:
        return driver.observe()
    twin = make()
    try:
        return twin.observe()
    finally:
        twin.close()
