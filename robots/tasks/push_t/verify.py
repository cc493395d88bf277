"""Verifier of Push-T: does the top camera see the block in its outline?

Vision only, on numpy. Twenty dots painted on the table at known places give the camera's pose in
every image, so a camera that was knocked or hangs askew changes nothing, and the block's upper face
is looked for at its real height. Both fits are of outlines: every pixel near one lies inside or
outside, and a thousand such verdicts along straight edges of known shape place the block within
some hundredths of a millimetre, where an overlap of 0.95 allows 1.8 mm. Moments of the mask, which
only start the fit, are six times worse in yaw: a T spreads nearly alike in both directions.
The overlap is then computed exactly, polygon against polygon.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Point = tuple[float, float]
Pose = tuple[float, float, float]

GOAL_POSE = (0.0, 0.0, 0.55)
"""Goal of the block's centre of mass in the table frame (m, m, rad)."""
ACCEPT_IOU = 0.9502
"""Above the criterion's 0.95 by less than the estimate's error (0.0005): doubt is decided against the policy."""
_LIKENESS = 0.955
"""Least overlap of mask and fitted shape; below it something hides or resembles the block."""

_FIDUCIALS_M = np.array(
    [(0.134 * column, 0.29 * side) for side in (-1, 1) for column in range(-3, 4)]
    + [(0.402 * side, 0.145 * row) for side in (-1, 1) for row in range(-1, 2)]
)
_FIDUCIAL_RADIUS_M, _FIDUCIAL_HEIGHT_M = 0.008, 0.0003
_SEARCH_PX, _DOT_PX = 22, 8
_CAMERA_M = (0.0, 0.0, 1.6)
"""Where the camera hangs when it is where it should be; it looks straight down."""
_FOCAL_PX = 240.0 / math.tan(math.radians(23.5) / 2.0)
_MIDDLE_PX = (319.5, 239.5)
_FIDUCIALS_PX = np.array(_MIDDLE_PX) + _FIDUCIALS_M * (1.0, -1.0) * _FOCAL_PX / _CAMERA_M[2]
_PIXEL_M = _CAMERA_M[2] / _FOCAL_PX
_BLOCK_HEIGHT_M = 0.030
# Centre and half size of the block's two boxes about its centre of mass (m).
_BOXES = ((0.0, 0.0342857, 0.080, 0.020), (0.0, -0.0457143, 0.020, 0.060))
_AREA_M2 = 0.0112
_WINDOW_M = 0.16
# Outline of the block about its centre of mass, counter-clockwise (m).
_OUTLINE_M = np.array([
    (-0.080, 0.0542857), (-0.080, 0.0142857), (-0.020, 0.0142857), (-0.020, -0.1057143),
    (0.020, -0.1057143), (0.020, 0.0142857), (0.080, 0.0142857), (0.080, 0.0542857),
])  # fmt: skip
_SIDES_M = np.roll(_OUTLINE_M, -1, axis=0) - _OUTLINE_M
_LENGTHS_M = np.hypot(_SIDES_M[:, 0], _SIDES_M[:, 1])
_NORMALS = np.stack([_SIDES_M[:, 1], -_SIDES_M[:, 0]], axis=1) / _LENGTHS_M[:, None]
"""Outward."""

_BAND_M = 2.0 * _PIXEL_M
"""Pixels nearer to an outline than this take part in its fit."""
_SOFTNESS_M = tuple(_PIXEL_M * width for width in (0.5, 0.25, 0.12, 0.06, 0.03, 0.03, 0.015, 0.015))
"""Width of the step from inside to outside, fit by fit: wide to arrive, narrow to be exact."""
_CAUTION = 0.05
_FEWEST, _PARTED = 100, 0.9
"""Pixels about the dots, and the share of them that a fit parts rightly, below which it fails."""


