"""Reference for zip-tie fastening: peck at the window until the tip goes in, push, prove by a pull.

A peck that is blocked, or a pull that holds nothing, says that the window is elsewhere: the next
peck is aimed at the next place of a grid about the estimate, the likeliest first.
"""

from __future__ import annotations

import numpy as np

from robots.skills import Arm, Grip, Hand, Robot, Script, ScriptedPolicy

STRAP = Grip(0.0006, 0.0018)


class Policy(ScriptedPolicy):
    """Search by pecking, with force feedback."""

    def script(self, observation: dict[str, np.ndarray]) -> Script[None]:
        """The whole game, without end: the station decides when it is over."""
        place = observation["hand_position_m"]
        self.robot = Robot(observation, [*place, *observation["hand_yaw_rad"], 0.0])
        self.hand = Hand(self.robot, Arm(yaw=3, gap=4))
        yield from self.hand.tare()
        window = yield from self.look()
        while True:
            for offset in self.grid():
                if (yield from self.peck(window + offset)):
                    yield from self.push(window + offset)
                    yield from self.pull()

    def look(self) -> Script[np.ndarray]:
        """Where the hand must be for the tip to stand in the middle of the window (3,)."""

        def seen(found: dict[str, np.ndarray]) -> np.ndarray:
            return found["hand_position_m"] + found["window_position_m"] - found["tip_position_m"]

        return (yield from self.robot.average(seen, int(self.knobs["look_frames"])))

    def grid(self) -> list[np.ndarray]:
        """Places about the estimated window, the likeliest first (3,)."""
        wide, high = float(self.knobs["pitch_x"]), float(self.knobs["pitch_z"])
        cells = [(x, z) for x in range(-3, 4) for z in range(-2, 3)]
        spread = float(self.knobs["shape"])
        cells.sort(key=lambda cell: (cell[0] * wide) ** 2 + (cell[1] * high * spread) ** 2)
        return [np.array([x * wide, 0.0, z * high]) for x, z in cells]

    def peck(self, place: np.ndarray) -> Script[bool]:
        """The tip from before the window into it; whether nothing was in the way."""
        before = place + np.array([0.0, float(self.knobs["stand_off"]), 0.0])
        back = np.array([self.hand.aim[0], before[1], self.hand.aim[2]])
        yield from self.hand.move(back, float(self.knobs["travel_speed"]))
        yield from self.hand.move(before, float(self.knobs["travel_speed"]))
        yield from self.hand.hold(int(self.knobs["settle_frames"]))
        far = before[1] - place[1] + float(self.knobs["inside"])
        felt = yield from self.forward(far, float(self.knobs["peck_force"]))
        return not felt

    def push(self, place: np.ndarray) -> Script[None]:
        """On, until three segments are through."""
        far = self.hand.aim[1] - place[1] + float(self.knobs["depth"])
        yield from self.forward(far, float(self.knobs["push_force"]))

    def forward(self, far: float, most_n: float) -> Script[bool]:
        """Along -y; whether the strap was stopped on the way."""
        speed = float(self.knobs["push_speed"])
        return (yield from self.hand.push((0.0, -1.0, 0.0), far, speed, most_n)).touched

    def pull(self) -> Script[None]:
        """Back, until the ratchet is felt; then time for the verifier to look."""
        enough, far = float(self.knobs["pull_force"]), float(self.knobs["pull_back"])
        felt = yield from self.hand.push(
            (0.0, 1.0, 0.0), far, float(self.knobs["pull_speed"]), enough
        )
        if felt.touched and self.hand.holds(STRAP):
            yield from self.hand.hold(int(self.knobs["wait_frames"]))
