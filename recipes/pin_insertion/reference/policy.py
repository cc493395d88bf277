"""Reference for pin insertion: touch down, feel for the hole along a spiral, push until it stops.

A script, written as a generator, runs through look, approach, touch, search and push; `act` hands it
each observation and returns the command it yields: hand x, y, z and the gap between the pads (m).
"""

from __future__ import annotations

import math
from collections.abc import Generator

import numpy as np

Script = Generator[np.ndarray, dict[str, np.ndarray], None]

PERIOD_S = 1.0 / 30.0
GRASP = 0.045
"""From the tip of the pin up to the hand."""
GRIP = 0.004
LOOK_FRAMES = 8


class Policy:
    """Compliant search with force feedback."""

    def __init__(self, knobs: dict[str, float | int | str | bool]) -> None:
        self.touch_force = float(knobs["touch_force"])
        self.press = float(knobs["press"])
        self.touch_speed = float(knobs["touch_speed"])
        self.search_speed = float(knobs["search_speed"])
        self.turn_pitch = float(knobs["turn_pitch"])
        self.search_radius = float(knobs["search_radius"])
        self.push_force = float(knobs["push_force"])
        self.floor = float(knobs["floor"])

    def reset(self, observation: dict[str, np.ndarray]) -> None:
        self.see(observation)
        self.aim = self.hand.copy()
        self.script = self.run()
        next(self.script)

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        return self.script.send(observation)

    def run(self) -> Script:
        """The whole game, without end: the station decides when it is over."""
        self.see((yield self.command()))
        start = yield from self.look()
        while True:
            yield from self.go((start[0], start[1], GRASP + 0.004), 0.06)
            yield from self.hold(6)
            yield from self.touch()
            rim = self.hand[2]
            if rim > GRASP - 0.003:
                yield from self.search(start, rim)
            yield from self.push()
            if self.hand[2] < self.floor + 0.003:
                yield from self.hold(30)
            yield from self.go((self.aim[0], self.aim[1], GRASP + 0.004), 0.06)

    def see(self, observation: dict[str, np.ndarray]) -> None:
        self.hand = observation["hand_position_m"]
        self.force = float(observation["wrist_force_n"][2])
        self.hole, self.tip = observation["hole_position_m"], observation["pin_tip_m"]

    def command(self) -> np.ndarray:
        return np.array([*self.aim, GRIP])

    def hold(self, steps: int) -> Script:
        for _ in range(steps):
            self.see((yield self.command()))

    def look(self) -> Generator[np.ndarray, dict[str, np.ndarray], np.ndarray]:
        """Where the hand must be for the tip to be over the hole, by the mean of still frames."""
        wanted = []
        for _ in range(LOOK_FRAMES):
            yield from self.hold(1)
            wanted.append(self.hole + self.hand - self.tip)
        return np.mean(wanted, axis=0)

    def go(self, to: tuple[float, float, float], speed: float) -> Script:
        start, end = self.aim.copy(), np.array(to)
        steps = max(1, math.ceil(float(np.linalg.norm(end - start)) / (speed * PERIOD_S)))
        for k in range(1, steps + 1):
            self.aim = start + (end - start) * (k / steps)
            yield from self.hold(1)

    def touch(self) -> Script:
        """Down until something is felt, or the pin is well inside a hole."""
        while self.force < self.touch_force and self.hand[2] > GRASP - 0.006:
            self.aim[2] -= self.touch_speed * PERIOD_S
            yield from self.hold(1)

    def search(self, start: np.ndarray, rim: float) -> Script:
        """Along a spiral at light pressure, until the hand sinks."""
        self.aim[2] = rim - self.press
        turn = 0.0
        while self.hand[2] > rim - 0.0015:
            radius = self.turn_pitch * turn / math.tau
            if radius > self.search_radius:
                return
            turn += self.search_speed * PERIOD_S / max(radius, 0.5 * self.turn_pitch)
            self.aim[0] = start[0] + radius * math.cos(turn)
            self.aim[1] = start[1] + radius * math.sin(turn)
            yield from self.hold(1)

    def push(self) -> Script:
        """Down where the hand now is, until the bottom or too much force is felt."""
        self.aim[:2] = self.hand[:2]
        yield from self.hold(3)
        while self.hand[2] > self.floor and self.force < self.push_force:
            self.aim[2] = max(self.aim[2] - 0.0015, self.floor - 0.004)
            yield from self.hold(1)
            if self.aim[2] <= self.floor - 0.004 and self.force > self.touch_force:
                return
