"""Whether a camera still looks where it looked.

A view is learned from frames that differ in what moves (robot, objects, light). Each pixel
then has its usual brightness and how far that strays; edges that stray little are the scene's fixed
ones, and they tell where the camera looks. Brightness and contrast of a new frame are fitted first,
so that another light is no other view. Whatever covers a fixed edge for a moment takes only its own
share away, a camera that moved by half a pixel takes nearly all.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.float32]
Array = NDArray[np.float64]

WIDTH = 160
"""Pixels are averaged in blocks until a frame is about this wide: noise and aliasing go, and a
camera's shift of one pixel of 640 still shows."""

_LEAST_STRAY = 0.005
_TOLERANCE, _STRAYS = 0.08, 3.0
"""A pixel is where it was within this share of the usual brightness, and so many of its strays."""
_COVERED = 0.05
_ROUNDS = 3


class View(NamedTuple):
    """What a camera usually sees.

    Attributes:
        usual: (h, w), brightness relative to the frame's median.
        stray: (h, w), standard deviation of the same over the frames it was learned from.
    """

    usual: Array
    stray: Array


def grayed(image: NDArray[np.uint8]) -> Gray:
    """A frame (height, width, 3) as its reduced brightness."""
    height, width = image.shape[:2]
    block = max(1, width // WIDTH)
    rows, columns = height // block, width // block
    cut = image[: rows * block, : columns * block].astype(np.float32)
    return cut.reshape(rows, block, columns, block, 3).mean(axis=(1, 3, 4))


def learned(frames: Sequence[Gray]) -> View:
    """The view of a camera that stood still while these frames were taken."""
    relative = [_relative(frame) for frame in frames]
    usual = np.median(relative, axis=0)
    stray = np.full(usual.shape, 4.0 * _LEAST_STRAY)
    for _ in range(_ROUNDS):
        weight = 1.0 / (stray**2 + _LEAST_STRAY**2)
        fitted = [_fitted(usual, frame, weight) for frame in relative]
        usual = np.median(fitted, axis=0)
        stray = np.sqrt(np.mean((np.array(fitted) - usual) ** 2, axis=0))
    return View(usual, stray)


def kept(view: View, frame: Gray) -> float:
    """Share of the view's fixed edges, 0 to 1, that are where they were; 1 where there are none."""
    if frame.shape != view.usual.shape:
        return 0.0
    trust = 1.0 / (view.stray**2 + _LEAST_STRAY**2)
    down, across = np.gradient(view.usual)
    edges = (down**2 + across**2) * trust
    whole = float(edges.sum())
    if whole < 1e-9:
        return 1.0
    relative, weight = _relative(frame), trust
    off = relative
    for _ in range(_ROUNDS):
        off = _fitted(view.usual, relative, weight) - view.usual
        # What covers the view for a moment shall not decide about its brightness.
        weight = trust / (1.0 + (off / _COVERED) ** 2)
    there = np.abs(off) < _TOLERANCE + _STRAYS * view.stray
    return float(edges[there].sum()) / whole


def _relative(frame: Gray) -> Array:
    return frame.astype(np.float64) / max(float(np.median(frame)), 1.0)


def _fitted(usual: Array, frame: Array, weight: Array) -> Array:
    """A frame with its contrast and brightness fitted to the usual ones."""
    total = float(weight.sum())
    middle, mean = float((weight * usual).sum()) / total, float((weight * frame).sum()) / total
    off = usual - middle
    contrast = float((weight * off * (frame - mean)).sum()) / max(
        float((weight * off * off).sum()), 1e-12
    )
    # A frame that has nothing of the view in it is not stretched until it has.
    return (frame - mean) / max(contrast, 0.1) + middle