class Camera(NamedTuple):
    """A camera over the table: place (m) and small turn from looking straight down (rad)."""

    x: float
    y: float
    z: float
    turn: tuple[float, float, float]

    def slopes(self, columns: Array, rows: Array) -> tuple[Array, Array]:
        """How far a pixel's ray runs along x and y while it falls by one."""
        a = (columns - _MIDDLE_PX[0]) / _FOCAL_PX
        b = (_MIDDLE_PX[1] - rows) / _FOCAL_PX
        (r00, r01, r02), (r10, r11, r12), (r20, r21, r22) = _rotation(self.turn)
        fall = r22 - r20 * a - r21 * b
        return (r00 * a + r01 * b - r02) / fall, (r10 * a + r11 * b - r12) / fall

    def at_height(self, columns: Array, rows: Array, height_m: float) -> tuple[Array, Array]:
        """Where the rays of pixels meet a plane above the table (m)."""
        along_x, along_y = self.slopes(columns, rows)
        depth = self.z - height_m
        return self.x + depth * along_x, self.y + depth * along_y

    def pixel(self, x: float, y: float, height_m: float) -> Point:
        """Column and row at which a point is seen."""
        off = np.array([x - self.x, y - self.y, height_m - self.z])
        right, up, back = (float(value) for value in off @ np.array(_rotation(self.turn)))
        return (
            _MIDDLE_PX[0] - _FOCAL_PX * right / back,
            _MIDDLE_PX[1] + _FOCAL_PX * up / back,
        )

    def moved(self, step: Array) -> "Camera":
        """The camera after a step of a fit (6,): metres, then radians."""
        dx, dy, dz, *turn = (float(value) for value in step)
        a, b, c = self.turn
        return Camera(
            self.x + dx, self.y + dy, self.z + dz, (a + turn[0], b + turn[1], c + turn[2])
        )


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


def seen(images: dict[str, NDArray[np.uint8]]) -> Pose | None:
    """Pose (x_m, y_m, yaw_rad) of the block near the goal; None where no whole block is seen."""
    image = images["top"]
    if image.shape != (480, 640, 3) or image.dtype != np.uint8:
        raise ValueError(f"`top` must be uint8 (480, 640, 3), received {image.dtype} {image.shape}")
    camera = calibrate(image)
    return None if camera is None else locate(image, camera)


def calibrate(image: NDArray[np.uint8]) -> Camera | None:
    """The camera's pose from the outlines of the twenty dots; None if one is missing."""
    dots: list[tuple[Array, Array, Mask]] = []
    for column, row in _FIDUCIALS_PX:
        left, top = max(int(column) - _SEARCH_PX, 0), max(int(row) - _SEARCH_PX, 0)
        dark = image[top : top + 2 * _SEARCH_PX, left : left + 2 * _SEARCH_PX].max(axis=2) < 60
        rows, columns = np.nonzero(dark)
        if len(rows) < 40:
            return None
        middle_row, middle = int(rows.mean()), int(columns.mean())
        low_row, low = max(middle_row - _DOT_PX, 0), max(middle - _DOT_PX, 0)
        dark = dark[low_row : middle_row + _DOT_PX + 2, low : middle + _DOT_PX + 2]
        rows, columns = np.nonzero(np.ones_like(dark))
        dots.append((_moved(columns, low + left), _moved(rows, low_row + top), dark.ravel()))
    camera = Camera(*_CAMERA_M, (0.0, 0.0, 0.0))
    u, v = np.array([(u[dark].mean(), v[dark].mean()) for u, v, dark in dots]).T
    for _ in range(3):
        x, y = camera.at_height(u, v, _FIDUCIAL_HEIGHT_M)
        error = np.concatenate([x - _FIDUCIALS_M[:, 0], y - _FIDUCIALS_M[:, 1]])
        by = np.concatenate(_by_camera(camera, u, v, _FIDUCIAL_HEIGHT_M))
        camera = camera.moved(_solved(by.T @ by, by.T @ -error))
    columns, rows, dark = (np.concatenate(part) for part in zip(*dots, strict=True))
    of = np.repeat(_FIDUCIALS_M, [len(dot[0]) for dot in dots], axis=0)
    near = np.abs(_nearer_disc(camera, columns, rows, of)[2] - _FIDUCIAL_RADIUS_M) < _BAND_M
    columns, rows, dark, of = columns[near], rows[near], dark[near], of[near]
    if len(dark) < _FEWEST:
        return None
    radius, parted = _FIDUCIAL_RADIUS_M, 0.0
    for softness in _SOFTNESS_M:
        # Seen askew, a dot of paint is its upper face and what shows of its rim: two discs.
        away_x, away_y, away = _nearer_disc(camera, columns, rows, of)
        by_x, by_y = _by_camera(camera, columns, rows, _FIDUCIAL_HEIGHT_M)
        by_place = (away_x / away)[:, None] * by_x + (away_y / away)[:, None] * by_y
        by = np.concatenate([by_place, np.full((len(away), 1), -1.0)], axis=1)
        step = _parting_step(by, away - radius, dark, softness)
        camera, radius = camera.moved(step[:6]), radius + float(step[6])
        parted = np.count_nonzero((away < radius) == dark) / len(dark)
    return camera if parted >= _PARTED else None


