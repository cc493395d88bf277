"""Verifier of pin insertion: do both cameras, the hand's height and the felt force agree?

On numpy. Two dots at known places calibrate each image, so a camera that was knocked or is turned
changes nothing. The visible part of the green shaft, from the knob down to the box, gives place and
lean by a straight line through its rows; its upper end, 40 mm from the tip, gives the depth.
"""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Line = tuple[float, float, float, float]

ACCEPT_DEPTH_M = 0.0103
"""A hair above the criterion's 10 mm: doubt is decided against the policy."""
_LEAN_BELOW = math.tan(math.radians(2.8))
_FORCE_BELOW_N = 24.0
_BESIDE_BELOW_M, _PITCH_M = 0.003, 0.012
_HELD_M = (0.0085, 0.0115)
_SHAFT_M, _GRASP_M = 0.040, 0.045
_AGREE_M = 0.004
"""Most by which hand and seen pin may differ."""

_DOTS_M = np.array([(-0.032, 0.012), (0.032, 0.012)])
_DOTS_PX = np.array([(79.5, 154.5), (239.5, 154.5)])
_SEARCH_PX = 14


def verify(
    images: dict[str, NDArray[np.uint8]], proprioception: dict[str, Array]
) -> dict[str, bool | float]:
    """Judges one frame.

    Args:
        images: `front` (along y) and `side` (against x), uint8, shape (240, 320, 3), RGB.
        proprioception: hand position, gap between the pads, wrist force, the named hole.

    Returns:
        `success` (bool) and `score`: the share of the wanted depth that is seen in the named hole.
    """
    front, side = see(images["front"]), see(images["side"])
    if front is None or side is None:
        return {"success": False, "score": 0.0}
    hole = (np.asarray(proprioception["target_hole"]) - 1.0) * _PITCH_M
    beside = max(abs(front[0] - float(hole[0])), abs(side[0] - float(hole[1])))
    # What hides the upper end makes the shaft seem deeper: the higher of both views is right.
    top = max(front[2], side[2])
    depth = _SHAFT_M - top
    # Between knob and box nothing may hide the shaft.
    whole = max(abs(front[3]), abs(side[3])) < 0.0015
    hand = proprioception["hand_position_m"]
    at_knob = top + _GRASP_M - _SHAFT_M
    held = (
        _HELD_M[0] < float(proprioception["finger_opening_m"][0]) < _HELD_M[1]
        and abs(float(hand[2]) - at_knob) < _AGREE_M
        and abs(float(hand[0]) - front[0] - front[1] * at_knob) < _AGREE_M
        and abs(float(hand[1]) - side[0] - side[1] * at_knob) < _AGREE_M
    )
    light = float(np.linalg.norm(proprioception["wrist_force_n"])) < _FORCE_BELOW_N
    inside = whole and beside < _BESIDE_BELOW_M
    done = (
        inside
        and depth > ACCEPT_DEPTH_M
        and math.hypot(front[1], side[1]) < _LEAN_BELOW
        and held
        and light
    )
    score = min(max(depth / ACCEPT_DEPTH_M, 0.0), 1.0) if inside else 0.0
    return {"success": done, "score": score}


def see(image: NDArray[np.uint8]) -> Line | None:
    """The visible shaft in one view, None where there is none.

    Returns:
        Where its line meets the box's upper face (m, along the image), its lean (m along the image a
        metre of height), and the heights of its upper and lower end (m).
    """
    if image.shape != (240, 320, 3) or image.dtype != np.uint8:
        raise ValueError(
            f"images must be uint8 (240, 320, 3), received {image.dtype} {image.shape}"
        )
    frame = calibrate(image)
    colours = image.astype(np.int16)
    red, green, blue = colours[..., 0], colours[..., 1], colours[..., 2]
    rows, columns = np.nonzero((2 * green > 3 * red) & (2 * green > 3 * blue) & (green > 30))
    if frame is None or len(rows) < 60:
        return None
    turned, origin = frame
    places = (columns + 1j * rows - origin) * turned
    along, height = places.real, -places.imag
    # Half a pixel beyond the outermost pixels' middles.
    half = 0.5 * abs(turned)
    upper, lower = float(height.max()) + half, float(height.min()) - half
    if upper - lower < 0.004:
        return None
    lean, at_face = np.polyfit(height, along, 1)
    return float(at_face), float(lean), upper, lower


def calibrate(image: NDArray[np.uint8]) -> tuple[complex, complex] | None:
    """Metres a pixel, turned, and the pixel of the box's middle, as complex numbers, from the dots."""
    seen: list[complex] = []
    for column, row in _DOTS_PX:
        left, top = int(column) - _SEARCH_PX, int(row) - _SEARCH_PX
        patch = image[top : top + 2 * _SEARCH_PX, left : left + 2 * _SEARCH_PX]
        rows, columns = np.nonzero(patch.max(axis=2) < 60)
        if len(rows) < 30:
            return None
        seen.append(complex(columns.mean() + left, rows.mean() + top))
    span = _DOTS_M[1, 0] - _DOTS_M[0, 0]
    turned = complex(span) / (seen[1] - seen[0])
    middle = 0.5 * (seen[0] + seen[1])
    # The dots' middle lies above the box's: down the image is against height.
    return turned, middle + complex(0.0, float(_DOTS_M[0, 1])) / turned
