"""Scenes of pin insertion on which the verifier is scored: successes, near misses, anything else.

A near miss keeps 1 mm from the criterion's depth: nearer, the camera's pixels (0.4 mm) decide.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PITCH_M = 0.012
"""Between the middles of two holes."""
GRASP_M = 0.045
"""From the pin's tip to the middle of its knob, where it is held."""
KNOB_M = 0.010
"""Width of the knob between the pads."""
_FLAT = math.sqrt(0.5)
NEAR_MISSES = ("rim", "beside", "wrong_hole", "half_in", "let_go", "pressed")


class Scene(NamedTuple):
    """Where hand and pin are put.

    Attributes:
        hand: Middle between the pads x, y, z and the gap between the pads (4,), in metres.
        pin: Tip x, y, z and quaternion w, x, y, z of the pin (7,).
        held: Whether the pads then close.
        press_m: How far below its place the hand is commanded.
    """

    hand: Array
    pin: Array
    held: bool
    press_m: float = 0.0


def draw(rng: np.random.Generator, kind: str, hole_m: Array) -> Scene:
    """A scene of a kind: `positive`, `near_miss`, or `negative`.

    Args:
        rng: Of the draw.
        kind: What the scene shall be.
        hole_m: Middle of the named hole's rim (3,).
    """
    if kind == "positive":
        return _held(rng, hole_m + _in_hole(rng, 0.011, 0.0148))
    if kind == "negative":
        return _elsewhere(rng)
    name = str(rng.choice(NEAR_MISSES))
    if name == "rim":
        turn = rng.uniform(0.0, math.tau)
        return _held(
            rng, hole_m + np.array([0.0022 * math.cos(turn), 0.0022 * math.sin(turn), 0.0])
        )
    if name == "beside":
        corner = rng.choice((-0.5, 0.5), 2) * PITCH_M
        return _held(rng, hole_m + np.array([*corner, rng.uniform(0.0, 0.001)]))
    if name == "wrong_hole":
        return _held(rng, _other_hole(rng, hole_m) + _in_hole(rng, 0.011, 0.0148))
    if name == "half_in":
        return _held(rng, hole_m + _in_hole(rng, 0.002, 0.009))
    tip = hole_m + _in_hole(rng, 0.0149, 0.0149)
    if name == "pressed":
        return _held(rng, tip)._replace(press_m=float(rng.uniform(0.016, 0.024)))
    lifted = float(rng.choice((0.0, rng.uniform(0.0, 0.03))))
    hand = np.array([tip[0], tip[1], tip[2] + GRASP_M + lifted, 0.022])
    return Scene(hand, _upright(tip), held=False)


def _held(rng: np.random.Generator, tip_m: Array) -> Scene:
    """The pin in the closed fingers, gripped up to a millimetre too high or too low."""
    slip = (0.0, 0.0, GRASP_M + float(rng.uniform(-0.001, 0.001)))
    return Scene(np.array([*(tip_m + slip), KNOB_M]), _upright(tip_m), held=True)


def _in_hole(rng: np.random.Generator, least_m: float, most_m: float) -> Array:
    return np.array([*rng.uniform(-0.0003, 0.0003, 2), -rng.uniform(least_m, most_m)])


def _other_hole(rng: np.random.Generator, hole_m: Array) -> Array:
    while True:
        other = np.array([*rng.integers(-1, 2, 2) * PITCH_M, 0.0])
        if np.linalg.norm(other - hole_m) > 0.5 * PITCH_M:
            return other


def _elsewhere(rng: np.random.Generator) -> Scene:
    """Held above the box, lying in front of it, or left in the feeder."""
    where = np.array([*rng.uniform(-0.03, 0.03, 2), rng.uniform(0.03, 0.08)])
    if rng.random() < 0.5:
        return _held(rng, where - (0.0, 0.0, 0.025))
    hand = np.array([*where[:2], where[2] + 0.03, 0.026])
    if rng.random() < 0.5:
        tip = np.array([-0.03, rng.uniform(-0.06, -0.03), -0.02])
        return Scene(hand, np.array([*tip, _FLAT, 0.0, _FLAT, 0.0]), held=False)
    return Scene(hand, _upright(np.array([0.0, 0.1, -0.0149])), held=False)


def _upright(tip_m: Array) -> Array:
    return np.array([*tip_m, 1.0, 0.0, 0.0, 0.0])
