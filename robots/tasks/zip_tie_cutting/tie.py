"""Tie and scissors of zip-tie cutting on one model: presented, cut, touched. Truth; trusted code.

A weld is switched off in the data alone (`eq_active`), so that the model stays as compiled and a
reset world has whole ties.
"""

import importlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

# MuJoCo ships no type information.
mujoco: Any = importlib.import_module("mujoco")
MjModel = Any
MjData = Any

Array = NDArray[np.float64]

JOINTS = (1, 2, 3)
"""Candidate joints from the head down; the first is the named one."""
STUB_M, LINK_M, TAIL_M = 0.006, 0.010, 0.040
GRIP_M = 0.045
"""From the middle between the grips to the pivot."""
_LINKS = ("link_1", "link_2", "tail")
_EDGE_M = (0.006, 0.045)
_NEARLY_CLOSED_M = 0.0032
"""Gap between the edges at the strap at which it may give way: 1.5 mm thick and 5 mm wide, it may be turned."""
_REFERENCE_M = 0.030
"""Place on the edges by which force and opening are told, from the pivot."""
_OPENED_M = 0.006
_HOLD_S = 0.03
_OPEN_RAD = 0.5
_PAD_M = 0.008


class Scissors:
    """Where the scissors are, and how far open."""

    def __init__(self, model: MjModel) -> None:
        self._body = int(model.body("scissors").id)
        self._free = int(model.joint("scissors").qposadr[0])
        self._dof = int(model.joint("scissors").dofadr[0])
        self._hinge = int(model.joint("scissors_hinge").qposadr[0])
        self._hinge_dof = int(model.joint("scissors_hinge").dofadr[0])
        self.edges = {int(model.geom(name).id) for name in ("blade_a", "blade_b")}
        self.grips = {int(model.geom(name).id) for name in ("grip_a", "grip_b")}
        # Outer width of the grips within the pads' length, by the hinge's angle.
        self._angles = np.linspace(0.0, _OPEN_RAD, 51)
        self._widths = np.array([_width(angle) for angle in self._angles])

    def angle(self, data: MjData) -> float:
        """Of the hinge: 0 closed."""
        return float(data.qpos[self._hinge])

    def frame(self, data: MjData) -> tuple[Array, Array]:
        """Pivot (3,) and axes (3, 3), x midway between both blades."""
        half = 0.5 * self.angle(data)
        cos, sin = math.cos(half), math.sin(half)
        turned = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
        return data.xpos[self._body], data.xmat[self._body].reshape(3, 3) @ turned

    def pose(self, data: MjData) -> Array:
        """Pivot x, y, z and direction of the tips about z (4,)."""
        pivot, axes = self.frame(data)
        return np.array([*pivot, math.atan2(axes[1, 0], axes[0, 0])])

    def put(self, data: MjData, pose: Array, angle: float = _OPEN_RAD) -> None:
        """Places them flat, at rest."""
        half = 0.5 * (float(pose[3]) + 0.5 * angle)
        data.qpos[self._free : self._free + 7] = (
            *pose[:3],
            math.cos(half),
            0.0,
            0.0,
            math.sin(half),
        )
        data.qpos[self._hinge] = angle
        data.qvel[self._dof : self._dof + 6] = data.qvel[self._hinge_dof] = 0.0

    def angle_at(self, opening_m: float) -> float:
        """The hinge's angle at which the grips fill a gap between the pads."""
        return float(np.interp(opening_m, self._widths, self._angles))


