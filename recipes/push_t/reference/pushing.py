"""Quasi-static planar pushing of the T: predicts pushes by an ellipsoidal limit surface.

Source: Goyal, Ruina and Papadopoulos 1991 (limit surface); Lynch, Maekawa and Tanie 1992 (its
ellipsoidal approximation with one characteristic length).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

Pose = tuple[float, float, float]

_FACES = (
    # end points and inward normal of each face, block frame, metres
    ((-0.080, 0.0542857), (0.080, 0.0542857), (0.0, -1.0)),
    ((-0.080, 0.0142857), (-0.080, 0.0542857), (1.0, 0.0)),
    ((0.080, 0.0142857), (0.080, 0.0542857), (-1.0, 0.0)),
    ((-0.080, 0.0142857), (-0.032, 0.0142857), (0.0, 1.0)),
    ((0.032, 0.0142857), (0.080, 0.0142857), (0.0, 1.0)),
    ((-0.020, -0.1057143), (-0.020, 0.0020), (1.0, 0.0)),
    ((0.020, -0.1057143), (0.020, 0.0020), (-1.0, 0.0)),
    ((-0.020, -0.1057143), (0.020, -0.1057143), (0.0, 1.0)),
)
_SPACING = 0.008
_INSET = 0.003
TOOL_RADIUS = 0.010
STAND_OFF = 0.008


def _contacts() -> tuple[np.ndarray, np.ndarray]:
    points, normals = [], []
    for start, end, normal in _FACES:
        a, b = np.array(start), np.array(end)
        length = float(np.linalg.norm(b - a))
        unit = (b - a) / length
        count = max(2, round((length - 2 * _INSET) / _SPACING) + 1)
        for s in np.linspace(_INSET, length - _INSET, count):
            points.append(a + s * unit)
            normals.append(normal)
    return np.array(points), np.array(normals)


CONTACTS, NORMALS = _contacts()
_EDGE = np.stack(
    [NORMALS[:, 0], NORMALS[:, 1], CONTACTS[:, 0] * NORMALS[:, 1] - CONTACTS[:, 1] * NORMALS[:, 0]]
)
_BOXES = ((0.0, 0.0342857, 0.080, 0.020), (0.0, -0.0457143, 0.020, 0.060))


class Push(NamedTuple):
    """One straight push in the table frame: the tool's centre goes from `start` to `end`."""

    start: tuple[float, float]
    end: tuple[float, float]
    direction: tuple[float, float]
    cost: float


def edge_error(pose: Pose, goal: Pose) -> float:
    """Mean distance between the block's edges at both poses (m); 0.9 mm is an IoU of 0.95."""
    cos, sin = math.cos(goal[2]), math.sin(goal[2])
    dx, dy = pose[0] - goal[0], pose[1] - goal[1]
    turn = math.remainder(pose[2] - goal[2], math.tau)
    shift = np.array([cos * dx + sin * dy, cos * dy - sin * dx, turn])
    return float(np.abs(shift @ _EDGE).mean())


def clear_of_block(pose: Pose, a: tuple[float, float], b: tuple[float, float], gap: float) -> bool:
    """Whether the straight line from `a` to `b` keeps `gap` from the block at `pose`.

    The first part of the line may lie nearer: a tool that starts beside the block may leave it.
    """
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    ax, ay, bx, by = a[0] - pose[0], a[1] - pose[1], b[0] - pose[0], b[1] - pose[1]
    part = np.linspace(0.0, 1.0, 24)
    wx, wy = ax + part * (bx - ax), ay + part * (by - ay)
    x, y = cos * wx + sin * wy, cos * wy - sin * wx
    nearest = None
    for cx, cy, hx, hy in _BOXES:
        dx = np.maximum(np.abs(x - cx) - hx, 0.0)
        dy = np.maximum(np.abs(y - cy) - hy, 0.0)
        gaps = np.hypot(dx, dy)
        nearest = gaps if nearest is None else np.minimum(nearest, gaps)
    assert nearest is not None
    wanted = np.full(len(part), gap)
    wanted[:3] = 0.9 * min(gap, float(nearest[0]))
    return bool((nearest >= wanted).all())


