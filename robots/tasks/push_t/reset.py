"""Physical reset of Push-T: pushes the block to a drawn pose, coarsely, then leaves the tool clear.

It runs in a sandboxed child on sensors alone. The tolerance is loose, so single frames, long pushes
and a coarse model will do. Lengths in metres, angles in radians, table frame unless named.
"""

import math

import numpy as np
from numpy.typing import NDArray

from robots.skills import Arm, Array, Hand, Observation, Robot, Script, ScriptedReset

Point = tuple[float, float]
Pose = tuple[float, float, float]

_LOW, _HIGH = (-0.355, -0.255), (0.355, 0.255)
_TRAVEL_M_S, _PUSH_M_S = 0.5, 0.18
_TOOL_RADIUS_M, _STAND_OFF_M, _ORBIT_M = 0.010, 0.010, 0.130
_SLIP_LENGTH_M = 0.053
_POSITION_OK_M, _YAW_OK_RAD = 0.023, 0.27
"""Tighter than the post-condition, which single noisy frames judge."""
_INNER_M = (0.20, 0.11)
"""Block positions beyond this cost extra: near the border the tool cannot get behind the block."""
_REACH_M, _STRAYED_PUSHES = (0.28, 0.18), 3
"""A block out there for so many pushes is one that small pushes leave where it is, each undone by
the next: then only the longest are made."""
_LENGTHS_M = (0.012, 0.025, 0.045, 0.07)

# Contact points and inward normals on the block's faces, block frame (origin: centre of mass).
_CONTACTS: Array = np.array(
    [(x, 0.0543, 0.0, -1.0) for x in (-0.070, -0.045, -0.015, 0.015, 0.045, 0.070)]
    + [(-0.080, 0.0343, 1.0, 0.0), (0.080, 0.0343, -1.0, 0.0)]
    + [(x, 0.0143, 0.0, 1.0) for x in (-0.070, -0.045, 0.045, 0.070)]
    + [(-0.020, y, 1.0, 0.0) for y in (-0.095, -0.065, -0.035, -0.010)]
    + [(0.020, y, -1.0, 0.0) for y in (-0.095, -0.065, -0.035, -0.010)]
    + [(0.0, -0.1057, 0.0, 1.0), (-0.014, -0.1057, 0.0, 1.0), (0.014, -0.1057, 0.0, 1.0)]
)


