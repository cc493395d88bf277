"""Verifier of simple Push-T: Push-T's sight of the block, with a wider criterion."""

import math

import numpy as np
from numpy.typing import NDArray

from robots.tasks.push_t.verify import GOAL_POSE, overlap, seen

ACCEPT_M, ACCEPT_RAD = 0.01998, math.radians(9.99)
"""A hair inside the criterion's 20 mm and 10 degrees: doubt is decided against the policy."""


def verify(
    images: dict[str, NDArray[np.uint8]], proprioception: dict[str, NDArray[np.float64]]
) -> dict[str, bool | float]:
    """Judges one frame.

    Args:
        images: `top`, uint8, shape (480, 640, 3), RGB.
        proprioception: unused; the station asks only when the tool is out of the way.

    Returns:
        `success` (bool) and `iou` (0 to 1; 0 where no whole block is seen near the goal).
    """
    del proprioception
    pose = seen(images)
    if pose is None:
        return {"success": False, "iou": 0.0}
    away = math.hypot(pose[0] - GOAL_POSE[0], pose[1] - GOAL_POSE[1])
    turned = abs(math.remainder(pose[2] - GOAL_POSE[2], math.tau))
    return {"success": away < ACCEPT_M and turned < ACCEPT_RAD, "iou": overlap(pose)}
