"""Verifier of Push-T: does the top camera see the block in its outline?

Vision only, on numpy. Four dots painted on the table at known places calibrate every image, so a
camera that was knocked or hangs askew changes nothing. The block's mask gives its pose by moments:
some 6,000 pixels average to a few hundredths of a millimetre, far below the 1.8 mm that an overlap
of 0.95 allows. The overlap is then computed exactly, polygon against polygon.
"""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Point = tuple[float, float]

GOAL_POSE = (0.0, 0.0, 0.55)
"""Goal of the block's centre of mass in the table frame (m, m, rad)."""
ACCEPT_IOU = 0.951
"""A hair above the criterion's 0.95: doubt is decided against the policy."""
_LIKENESS = 0.955
"""Least overlap of mask and fitted shape; below it something hides or resembles the block."""

_FIDUCIALS_M = np.array([(-0.4, -0.29), (0.4, -0.29), (-0.4, 0.29), (0.4, 0.29)])
_FIDUCIALS_PX = np.array([(31.5, 448.6), (608.5, 448.6), (31.5, 31.4), (608.5, 31.4)])
_SEARCH_PX = 22
_CAMERA_HEIGHT_M, _BLOCK_HEIGHT_M = 1.6, 0.030
# Centre and half size of the block's two boxes about its centre of mass (m).
_BOXES = ((0.0, 0.0342857, 0.080, 0.020), (0.0, -0.0457143, 0.020, 0.060))
_AREA_M2 = 0.0112
_WINDOW_M = 0.16


