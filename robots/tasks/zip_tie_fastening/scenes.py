"""Scenes of zip-tie fastening on which the verifier is scored: successes, near misses, all else.

A near miss keeps 1 mm from the criterion's depth and 1 N from its pull: nearer, the cameras' pixels
(0.5 mm) and the wrist's noise (0.3 N) decide.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robots.tasks.zip_tie_fastening.tie import SEGMENT_M, SEGMENTS, Held

Array = NDArray[np.float64]

NEAR_MISSES = ("at_window", "one", "two", "beside", "over", "weak", "pushing", "let_go", "loose")
_BIN: Array = np.array([-0.085, 0.0, -0.045])


class Scene(NamedTuple):
    """Where hand and tie are put.

    Attributes:
        hand: Middle between the pads x, y, z, turn, and the gap between the pads (5,).
        held: Whether the pads then close.
        strap: What is held while the strap finds its shape; None leaves it at rest.
        passed: Segments beyond the pawl.
        pull_n: With what force the hand is then pulled back along y.
        head: Place and turn x, y, z, yaw of a head that is not in the nest, None for one that is.
    """

    hand: Array
    held: bool
    strap: Held | None = None
    passed: int = 0
    pull_n: float = 0.0
    head: Array | None = None


def draw(rng: np.random.Generator, kind: str) -> Scene:
    """A scene of a kind: `positive`, `near_miss`, or `negative`."""
    pull_n = float(rng.uniform(8.0, 15.0))
    # Just beyond one of the ratchet's teeth, so that little of the pull is lost on the way back to it.
    deep = float(rng.integers(16, 24)) * 0.001 + 0.0001
    if kind == "positive":
        return _threaded(rng, deep, pull_n)
    if kind == "negative":
        return _elsewhere(rng)
    name = str(rng.choice(NEAR_MISSES))
    if name == "at_window":
        return _threaded(rng, rng.uniform(-0.005, 0.002), pull_n if rng.random() < 0.5 else -3.0)
    if name in ("one", "two"):
        more = SEGMENT_M * (name == "two")
        return _threaded(rng, rng.uniform(0.0035, 0.0080) + more, pull_n)
    if name == "beside":
        x = float(rng.choice((-1.0, 1.0)) * rng.uniform(0.0050, 0.0075))
        return _threaded(rng, deep, 0.0, (x, 0.0))
    if name == "over":
        return _threaded(rng, deep, 0.0, (0.0, rng.uniform(0.0152, 0.0180)))
    if name == "weak":
        return _threaded(rng, deep, rng.uniform(0.0, 4.0))
    if name == "pushing":
        return _threaded(rng, deep, rng.uniform(-6.0, -2.0))
    scene = _threaded(rng, deep, 0.0)
    lifted = float(rng.choice((0.0, rng.uniform(0.0, 0.025))))
    away = np.array([0.0, 0.0, lifted, 0.0, rng.uniform(0.004, 0.016)])
    if name == "let_go":
        return scene._replace(hand=scene.hand * (1.0, 1.0, 1.0, 1.0, 0.0) + away, held=False)
    # Closed beside the strap, and drawn back as if it held it.
    return scene._replace(hand=scene.hand + np.array([0.0, 0.0, 0.012, 0.0, 0.0]), pull_n=pull_n)


def _threaded(
    rng: np.random.Generator,
    depth_m: float,
    pull_n: float,
    past_m: tuple[float, float] = (0.0, 0.0),
) -> Scene:
    """The held strap's tip `depth_m` beyond the middle of the head, past it at x, z."""
    inside = past_m == (0.0, 0.0)
    slack = rng.uniform((-0.0002, -0.0002), (0.0002, 0.0002)) if inside else np.zeros(2)
    x, z = past_m + slack
    tip = np.array([x, -depth_m, z])
    # Nearer to the tip the pads would stand on the funnel.
    grip = 5 if depth_m < 0.0175 and rng.random() < 0.5 else 6
    strap = Held(SEGMENTS + 1 - grip, tip + np.array([0.0, grip * SEGMENT_M, 0.0]))
    hand = np.array([*(strap.front_m - (0.0, 0.5 * SEGMENT_M, 0.0)), 0.0, 0.003])
    passed = max(0, int((depth_m + 0.5 * SEGMENT_M) / SEGMENT_M)) if inside else 0
    return Scene(hand, True, strap, passed, pull_n)


def _elsewhere(rng: np.random.Generator) -> Scene:
    """Hovering before the window, at rest in the nest, in the bin, or carried there."""
    where = rng.integers(4)
    if where == 0:
        depth = -rng.uniform(0.007, 0.022)
        return _threaded(rng, depth, 0.0, (rng.uniform(-0.01, 0.01), rng.uniform(-0.003, 0.003)))
    hand = np.array([*rng.uniform((-0.1, -0.02, 0.03), (0.05, 0.08, 0.07)), 0.0, 0.016])
    hand[3] = rng.uniform(-1.5, 1.5)
    if where == 1:
        return Scene(hand, False)
    curled = _threaded(rng, rng.uniform(0.016, 0.022), 0.0)
    if where == 2:
        low, high = (-0.01, -0.01, 0.01, -3.0), (0.01, 0.01, 0.01, 3.0)
        head = np.append(_BIN, 0.0) + rng.uniform(low, high)
        return curled._replace(hand=hand, held=False, head=head)
    head = np.array([*rng.uniform((-0.09, -0.02, 0.005), (0.0, 0.02, 0.05)), 0.0])
    hand = np.array([head[0], head[1], head[2] + 0.009, 0.0, 0.008])
    return curled._replace(hand=hand, head=head)
