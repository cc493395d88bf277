"""Verifier of zip-tie cutting: do both cameras see the whole tail lie apart from the head?

Two dots at known places calibrate each image, so a camera that was knocked or is turned changes
nothing. Each link of the strap has a colour of its own; both views together place its middle in
space. Below the named joint all must have come down together, spaced as they were made, and lie
away from the blades: a second cut, a tail that hangs or one that is carried looks otherwise.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robots.skills import Colour, Failure, Plane, SkillFailed, find_marks, locate, segment

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

SHAPE = (384, 480, 3)
_LINKS = (
    Colour((295.0, 340.0), 0.5, (30, 255)),
    Colour((100.0, 160.0), 0.5, (30, 255)),
    Colour((205.0, 250.0), 0.5, (30, 255)),
)
_LEAST_PX = (20, 20, 60)
_SPACING_M = np.array((0.010, 0.025))
"""Between the middles of neighbouring parts, in a straight strap."""
_SPACING_OK_M = np.array((0.0015, 0.0025))
_STRAIGHT_COS = 0.95
_AGREE_M = 0.002
"""Most by which both views may differ about a height."""
_FALLEN_M, _DOWN_M, _AWAY_M = 0.030, 0.024, 0.012
_HELD_M, _HELD_N, _UP_M = (0.022, 0.050), 5.0, 0.03
_BLADE_M = 0.045

# What a view shows to the right and upwards, of x, y and z.
_VIEWS = {
    "front": np.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.8660254]]),
    "side": np.array([[0.0, 1.0, 0.0], [-0.5, 0.0, 0.8660254]]),
}
_DOTS_M = {
    "front": np.array([[0.055, 0.075, 0.003], [0.165, 0.075, 0.003]]),
    "side": np.array([[0.165, -0.075, 0.003], [0.165, 0.075, 0.003]]),
}
_DOTS_PX = {
    "front": np.array([[200.1, 214.9], [416.7, 214.9]]),
    "side": np.array([[91.8, 363.0], [387.2, 363.0]]),
}
_SEARCH_PX = 16


def verify(images: dict[str, Image], proprioception: dict[str, Array]) -> dict[str, bool | float]:
    """Judges one frame.

    Args:
        images: `front` (along y) and `side` (against x), uint8, shape (384, 480, 3), RGB.
        proprioception: gripper's opening and effort, hand, estimates of the joint and the scissors.

    Returns:
        `success` (bool) and `score`: 1 if the tail lies whole and apart, the scissors still to be
        held; else how far its upper end is seen to have come down, at most 0.9.
    """
    try:
        middles = see(images)
    except SkillFailed:
        return {"success": False, "score": 0.0}
    fallen = float(proprioception["joint_position_m"][2]) - 0.005 - float(middles[0, 2])
    apart = (
        fallen > _FALLEN_M and _whole(middles) and _free(middles, proprioception["scissors_pose"])
    )
    opening = float(proprioception["finger_opening_m"][0])
    held = (
        _HELD_M[0] < opening < _HELD_M[1]
        and float(proprioception["gripper_effort_n"][0]) > _HELD_N
        and float(proprioception["hand_position_m"][2]) > _UP_M
        and float(proprioception["scissors_pose"][2]) > _UP_M
    )
    score = 1.0 if apart else 0.9 * min(max(fallen / _FALLEN_M, 0.0), 1.0)
    return {"success": apart and held, "score": score}


def see(images: dict[str, Image]) -> Array:
    """Middles in space of the link below the joint, the next one, and the tail (3, 3), in metres.

    Raises:
        ValueError: An image has another shape.
        SkillFailed: A dot or a part is hidden, or both views are not of one thing.
    """
    rows: list[Array] = []
    seen: list[Array] = []
    for name, view in _VIEWS.items():
        image = images[name]
        if image.shape != SHAPE or image.dtype != np.uint8:
            raise ValueError(f"{name} must be uint8 {SHAPE}, received {image.dtype} {image.shape}")
        dots = find_marks(image, _DOTS_PX[name], _SEARCH_PX)
        plane = Plane.through(dots, _DOTS_M[name] @ view.T)
        blobs = [
            locate(segment(image, colour), least)
            for colour, least in zip(_LINKS, _LEAST_PX, strict=True)
        ]
        seen.append(plane.metres(np.array([(blob.column, blob.row) for blob in blobs])))
        rows.append(view)
    # Two numbers of each view for three unknowns: what is left over says whether they agree.
    solved: tuple[Any, ...] = np.linalg.lstsq(np.vstack(rows), np.hstack(seen).T, rcond=None)
    middles = np.asarray(solved[0], dtype=np.float64).T
    if float(np.abs(np.vstack(rows) @ middles.T - np.hstack(seen).T).max()) > _AGREE_M:
        raise SkillFailed(Failure.NOT_SEEN, "the views show different things")
    return middles


def _whole(middles: Array) -> bool:
    """Whether the three parts (3, 3) lie down, in a row, as far apart as they are made."""
    steps = np.diff(middles, axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    if bool(np.any(np.abs(lengths - _SPACING_M) > _SPACING_OK_M)):
        return False
    straight = float(steps[0] @ steps[1]) / float(lengths[0] * lengths[1])
    return straight > _STRAIGHT_COS and float(middles[2, 2]) < _DOWN_M


def _free(middles: Array, scissors: Array) -> bool:
    """Whether no part (3, 3) is near the blades of scissors at a pose (4,)."""
    ahead = np.array([np.cos(scissors[3]), np.sin(scissors[3]), 0.0])
    away = middles - scissors[:3]
    along = np.clip(away @ ahead, 0.0, _BLADE_M)
    return bool(np.linalg.norm(away - along[:, None] * ahead, axis=1).min() > _AWAY_M)
