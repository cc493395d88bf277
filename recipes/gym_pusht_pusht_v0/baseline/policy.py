"""Baseline for gym_pusht/PushT-v0: look, choose a push, go round the block, push, back off, look again.

Each step is a method of its own, so that a better idea replaces one of them. The game is a script
(a generator): it yields tool targets and is resumed when `act` brings the next observation.
The environment's pixels become metres on the way in and pixels again on the way out, at a scale that
makes the bar 160 mm long. Angles in radians; table frame (origin mid-arena) unless a name says block
frame (origin at the centre of mass, y from the stem towards the bar).
"""

import math

import numpy as np

PERIOD_S = 0.1
METRES = 0.160 / 120.0
MIDDLE_PX = np.array([256.0, 256.0])
LOW, HIGH = -256.0 * METRES * np.ones(2), 256.0 * METRES * np.ones(2)
TOOL_RADIUS = 15.0 * METRES
CENTRE_OF_MASS = 45.0 * METRES
GOAL_PX = (256.0, 256.0, math.pi / 4.0)

# Faces of the block, block frame: two ends between which the tool can touch, and the inward normal.
FACES = (
    ((-0.080, 0.060), (0.080, 0.060), (0.0, -1.0)),  # top of the bar
    ((-0.080, 0.020), (-0.080, 0.060), (1.0, 0.0)),  # left end of the bar
    ((0.080, 0.020), (0.080, 0.060), (-1.0, 0.0)),  # right end of the bar
    ((-0.080, 0.020), (-0.042, 0.020), (0.0, 1.0)),  # underside of the bar, left
    ((0.042, 0.020), (0.080, 0.020), (0.0, 1.0)),  # underside of the bar, right
    ((-0.020, -0.100), (-0.020, -0.002), (1.0, 0.0)),  # left of the stem
    ((0.020, -0.100), (0.020, -0.002), (-1.0, 0.0)),  # right of the stem
    ((-0.020, -0.100), (0.020, -0.100), (0.0, 1.0)),  # end of the stem
)


def pose_of(x_px, y_px, angle):
    """Pose of the centre of mass (m, m, rad) of a block whose origin, mid-bar, lies there."""
    x, y = (np.array([x_px, y_px]) - MIDDLE_PX) * METRES
    down = CENTRE_OF_MASS
    return np.array([x - down * math.sin(angle), y + down * math.cos(angle), angle + math.pi])


