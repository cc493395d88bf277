"""Verifier of pin insertion: do both cameras, the hand's height and the felt force agree?

Two dots at known places calibrate each image, so a camera that was knocked or is turned changes
nothing. The visible part of the green shaft, from the knob down to the box, gives place and lean by
a straight line through its rows; its upper end, 40 mm from the tip, gives the depth.
"""

import math

import numpy as np
from numpy.typing import NDArray

from robots.skills import Colour, Line, Plane, SkillFailed, find_marks, line, segment

Array = NDArray[np.float64]

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
_GREEN = Colour(hue_deg=(80.0, 160.0), saturation=0.35, light=(31, 255))
_LEAST_M = 0.004
"""Of the shaft that must be in view."""


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
    try:
        front, side = see(images["front"]), see(images["side"])
    except SkillFailed:
        return {"success": False, "score": 0.0}
    hole = (np.asarray(proprioception["target_hole"]) - 1.0) * _PITCH_M
    beside = max(abs(front.at - float(hole[0])), abs(side.at - float(hole[1])))
    # What hides the upper end makes the shaft seem deeper: the higher of both views is right.
    top = max(front.high, side.high)
    depth = _SHAFT_M - top
    # Between knob and box nothing may hide the shaft.
    whole = max(abs(front.low), abs(side.low)) < 0.0015
    whole = whole and min(front.high - front.low, side.high - side.low) > _LEAST_M
    hand = proprioception["hand_position_m"]
    at_knob = top + _GRASP_M - _SHAFT_M
    held = (
        _HELD_M[0] < float(proprioception["finger_opening_m"][0]) < _HELD_M[1]
        and abs(float(hand[2]) - at_knob) < _AGREE_M
        and abs(float(hand[0]) - front.at - front.lean * at_knob) < _AGREE_M
        and abs(float(hand[1]) - side.at - side.lean * at_knob) < _AGREE_M
    )
    light = float(np.linalg.norm(proprioception["wrist_force_n"])) < _FORCE_BELOW_N
    inside = whole and beside < _BESIDE_BELOW_M
    done = (
        inside
        and depth > ACCEPT_DEPTH_M
        and math.hypot(front.lean, side.lean) < _LEAN_BELOW
        and held
        and light
    )
    score = min(max(depth / ACCEPT_DEPTH_M, 0.0), 1.0) if inside else 0.0
    return {"success": done, "score": score}


def see(image: NDArray[np.uint8]) -> Line:
    """The visible shaft in one view: along the image, and heights above the box's upper face (m).

    Raises:
        SkillFailed: NOT_SEEN: a dot or the shaft.
    """
    if image.shape != (240, 320, 3) or image.dtype != np.uint8:
        raise ValueError(
            f"images must be uint8 (240, 320, 3), received {image.dtype} {image.shape}"
        )
    plane = Plane.through(find_marks(image, _DOTS_PX, _SEARCH_PX), _DOTS_M)
    return line(segment(image, _GREEN), plane)
