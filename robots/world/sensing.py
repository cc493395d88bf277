"""Sensing that comes late."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Delayed:
    """A quantity as it was some moments ago, by straight lines between the policy steps.

    Args:
        steps: policy steps that are remembered; the longest latency must fit into them.
    """

    def __init__(self, steps: int = 8) -> None:
        self._seen: deque[tuple[float, Array]] = deque(maxlen=steps)

    def clear(self) -> None:
        """Forgets everything: the scene was put elsewhere."""
        self._seen.clear()

    def see(self, now_s: float, value: Array, latency_s: float) -> Array:
        """Records a value and returns the one of `latency_s` ago, the oldest known if none is.

        Args:
            now_s: the world's time; an earlier one than before forgets what was.
            value: of any shape; copied.
            latency_s: how late the sensor is.
        """
        if self._seen and now_s < self._seen[-1][0]:
            self._seen.clear()
        self._seen.append((now_s, value.copy()))
        wanted_s = now_s - latency_s
        later_s, later = self._seen[-1]
        for earlier_s, earlier in reversed(self._seen):
            if earlier_s <= wanted_s:
                span = later_s - earlier_s
                part = (wanted_s - earlier_s) / span if span > 0.0 else 0.0
                return earlier + part * (later - earlier)
            later_s, later = earlier_s, earlier
        return later