class Model:
    """Chooses the push whose predicted outcome, looked at two pushes deep, is best."""

    def __init__(self, slip_length: float, friction: float) -> None:
        self.slip_length = slip_length
        self.friction = friction
        angles = np.array([0.0, -0.3, 0.3])
        count = len(CONTACTS)
        self._p = np.tile(CONTACTS, (len(angles), 1))
        self._n = np.tile(NORMALS, (len(angles), 1))
        turn = np.repeat(angles, count)
        cos, sin = np.cos(turn), np.sin(turn)
        self._d = np.stack(
            [cos * self._n[:, 0] - sin * self._n[:, 1], sin * self._n[:, 0] + cos * self._n[:, 1]],
            1,
        )

    def outcomes(self, steps: np.ndarray) -> np.ndarray:
        """Block motions after each cumulated step, in its frame before the push.

        Args:
            steps: increments of tool travel after contact, shape (S,), metres.

        Returns:
            x, y, yaw of shape (3, S, N) over the N candidate pushes.
        """
        px, py = self._p.T
        nx, ny = self._n.T
        tx, ty = -ny, nx
        inverse = 1.0 / self.slip_length**2
        det = 1.0 + (px * px + py * py) * inverse
        a, b, c = (
            (1 + px * px * inverse) / det,
            px * py * inverse / det,
            (1 + py * py * inverse) / det,
        )
        x = np.zeros(len(px))
        y = np.zeros(len(px))
        yaw = np.zeros(len(px))
        out = np.empty((3, len(steps), len(px)))
        for k, step in enumerate(steps):
            cos, sin = np.cos(yaw), np.sin(yaw)
            dx = cos * self._d[:, 0] + sin * self._d[:, 1]
            dy = cos * self._d[:, 1] - sin * self._d[:, 0]
            fx, fy = a * dx + b * dy, c * dy + b * dx
            fn, ft = fx * nx + fy * ny, fx * tx + fy * ty
            limit = self.friction * np.maximum(fn, 1e-9)
            slides = np.abs(ft) > limit
            ft_s = np.where(slides, np.sign(ft) * limit, ft)
            gx, gy = fn * nx + ft_s * tx, fn * ny + ft_s * ty
            moment = (px * gy - py * gx) * inverse
            # A sliding contact still keeps up with the tool along the normal.
            vn = (gx - moment * py) * nx + (gy + moment * px) * ny
            scale = np.where(slides, (dx * nx + dy * ny) / np.maximum(vn, 1e-6), 1.0)
            turn = moment * scale * step
            half = yaw + 0.5 * turn
            cos, sin = np.cos(half), np.sin(half)
            gx, gy = gx * scale * step, gy * scale * step
            x = x + cos * gx - sin * gy
            y = y + sin * gx + cos * gy
            yaw = yaw + turn
            out[0, k], out[1, k], out[2, k] = x, y, yaw
        return out

    def best(
        self,
        pose: Pose,
        goal: Pose,
        tool: tuple[float, float],
        low: tuple[float, float],
        high: tuple[float, float],
    ) -> Push:
        """Best next push for a block at `pose`; its start and end stay inside `low`..`high`."""
        error = math.hypot(pose[0] - goal[0], pose[1] - goal[1])
        error += 0.06 * abs(math.remainder(pose[2] - goal[2], math.tau))
        longest = min(0.07, 1.6 * error + 0.002)
        steps = np.full(14, longest / 14)
        moves = self.outcomes(steps)
        flat = moves.reshape(3, -1)
        x, y, yaw = _after(pose, flat)
        cost = self._cost(x, y, yaw, goal)
        lengths = np.repeat(np.cumsum(steps), len(self._p))
        index = np.tile(np.arange(len(self._p)), len(steps))
        cos, sin = math.cos(pose[2]), math.sin(pose[2])
        sx = self._p[:, 0] - (TOOL_RADIUS) * self._n[:, 0]
        sy = self._p[:, 1] - (TOOL_RADIUS) * self._n[:, 1]
        dx = cos * self._d[:, 0] - sin * self._d[:, 1]
        dy = sin * self._d[:, 0] + cos * self._d[:, 1]
        cx = pose[0] + cos * sx - sin * sy
        cy = pose[1] + sin * sx + cos * sy
        back = STAND_OFF
        bx, by = cx - back * dx, cy - back * dy
        bad = (bx < low[0]) | (bx > high[0]) | (by < low[1]) | (by > high[1])
        ex, ey = cx[index] + lengths * dx[index], cy[index] + lengths * dy[index]
        bad = bad[index] | (ex < low[0]) | (ex > high[0]) | (ey < low[1]) | (ey > high[1])
        cost = np.where(bad, 1e3, cost)
        chosen = self._lookahead(x, y, yaw, cost, goal, error)
        i = index[chosen]
        return Push(
            (float(bx[i]), float(by[i])),
            (float(ex[chosen]), float(ey[chosen])),
            (float(dx[i]), float(dy[i])),
            float(cost[chosen]),
        )

    def _lookahead(self, x, y, yaw, cost, goal: Pose, error: float) -> int:
        """Of the most promising pushes, that after which the best second push ends best."""
        order = np.argpartition(cost, 24)[:24]
        best, chosen = 1e9, int(order[0])
        longest = min(0.05, error + 0.002)
        seconds = self.outcomes(np.full(6, longest / 6)).reshape(3, -1)
        for k in order:
            pose = (float(x[k]), float(y[k]), float(yaw[k]))
            second = float(self._cost(*_after(pose, seconds), goal).min())
            value = second + 0.35 * float(cost[k])
            if value < best:
                best, chosen = value, int(k)
        return chosen

    @staticmethod
    def _cost(x, y, yaw, goal: Pose) -> np.ndarray:
        """Distance of the block from the goal (m), a turn counted at 70 mm from the centre."""
        dx, dy = x - goal[0], y - goal[1]
        turn = (yaw - goal[2] + math.pi) % math.tau - math.pi
        return np.sqrt((dx * dx + dy * dy) + (0.07 * turn) ** 2)


def _after(pose: Pose, moves: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    return (
        pose[0] + cos * moves[0] - sin * moves[1],
        pose[1] + sin * moves[0] + cos * moves[1],
        pose[2] + moves[2],
    )
