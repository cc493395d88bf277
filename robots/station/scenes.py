"""Robot and scene at one moment, as far as a station can tell: has anything moved since? Pure."""

import hashlib
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from robots.drivers.base import Driver
from robots.station.cameras import Images
from robots.station.stills import Positions

STILL = 1e-4
"""Largest change of a simulated joint (m, rad) and of a set-point that counts as none: a world that
waits does not move at all."""

BLOCKS = 12
LEVELS = 10.0
"""Pictures differ where the mean of one of 12 x 12 blocks does by more than this, of 255: a camera's
noise averages out over a block, a hand or a part that was moved does not."""


class Scene(NamedTuple):
    """What was so.

    Attributes:
        setpoint: Where the robot is commanded to be.
        positions: The simulated model's joints; None where nobody can know them.
        images: Of the task's cameras; {} where it has none.
    """

    setpoint: tuple[float, ...]
    positions: NDArray[np.float64] | None
    images: Images


def take(driver: Driver) -> Scene:
    """The scene now; on the driver's thread."""
    images = {name: image.copy() for name, image in driver.camera().items()}
    return Scene(tuple(driver.setpoint()), positions_of(driver), images)


def positions_of(driver: Driver) -> NDArray[np.float64] | None:
    """Joints of a simulated world in this process; from any thread."""
    found = cast("Positions | None", getattr(driver, "scene", None))
    return None if found is None else found()


def version(scene: Scene, incarnation: str) -> str:
    """Name of a scene as one life of a station saw it."""
    digest = hashlib.sha256(f"{incarnation}:{scene.setpoint}".encode())
    if scene.positions is not None:
        digest.update(scene.positions.tobytes())
    for name in sorted(scene.images):
        digest.update(name.encode() + np.ascontiguousarray(scene.images[name]).tobytes())
    return digest.hexdigest()[:16]


def shifted(before: NDArray[np.float64] | None, now: NDArray[np.float64] | None) -> str:
    """How simulated joints have moved, "" if they have not or nobody can know."""
    if before is None or now is None:
        return ""
    most = float(np.max(np.abs(now - before), initial=0.0))
    return f"something moved by {most:.3g}" if most > STILL else ""


def moved(before: Scene, now: Scene) -> str:
    """How robot or scene have moved, "" if they have not as far as can be told."""
    gap = np.abs(np.subtract(now.setpoint, before.setpoint))
    if np.max(gap, initial=0.0) > STILL:
        return "the robot was moved"
    if before.positions is not None and now.positions is not None:
        return shifted(before.positions, now.positions)
    for name, image in before.images.items():
        change = float(np.max(np.abs(_blocks(now.images[name]) - _blocks(image))))
        if change > LEVELS:
            return f"camera {name} sees a change of {change:.0f} levels"
    return ""


def _blocks(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean of each of 12 x 12 blocks of an image."""
    rows = np.array_split(image.astype(np.float64), BLOCKS, axis=0)
    return np.array([[part.mean() for part in np.array_split(row, BLOCKS, axis=1)] for row in rows])
