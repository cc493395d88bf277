"""Reference for gym_pusht/PushT-v0: roll candidate pushes out on an own model, take the best, look again.

A push is one target beyond a face of the block, held until the disc has come to rest there.
Candidates differ in contact, direction and length; the most promising that can be reached are
followed by a second push before one is chosen. Between pushes the disc goes round the block along
straight lines. Pixels, radians; poses are those of the block's centre of mass.
"""

import math
from typing import NamedTuple

import numpy as np
from paths import route
from world import AREA, GOAL, OUTLINE, PERIMETER, RADIUS, World, lost, pose_of, speed_after, wrap

LOW, HIGH = 0.0, 512.0
WALLS = 7.0, 504.0
PUSH_ACTIONS = 6
SLOW = 12.0
"""Speed (px/s) below which a push is over."""

# Where the disc can touch: two ends of each stretch, and the inward normal there.
FACES = (
    ((-58.0, -45.0), (58.0, -45.0), (0.0, 1.0)),
    ((-60.0, -43.0), (-60.0, -17.0), (1.0, 0.0)),
    ((60.0, -43.0), (60.0, -17.0), (-1.0, 0.0)),
    ((-58.0, -15.0), (-31.0, -15.0), (0.0, -1.0)),
    ((31.0, -15.0), (58.0, -15.0), (0.0, -1.0)),
    ((-15.0, 1.0), (-15.0, 73.0), (1.0, 0.0)),
    ((15.0, 1.0), (15.0, 73.0), (-1.0, 0.0)),
    ((-13.0, 75.0), (13.0, 75.0), (0.0, -1.0)),
)
SPACING = 9.0
NEAR = 14.0
"""Cost below which what the outline leaves uncovered is counted, in pixels."""


class Contacts:
    """Points all along the faces, with the directions in which the disc may push there."""

    def __init__(self, angles):
        points, normals, directions = [], [], []
        for ends in FACES:
            start, end, normal = map(np.array, ends)
            count = max(2, round(float(np.hypot(*(end - start))) / SPACING) + 1)
            for part in np.linspace(0.0, 1.0, count):
                for angle in angles:
                    cos, sin = math.cos(angle), math.sin(angle)
                    points.append(start + part * (end - start))
                    normals.append(normal)
                    turned = cos * normal[0] - sin * normal[1], sin * normal[0] + cos * normal[1]
                    directions.append(turned)
        self.touching = np.array(points) - RADIUS * np.array(normals)
        self.directions = np.array(directions)


FINE, COARSE = Contacts((0.0, -0.45, 0.45)), Contacts((0.0,))


class Pushes(NamedTuple):
    """Candidates: from which pose, which contact, where the disc starts, its target, the block after
    it, its cost."""

    origin: np.ndarray
    contact: np.ndarray
    start: np.ndarray
    target: np.ndarray
    after: tuple[np.ndarray, np.ndarray, np.ndarray]
    cost: np.ndarray


