"""A task's cameras: what the verifier sees through them, and what the policy is shown of it, if anything.

A policy is shown pictures only of cameras that `task.toml` gives a `policy` size. Each is the
camera's own image thinned out, a whole number of pixels to one; what a verifier is given stays as
it is, and depth is the verifier's alone.
"""

from collections.abc import Sequence
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

Images = dict[str, NDArray[Any]]
"""By camera: uint8, height x width x 3; by NAME_depth: float32 metres, height x width."""

PICTURE = "image."
"""What the name of a picture begins with among the observations of a policy: `image.top`."""


class CameraSpec(msgspec.Struct, frozen=True):
    """One camera, in pixels.

    Attributes:
        depth: Adds an image NAME_depth of metres along the view.
        policy: Height and width of the picture that the policy is shown; () for none.
    """

    name: str
    height: int
    width: int
    depth: bool = False
    policy: tuple[()] | tuple[int, int] = ()


def read_camera(table: dict[str, Any]) -> CameraSpec:
    """One of `[[cameras]]` of `task.toml`, checked.

    Raises:
        KeyError, ValueError: A key is missing, or the picture's size makes no sense.
    """
    name, height, width = table["name"], int(table["height"]), int(table["width"])
    depth, asked = table.get("depth", False) is True, table.get("policy")
    if asked is None:
        return CameraSpec(name, height, width, depth)
    size: tuple[Any, ...] = tuple(cast("list[Any]", asked)) if isinstance(asked, list) else ()
    whole = len(size) == 2 and all(type(each) is int and each > 0 for each in size)
    step = height // size[0] if whole else 0
    # Even, since a dataset keeps pictures as videos.
    if not step or (size[0] * step, size[1] * step) != (height, width) or any(n % 2 for n in size):
        raise ValueError(
            f"cameras.{name}.policy: must be [height, width], both even, and {height} x {width} "
            f"divided by one whole number, got {asked!r}"
        )
    return CameraSpec(name, height, width, depth, (size[0], size[1]))


def thinned(images: Images, cameras: Sequence[CameraSpec]) -> Images:
    """What a policy is shown of the cameras' images: of each block of pixels the one in its middle.

    Args:
        images: As a driver's `camera` gives them.
        cameras: The task's.

    Returns:
        By `image.NAME`: uint8, height x width x 3, RGB.
    """
    found: Images = {}
    for each in cameras:
        if each.policy:
            step = each.height // each.policy[0]
            image = images[each.name][step // 2 :: step, step // 2 :: step]
            found[PICTURE + each.name] = np.ascontiguousarray(image)
    return found


def numbers(observation: Images) -> Images:
    """An observation of a policy without its pictures."""
    return {key: value for key, value in observation.items() if not key.startswith(PICTURE)}
