"""Verifier: where the red peg stands in the camera's picture, against the goal."""

import math

import numpy as np

TOLERANCE_RAD = math.radians(4.6)
LEAST_PIXELS, RADIUS_PX = 8, (18.0, 30.0)


def verify(images, proprioception):
    image = images["top"].astype(np.int16)
    red = (
        (image[..., 0] > 90)
        & (image[..., 0] > 2 * image[..., 1])
        & (image[..., 0] > 2 * image[..., 2])
    )
    rows, columns = np.nonzero(red)
    if len(rows) < LEAST_PIXELS:
        return {"success": False, "score": 0.0}
    middle = (image.shape[0] - 1) / 2
    x, y = columns.mean() - middle, middle - rows.mean()
    if not RADIUS_PX[0] < math.hypot(x, y) < RADIUS_PX[1]:
        return {"success": False, "score": 0.0}
    gap_rad = math.atan2(y, x) - float(proprioception["goal_angle_rad"][0])
    gap_rad = abs((gap_rad + math.pi) % (2 * math.pi) - math.pi)
    return {"success": gap_rad < TOLERANCE_RAD, "score": max(0.0, 1.0 - gap_rad / math.pi)}
