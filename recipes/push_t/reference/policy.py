"""Reference for Push-T: plan each push on a quasi-static model, look again, end with a fine game.

A script, written as a generator, runs through look, plan, travel, push and retract; `act` hands it
each observation and returns the tool target it yields. Lengths in metres, angles in radians; block
frame at the centre of mass, y towards the bar.
"""

from __future__ import annotations

import math
from collections.abc import Generator

import numpy as np
from pushing import Model, Push, clear_of_block, edge_error

Script = Generator[tuple[float, float], dict[str, np.ndarray], None]
Pose = tuple[float, float, float]

LOW, HIGH = (-0.355, -0.255), (0.355, 0.255)
PERIOD_S = 1.0 / 30.0
TOOL_RADIUS = 0.010
CLEARANCE = 0.008
ORBIT = 0.128
"""Radius about the centre of mass at which the tool passes every corner of the block."""
PARK = 0.185
"""Where a retracted tool waits, from the goal's centre."""


class Policy:
    """Scripted pusher with model-based choice of each push."""

    def __init__(self, knobs: dict[str, float | int | str | bool]) -> None:
        self.travel_speed = float(knobs["travel_speed"])
        self.push_speed = float(knobs["push_speed"])
        self.fine_speed = float(knobs["fine_speed"])
        self.fine_error = float(knobs["fine_error"])
        self.stop_error = float(knobs["stop_error"])
        self.fine_frames = int(knobs["fine_frames"])
        self.model = Model(float(knobs["slip_length"]), float(knobs["tool_friction"]))

    def reset(self, observation: dict[str, np.ndarray]) -> None:
        x, y, yaw = (float(value) for value in observation["goal_pose"])
        self.goal: Pose = (x, y, yaw)
        self.see(observation)
        self.aim = (self.x, self.y)
        self.stop = self.stop_error
        self._script = self.run()
        next(self._script)

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        return np.array(self._script.send(observation))

    def run(self) -> Script:
        """The whole game, without end: the station decides when it is over."""
        observation = yield self.aim
        self.see(observation)
        while True:
            pose = yield from self.look(4)
            error = edge_error(pose, self.goal)
            if error < 2.5 * self.stop_error:
                pose = yield from self.look(self.fine_frames)
                error = edge_error(pose, self.goal)
            if error < self.stop:
                yield from self.retract(pose)
                pose = yield from self.look(24)
                # Not accepted: the estimate flattered; ask for more, but never the impossible.
                self.stop = max(0.6 * edge_error(pose, self.goal), 0.5 * self.stop_error)
                continue
            self.stop = min(self.stop_error, self.stop * 1.15)
            push = self.model.best(pose, self.goal, (self.x, self.y), LOW, HIGH)
            yield from self.travel(pose, push)
            fine = error < self.fine_error
            yield from self.push(push, self.fine_speed if fine else self.push_speed)

    def see(self, observation: dict[str, np.ndarray]) -> None:
        tool, pose = observation["tool_position_m"], observation["object_pose"]
        self.x, self.y = float(tool[0]), float(tool[1])
        self.pose = (float(pose[0]), float(pose[1]), float(pose[2]))

    def hold(self, target: tuple[float, float]) -> Script:
        """One policy step towards `target`."""
        self.aim = (min(max(target[0], LOW[0]), HIGH[0]), min(max(target[1], LOW[1]), HIGH[1]))
        observation = yield self.aim
        self.see(observation)

    def look(self, frames: int) -> Generator[tuple[float, float], dict[str, np.ndarray], Pose]:
        """Mean of still frames, after the longest latency has passed."""
        for _ in range(3):
            yield from self.hold(self.aim)
        x = y = turn = 0.0
        first = self.pose[2]
        for _ in range(frames):
            x += self.pose[0]
            y += self.pose[1]
            turn += math.remainder(self.pose[2] - first, math.tau)
            yield from self.hold(self.aim)
        return x / frames, y / frames, first + turn / frames

    def go(self, target: tuple[float, float], speed: float) -> Script:
        """Straight line of targets at `speed` (m/s), from the present target."""
        x, y = self.aim
        far = math.hypot(target[0] - x, target[1] - y)
        steps = max(1, math.ceil(far / (speed * PERIOD_S)))
        for k in range(1, steps + 1):
            part = k / steps
            yield from self.hold((x + part * (target[0] - x), y + part * (target[1] - y)))

    def travel(self, pose: Pose, push: Push) -> Script:
        """To the push's start, straight where that is free, else along the orbit."""
        start = push.start
        if not clear_of_block(pose, self.aim, start, TOOL_RADIUS + 0.5 * CLEARANCE):
            enter = _ray_to_orbit(start, push.direction, pose)
            here = _bearing(pose, self.aim)
            there = _bearing(pose, enter)
            turn = self.free_turn(pose, here, math.remainder(there - here, math.tau))
            radius = max(ORBIT, math.hypot(enter[0] - pose[0], enter[1] - pose[1]))
            count = max(1, math.ceil(abs(turn) / 0.35))
            for k in range(count + 1):
                angle = here + turn * k / count
                point = _on_circle(pose, radius, angle)
                yield from self.go(_inside(point), self.travel_speed)
                if clear_of_block(pose, self.aim, start, TOOL_RADIUS + 0.5 * CLEARANCE):
                    break
            else:
                yield from self.go(_inside(enter), self.travel_speed)
        yield from self.go(start, self.travel_speed)
        for _ in range(3):
            yield from self.hold(start)

    def free_turn(self, pose: Pose, here: float, turn: float) -> float:
        """The shorter way round, unless only the longer one stays inside the workspace."""
        long = turn - math.copysign(math.tau, turn)
        for way in (turn, long):
            points = [_on_circle(pose, ORBIT, here + way * k / 8) for k in range(9)]
            if all(_inside(point) == point for point in points):
                return way
        return turn

    def push(self, push: Push, speed: float) -> Script:
        """Along the push until the measured tool has reached its end, then back off."""
        dx, dy = push.direction
        yield from self.go(push.end, speed)
        aim = push.end
        for _ in range(4):
            for _ in range(2):
                yield from self.hold(aim)
            # The servo yields under load: ask for what is still missing.
            short = (push.end[0] - self.x) * dx + (push.end[1] - self.y) * dy
            if short < 1e-4:
                break
            aim = (aim[0] + short * dx, aim[1] + short * dy)
        back = (self.aim[0] - 0.02 * dx, self.aim[1] - 0.02 * dy)
        yield from self.go(back, 0.25)

    def retract(self, pose: Pose) -> Script:
        """Away from the block along the shortest free line, far enough to be looked at."""
        angle = _bearing(self.goal, (self.x, self.y))
        for turn in (0.0, 0.4, -0.4, 0.8, -0.8, 1.2, -1.2):
            point = _on_circle(self.goal, PARK, angle + turn)
            free = clear_of_block(pose, self.aim, point, TOOL_RADIUS + 0.004)
            if free and _inside(point) == point:
                break
        yield from self.go(point, self.travel_speed)
        for _ in range(6):
            yield from self.hold(point)


def _inside(point: tuple[float, float]) -> tuple[float, float]:
    return min(max(point[0], LOW[0]), HIGH[0]), min(max(point[1], LOW[1]), HIGH[1])


def _on_circle(centre: Pose, radius: float, angle: float) -> tuple[float, float]:
    return centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle)


def _bearing(centre: Pose, point: tuple[float, float]) -> float:
    return math.atan2(point[1] - centre[1], point[0] - centre[0])


def _ray_to_orbit(
    start: tuple[float, float], direction: tuple[float, float], pose: Pose
) -> tuple[float, float]:
    """Point on the orbit reached from `start` by going back against the push."""
    x, y = start[0] - pose[0], start[1] - pose[1]
    along = x * direction[0] + y * direction[1]
    reach = along * along - (x * x + y * y - ORBIT * ORBIT)
    back = along + math.sqrt(max(reach, 0.0))
    return start[0] - max(back, 0.0) * direction[0], start[1] - max(back, 0.0) * direction[1]
