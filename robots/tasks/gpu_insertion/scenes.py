"""Scenes of GPU insertion on which the verifier is scored: successes, near misses, anything else.

A near miss keeps 0.5 mm and 3 mrad from the criterion: between, the camera's pixels (0.33 mm) decide.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

GRASP_M = 0.0768
"""From the tongue's lower edge to the middle between pads whose palm rests on the rail."""
RAIL_M = 0.012
"""Width of the rail between the pads."""
END_M = 0.0445
"""From the tongue's middle to either end."""
OPEN_RAD = 0.45
_AJAR_RAD = 0.21
"""The latch on the hook of a card that is not yet down."""
NEAR_MISSES = ("one_end_up", "tilted", "latch_open", "high", "pressed", "beside", "on_top")


class Scene(NamedTuple):
    """Where card, hand and latch are put.

    Attributes:
        card: Tongue's x, y, z, yaw and pitch (5,), in the board's frame.
        latch_rad: Of the latch.
        held: Whether the hand holds the card; else it is at `hand`.
        hand: Middle between the open pads (3,), in the board's frame.
        press_n: How hard a holding hand presses.
    """

    card: Array
    latch_rad: float = 0.0
    held: bool = True
    hand: tuple[float, float, float] = (0.0, 0.0, 0.17)
    press_n: float = 0.0


def draw(rng: np.random.Generator, kind: str) -> Scene:
    """A scene of a kind: `positive`, `near_miss`, or `negative`.

    Args:
        rng: Of the draw.
        kind: What the scene shall be.
    """
    if kind == "positive":
        return _perhaps_let_go(rng, Scene(_down(rng), press_n=float(rng.uniform(0.0, 100.0))))
    if kind == "negative":
        return _elsewhere(rng)
    name = str(rng.choice(NEAR_MISSES))
    if name == "one_end_up":
        up, side = float(rng.uniform(0.0010, 0.0040)), float(rng.choice((-1.0, 1.0)))
        # A positive pitch lets the latch's end down.
        card = _down(rng, 0.5 * up, -side * up / (2.0 * END_M))
        # Nothing weighs on the raised end.
        return _perhaps_let_go(rng, Scene(card, _AJAR_RAD if side > 0.0 else 0.0))
    if name == "latch_open":
        return _perhaps_let_go(rng, Scene(_down(rng), OPEN_RAD, press_n=float(rng.uniform(0, 60))))
    if name == "high":
        return _perhaps_let_go(rng, Scene(_down(rng, rng.uniform(0.0010, 0.0020)), _AJAR_RAD))
    if name == "tilted":
        pitch = float(rng.choice((-1.0, 1.0)) * rng.uniform(0.008, 0.020))
        up = END_M * abs(pitch) + float(rng.uniform(0.0002, 0.0010))
        return _perhaps_let_go(rng, Scene(_down(rng, up, pitch), _AJAR_RAD))
    if name == "pressed":
        return Scene(_down(rng), press_n=float(rng.uniform(128.0, 145.0)))
    if name == "beside":
        away = float(rng.choice((-1.0, 1.0)) * rng.uniform(0.0108, 0.014))
        return Scene(np.array([rng.uniform(-0.003, 0.003), away, -0.0009, 0.0, 0.0]))
    away = float(rng.choice((-1.0, 1.0)) * rng.uniform(0.0028, 0.007))
    return Scene(np.array([rng.uniform(-0.003, 0.003), away, 0.0111, 0.0, 0.0]))


def _down(rng: np.random.Generator, up_m: float = 0.0, pitch_rad: float = 0.0) -> Array:
    """A card in the slot, its tongue's middle a little above the floor."""
    return np.array([rng.uniform(-0.0003, 0.0003), 0.0, up_m, 0.0, pitch_rad])


def _perhaps_let_go(rng: np.random.Generator, scene: Scene) -> Scene:
    if rng.random() < 0.5:
        return scene
    above = (*rng.uniform(-0.02, 0.02, 2), float(rng.uniform(0.10, 0.17)))
    return scene._replace(held=False, hand=(float(above[0]), float(above[1]), above[2]))


def _elsewhere(rng: np.random.Generator) -> Scene:
    """Held above the slot, lying on the board, in the rack, or hidden by the hand."""
    name = rng.integers(4)
    turn = float(rng.uniform(-0.05, 0.05))
    if name == 0:
        place = (*rng.uniform(-0.02, 0.02, 2), rng.uniform(0.015, 0.06), turn, 0.0)
        return Scene(np.array(place))
    if name == 1:
        return Scene(np.array([0.0, -0.04, 0.03, turn, math.pi / 2.0]), held=False)
    if name == 2:
        return Scene(np.array([0.0, 0.20, 0.0, 0.0, 0.0]), held=False)
    # The hand stands before the board, where the front camera looks for the marks.
    hand = (float(rng.uniform(-0.05, 0.05)), -0.052, float(rng.uniform(0.01, 0.03)))
    return Scene(_down(rng), OPEN_RAD, held=False, hand=hand)
