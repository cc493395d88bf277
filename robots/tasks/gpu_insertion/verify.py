"""Verifier of GPU insertion: do depth in both views, the latch's picture and the felt force agree?

Both cameras are telecentric: a pixel is a third of a millimetre at any distance. Two cyan marks on
the board give place and roll of each view, so that a camera that was knocked, or a board that was
carried elsewhere, changes nothing. Magenta marks on the card give how deep it sits: in the front view
at both ends, in the side view at the far end, and whether it stands over the slot. The red marks
on the latch's post give its angle.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robots.skills import Colour, Failure, SkillFailed, locate, parts, segment

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

ACCEPT_END_M = 0.00042
"""Below the criterion's 0.5 mm: doubt is decided against the policy."""
_ACCEPT_TILT_RAD, _ACCEPT_LATCH_RAD = 0.0045, 0.05
_FORCE_BELOW_N = 117.0
_BESIDE_BELOW_M, _LEAN_BELOW_RAD = 0.0013, 0.05
_AGREE_M = 0.0004
"""Most by which both views may differ about the far end."""

_M_PER_PX = 0.16 / 480.0
_ROWS = slice(185, 425)
"""Where the marks of a seated card are."""
_BOARD = Colour((170.0, 205.0), 0.5, (40, 255))
_CARD = Colour((290.0, 330.0), 0.5, (40, 255))
_LATCH = Colour((350.0, 15.0), 0.6, (40, 255))
_MARK_PX = (225, 290)
"""A mark that is seen in full, of 6 mm."""
_END_M = 0.0445
# Heights of the marks above the board's: front, then the side's lower one.
_FRONT_M, _SIDE_M = 0.018, 0.022
_FRONT_X_M = (-0.053, 0.037)
_SIDE_Y_M, _SIDE_SPAN_M, _SIDE_LOW_M = -0.006, 0.034, 0.025


class Front(NamedTuple):
    """What the front view tells: height of either end above the floor (m), tilt, latch (rad)."""

    far_m: float
    latch_end_m: float
    tilt_rad: float
    latch_rad: float


class Side(NamedTuple):
    """What the side view tells: height of the far end (m), place across the slot (m), lean (rad)."""

    far_m: float
    beside_m: float
    lean_rad: float


def verify(images: dict[str, Image], proprioception: dict[str, Array]) -> dict[str, bool | float]:
    """Judges one frame.

    Args:
        images: `front` (along y) and `side` (along x), uint8, shape (480, 640, 3), RGB.
        proprioception: the wrist's force, (3,) in newtons.

    Returns:
        `success` (bool) and `score`: how much of the last 10 mm the higher end has come down.
    """
    try:
        front, side = see_front(images["front"]), see_side(images["side"])
    except SkillFailed:
        return {"success": False, "score": 0.0}
    highest = max(front.far_m, front.latch_end_m, side.far_m)
    lowest = min(front.far_m, front.latch_end_m, side.far_m)
    over = abs(side.beside_m) < _BESIDE_BELOW_M and abs(side.lean_rad) < _LEAN_BELOW_RAD
    done = (
        over
        and highest < ACCEPT_END_M
        and lowest > -ACCEPT_END_M
        and abs(front.tilt_rad) < _ACCEPT_TILT_RAD
        and abs(front.far_m - side.far_m) < _AGREE_M
        and abs(front.latch_rad) < _ACCEPT_LATCH_RAD
        and float(np.linalg.norm(proprioception["wrist_force_n"])) < _FORCE_BELOW_N
    )
    score = 1.0 - min(max(highest / 0.010, 0.0), 1.0) if over else 0.0
    return {"success": bool(done), "score": score}


def see_front(image: Image) -> Front:
    """The card's ends and the latch, from the front.

    Raises:
        SkillFailed: NOT_SEEN: a mark is missing or partly hidden.
        ValueError: The image has another form.
    """
    origin, level = _board(image)
    far, near = ((mark - origin) * level for mark in _marks(image, _CARD))
    below, above = sorted((mark * level for mark in _marks(image, _LATCH)), key=_up)
    slope = (_up(near) - _up(far)) / (_FRONT_X_M[1] - _FRONT_X_M[0])
    at_far = _up(far) - _FRONT_M + slope * (-_END_M - _FRONT_X_M[0])
    post = above - below
    return Front(at_far, at_far + slope * 2.0 * _END_M, -slope, math.atan2(post.real, _up(post)))


def see_side(image: Image) -> Side:
    """The card's far end, and how it stands across the slot, from the side.

    Raises:
        SkillFailed: NOT_SEEN: a mark is missing or partly hidden.
        ValueError: The image has another form.
    """
    origin, level = _board(image)
    seen = [(mark - origin) * level for mark in _marks(image, _CARD)]
    upper, lower = sorted(seen, key=_up, reverse=True)
    # This camera's columns run against y.
    lean = -(upper.real - lower.real) / _SIDE_SPAN_M
    beside = -lower.real - _SIDE_Y_M - lean * _SIDE_LOW_M
    return Side(_up(lower) - _SIDE_M, beside, lean)


def _up(place: complex) -> float:
    """Height of a place, whose rows run downwards."""
    return -place.imag


def _board(image: Image) -> tuple[complex, complex]:
    """Pixel midway between the board's marks; metres a pixel, turned so that they lie level."""
    if image.shape != (480, 640, 3) or image.dtype != np.uint8:
        raise ValueError(
            f"images must be uint8 (480, 640, 3), received {image.dtype} {image.shape}"
        )
    left, right = _marks(image, _BOARD)
    along = right - left
    return 0.5 * (left + right), _M_PER_PX * abs(along) / along


def _marks(image: Image, colour: Colour) -> tuple[complex, complex]:
    """Pixels (column + i row) of two whole marks of a colour, from left to right.

    Raises:
        SkillFailed: NOT_SEEN.
    """
    found = [locate(part) for part in parts(segment(image[_ROWS], colour), 40)]
    whole = [blob for blob in found if _MARK_PX[0] <= blob.area <= _MARK_PX[1]]
    if len(found) != 2 or len(whole) != 2:
        areas = [blob.area for blob in found]
        raise SkillFailed(Failure.NOT_SEEN, f"marks of {areas} pixels where two whole ones belong")
    left, right = sorted(whole, key=lambda blob: blob.column)
    return complex(left.column, left.row), complex(right.column, right.row)
