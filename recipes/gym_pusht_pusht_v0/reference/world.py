"""An own model of the plane: a disc led by a servo pushes a T that stops as soon as it is let go.

Many candidates are rolled out at once, one an entry of each array. Pixels, seconds, radians; a pose
is that of the T's centre of mass, in whose frame the bar lies at negative y.

A contact without friction gives the block the least motion that keeps out of the disc's way: force
along the contact's normal, motion as mass and inertia answer it. What overlaps is pushed apart at a
share of its depth a step, as solvers of rigid bodies do.
"""

import math
from typing import NamedTuple

import numpy as np

STEP_S = 0.01
STEPS_AN_ACTION = 10
STIFFNESS, DAMPING = 100.0, 20.0
RADIUS = 15.0
CENTRE = 45.0
"""Distance of the centre of mass from the middle of the bar's outer edge."""
INERTIA = 3000.0
"""For a unit of mass."""
SLOP = 0.1
ROUNDS = 8
PART = 1.0 - 0.9 ** (60.0 * STEP_S)

BAR = (-60.0, 60.0, -CENTRE, 30.0 - CENTRE)
STEM = (-15.0, 15.0, 30.0 - CENTRE, 120.0 - CENTRE)
AREA = 120.0 * 30.0 + 30.0 * 90.0

# Corners of the outline, in order round it.
OUTLINE = np.array(
    [
        (-60, -45), (60, -45), (60, -15), (15, -15), (15, 75), (-15, 75), (-15, -15), (-60, -15),
    ],
    dtype=float,
)  # fmt: skip


def pose_of(x, y, angle):
    """Pose of the centre of mass of a block whose bar's outer edge has its middle at x, y."""
    return x - CENTRE * math.sin(angle), y + CENTRE * math.cos(angle), angle


GOAL = pose_of(256.0, 256.0, math.pi / 4.0)


def _edge_samples(count):
    """Points spread evenly over the outline, and the inward normals there."""
    points, normals = [], []
    ends = np.roll(OUTLINE, -1, axis=0)
    for start, end in zip(OUTLINE, ends, strict=True):
        length = float(np.hypot(*(end - start)))
        along = (end - start) / length
        for part in (np.arange(round(length / count)) + 0.5) * count / length:
            points.append(start + part * (end - start))
            normals.append((-along[1], along[0]))
    return np.array(points), np.array(normals)


EDGE, EDGE_NORMALS = _edge_samples(5.0)
_ARM = EDGE[:, 0] * EDGE_NORMALS[:, 1] - EDGE[:, 1] * EDGE_NORMALS[:, 0]
_FIELD = np.stack([EDGE_NORMALS[:, 0], EDGE_NORMALS[:, 1], _ARM])
PERIMETER = 480.0


def lost(x, y, angle):
    """Share of the goal that a block at these poses (arrays) leaves uncovered, if it lies near."""
    cos, sin = math.cos(GOAL[2]), math.sin(GOAL[2])
    dx, dy = np.ravel(x) - GOAL[0], np.ravel(y) - GOAL[1]
    turn = wrap(np.ravel(angle) - GOAL[2])
    moved = np.stack([cos * dx + sin * dy, cos * dy - sin * dx, turn], axis=1) @ _FIELD
    share = 0.5 * PERIMETER / AREA * np.abs(moved).mean(axis=1)
    return share.reshape(np.shape(x))


def wrap(angle):
    return (angle + math.pi) % math.tau - math.pi


def speed_after(disc, speed, target):
    """Velocity of the disc after one action; nothing that it touches slows it."""
    (x, y), (u, v) = disc, speed
    for _ in range(STEPS_AN_ACTION):
        u += STEP_S * (STIFFNESS * (target[0] - x) - DAMPING * u)
        v += STEP_S * (STIFFNESS * (target[1] - y) - DAMPING * v)
        x += STEP_S * u
        y += STEP_S * v
    return np.array([u, v])


class Contact(NamedTuple):
    """Normal from block to disc, its moment arm, whether they touch, and how deep; arrays."""

    nx: np.ndarray
    ny: np.ndarray
    arm: np.ndarray
    hit: np.ndarray
    depth: np.ndarray

    def some(self, index):
        return Contact(*(part[index] for part in self))