class Reset(ScriptedReset):
    """Looks, chooses the push that brings the block nearest to the target, pushes, looks again.

    The target is the pose that the block shall have (3,): x, y in metres, yaw in radians.
    """

    def script(self, observation: Observation, target: Array) -> Script[None]:
        self._target: Pose = (float(target[0]), float(target[1]), float(target[2]))
        self._robot = Robot(observation, observation["tool_position_m"])
        self._hand = Hand(self._robot, Arm(slice(0, 2), gap=None))
        self._strayed = 0
        for _ in range(60):
            yield from self._hand.hold(3)
            pose = self._pose()
            away = math.hypot(pose[0] - self._target[0], pose[1] - self._target[1])
            turned = abs(math.remainder(pose[2] - self._target[2], math.tau))
            if away < _POSITION_OK_M and turned < _YAW_OK_RAD:
                break
            start, end = self._choose(pose)
            yield from self._approach(pose, start, end)
            yield from self._go(end, _PUSH_M_S)
            far = math.dist(start, end)
            back = 0.03 / far if far > 0.0 else 0.0
            yield from self._go(
                (end[0] + (start[0] - end[0]) * back, end[1] + (start[1] - end[1]) * back),
                _TRAVEL_M_S,
            )
        yield from self._leave(self._pose())

    def _pose(self) -> Pose:
        x, y, yaw = (float(value) for value in self._robot.seen["object_pose"])
        return x, y, yaw

    def _go(self, target: Point, speed_m_s: float) -> Script[None]:
        yield from self._hand.move(_inside(target), speed_m_s)

    def _choose(self, pose: Pose) -> tuple[Point, Point]:
        """Start and end of the push whose predicted outcome is nearest to the target."""
        px, py, nx, ny = _CONTACTS.T
        inverse = _SLIP_LENGTH_M**-2
        share = 1.0 + (px * px + py * py) * inverse
        fx = ((1.0 + px * px * inverse) * nx + px * py * inverse * ny) / share
        fy = ((1.0 + py * py * inverse) * ny + px * py * inverse * nx) / share
        rate = (px * fy - py * fx) * inverse
        cos, sin = math.cos(pose[2]), math.sin(pose[2])
        way_x, way_y = cos * nx - sin * ny, sin * nx + cos * ny
        off = _TOOL_RADIUS_M
        touch_x = pose[0] + cos * (px - off * nx) - sin * (py - off * ny)
        touch_y = pose[1] + sin * (px - off * nx) + cos * (py - off * ny)
        start_x, start_y = touch_x - _STAND_OFF_M * way_x, touch_y - _STAND_OFF_M * way_y
        out = abs(pose[0]) > _REACH_M[0] or abs(pose[1]) > _REACH_M[1]
        self._strayed = self._strayed + 1 if out else 0
        best, chosen, length = math.inf, 0, _LENGTHS_M[0]
        for candidate in _LENGTHS_M[-1:] if self._strayed > _STRAYED_PUSHES else _LENGTHS_M:
            turn = rate * candidate
            half = pose[2] + 0.5 * turn
            c, s = np.cos(half), np.sin(half)
            x = pose[0] + (c * fx - s * fy) * candidate
            y = pose[1] + (s * fx + c * fy) * candidate
            miss = (pose[2] + turn - self._target[2] + math.pi) % math.tau - math.pi
            cost = np.hypot(x - self._target[0], y - self._target[1]) + 0.07 * np.abs(miss)
            cost += 4.0 * np.maximum(np.abs(x) - _INNER_M[0], 0.0)
            cost += 4.0 * np.maximum(np.abs(y) - _INNER_M[1], 0.0)
            for ax, ay in (
                (start_x, start_y),
                (touch_x + candidate * way_x, touch_y + candidate * way_y),
            ):
                cost = cost + np.where(_outside(ax, ay), 1.0, 0.0)
            index = int(np.argmin(cost))
            if cost[index] < best:
                best, chosen, length = float(cost[index]), index, candidate
        start = (float(start_x[chosen]), float(start_y[chosen]))
        reach = _STAND_OFF_M + length
        return start, (
            start[0] + reach * float(way_x[chosen]),
            start[1] + reach * float(way_y[chosen]),
        )

    def _approach(self, pose: Pose, start: Point, end: Point) -> Script[None]:
        """Out to a circle round the block, along it, and in against the push's direction."""
        far = math.dist(start, end)
        way = ((end[0] - start[0]) / far, (end[1] - start[1]) / far)
        x, y = start[0] - pose[0], start[1] - pose[1]
        along = x * way[0] + y * way[1]
        back = along + math.sqrt(max(along * along - x * x - y * y + _ORBIT_M**2, 0.0))
        entry = (start[0] - max(back, 0.0) * way[0], start[1] - max(back, 0.0) * way[1])
        here = math.atan2(self._hand.aim[1] - pose[1], self._hand.aim[0] - pose[0])
        there = math.atan2(entry[1] - pose[1], entry[0] - pose[0])
        turn = math.remainder(there - here, math.tau)
        if not all(_fits(_on_circle(pose, here + turn * k / 6)) for k in range(1, 6)):
            other = turn - math.copysign(math.tau, turn)
            if all(_fits(_on_circle(pose, here + other * k / 9)) for k in range(1, 9)):
                turn = other
        count = max(1, math.ceil(abs(turn) / 0.35))
        for k in range(count + 1):
            yield from self._go(_on_circle(pose, here + turn * k / count), _TRAVEL_M_S)
        yield from self._go(entry, _TRAVEL_M_S)
        yield from self._go(start, _TRAVEL_M_S)
        yield from self._hand.hold(2)

    def _leave(self, pose: Pose) -> Script[None]:
        """Straight out to a circle round the block."""
        bearing = math.atan2(self._hand.aim[1] - pose[1], self._hand.aim[0] - pose[0])
        yield from self._go(_on_circle(pose, bearing, 0.155), _TRAVEL_M_S)
        yield from self._hand.hold(6)


def _on_circle(pose: Pose, bearing: float, radius: float = _ORBIT_M) -> Point:
    return pose[0] + radius * math.cos(bearing), pose[1] + radius * math.sin(bearing)


def _inside(point: Point) -> Point:
    return (
        min(max(point[0], _LOW[0]), _HIGH[0]),
        min(max(point[1], _LOW[1]), _HIGH[1]),
    )


def _fits(point: Point) -> bool:
    return _inside(point) == point


def _outside(x: Array, y: Array) -> NDArray[np.bool_]:
    return (x < _LOW[0]) | (x > _HIGH[0]) | (y < _LOW[1]) | (y > _HIGH[1])
