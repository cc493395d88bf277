"""Skills of perception: which pixels, where they lie, and what that is in metres.

Pixels are (column, row), the middle of the first one at (0, 0), rows downwards. An image is uint8,
height x width x 3, RGB; a mask is bool, height x width; depth is metres along the view.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robots.skills.failures import Failure, SkillFailed

Array = NDArray[np.float64]
Image = NDArray[np.uint8]
Mask = NDArray[np.bool_]


class Colour(NamedTuple):
    """Which pixels are meant.

    Attributes:
        hue_deg: From, to (red is 0, green 120, blue 240); it may run through 360. None for any.
        saturation: Least share by which the faintest channel lies below the strongest, 0 to 1.
        light: Least and most of the strongest channel, 0 to 255.
    """

    hue_deg: tuple[float, float] | None = None
    saturation: float = 0.0
    light: tuple[int, int] = (0, 255)


DARK = Colour(light=(0, 59))
"""Black marks, whatever the lamp."""


class Blob(NamedTuple):
    """What a mask shows, in pixels.

    Attributes:
        column: Of its middle, to fractions of a pixel.
        row: Of its middle.
        area: Count of pixels.
        axis_rad: Its longer axis, against the columns' direction, rows downwards; -pi/2 to pi/2.
        length: Of a bar with the same spread along the axis.
        width: Of that bar across it.
    """

    column: float
    row: float
    area: int
    axis_rad: float
    length: float
    width: float


class Line(NamedTuple):
    """A straight thing in a plane: where it is, how it leans, and where it ends.

    Attributes:
        at: First coordinate at which it meets second coordinate 0.
        lean: First coordinate gained for each of the second.
        low: Second coordinate of its lower end.
        high: Of its upper end.
    """

    at: float
    lean: float
    low: float
    high: float


def segment(image: Image, colour: Colour) -> Mask:
    """Which pixels have a colour."""
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    strong = np.maximum(np.maximum(red, green), blue)
    mask = (strong >= colour.light[0]) & (strong <= colour.light[1])
    if colour.hue_deg is None and colour.saturation <= 0.0:
        return mask
    faint = np.minimum(np.minimum(red, green), blue)
    mask &= faint <= strong * np.float32(1.0 - colour.saturation)
    if colour.hue_deg is None:
        return mask
    # The hue costs most: only of what is left.
    rows, columns = np.nonzero(mask & (strong > faint))
    r, g, b = image[rows, columns].astype(np.float64).T
    strongest = np.maximum(np.maximum(r, g), b)
    span = strongest - np.minimum(np.minimum(r, g), b)
    sixth: Array = 4.0 + (r - g) / span
    sixth = np.where(strongest == g, 2.0 + (b - r) / span, sixth)
    sixth = np.where(strongest == r, (g - b) / span, sixth)
    low, high = colour.hue_deg
    found = np.zeros(mask.shape, np.bool_)
    found[rows, columns] = (60.0 * sixth - low) % 360.0 <= (high - low) % 360.0
    return found


def locate(mask: Mask, least_px: int = 20) -> Blob:
    """Middle, size and direction of what a mask shows.

    Raises:
        SkillFailed: NOT_SEEN: fewer pixels than `least_px`.
    """
    rows, columns = np.nonzero(mask)
    if len(rows) < least_px:
        raise SkillFailed(Failure.NOT_SEEN, f"{len(rows)} pixels, {least_px} are wanted")
    column, row = float(columns.mean()), float(rows.mean())
    x, y = columns - column, rows - row
    # A pixel has a spread of its own, a twelfth.
    xx, yy, xy = (
        float((x * x).mean()) + 1 / 12,
        float((y * y).mean()) + 1 / 12,
        float((x * y).mean()),
    )
    middle, half = 0.5 * (xx + yy), math.hypot(0.5 * (xx - yy), xy)
    axis = 0.5 * math.atan2(2.0 * xy, xx - yy)
    length, width = math.sqrt(12.0 * (middle + half)), math.sqrt(12.0 * max(middle - half, 0.0))
    return Blob(column, row, len(rows), axis, length, width)


def parts(mask: Mask, least_px: int = 1) -> list[Mask]:
    """Connected parts of a mask, the largest first; pixels touch along edges and at corners."""
    runs: list[tuple[int, int, int]] = []
    joined: list[int] = []

    def root(index: int) -> int:
        while joined[index] != index:
            joined[index] = joined[joined[index]]
            index = joined[index]
        return index

    above: list[int] = []
    for row in np.flatnonzero(mask.any(axis=1)).tolist():
        edges = np.flatnonzero(np.diff(mask[row].astype(np.int8), prepend=0, append=0))
        here: list[int] = []
        for start, end in edges.reshape(-1, 2).tolist():
            index = len(runs)
            runs.append((row, start, end))
            joined.append(index)
            here.append(index)
            for other in above:
                near, begun, ended = runs[other]
                if near == row - 1 and begun <= end and start <= ended:
                    joined[root(other)] = root(index)
        above = here
    found: dict[int, Mask] = {}
    for index, (row, start, end) in enumerate(runs):
        found.setdefault(root(index), np.zeros(mask.shape, np.bool_))[row, start:end] = True
    sized = sorted(((int(part.sum()), part) for part in found.values()), key=lambda pair: -pair[0])
    return [part for size, part in sized if size >= least_px]


def find_marks(
    image: Image, near_px: Array, search_px: int, colour: Colour = DARK, least_px: int = 30
) -> Array:
    """Middles (n, 2) of marks, each looked for in a square of its own.

    Args:
        image: Where to look.
        near_px: Where each mark would be, were the camera where it should be (n, 2).
        search_px: Half the side of the square about that.
        colour: Of the marks.
        least_px: Of each mark.

    Raises:
        SkillFailed: NOT_SEEN: one is not there.
    """
    found: list[tuple[float, float]] = []
    for column, row in np.asarray(near_px, dtype=np.float64):
        left, top = max(int(column) - search_px, 0), max(int(row) - search_px, 0)
        patch = image[top : int(row) + search_px, left : int(column) + search_px]
        seen = locate(segment(patch, colour), least_px)
        found.append((seen.column + left, seen.row + top))
    return np.array(found)


class Plane:
    """A plane seen by a camera: from pixels to its metres and back.

    Args:
        to_metres: Homography (3, 3) from (column, row, 1).
    """

    def __init__(self, to_metres: Array) -> None:
        self._to_metres = to_metres
        self._to_pixels: Array = np.asarray(np.linalg.inv(to_metres), np.float64)

    @classmethod
    def through(cls, pixels: Array, metres: Array) -> "Plane":
        """The plane in which marks lie.

        Of two marks the image may be shifted, turned and scaled; of three also sheared; of four or
        more it may be seen in perspective. More than are needed are fitted by least squares.

        Args:
            pixels: Seen marks (n, 2).
            metres: Where they are (n, 2), a right-handed plane that is seen from its front.
        """
        (u, v), (x, y) = np.asarray(pixels, np.float64).T, np.asarray(metres, np.float64).T
        assert u.shape == x.shape, (u.shape, x.shape)
        one, none, count = np.ones_like(u), np.zeros_like(u), len(u)
        if count == 2:
            rows = np.vstack([np.c_[u, v, one, none], np.c_[-v, u, none, one]])
            a, b, c, d = _solved(rows, x, y)
            return cls(np.array([[a, b, c], [b, -a, d], [0.0, 0.0, 1.0]]))
        nones = np.c_[none, none, none]
        rows = np.vstack([np.c_[u, v, one, nones], np.c_[nones, u, v, one]])
        if count > 3:
            rows = np.hstack([rows, np.vstack([np.c_[-u * x, -v * x], np.c_[-u * y, -v * y]])])
        found = np.append(_solved(rows, x, y), (0.0, 0.0, 1.0) if count == 3 else 1.0)
        return cls(found.reshape(3, 3))

    def metres(self, pixels: Array) -> Array:
        """Where pixels (n, 2) lie in the plane (n, 2)."""
        return _mapped(self._to_metres, pixels)

    def pixels(self, metres: Array) -> Array:
        """Where places (n, 2) of the plane are seen (n, 2)."""
        return _mapped(self._to_pixels, metres)


def pose(seen: Blob | Mask, plane: Plane) -> tuple[float, float, float]:
    """Middle (m, m) of a flat thing, and direction (rad, -pi/2 to pi/2) of its longer axis.

    Args:
        seen: What `segment` or `locate` gave.
        plane: In which it lies.

    Raises:
        SkillFailed: NOT_SEEN.
    """
    blob = seen if isinstance(seen, Blob) else locate(seen)
    along = 0.5 * blob.length * np.array([math.cos(blob.axis_rad), math.sin(blob.axis_rad)])
    middle = np.array([blob.column, blob.row])
    (x, y), start, end = plane.metres(np.array([middle, middle - along, middle + along]))
    yaw = math.atan2(*(end - start)[::-1])
    return float(x), float(y), math.remainder(yaw, math.pi)


def line(mask: Mask, plane: Plane, least_px: int = 60) -> Line:
    """The straight line through a thing's pixels, by least squares along the plane's second axis.

    Raises:
        SkillFailed: NOT_SEEN: too few pixels, or no length along that axis.
    """
    rows, columns = np.nonzero(mask)
    if len(rows) < least_px:
        raise SkillFailed(Failure.NOT_SEEN, f"{len(rows)} pixels, {least_px} are wanted")
    first, second = plane.metres(np.c_[columns, rows]).T
    corners = plane.metres(np.array([[columns[0], rows[0]], [columns[0], rows[0] + 1.0]]))
    # Half a pixel beyond the outermost pixels' middles.
    half = 0.5 * float(np.linalg.norm(corners[1] - corners[0]))
    low, high = float(second.min()) - half, float(second.max()) + half
    if high - low < 4.0 * half:
        raise SkillFailed(Failure.NOT_SEEN, f"a line of {high - low:.4f} m")
    middle = float(second.mean())
    off = second - middle
    lean = float(off @ first) / float(off @ off)
    return Line(float(first.mean()) - lean * middle, lean, low, high)


def _solved(rows: Array, x: Array, y: Array) -> Array:
    return np.asarray(np.linalg.lstsq(rows, np.r_[x, y], rcond=None)[0], dtype=np.float64)


def _mapped(homography: Array, places: Array) -> Array:
    places = np.asarray(places, dtype=np.float64)
    mapped: Array = homography @ np.c_[places, np.ones(len(places))].T
    return (mapped[:2] / mapped[2]).T