class World:
    """Some candidates' discs and blocks.

    Args:
        disc: x, y, and their velocities, four arrays or numbers.
        pose: x, y, angle, three arrays or numbers.
        count: How many candidates.
    """

    def __init__(self, disc, pose, count):
        self.ax, self.ay, self.au, self.av = (
            np.array(np.broadcast_to(v, count), float) for v in disc
        )
        self.x, self.y, self.turn = (np.array(np.broadcast_to(v, count), float) for v in pose)
        # Velocities from the last contact, real and of the pushing apart together.
        self.u, self.v, self.w = np.zeros(count), np.zeros(count), np.zeros(count)

    def act(self, tx, ty):
        """One action: the servo's target for a tenth of a second."""
        for _ in range(STEPS_AN_ACTION):
            self._step(tx, ty)

    def _step(self, tx, ty):
        self.au += STEP_S * (STIFFNESS * (tx - self.ax) - DAMPING * self.au)
        self.av += STEP_S * (STIFFNESS * (ty - self.ay) - DAMPING * self.av)
        self.ax += STEP_S * self.au
        self.ay += STEP_S * self.av
        self.x += STEP_S * self.u
        self.y += STEP_S * self.v
        self.turn += STEP_S * self.w
        self.u, self.v, self.w = np.zeros((3, len(self.x)))
        near = np.nonzero(np.hypot(self.ax - self.x, self.ay - self.y) < 105.0)[0]
        if len(near):
            self._touch(near)

    def _touch(self, near):
        """Block velocities where the disc touches, of the candidates `near`."""
        cos, sin = np.cos(self.turn[near]), np.sin(self.turn[near])
        dx, dy = self.ax[near] - self.x[near], self.ay[near] - self.y[near]
        px, py = cos * dx + sin * dy, cos * dy - sin * dx
        bar, stem = (_contact(px, py, box) for box in (BAR, STEM))
        hit = np.nonzero(bar.hit | stem.hit)[0]
        if not len(hit):
            return
        near, cos, sin = near[hit], cos[hit], sin[hit]
        contacts = [each.some(hit) for each in (bar, stem)]
        du, dv = self.au[near], self.av[near]
        disc = cos * du + sin * dv, cos * dv - sin * du
        motion = _answers(contacts, disc, 1)
        both = np.nonzero(contacts[0].hit & contacts[1].hit)[0]
        if len(both):
            # In the corner between bar and stem each contact changes what the other has to give.
            inner = [each.some(both) for each in contacts]
            motion[:, both] = _answers(inner, [part[both] for part in disc], ROUNDS)
        u, v = motion[0] + motion[3], motion[1] + motion[4]
        self.u[near] = cos * u - sin * v
        self.v[near] = sin * u + cos * v
        self.w[near] = motion[2] + motion[5]


def _contact(px, py, box):
    """The contact of discs at px, py in the block's frame with one of its boxes."""
    qx, qy = np.clip(px, box[0], box[1]), np.clip(py, box[2], box[3])
    dx, dy = px - qx, py - qy
    far = np.hypot(dx, dy)
    inside = far < 1e-9
    far = np.where(inside, 1.0, far)
    nx, ny = dx / far, dy / far
    depth = np.where(inside, 0.0, RADIUS - far)
    return Contact(nx, ny, qx * ny - qy * nx, depth > 0.0, depth)


def _answers(contacts, disc, rounds):
    """Block's velocity, and that of the pushing apart, which its contacts ask for: x, y, turn each."""
    motion = np.zeros((6, len(disc[0])))
    sums = np.zeros((2, 2, len(disc[0])))
    for _ in range(rounds):
        for contact, total in zip(contacts, sums, strict=True):
            _answer(contact, disc, motion, total)
    return motion


def _answer(contact, disc, motion, total):
    """Add what one contact gives the block: impulses so far are kept in `total`, never below 0."""
    nx, ny, arm, hit, depth = contact
    share = 1.0 / (1.0 + arm * arm / INERTIA)
    apart = PART * np.maximum(depth - SLOP, 0.0) / STEP_S
    closing = motion[0] * nx + motion[1] * ny + motion[2] * arm - disc[0] * nx - disc[1] * ny
    parting = motion[3] * nx + motion[4] * ny + motion[5] * arm + apart
    for at, wanted in enumerate((closing, parting)):
        sum_after = np.where(hit, np.maximum(total[at] + share * wanted, 0.0), 0.0)
        added = sum_after - total[at]
        total[at] = sum_after
        motion[3 * at] -= added * nx
        motion[3 * at + 1] -= added * ny
        motion[3 * at + 2] -= added * arm / INERTIA
