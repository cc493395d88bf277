"""Verbs on their way: pending until a daemon acknowledges or refuses them. Pure.

Nothing on the screen changes because a key was pressed; it changes when a journal or a telemetry
value says so. What a person sees at once is that the order is on its way, and then its answer.
"""

import dataclasses

PENDING, DONE, REFUSED, UNKNOWN = "pending", "acknowledged", "refused", "unanswered"
# Found out in the room, before anything was sent.
IMPOSSIBLE = "not possible"
KEPT = 32
ESCALATE_WITHIN_S = 3.0
# Keys that repeat because they are held down come faster than a person decides.
ESCALATE_AFTER_S = 0.3


@dataclasses.dataclass
class Order:
    """One verb.

    Attributes:
        words: What was asked for, such as "hold s1".
        state: PENDING, DONE, REFUSED, IMPOSSIBLE, or UNKNOWN: no answer, so it may have happened.
        ended_s: Monotonic seconds of its answer.
    """

    words: str
    asked_s: float
    state: str = PENDING
    detail: str = ""
    ended_s: float = 0.0


class StopKey:
    """A stop key: the first press holds, a second one within three seconds is an emergency stop."""

    def __init__(self) -> None:
        self._target = ""
        self._at_s = float("-inf")

    def press(self, target: str, now_s: float) -> bool:
        """Whether this press of the key for `target` escalates."""
        since_s = now_s - self._at_s
        if self._target == target and since_s < ESCALATE_AFTER_S:
            return False
        escalates = self._target == target and since_s <= ESCALATE_WITHIN_S
        self._target, self._at_s = target, now_s
        return escalates