class Policy:
    """Chooses pushes by rolling them out."""

    def __init__(self, knobs):
        self.knobs = knobs

    def reset(self, observation):
        self.speed = np.zeros(2)
        self.see(observation)
        self.script = self.run()
        next(self.script)

    def act(self, observation):
        self.see(observation)
        # What the environment is told is in single precision.
        target = np.clip(np.array(self.script.send(None)), LOW, HIGH).astype(np.float32)
        self.speed = speed_after(self.disc, self.speed, target)
        return target

    def see(self, observation):
        x, y, bx, by, angle = (float(value) for value in observation["observation"])
        self.disc = np.array([x, y])
        self.pose = pose_of(bx, by, angle)

    def run(self):
        yield None
        while True:
            way, target, after = self.choose()
            yield from self.travel(way)
            target = self.aim(target, after)
            for count in range(PUSH_ACTIONS):
                if count > 1 and math.hypot(*self.speed) < SLOW:
                    break
                yield target

    def travel(self, way):
        """Along free lines to the start of a push, nearly to rest there."""
        for point in way:
            near = self.knobs["start_px"] if point is way[-1] else self.knobs["corner_px"]
            for _ in range(10):
                if math.dist(self.disc, point) < near:
                    break
                yield point

    def choose(self):
        """Way to, target and outcome of the push after which another can leave the least."""
        pushes = self.pushes([self.pose], FINE, 12)
        found, ways = [], {}
        for index in np.argsort(pushes.cost):
            contact = int(pushes.contact[index])
            if contact not in ways:
                ways[contact] = route(self.pose, self.disc, pushes.start[index])
            if ways[contact] is not None:
                found.append(index)
            enough = found and pushes.cost[found[0]] <= self.knobs["enough_px"]
            if enough or len(found) >= self.knobs["branches"]:
                break
        if not found:
            # Nothing can be reached: out into the open, to look from there.
            away = self.disc - self.pose[:2]
            point = self.disc + 30.0 * away / max(float(np.hypot(*away)), 1e-6)
            return [point], point, self.pose
        after = np.stack(pushes.after, axis=1)[found]
        best = found[self.look_ahead(after, pushes.cost[found]) if len(found) > 1 else 0]
        pose = tuple(float(part[best]) for part in pushes.after)
        return ways[int(pushes.contact[best])], pushes.target[best], pose

    def look_ahead(self, poses, cost):
        """Which of some poses the best second push improves most, their own costs counted too."""
        seconds = self.pushes(poses, COARSE, 7)
        left = cost.copy()
        np.minimum.at(left, seconds.origin, seconds.cost)
        return int(np.argmin(left + self.knobs["first_weight"] * cost))

    def aim(self, target, after):
        """The target once more, from where the disc has really come to."""
        count = 9
        move = target - self.disc
        far = max(float(np.hypot(*move)), 1e-6)
        along = move / far
        across = np.array([-along[1], along[0]])
        reach = self.knobs["aim_px"] * np.linspace(-1.0, 1.0, count)
        offsets = reach[:, None, None] * along + reach[None, :, None] * across
        targets = np.clip(target + offsets.reshape(-1, 2), LOW, HIGH)
        world = World((*self.disc, *self.speed), self.pose, len(targets))
        for _ in range(PUSH_ACTIONS):
            world.act(targets[:, 0], targets[:, 1])
        ended = world.x, world.y, world.turn
        value = self.cost(*ended)
        if float(self.cost(*after)) > self.knobs["enough_px"]:
            # Another push follows: this one shall end where that was planned from.
            shift = np.hypot(ended[0] - after[0], ended[1] - after[1])
            value = shift + 50.0 * np.abs(wrap(ended[2] - after[2]))
        return targets[int(np.argmin(value))]

    def pushes(self, poses, contacts, lengths):
        """All pushes to consider from some poses, rolled out."""
        x, y, angle = np.transpose(poses)
        cos, sin = np.cos(angle), np.sin(angle)
        turned = np.stack([cos, sin, -sin, cos], axis=1).reshape(-1, 2, 2)
        touching = contacts.touching @ turned + np.stack([x, y], axis=1)[:, None]
        direction = contacts.directions @ turned
        longest = np.minimum(self.knobs["longest_px"], 1.7 * self.cost(x, y, angle) + 4.0)
        share = np.arange(1, lengths + 1) / lengths
        # By pose, contact and length.
        length = longest[:, None, None, None] * share[:, None]
        shape = (*touching.shape[:2], lengths, 2)
        start = touching - self.knobs["stand_off"] * direction
        start = np.broadcast_to(start[:, :, None], shape).reshape(-1, 2)
        target = (touching[:, :, None] + length * direction[:, :, None]).reshape(-1, 2)
        origin, contact = (each.ravel() for each in np.indices(shape[:3])[:2])
        inside = (start > LOW) & (start < HIGH) & (target > LOW) & (target < HIGH)
        kept = inside.all(axis=1)
        start, target, origin, contact = start[kept], target[kept], origin[kept], contact[kept]
        pose = x[origin], y[origin], angle[origin]
        world = World((start[:, 0], start[:, 1], 0.0, 0.0), pose, len(start))
        for _ in range(PUSH_ACTIONS):
            world.act(target[:, 0], target[:, 1])
        after = world.x, world.y, world.turn
        cost = self.cost(*after) + self.outside(*after)
        return Pushes(origin, contact, start, target, after, cost)

    def cost(self, x, y, angle):
        """How far poses lie from the goal, in pixels."""
        turn = 2.0 * np.sin(0.5 * (angle - GOAL[2]))
        far = np.sqrt((x - GOAL[0]) ** 2 + (y - GOAL[1]) ** 2 + (self.knobs["arm_px"] * turn) ** 2)
        share = (4.0 * AREA / PERIMETER) * lost(x, y, angle)
        return np.where(far < NEAR, np.minimum(share, far), far)

    def outside(self, x, y, angle):
        """How far corners would lie beyond the walls, weighed."""
        cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
        px = x[:, None] + cos * OUTLINE[:, 0] - sin * OUTLINE[:, 1]
        py = y[:, None] + sin * OUTLINE[:, 0] + cos * OUTLINE[:, 1]
        low, high = np.minimum(px, py), np.maximum(px, py)
        out = np.maximum(np.maximum(WALLS[0] - low, high - WALLS[1]), 0.0)
        return self.knobs["wall_weight"] * out.max(axis=1)
