"""The robot's own condition: which readings are a fault of the machine, and from when on.

Readings and a time go in, a row of the table comes out. The robot measures, the station decides:
a controller that says it is well is not asked.
"""

import math

from robots.safety.table import Condition

MOTOR_LIMIT_C = 80.0
"""Hottest winding a motor may have. Servo drives cut off between 85 and 120 C, and an arm without
brakes then falls: the station stops before they do."""

FOLLOWING_LIMIT = 0.2
FOLLOWING_S = 0.3
"""A drive this far from its command, as a share of its control range, for this long does not follow.
Moving at full speed the shipped arms trail by a twentieth of it."""

CAMERA_STALE_S = 0.5
"""Age of a picture from which no verdict is asked."""

Found = tuple[Condition, str]


class Health:
    """Watches the readings that come with every set-point's answer."""

    def __init__(self) -> None:
        self._astray_since_s = math.inf

    def condition(self, motor_c: float, deviation: float, now_s: float) -> Found | None:
        """What is wrong, if anything.

        Args:
            motor_c: Temperature of the hottest motor.
            deviation: Distance of the worst drive from its command, as a share of its range.
            now_s: Monotonic time of the reading.
        """
        # Negated comparisons: a reading that is no number is a fault as well.
        if not deviation <= FOLLOWING_LIMIT:
            self._astray_since_s = min(self._astray_since_s, now_s)
        else:
            self._astray_since_s = math.inf
        if not motor_c <= MOTOR_LIMIT_C:
            return Condition.OVERHEATED, f"{motor_c:.0f} C, {MOTOR_LIMIT_C:.0f} C is the limit"
        if now_s - self._astray_since_s > FOLLOWING_S:
            return Condition.FOLLOWING_ERROR, f"{deviation:.0%} of its range from its command"
        return None


def picture(age_s: float) -> Found | None:
    """What is wrong with a picture of this age, if anything."""
    if age_s <= CAMERA_STALE_S:
        return None
    return Condition.CAMERA_STALE, f"the picture is {age_s:.1f} s old"
