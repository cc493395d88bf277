"""The action watchdog: how old the action in force may be.

It counts in policy periods, on whatever time the station's clock counts: simulated in lockstep,
monotonic in real time.
"""

import math

from robots.safety.table import LOST_PERIODS, STALE_PERIODS, Condition


class ActionWatchdog:
    """Names the condition that an action's age amounts to.

    Args:
        period_s: The policy's period.
    """

    __slots__ = ("lost_s", "stale_s")

    def __init__(self, period_s: float) -> None:
        assert 0.0 < period_s < math.inf, period_s
        self.stale_s = STALE_PERIODS * period_s
        self.lost_s = LOST_PERIODS * period_s

    def condition(self, age_s: float) -> Condition | None:
        """None while the action is fresh enough; an age that is no number counts as lost."""
        if age_s <= self.stale_s:
            return None
        if age_s <= self.lost_s:
            return Condition.ACTION_STALE
        return Condition.ACTION_LOST
