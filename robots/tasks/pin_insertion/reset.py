"""Physical reset of pin insertion: pulls the pin out, or takes a new one, and hovers over the box.

It runs in a sandboxed child on sensors alone. A pin that sits well in the fingers is pulled straight
up. Any other one is let go; the feeder then presents the next pin, which is picked from its nest.
Lengths in metres.
"""

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Observation = dict[str, Array]
Script = Generator[Array, Observation, None]

_PERIOD_S = 1.0 / 30.0
_FEEDER: Array = np.array([0.0, 0.1])
_PICK_Z_M, _CALL_Z_M, _CLEAR_Z_M = 0.030, 0.095, 0.085
_OPEN_M, _GRIP_M, _HELD_M = 0.026, 0.004, (0.0085, 0.0115)
_TRAVEL_M_S, _FINE_M_S = 0.12, 0.05
_TIP: Array = np.array([0.0, 0.0, -0.045])
_TIP_OK_M = 0.0022
"""Tighter than the post-condition, which single noisy frames judge."""


class Reset:
    """Brings a pin to the start, held."""

    def reset(self, observation: Observation, target: Array) -> None:
        """Begins a try.

        Args:
            observation: the station's sensors now.
            target: where the hand shall hover (3,), x, y, z.
        """
        self._target = target
        self._seen = observation
        self._aim = observation["hand_position_m"].copy()
        self._gap = _GRIP_M if self._holds() else _OPEN_M
        self._script = self._run()
        next(self._script)

    def act(self, observation: Observation) -> Array | None:
        """Next hand target and gap (4,) in metres, or None when the reset is done."""
        try:
            return self._script.send(observation)
        except StopIteration:
            return None

    def _run(self) -> Script:
        self._seen = yield self._command()
        # Straight up first: whatever is held comes out of its hole.
        yield from self._go((self._aim[0], self._aim[1], _CALL_Z_M), _FINE_M_S)
        for _ in range(2):
            if (yield from self._sits_well()):
                break
            yield from self._fetch()
        yield from self._go((self._target[0], self._target[1], _CLEAR_Z_M), _TRAVEL_M_S)
        yield from self._go(self._target, _FINE_M_S)
        yield from self._settle()

    def _fetch(self) -> Script:
        """Over the nest, open, down, grip, up."""
        x, y = _FEEDER
        yield from self._go((x, y, _CALL_Z_M), _TRAVEL_M_S)
        self._gap = _OPEN_M
        yield from self._settle()
        yield from self._hold(12)
        yield from self._go((x, y, _PICK_Z_M), _TRAVEL_M_S)
        yield from self._settle()
        self._gap = _GRIP_M
        yield from self._hold(15)
        yield from self._go((x, y, _CALL_Z_M), _FINE_M_S)

    def _sits_well(self) -> Generator[Array, Observation, bool]:
        """Whether the pin is held as it should be, by the mean of still frames."""
        yield from self._settle()
        if not self._holds():
            return False
        offsets: list[Array] = []
        for _ in range(8):
            yield from self._hold(1)
            offsets.append(self._seen["pin_tip_m"] - self._seen["hand_position_m"])
        return bool(np.linalg.norm(np.mean(offsets, axis=0) - _TIP) < _TIP_OK_M)

    def _holds(self) -> bool:
        return _HELD_M[0] < float(self._seen["finger_opening_m"][0]) < _HELD_M[1]

    def _go(self, to: "Array | tuple[float, float, float]", speed_m_s: float) -> Script:
        start, end = self._aim.copy(), np.asarray(to, dtype=np.float64)
        far = float(np.linalg.norm(end - start))
        steps = max(1, int(np.ceil(far / (speed_m_s * _PERIOD_S))))
        for k in range(1, steps + 1):
            self._aim = start + (end - start) * (k / steps)
            yield from self._hold(1)

    def _settle(self) -> Script:
        """Until the measured hand lies still, after the longest latency."""
        for _ in range(20):
            before = self._seen["hand_position_m"]
            yield from self._hold(3)
            if float(np.abs(self._seen["hand_position_m"] - before).max()) < 0.0003:
                return

    def _hold(self, steps: int) -> Script:
        for _ in range(steps):
            self._seen = yield self._command()

    def _command(self) -> Array:
        return np.array([*self._aim, self._gap])
