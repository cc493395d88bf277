"""Verifier of zip-tie fastening: do both cameras see the tip through the head, and does it hold a pull?

Two marks at known places calibrate each image, so a camera that was knocked or is turned changes
nothing. Each view judges alone and both must agree: one that passes beside the head looks right from
the side, one that passes over it from above. Only a strap that the ratchet holds can pull back at the
hand while its tip stays where it is.
"""

import numpy as np
from numpy.typing import NDArray

from robots.skills import Colour, Grip, Line, Plane, SkillFailed, find_marks, line, segment

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

ACCEPT_DEPTH_M = 0.0153
"""A hair above three segments, which are through at 15 mm: doubt is decided against the policy."""
_PULL_ABOVE_N = 5.6
_BESIDE_BELOW_M, _LEAN_BELOW = 0.002, 0.2
_AGREE_M = 0.0015
_LONG_M = 0.011
_STRAP = Grip(0.0006, 0.0018)
_TAIL = Colour(hue_deg=(15.0, 45.0), saturation=0.6, light=(60, 255))

_SEARCH_PX = 14
_MARKS: dict[str, tuple[Array, Array]] = {
    # Pixels where a true camera sees them; metres across the strap (x, z) and along it (y).
    "top": (
        np.array([(70.0, 219.9), (248.9, 219.9)]),
        np.array([(-0.036, -0.034), (0.046, -0.034)]),
    ),
    "side": (
        np.array([(259.9, 195.9), (59.1, 195.9)]),
        np.array([(-0.021, -0.034), (-0.021, 0.058)]),
    ),
}


def verify(images: dict[str, Image], proprioception: dict[str, Array]) -> dict[str, bool | float]:
    """Judges one frame.

    Args:
        images: `top` (from above) and `side` (along x), uint8, shape (240, 320, 3), RGB.
        proprioception: gap between the pads and wrist force.

    Returns:
        `success` (bool) and `score`: the share of the wanted depth that is seen in both views.
    """
    try:
        views = [see(name, images[name]) for name in _MARKS]
    except SkillFailed:
        return {"success": False, "score": 0.0}
    inside = all(abs(view.at) < _BESIDE_BELOW_M and abs(view.lean) < _LEAN_BELOW for view in views)
    depth = min(-view.low for view in views)
    through = all(view.high - view.low > _LONG_M for view in views)
    agree = abs(views[0].low - views[1].low) < _AGREE_M
    opening = float(proprioception["finger_opening_m"][0])
    pulled = -float(proprioception["wrist_force_n"][1]) > _PULL_ABOVE_N
    held = _STRAP.low_m < opening < _STRAP.high_m
    done = inside and through and agree and depth > ACCEPT_DEPTH_M and held and pulled
    score = min(max(depth / ACCEPT_DEPTH_M, 0.0), 1.0) if inside else 0.0
    return {"success": done, "score": score}


def see(name: str, image: Image) -> Line:
    """The strap's orange end in one view.

    Returns:
        Its line by y, in metres: how far it passes from the window's middle, its lean, its ends.

    Raises:
        SkillFailed: NOT_SEEN: the marks or the strap's end.
        ValueError: The image has another form.
    """
    if image.shape != (240, 320, 3) or image.dtype != np.uint8:
        raise ValueError(
            f"images must be uint8 (240, 320, 3), received {image.dtype} {image.shape}"
        )
    pixels, metres = _MARKS[name]
    plane = Plane.through(find_marks(image, pixels, _SEARCH_PX), metres)
    return line(segment(image, _TAIL), plane, least_px=25)
