"""Skills of depth: from a depth image to points and surfaces in the world, in metres."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robots.skills.failures import Failure, SkillFailed

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


class View(NamedTuple):
    """A camera in the world, as MuJoCo has them: x right, y up, looking against z.

    Attributes:
        position_m: Where it is (3,).
        rotation: Its axes as columns, in the world (3, 3).
        fovy: Vertical field of view: radians, or metres of an orthographic camera.
        height: Of the image, in pixels.
        width: Of the image.
        orthographic: Whether size does not change with distance.
    """

    position_m: Array
    rotation: Array
    fovy: float
    height: int
    width: int
    orthographic: bool = False

    def pixels(self, points_m: Array) -> Array:
        """Where points (n, 3) of the world are seen (n, 2)."""
        local = (np.asarray(points_m) - self.position_m) @ self.rotation
        scale = 1.0 if self.orthographic else -1.0 / local[:, 2:]
        flat = local[:, :2] * scale / self._step
        return np.c_[flat[:, 0] + 0.5 * (self.width - 1), 0.5 * (self.height - 1) - flat[:, 1]]

    def points(self, pixels: Array, depth_m: NDArray[Any]) -> Array:
        """Where in the world (n, 3) pixels (n, 2) are that lie so deep along the view (n,)."""
        column, row = np.asarray(pixels, dtype=np.float64).T
        right = (column - 0.5 * (self.width - 1)) * self._step
        up = (0.5 * (self.height - 1) - row) * self._step
        scale = np.ones_like(right) if self.orthographic else np.asarray(depth_m, np.float64)
        local = np.c_[right * scale, up * scale, -np.asarray(depth_m, np.float64)]
        return local @ self.rotation.T + self.position_m

    @property
    def _step(self) -> float:
        """From pixel to pixel: metres, or metres a metre of depth."""
        return (self.fovy if self.orthographic else 2.0 * math.tan(0.5 * self.fovy)) / self.height


def back_project(depth: NDArray[Any], view: View, mask: Mask | None = None) -> Array:
    """Points (n, 3) of the world that a depth image shows, row by row.

    Args:
        depth: Metres along the view, height x width.
        view: Of the camera.
        mask: Which pixels; by default all of finite depth.

    Raises:
        SkillFailed: NOT_SEEN: no pixel is left.
    """
    kept = np.isfinite(depth) if mask is None else mask & np.isfinite(depth)
    rows, columns = np.nonzero(kept)
    if not len(rows):
        raise SkillFailed(Failure.NOT_SEEN, "no pixel of the depth image is meant")
    return view.points(np.c_[columns, rows], depth[rows, columns])


def surface(points_m: Array) -> tuple[Array, Array, float]:
    """The plane through points (n, 3): unit normal with z not negative, middle, and rms distance (m).

    Raises:
        SkillFailed: NOT_SEEN: fewer than three points.
    """
    if len(points_m) < 3:
        raise SkillFailed(Failure.NOT_SEEN, f"{len(points_m)} points make no surface")
    middle = points_m.mean(axis=0)
    off = points_m - middle
    spread, axes = np.linalg.eigh(off.T @ off / len(off))
    normal = axes[:, 0] if axes[2, 0] >= 0.0 else -axes[:, 0]
    return normal, middle, math.sqrt(max(float(spread[0]), 0.0))