def _nearer_disc(
    camera: Camera, columns: Array, rows: Array, centres: Array
) -> tuple[Array, Array, Array]:
    """From a dot's centre to where pixels' rays are nearest to it: along x, y, and how far (m)."""
    a, b = camera.slopes(columns, rows)
    low_x, low_y = camera.x + camera.z * a - centres[:, 0], camera.y + camera.z * b - centres[:, 1]
    high_x, high_y = low_x - 2.0 * _FIDUCIAL_HEIGHT_M * a, low_y - 2.0 * _FIDUCIAL_HEIGHT_M * b
    low, high = np.hypot(low_x, low_y), np.hypot(high_x, high_y)
    upper = high < low
    return np.where(upper, high_x, low_x), np.where(upper, high_y, low_y), np.minimum(low, high)


def locate(image: NDArray[np.uint8], camera: Camera) -> Pose | None:
    """Pose (x_m, y_m, yaw_rad) of the block near the goal by its upper face's outline, or None."""
    column, row = camera.pixel(GOAL_POSE[0], GOAL_POSE[1], _BLOCK_HEIGHT_M)
    half = int(_WINDOW_M / _PIXEL_M)
    left, top = max(int(column) - half, 0), max(int(row) - half, 0)
    face = _upper_face(image[top : top + 2 * half, left : left + 2 * half])
    rows, columns = np.nonzero(face)
    if len(rows) < 1000:
        return None
    x, y = camera.at_height(_moved(columns, left), _moved(rows, top), _BLOCK_HEIGHT_M)
    pose = _by_moments(x, y)
    edge_rows, edge_columns = np.nonzero(_grown(face) & _grown(~face))
    inside = face[edge_rows, edge_columns]
    u, v = _moved(edge_columns, left), _moved(edge_rows, top)
    edge_x, edge_y = camera.at_height(u, v, _BLOCK_HEIGHT_M)
    pose = _by_outline(pose, edge_x, edge_y, inside)
    if pose is None:
        return None
    hits = float(np.count_nonzero(_within(*_in_block(pose, x, y))))
    count = _AREA_M2 / (((camera.z - _BLOCK_HEIGHT_M) / _FOCAL_PX) ** 2)
    return pose if hits / (count + len(rows) - hits) >= _LIKENESS else None


def _upper_face(patch: NDArray[np.uint8]) -> Mask:
    """Pixels of the block's upper face: blue, and lit from above as its side walls are not."""
    red, green, blue = patch[..., 0], patch[..., 1], patch[..., 2]
    most = np.maximum(red, green).astype(np.uint16)
    block = (2 * blue.astype(np.uint16) > 3 * most) & (blue > 30)
    lit = blue[block]
    return block & (blue > 0.7 * np.median(lit)) if len(lit) else block


def _by_moments(x: Array, y: Array) -> Pose:
    """Pose of a block that covers these points, to about a degree."""
    mean_x, mean_y = float(x.mean()), float(y.mean())
    dx, dy = x - mean_x, y - mean_y
    spread = 0.5 * math.atan2(2.0 * float(dx @ dy), float(dx @ dx) - float(dy @ dy))
    # The stem lies along the wider spread, and its side has the longer tail.
    along = math.cos(spread) * dx + math.sin(spread) * dy
    if float(np.sum(along * along * along)) > 0.0:
        spread += math.pi
    return mean_x, mean_y, math.remainder(spread - 0.5 * math.pi, math.tau)


def _by_outline(pose: Pose, x: Array, y: Array, inside: Mask) -> Pose | None:
    """Pose at which the block's straight sides best part the points inside from those outside.

    Args:
        pose: near it, within a pixel at the outline.
        x: of points about the outline (m).
        y: of the same points (m).
        inside: whether the upper face covers them.
    """
    side, kept = _sides_of(*_in_block(pose, x, y))
    x, y, inside = x[kept], y[kept], inside[kept]
    if np.bincount(side, minlength=len(_NORMALS)).min() < 8:
        return None
    (n_u, n_v), (start_u, start_v) = _NORMALS[side].T, _OUTLINE_M[side].T
    for softness in _SOFTNESS_M:
        u, v = _in_block(pose, x, y)
        distance = (u - start_u) * n_u + (v - start_v) * n_v
        cos, sin = math.cos(pose[2]), math.sin(pose[2])
        by = np.stack([sin * n_v - cos * n_u, -sin * n_u - cos * n_v, v * n_u - u * n_v], axis=1)
        step = _parting_step(by, distance, inside, softness)
        pose = pose[0] + float(step[0]), pose[1] + float(step[1]), pose[2] + float(step[2])
    return pose[0], pose[1], math.remainder(pose[2], math.tau)


