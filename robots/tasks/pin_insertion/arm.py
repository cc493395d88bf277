"""Inverse kinematics of the arm in `scene.xml`, in closed form.

Yaw, shoulder and elbow place the wrist; the wrist's three hinges turn the hand. The elbow stays up.
A solution in closed form depends on the target alone, never on where the arm came from.
"""

import math

import numpy as np
from numpy.typing import NDArray

BASE_X_M, SHOULDER_Z_M = -0.40, 0.10
UPPER_M = FOREARM_M = 0.25
HAND_M = 0.12
"""From the wrist's hinges down to the middle between the pads."""


def joints_of(
    hand_m: NDArray[np.float64], tilt_rad: tuple[float, float]
) -> tuple[float, float, float, float, float, float]:
    """Angles of the six hinges at which the hand is at a place, its fingers pointing down.

    Args:
        hand_m: Middle between the pads (3,), in the scene's frame.
        tilt_rad: How far the hand leans in pitch and roll.

    Raises:
        ValueError: The place is out of reach.
    """
    x, y, z = (float(value) for value in hand_m)
    pitch, roll = tilt_rad
    # The hand's upward axis, before the arm's yaw turns it.
    ahead, left, up = (
        math.sin(pitch) * math.cos(roll),
        -math.sin(roll),
        math.cos(pitch) * math.cos(roll),
    )
    # The arm's plane stands beside the hand by as much as the hand leans sideways.
    far = math.hypot(x - BASE_X_M, y)
    yaw = math.atan2(y, x - BASE_X_M) + math.asin(HAND_M * left / far)
    out = math.sqrt(far**2 - (HAND_M * left) ** 2) + HAND_M * ahead
    height = z + HAND_M * up - SHOULDER_Z_M
    far = math.hypot(out, height)
    cosine = (UPPER_M**2 + far**2 - FOREARM_M**2) / (2.0 * UPPER_M * far)
    if cosine > 1.0:
        raise ValueError(f"hand target {(x, y, z)}: the wrist is {far:.3f} m away, out of reach")
    upper = math.atan2(height, out) + math.acos(cosine)
    forearm = math.atan2(height - UPPER_M * math.sin(upper), out - UPPER_M * math.cos(upper))
    return yaw, -upper, upper - forearm, pitch + forearm, roll, -yaw