class Policy:
    """Pushes the T into its outline by single straight pushes."""

    def __init__(self, knobs):
        self.knobs = knobs
        self.points, self.normals = self.contacts()

    def reset(self, observation):
        self.goal = pose_of(*GOAL_PX)
        self.see(observation)
        self.aim = self.tool
        self.rejected = 0
        self.script = self.run()
        next(self.script)

    def act(self, observation):
        self.see(observation)
        return self.script.send(observation) / METRES + MIDDLE_PX

    def see(self, observation):
        state = observation["observation"]
        self.tool = (state[:2] - MIDDLE_PX) * METRES
        self.pose = pose_of(*(float(value) for value in state[2:]))

    def run(self):
        yield self.aim
        while True:
            pose = yield from self.look()
            if self.done(pose):
                yield from self.retract(pose)
                yield from self.wait(pose)
                continue
            push = self.choose(pose)
            yield from self.approach(pose, push)
            yield from self.push(pose, push)
            yield from self.back_off(push)

    # What the policy believes -----------------------------------------------------------------

    def look(self):
        """Pose of the block once it lies still."""
        yield from self.hold(self.knobs["settle_s"])
        return self.pose

    def cost(self, x, y, yaw):
        """How far poses (arrays or numbers) are from the goal, in metres."""
        turn = (yaw - self.goal[2] + math.pi) % math.tau - math.pi
        far = np.hypot(x - self.goal[0], y - self.goal[1])
        return far + self.knobs["angle_weight"] * np.abs(turn)

    def done(self, pose):
        """Whether the block lies well enough to be left alone."""
        return self.cost(*pose) < self.knobs["stop_cost"]

    # Which push -------------------------------------------------------------------------------

    def contacts(self):
        """Two points on each face and inward normals there, block frame, arrays (N, 2)."""
        points, normals = [], []
        for start, end, normal in FACES:
            for part in (0.25, 0.75):
                points.append(np.array(start) * (1.0 - part) + np.array(end) * part)
                normals.append(normal)
        return np.array(points), np.array(normals)

    def lengths(self, pose):
        """Push lengths to consider, in metres after contact."""
        return np.array([0.002, 0.006, 0.018, 0.05])

    def predict(self, pose, points, normals, length):
        """Poses after pushing at `points` along `normals` (block frame) by `length`.

        Quasi-static, sticking contact: force and twist are bound by an ellipsoidal limit surface
        with one characteristic length.
        """
        px, py = points[:, 0], points[:, 1]
        nx, ny = normals[:, 0], normals[:, 1]
        slip = self.knobs["slip_length"] ** 2
        share = 1.0 + (px * px + py * py) / slip
        fx = ((1.0 + px * px / slip) * nx + px * py / slip * ny) / share
        fy = ((1.0 + py * py / slip) * ny + px * py / slip * nx) / share
        turn = (px * fy - py * fx) / slip * length
        middle = pose[2] + 0.5 * turn
        cos, sin = np.cos(middle), np.sin(middle)
        x = pose[0] + (cos * fx - sin * fy) * length
        y = pose[1] + (sin * fx + cos * fy) * length
        return x, y, pose[2] + turn

    def options(self, pose):
        """All pushes to consider: start, end, direction (M, 2) and predicted poses after them."""
        start, direction = self.starts(pose)
        lengths = self.lengths(pose)
        index = np.tile(np.arange(len(start)), len(lengths))
        length = np.repeat(lengths, len(start))
        start, direction = start[index], direction[index]
        end = start + (self.knobs["stand_off"] + length)[:, None] * direction
        after = self.predict(pose, self.points[index], self.normals[index], length)
        return start, end, direction, after

    def choose(self, pose):
        """Start, end and direction of the push whose predicted outcome is best."""
        start, end, direction, after = self.options(pose)
        value = self.cost(*after)
        if self.knobs["rank_by"] == "gain_per_second":
            way = np.hypot(*(start - self.aim).T) / self.knobs["travel_speed"]
            way += np.hypot(*(end - start).T) / self.knobs["push_speed"]
            value = (value - self.cost(*pose)) / (1.0 + way)
        allowed = self.reachable(start) & self.reachable(end)
        best = int(np.argmin(np.where(allowed, value, 1e3)))
        return start[best], end[best], direction[best]

    def starts(self, pose):
        """Tool positions before contact and push directions of all contacts, table frame."""
        cos, sin = math.cos(pose[2]), math.sin(pose[2])
        turned = np.array([[cos, sin], [-sin, cos]])
        direction = self.normals @ turned
        surface = self.points @ turned + pose[:2]
        return surface - (TOOL_RADIUS + self.knobs["stand_off"]) * direction, direction

    def reachable(self, points):
        return np.all((points > LOW) & (points < HIGH), axis=1)

    def push_speed(self, pose):
        """Tool speed while pushing, in metres a second."""
        return self.knobs["push_speed"]

    # How the tool moves -----------------------------------------------------------------------

    def hold(self, seconds):
        for _ in range(max(1, round(seconds / PERIOD_S))):
            yield self.aim

    def go(self, target, speed):
        """Straight line of targets at `speed` from the present target."""
        start = self.aim
        target = np.clip(target, LOW, HIGH)
        steps = max(1, math.ceil(math.dist(start, target) / (speed * PERIOD_S)))
        for k in range(1, steps + 1):
            self.aim = start + (target - start) * (k / steps)
            yield self.aim

    def approach(self, pose, push):
        """Round the block on a circle to the start of the push."""
        start, _, direction = push
        radius = self.knobs["orbit_radius"]
        along = float(np.dot(start - pose[:2], direction))
        inside = along * along - float(np.sum((start - pose[:2]) ** 2)) + radius * radius
        entry = start - max(along + math.sqrt(max(inside, 0.0)), 0.0) * direction
        yield from self.circle(pose, entry, radius)
        yield from self.go(entry, self.knobs["travel_speed"])
        yield from self.go(start, self.knobs["travel_speed"])

    def circle(self, pose, target, radius):
        """Round the block's centre, the shorter way, until `target`'s bearing is reached."""
        here = math.atan2(self.aim[1] - pose[1], self.aim[0] - pose[0])
        there = math.atan2(target[1] - pose[1], target[0] - pose[0])
        turn = math.remainder(there - here, math.tau)
        count = max(1, math.ceil(abs(turn) / 0.3))
        for k in range(count + 1):
            angle = here + turn * k / count
            point = pose[:2] + radius * np.array([math.cos(angle), math.sin(angle)])
            yield from self.go(point, self.knobs["travel_speed"])

    def push(self, pose, push):
        """Along the push to its end, and a moment there for the tool to catch up."""
        yield from self.go(push[1], self.push_speed(pose))
        yield from self.hold(self.knobs["dwell_s"])

    def back_off(self, push):
        """Away from the block, the way the tool came."""
        yield from self.go(self.aim - self.knobs["back_off"] * push[2], self.knobs["travel_speed"])

    def retract(self, pose):
        """Clear of the goal."""
        away = self.aim - self.goal[:2]
        away = away / max(float(np.hypot(*away)), 1e-6)
        yield from self.go(self.goal[:2] + 0.19 * away, self.knobs["travel_speed"])

    def wait(self, pose):
        """Parked for a while; without a verdict, back to work."""
        yield from self.hold(self.knobs["patience_s"])
        self.rejected += 1