def _sides_of(u: Array, v: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which side each point beside one belongs to, and which points these are; none at corners."""
    off_u, off_v = u[:, None] - _OUTLINE_M[:, 0], v[:, None] - _OUTLINE_M[:, 1]
    away = np.abs(off_u * _NORMALS[:, 0] + off_v * _NORMALS[:, 1])
    # A quarter turn back from a normal lies the way along its side.
    along = off_v * _NORMALS[:, 0] - off_u * _NORMALS[:, 1]
    beside = (along > _BAND_M) & (along < _LENGTHS_M - _BAND_M) & (away < _BAND_M)
    away[~beside] = math.inf
    side = np.argmin(away, axis=1)
    kept = np.nonzero(beside.any(axis=1))[0]
    return side[kept], kept


def _parting_step(by: Array, distance: Array, inside: Mask, softness_m: float) -> Array:
    """A step of a logistic fit: parts what lies inside of an outline from what lies outside.

    Weights are the logistic loss's curvature and a share of its bound, which alone would never step
    too far, but crawl: at a distance the bound falls off with it, and the curvature exponentially.
    Source: Jaakkola and Jordan 2000, Bayesian parameter estimation via variational methods.

    Args:
        by: (n, k), derivative of each distance by each parameter.
        distance: (n,), of points from the outline, positive outside (m).
        inside: (n,), whether they were seen inside.
        softness_m: width of the step from inside to outside.
    """
    scaled = distance * (0.5 / softness_m)
    half_odds = 0.5 * np.tanh(scaled)
    bound = 0.5 * half_odds / np.where(np.abs(scaled) < 1e-6, 1e-6, scaled)
    weight = 0.25 - half_odds * half_odds + _CAUTION * bound
    # Probability of inside is 0.5 - half_odds.
    pull = inside - 0.5 + half_odds
    return _solved((by.T * weight) @ by, by.T @ pull * -softness_m)


def _solved(curvature: Array, slope: Array) -> Array:
    return np.linalg.solve(curvature, slope).astype(np.float64)


def _moved(indices: NDArray[np.intp], by: int) -> Array:
    return indices.astype(np.float64) + by


def _by_camera(camera: Camera, columns: Array, rows: Array, height_m: float) -> tuple[Array, Array]:
    """Derivatives (n, 6) by the camera's pose of where rays meet a plane, along x and along y."""
    a, b = camera.slopes(columns, rows)
    depth = camera.z - height_m
    one, none = np.ones(len(a)), np.zeros(len(a))
    by_x = np.stack([one, none, a, depth * a * b, -depth * (1.0 + a * a), -depth * b], axis=1)
    by_y = np.stack([none, one, b, depth * (1.0 + b * b), -depth * a * b, depth * a], axis=1)
    return by_x, by_y


def _rotation(turn: tuple[float, float, float]) -> list[list[float]]:
    """Camera's axes in the table's frame, as columns: turned by a rotation vector (rad)."""
    angle = math.sqrt(sum(part * part for part in turn)) or 1e-12
    x, y, z = (part / angle for part in turn)
    c, s = math.cos(angle), math.sin(angle)
    k = 1.0 - c
    return [
        [c + k * x * x, k * x * y - s * z, k * x * z + s * y],
        [k * x * y + s * z, c + k * y * y, k * y * z - s * x],
        [k * x * z - s * y, k * y * z + s * x, c + k * z * z],
    ]


def _in_block(pose: Pose, x: Array, y: Array) -> tuple[Array, Array]:
    """Points in the frame of a block at `pose`."""
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    dx, dy = x - pose[0], y - pose[1]
    return cos * dx + sin * dy, cos * dy - sin * dx


def _within(u: Array, v: Array) -> Mask:
    """Whether the block covers points in its frame."""
    found = np.zeros(len(u), dtype=np.bool_)
    for cx, cy, half_x, half_y in _BOXES:
        found |= (np.abs(u - cx) <= half_x) & (np.abs(v - cy) <= half_y)
    return found


def _grown(mask: Mask) -> Mask:
    """The mask and all within two pixels of it along a row or column."""
    grown = mask.copy()
    for _ in range(2):
        last = grown
        grown = last.copy()
        grown[1:] |= last[:-1]
        grown[:-1] |= last[1:]
        grown[:, 1:] |= last[:, :-1]
        grown[:, :-1] |= last[:, 1:]
    return grown


def overlap(pose: Pose) -> float:
    """Intersection over union of the block at `pose` and at the goal."""
    shared = 0.0
    for mine in _corners(pose):
        for goal in _corners(GOAL_POSE):
            shared += _area(_clip(mine, goal))
    return shared / (2.0 * _AREA_M2 - shared)


def _corners(pose: Pose) -> list[list[Point]]:
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
