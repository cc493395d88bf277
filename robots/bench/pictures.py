"""Images as PNG, for people and models that look at what a verifier got wrong."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robots.station.png import png, shrunk

SMALL_WIDTH = 320

FAR_M = 3.0
"""Depth that a picture shows in black; what is nearer is lighter."""


def write_png(path: Path, image: NDArray[Any]) -> None:
    """Write an image.

    Args:
        path: The file.
        image: uint8, height x width x 3, RGB; or depth, float, metres, height x width.
    """
    path.write_bytes(png(image if image.ndim == 3 else _lit(image)))


class Small(NamedTuple):
    """A PNG, and its size in pixels."""

    png: bytes
    width: int
    height: int


def small(image: NDArray[Any]) -> Small:
    """An image as a PNG that is at most `SMALL_WIDTH` wide: every so many pixels of it.

    Args:
        image: As for `write_png`.
    """
    kept = shrunk(image if image.ndim == 3 else _lit(image), SMALL_WIDTH)
    return Small(png(kept), kept.shape[1], kept.shape[0])


def _lit(depth_m: NDArray[Any]) -> NDArray[np.uint8]:
    """Depth as shades, the nearest white: spread over what is there, to be told apart by eye."""
    known = depth_m[np.isfinite(depth_m) & (depth_m < FAR_M)]
    near, far = (float(known.min()), float(known.max())) if known.size else (0.0, FAR_M)
    share = np.nan_to_num((far - depth_m) / max(far - near, 1e-6), nan=0.0, posinf=0.0, neginf=0.0)
    return np.repeat((255 * np.clip(share, 0.0, 1.0)).astype(np.uint8)[..., None], 3, axis=2)