def verify(
    images: dict[str, NDArray[np.uint8]], proprioception: dict[str, Array]
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
    iou = overlap(pose)
    return {"success": iou > ACCEPT_IOU, "iou": iou}


def seen(images: dict[str, NDArray[np.uint8]]) -> tuple[float, float, float] | None:
    """Pose (x_m, y_m, yaw_rad) of the block near the goal; None where no whole block is seen."""
    image = images["top"]
    if image.shape != (480, 640, 3) or image.dtype != np.uint8:
        raise ValueError(f"`top` must be uint8 (480, 640, 3), received {image.dtype} {image.shape}")
    to_table = calibrate(image)
    return None if to_table is None else locate(image, to_table)


def calibrate(image: NDArray[np.uint8]) -> Array | None:
    """Homography (3, 3) from pixels (column, row, 1) to the table's plane, from the four dots."""
    seen = np.empty((4, 2))
    for k, (column, row) in enumerate(_FIDUCIALS_PX):
        left, top = max(int(column) - _SEARCH_PX, 0), max(int(row) - _SEARCH_PX, 0)
        patch = image[top : top + 2 * _SEARCH_PX, left : left + 2 * _SEARCH_PX]
        rows, columns = np.nonzero(patch.max(axis=2) < 60)
        if len(rows) < 40:
            return None
        seen[k] = columns.mean() + left, rows.mean() + top
    rows_of_a: list[list[float]] = []
    for (u, v), (x, y) in zip(seen.tolist(), _FIDUCIALS_M.tolist(), strict=True):
        rows_of_a.append([u, v, 1.0, 0.0, 0.0, 0.0, -u * x, -v * x])
        rows_of_a.append([0.0, 0.0, 0.0, u, v, 1.0, -u * y, -v * y])
    solution = np.linalg.solve(np.array(rows_of_a), _FIDUCIALS_M.ravel())
    return np.append(solution, 1.0).reshape(3, 3)


def locate(image: NDArray[np.uint8], to_table: Array) -> tuple[float, float, float] | None:
    """Pose (x_m, y_m, yaw_rad) of the block near the goal by its mask's moments, or None."""
    to_pixel = np.linalg.inv(to_table)
    centre = to_pixel @ np.array([GOAL_POSE[0], GOAL_POSE[1], 1.0])
    edge = to_pixel @ np.array([GOAL_POSE[0] + _WINDOW_M, GOAL_POSE[1], 1.0])
    column, row = centre[:2] / centre[2]
    half = int(abs(edge[0] / edge[2] - column))
    left, top = int(column) - half, int(row) - half
    patch = image[top : top + 2 * half, left : left + 2 * half].astype(np.int16)
    red, green, blue = patch[..., 0], patch[..., 1], patch[..., 2]
    mask = (2 * blue > 3 * red) & (2 * blue > 3 * green) & (blue > 30)
    rows, columns = np.nonzero(mask)
    if len(rows) < 1000:
        return None
    pixels = np.stack([columns + float(left), rows + float(top), np.ones(len(rows))])
    table = to_table @ pixels
    # The mask is the block's upper face, nearer to the camera than the dots by the block's height.
    nearer = 1.0 - _BLOCK_HEIGHT_M / _CAMERA_HEIGHT_M
    x, y = nearer * table[0] / table[2], nearer * table[1] / table[2]
    mean_x, mean_y = float(x.mean()), float(y.mean())
    dx, dy = x - mean_x, y - mean_y
    spread = 0.5 * math.atan2(2.0 * float(dx @ dy), float(dx @ dx) - float(dy @ dy))
    # The stem lies along the wider spread, and its side has the longer tail.
    along = math.cos(spread) * dx + math.sin(spread) * dy
    if float(np.sum(along**3)) > 0.0:
        spread += math.pi
    yaw = math.remainder(spread - 0.5 * math.pi, math.tau)
    cos, sin = math.cos(yaw), math.sin(yaw)
    inside = _inside(cos * dx + sin * dy, cos * dy - sin * dx)
    scale = nearer * math.hypot(*(to_table @ np.array([1.0, 0.0, 0.0]))[:2])
    count = _AREA_M2 / (scale * scale)
    hits = float(np.count_nonzero(inside))
    if hits / (count + len(rows) - hits) < _LIKENESS:
        return None
    return mean_x, mean_y, yaw


def _inside(x: Array, y: Array) -> NDArray[np.bool_]:
    found = np.zeros(len(x), dtype=np.bool_)
    for cx, cy, half_x, half_y in _BOXES:
        found |= (np.abs(x - cx) <= half_x) & (np.abs(y - cy) <= half_y)
    return found


def overlap(pose: tuple[float, float, float]) -> float:
    """Intersection over union of the block at `pose` and at the goal."""
    shared = 0.0
    for mine in _corners(pose):
        for goal in _corners(GOAL_POSE):
            shared += _area(_clip(mine, goal))
    return shared / (2.0 * _AREA_M2 - shared)


def _corners(pose: tuple[float, float, float]) -> list[list[Point]]:
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    boxes: list[list[Point]] = []
    for cx, cy, hx, hy in _BOXES:
        corners = ((cx - hx, cy - hy), (cx + hx, cy - hy), (cx + hx, cy + hy), (cx - hx, cy + hy))
        boxes.append(
            [(pose[0] + cos * x - sin * y, pose[1] + sin * x + cos * y) for x, y in corners]
        )
    return boxes


def _clip(subject: list[Point], window: list[Point]) -> list[Point]:
    """Part of the convex `subject` inside the convex `window`, both counter-clockwise.

    Source: Sutherland and Hodgman 1974, reentrant polygon clipping.
    """
    kept = subject
    for (ax, ay), (bx, by) in zip(window, window[1:] + window[:1], strict=True):
        sides = [(bx - ax) * (y - ay) - (by - ay) * (x - ax) for x, y in kept]
        clipped: list[Point] = []
        for k, (x, y) in enumerate(kept):
            before, now = sides[k - 1], sides[k]
            if (before < 0.0) != (now < 0.0):
                part = before / (before - now)
                last_x, last_y = kept[k - 1]
                clipped.append((last_x + part * (x - last_x), last_y + part * (y - last_y)))
            if now >= 0.0:
                clipped.append((x, y))
        kept = clipped
    return kept


def _area(polygon: list[Point]) -> float:
    pairs = zip(polygon, polygon[1:] + polygon[:1], strict=True)
    return 0.5 * abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in pairs))
