"""Scenes of zip-tie cutting on which the verifier is scored: successes, near misses, anything else.

A scene is drawn, put together, and then left to physics for some moments: pieces fall and topple as
they will, and held scissors settle between the pads.
"""

import importlib
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robots.tasks.zip_tie_cutting.tie import GRIP_M, JOINTS, LINK_M

if TYPE_CHECKING:
    from robots.tasks.zip_tie_cutting.simulation import Simulation

# MuJoCo ships no type information.
mujoco: Any = importlib.import_module("mujoco")
MjModel = Any
MjData = Any

Array = NDArray[np.float64]

NEAR_MISSES = ("nicked", "wrong_joint", "two_cuts", "dropped", "beside", "bent", "carried")
_FALL_STEPS, _CLOSE_STEPS = 700, 250
_OPEN_M, _SHUT_M = 0.066, 0.010
_BITE_M = 0.028
"""How far before the pivot the strap is in scenes at the tie."""


class Scene(NamedTuple):
    """What is put together.

    Attributes:
        hand: Middle between the pads relative to the world, or to where it cuts if `at_tie` (3,).
        turn: The hand's.
        gap: Between the pads, as commanded at last.
        tool: Where the scissors lie (pivot x, y, direction), None if they are in the hand.
        at_tie: Whether the hand is where it cuts; the blades then close from open.
        severed: Joints that are cut.
        bend_rad: Of a strap that kept a bend.
        carried: Whether the blades take the cut tail with them.
    """

    hand: Array
    turn: float
    gap: float
    tool: Array | None = None
    at_tie: bool = False
    severed: tuple[int, ...] = ()
    bend_rad: float = 0.0
    carried: bool = False


def draw(rng: np.random.Generator, kind: str) -> Scene:
    """A scene of a kind: `positive`, `near_miss`, or `negative`."""
    if kind == "negative":
        return _anything(rng)
    name = str(rng.choice(NEAR_MISSES)) if kind == "near_miss" else "positive"
    scene = Scene(_aside(rng), rng.uniform(-0.4, 0.4), rng.uniform(0.034, 0.043), severed=(1,))
    match name:
        case "nicked":
            if rng.random() < 0.5:
                return scene._replace(severed=())
            near = rng.uniform((-0.010, -0.002, -0.003), (0.010, 0.002, 0.003))
            gap = rng.uniform(0.029, 0.036)
            return Scene(near, rng.uniform(-0.05, 0.05), gap, at_tie=True)
        case "wrong_joint":
            return scene._replace(severed=(int(rng.choice(JOINTS[1:])),))
        case "two_cuts":
            return scene._replace(severed=[(1, 2), (1, 3), (1, 2, 3)][int(rng.integers(3))])
        case "dropped":
            gap = float(rng.choice((scene.gap, rng.uniform(_SHUT_M, _OPEN_M))))
            return scene._replace(tool=_lying(rng), gap=gap)
        case "beside":
            away = rng.uniform(0.009, 0.016) * rng.choice((-1.0, 1.0))
            near = np.array([rng.uniform(-0.005, 0.005), away, rng.uniform(-0.003, 0.003)])
            return Scene(near, 0.0, _SHUT_M, at_tie=True)
        case "bent":
            bend = rng.uniform(0.5, 1.1) * rng.choice((-1.0, 1.0))
            return scene._replace(severed=(), bend_rad=float(bend))
        case "carried":
            height = rng.uniform(0.075, 0.150)
            hand = np.array([rng.uniform(-0.09, 0.02), rng.uniform(-0.06, 0.04), height])
            return scene._replace(hand=hand, gap=_SHUT_M, carried=True)
        case _:
            return scene


def _aside(rng: np.random.Generator) -> Array:
    """Where a hand holds the scissors up and out of the view."""
    return rng.uniform((-0.13, -0.11, 0.07), (-0.045, 0.05, 0.15))


def _lying(rng: np.random.Generator) -> Array:
    return rng.uniform((-0.10, -0.08, -1.2), (0.0, 0.04, 1.2))


def _anything(rng: np.random.Generator) -> Scene:
    """A whole tie with the hand anywhere, or a cut one whose scissors lie on the table."""
    hand = rng.uniform((-0.13, -0.12, 0.03), (0.05, 0.06, 0.16))
    severed = ((), (1,), (2,))[int(rng.integers(3))]
    turn, gap = rng.uniform(-0.6, 0.6), rng.uniform(_SHUT_M, _OPEN_M)
    if not severed and rng.random() < 0.5:
        return Scene(_aside(rng), turn, rng.uniform(0.032, 0.043))
    return Scene(hand, turn, gap, tool=_lying(rng), severed=severed)


def play(
    world: "Simulation", model: MjModel, data: MjData, rng: np.random.Generator, scene: Scene
) -> None:
    """Puts a scene together and lets it settle.

    Args:
        world: whose tie and scissors they are.
        model: the scene's; a strap that kept a bend is one of its springs.
        data: changed in place.
        rng: of the pieces' fall.
        scene: as drawn.
    """
    world.clear(model, data)
    tie, scissors = world.tie, world.scissors
    joint = tie.named_joint(data)
    hand = scene.hand + (joint - [_BITE_M + GRIP_M, 0.0, 0.0] if scene.at_tie else 0.0)
    pinching = scene.at_tie or scene.carried
    opening = 0.046 if pinching else scene.gap
    world.pose(data, np.array([*hand, scene.turn, opening]))
    ahead = np.array([np.cos(scene.turn), np.sin(scene.turn), 0.0])
    if scene.tool is not None:
        scissors.put(data, np.array([*scene.tool[:2], 0.0051, scene.tool[2]]))
    else:
        pivot = np.array([*(hand + GRIP_M * ahead), scene.turn])
        scissors.put(data, pivot, scissors.angle_at(opening))
    for number in scene.severed:
        tie.sever(data, number)
    if scene.carried:
        tie.carry(data, hand + (GRIP_M + _BITE_M) * ahead + [0.0, 0.0, 0.5 * LINK_M], scene.turn)
    elif scene.severed:
        for link in range(len(JOINTS)):
            slow, fast = rng.normal(0.0, 0.05, 3) * (1.0, 1.0, 0.2), rng.normal(0.0, 3.0, 3)
            tie.push(data, link, np.concatenate([slow, fast]))
    if scene.bend_rad:
        tie.bend(model, scene.bend_rad)
    # The servo presses as far beyond the gap as holds the spring.
    data.ctrl[4] = 0.5 * (scene.gap if scene.tool is not None else scene.gap - 0.003)
    mujoco.mj_step(model, data, nstep=_CLOSE_STEPS if pinching else _FALL_STEPS)
    mujoco.mj_forward(model, data)