class Tie:
    """The tie in the fixture."""

    def __init__(self, model: MjModel) -> None:
        self._mocap = int(model.body("tie").mocapid[0])
        self._fresh: Array = model.body("tie").pos.copy()
        self._bends = [int(model.joint(name).qposadr[0]) for name in ("bend_0", "bend_3")]
        self._free = [int(model.joint(name).qposadr[0]) for name in _LINKS]
        self._dofs = [int(model.joint(name).dofadr[0]) for name in _LINKS]
        self._bend_dofs = [int(model.joint(name).dofadr[0]) for name in ("bend_0", "bend_3")]
        self._links = [int(model.body(name).id) for name in _LINKS]
        self._tip = int(model.body("tip").id)
        self._welds = [int(model.equality(f"joint_{joint}").id) for joint in JOINTS]
        self.straps = {int(model.geom(f"strap_{k}").id) for k in (1, 2, 3, 4)}
        self._pinched: tuple[int, float] | None = None
        self._spent = False

    def present(self, data: MjData, offset: Array, turn_rad: float) -> None:
        """Hangs a fresh tie into the fixture.

        Args:
            data: the world.
            offset: of its head from its nominal place (3,).
            turn_rad: of it about z.
        """
        turned = (math.cos(0.5 * turn_rad), 0.0, 0.0, math.sin(0.5 * turn_rad))
        head = data.mocap_pos[self._mocap] = self._fresh + offset
        data.mocap_quat[self._mocap] = turned
        data.qpos[self._bends] = data.qvel[self._bend_dofs] = 0.0
        for k, (free, dof) in enumerate(zip(self._free, self._dofs, strict=True)):
            low = STUB_M + k * LINK_M
            data.qpos[free : free + 7] = (head[0], head[1], head[2] - low, *turned)
            data.qvel[dof : dof + 6] = 0.0
        data.eq_active[self._welds] = 1
        self._pinched, self._spent = None, False

    def named_joint(self, data: MjData) -> Array:
        """Where the named joint of this tie is while it hangs straight (3,)."""
        return data.mocap_pos[self._mocap] - (0.0, 0.0, STUB_M)

    def tail(self, data: MjData) -> Array:
        """Middle of the tail (3,)."""
        return data.xpos[self._tip].copy()

    def fallen_m(self, data: MjData) -> float:
        """How far the link below the named joint has come down."""
        return float(self.named_joint(data)[2] - data.xpos[self._links[0]][2])

    def intact(self, data: MjData) -> list[bool]:
        """Of each candidate joint, from the head down."""
        return [bool(data.eq_active[weld]) for weld in self._welds]

    def sever(self, data: MjData, joint: int) -> None:
        """Switches a joint's weld off."""
        data.eq_active[self._welds[joint - 1]] = 0

    def carry(self, data: MjData, top: Array, turn_rad: float) -> None:
        """Hangs the cut tail elsewhere, its upper end at `top` (3,), for drawn scenes."""
        turned = (math.cos(0.5 * turn_rad), 0.0, 0.0, math.sin(0.5 * turn_rad))
        for k, free in enumerate(self._free):
            data.qpos[free : free + 7] = (top[0], top[1], top[2] - k * LINK_M, *turned)

    def bend(self, model: MjModel, angle_rad: float) -> None:
        """Gives the strap a lasting bend at the head, for drawn scenes."""
        model.qpos_spring[self._bends[0]] = angle_rad

    def push(self, data: MjData, link: int, velocity: Array) -> None:
        """Gives a link (0, 1, 2) a velocity (6,), for drawn scenes."""
        data.qvel[self._dofs[link] : self._dofs[link] + 6] = velocity

    def bite(self, data: MjData, scissors: Scissors, effort_n: float, strength_n: float) -> None:
        """The hook of each control tick: cuts what the blades have pinched hard for 30 ms.

        Blades that have cut must open before they can cut again.

        Args:
            data: the world; a weld is switched off in it.
            scissors: that may cut.
            effort_n: closing force of the gripper.
            strength_n: at which a strap gives way 30 mm before the pivot.
        """
        joint, now = self._between(data, scissors, effort_n, strength_n), float(data.time)
        if joint is None:
            self._pinched = None
        elif self._pinched is None or self._pinched[0] != joint or now < self._pinched[1]:
            self._pinched = (joint, now)
        elif now - self._pinched[1] >= _HOLD_S - 1e-6:
            self.sever(data, joint)
            self._pinched, self._spent = None, True

    def _between(
        self, data: MjData, scissors: Scissors, effort_n: float, strength_n: float
    ) -> int | None:
        """The joint at which the strap lies between the nearly closed blades and gives way."""
        slope = 2.0 * math.tan(0.5 * scissors.angle(data))
        # Most ticks end here: blades that are open wide cut nothing.
        if slope * _REFERENCE_M > _OPENED_M:
            self._spent = False
            return None
        if self._spent or effort_n <= 0.0:
            return None
        pivot, axes = scissors.frame(data)
        nearest: tuple[float, int] | None = None
        for joint, weld, link in zip(JOINTS, self._welds, self._links, strict=True):
            if not data.eq_active[weld]:
                continue
            ahead, aside, above = (float(x) for x in (data.xpos[link] - pivot) @ axes)
            gap = slope * ahead
            if (
                _EDGE_M[0] < ahead < _EDGE_M[1]
                and gap < _NEARLY_CLOSED_M
                and abs(aside) < 0.5 * gap + 0.0005
                and abs(above) < 0.5 * LINK_M
                and effort_n > strength_n * ahead / _REFERENCE_M
                and (nearest is None or abs(above) < nearest[0])
            ):
                nearest = abs(above), joint
        return None if nearest is None else nearest[1]


def _width(angle: float) -> float:
    """Outer width of the grips between the pads' ends, from their box in `scene.xml`."""
    along = np.linspace(-0.015, 0.015, 61)
    turn = 0.5 * angle - 0.175
    middle = np.array([-GRIP_M, -0.011])
    cos, sin = math.cos(0.5 * angle), math.sin(0.5 * angle)
    x = cos * middle[0] - sin * middle[1] + math.cos(turn) * along + 0.003 * math.sin(turn)
    y = sin * middle[0] + cos * middle[1] + math.sin(turn) * along - 0.003 * math.cos(turn)
    covered = np.abs(x + GRIP_M) <= _PAD_M
    return float(-2.0 * y[covered].min())
