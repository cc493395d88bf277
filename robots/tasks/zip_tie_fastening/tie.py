"""The zip tie: a head, a strap of hinged boxes, and the ratchet between them.

The ratchet is one-way: of the segment that stands in the window, a tendon from far ahead of the head
may grow no longer than at the last tooth it passed. A tendon's limit pushes one way only, which no
weld does; every tendon is in `scene.xml`, without effect until the ratchet gives it a limit.
Metres, radians and newtons, in the head's frame: the strap goes through the window along -y.
"""

import importlib
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# MuJoCo ships no type information.
mujoco: Any = importlib.import_module("mujoco")
MjModel = Any
MjData = Any

Array = NDArray[np.float64]

SEGMENTS, SEGMENT_M = 22, 0.006
STRAP_M = 0.0012
"""Thickness of the strap between the pads."""
_FIRST_PAWL = 11
_CURLED = 16
"""Segments from the head that are curled at rest; the others are straight."""
_AHEAD_M = 0.2
_TOOTH_M = 0.001
_WINDOW_M = (0.0010, 0.0022)
"""Half the window's width along x and z: no segment's middle can pass outside of it."""
_FREE_M = 10.0
_PULLED_KG = 0.03
"""What a pawl feels of strap and hand, roughly."""


class Held(NamedTuple):
    """A segment of the strap that lies level in the world, wherever the others then go.

    Attributes:
        segment: Counted from the head, 1 to 22.
        front_m: Its end nearer to the head (3,).
        yaw_rad: Its turn, 0 along -y.
    """

    segment: int
    front_m: Array
    yaw_rad: float = 0.0


class Tie:
    """Indices, rest pose, shape and ratchet of the one tie in a scene."""

    def __init__(self, model: MjModel) -> None:
        self.head = int(model.body("head").id)
        self.tip = int(model.site("tip").id)
        self._free_q = int(model.joint("head").qposadr[0])
        self._free_v = int(model.joint("head").dofadr[0])
        names = [f"s{index:02d}" for index in range(1, SEGMENTS + 1)]
        self.bodies = [int(model.body(name).id) for name in names]
        self.strap = {int(model.body(name).geomadr[0]) for name in names}
        first, hinges = model.body(names[0]), 2 * SEGMENTS
        joint, dof = int(first.jntadr[0]), int(first.dofadr[0])
        hinge = int(model.jnt_qposadr[joint])
        self._joints = slice(joint, joint + hinges)
        self._dofs = slice(dof, dof + hinges)
        self._hinges = slice(hinge, hinge + hinges)
        self._stiffness = model.jnt_stiffness[self._joints].copy()
        self._pawls = {
            index: int(model.tendon(f"pawl{index:02d}").id)
            for index in range(_FIRST_PAWL, SEGMENTS + 1)
        }
        # MuJoCo weighs a limit by the inertia at the scene's zero pose, where the strap lies across
        # the tendons and seems to weigh nothing: the pawl would give way by millimetres.
        model.tendon_invweight0[list(self._pawls.values())] = 1.0 / _PULLED_KG
        self.passed = 0
        self._before_m = math.inf
        self._deepest_m = 0.0

    # The tie as such ------------------------------------------------------------------------------

    def make(self, model: MjModel, stiffness: float, curl_rad: float) -> None:
        """Gives a new tie its stiffness, as a factor, and its curl at rest."""
        model.jnt_stiffness[self._joints] = self._stiffness * stiffness
        rest = np.zeros((SEGMENTS, 2))
        rest[:_CURLED, 1] = curl_rad / _CURLED
        model.qpos_spring[self._hinges] = rest.ravel()

    def lay(self, model: MjModel, data: MjData) -> None:
        """Puts the tie into the nest, at rest and unfastened."""
        data.qpos[self._free_q : self._free_q + 7] = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
        data.qvel[self._free_v : self._free_v + 6] = 0.0
        data.qpos[self._hinges] = model.qpos_spring[self._hinges]
        data.qvel[self._dofs] = 0.0
        self.engage(model, data, 0)

    def throw(self, data: MjData, head: Array) -> None:
        """Puts the head to a place x, y, z, turned about z, with the strap as it is."""
        half = 0.5 * float(head[3])
        pose = (*head[:3], math.cos(half), 0.0, 0.0, math.sin(half))
        data.qpos[self._free_q : self._free_q + 7] = pose

    def shape(self, model: MjModel, data: MjData, held: Held) -> float:
        """Bends the strap as it lies when one segment is held: with least energy.

        Returns:
            How far the held segment still is from its place, in metres.
        """
        rest: Array = model.qpos_spring[self._hinges]
        soft: Array = 1.0 / model.jnt_stiffness[self._joints]
        jacobian: Array = np.zeros((6, model.nv))
        body = self.bodies[held.segment - 1]
        along = np.array([math.sin(held.yaw_rad), -math.cos(held.yaw_rad), 0.0])
        miss = np.full(6, math.inf)
        for step in range(60):
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            turn = data.xmat[body].reshape(3, 3)
            mujoco.mj_jacBody(model, data, jacobian[:3], jacobian[3:], body)
            off = np.cross(turn[:, 0], along) + np.cross(turn[:, 2], (0.0, 0.0, 1.0))
            miss = np.array([*(held.front_m - data.xpos[body]), *(0.5 * off)])
            rows = jacobian[:, self._dofs]
            now: Array = data.qpos[self._hinges] - rest
            gain = (rows * soft) @ rows.T + 1e-8 * np.eye(6)
            wanted: Array = soft * (rows.T @ np.linalg.solve(gain, rows @ now + miss))
            data.qpos[self._hinges] += min(1.0, 0.1 + step / 30) * (wanted - now)
        return float(np.abs(miss[:3]).max())

    def at(self, data: MjData, segment: int) -> Array:
        """Middle (3,) of a segment, in the head's frame."""
        body = self.bodies[segment - 1]
        turn = data.xmat[self.head].reshape(3, 3)
        middle = data.xpos[body] + 0.5 * SEGMENT_M * data.xmat[body].reshape(3, 3)[:, 0]
        return turn.T @ (middle - data.xpos[self.head])

    # The ratchet ----------------------------------------------------------------------------------

    def engage(self, model: MjModel, data: MjData, passed: int) -> None:
        """Sets how many segments stand beyond the pawl, from the scene as it lies."""
        mujoco.mj_kinematics(model, data)
        model.tendon_range[list(self._pawls.values()), 1] = _FREE_M
        self.passed, self._deepest_m = passed, 0.0
        self._before_m = self._next(data)[1]
        self._hold(model, data)

    def ratchet(self, model: MjModel, data: MjData) -> None:
        """Lets the pawl fall behind what has passed it; once a control tick.

        A segment passes when its middle crosses the pawl's plane inside the window, tip first.
        """
        x, y, z = self._next(data)
        inside = abs(x) < _WINDOW_M[0] and abs(z) < _WINDOW_M[1]
        if self._before_m > 0.0 >= y and inside and SEGMENTS - self.passed >= _FIRST_PAWL:
            if self.passed:
                model.tendon_range[self._pawls[SEGMENTS + 1 - self.passed], 1] = _FREE_M
            self.passed, self._deepest_m = self.passed + 1, 0.0
            self._before_m = self._next(data)[1]
        else:
            self._before_m = y
        self._hold(model, data)

    def slip_m(self, data: MjData) -> float:
        """How far the strap has come back from where it was deepest in."""
        if not self.passed:
            return math.inf
        return self._deepest_m + float(self.at(data, SEGMENTS + 1 - self.passed)[1])

    def _next(self, data: MjData) -> Array:
        return self.at(data, SEGMENTS - self.passed)

    def _hold(self, model: MjModel, data: MjData) -> None:
        if not self.passed:
            return
        segment = SEGMENTS + 1 - self.passed
        deep = -float(self.at(data, segment)[1])
        self._deepest_m = max(self._deepest_m, deep)
        tooth_m = math.floor(self._deepest_m / _TOOTH_M) * _TOOTH_M
        model.tendon_range[self._pawls[segment], 1] = _AHEAD_M - tooth_m
