"""Reference for zip-tie fastening: peck at the window until the tip goes in, push, prove by a pull.

A pull that holds nothing says that the window is elsewhere: the next peck goes to the next place of
a grid about the estimate, the likeliest first. A strap that was pushed against something turns
between the pads, so each peck is aimed by where the tip is seen, not by where it was.
"""

from __future__ import annotations

import numpy as np

from robots.skills import Arm, Grip, Hand, Robot, Script, ScriptedPolicy

STRAP = Grip(0.0006, 0.0018)
NEAREST = 0.0095
"""Hand to the middle of the head: nearer, the pads would stand on it."""


class Policy(ScriptedPolicy):
    """Search by pecking, with force feedback."""

    def script(self, observation: dict[str, np.ndarray]) -> Script[None]:
        """The whole game, without end: the station decides when it is over."""
        place = observation["hand_position_m"]
        self.robot = Robot(observation, [*place, *observation["hand_yaw_rad"], 0.0])
        self.hand = Hand(self.robot, Arm(yaw=3, gap=4))
        yield from self.hand.tare()
        frames = int(self.knobs["look_frames"])
        window = yield from self.robot.average(lambda seen: seen["window_position_m"], frames)
        while True:
            free: set[float] = set()
            for offset in self.grid():
                # What passed unhindered passed beside the head: not in this column, then.
                if offset[0] not in free and (yield from self.attempt(window + offset)):
                    free.add(offset[0])

    def grid(self) -> list[np.ndarray]:
        """Places about the estimated window, the likeliest first (3,)."""
        wide, high = float(self.knobs["pitch_x"]), float(self.knobs["pitch_z"])
        cells = [(x, z) for x in range(-3, 4) for z in range(-2, 3)]
        spread = float(self.knobs["shape"])
        cells.sort(key=lambda cell: (cell[0] * wide) ** 2 + (cell[1] * high * spread) ** 2)
        return [np.array([x * wide, 0.0, z * high]) for x, z in cells]

    def attempt(self, window: np.ndarray) -> Script[bool]:
        """Peck at one place; as long as the ratchet then holds, go on there.

        Returns:
            Whether the strap went all the way, and came back as freely.
        """
        reach = yield from self.aim(window)
        place = window + reach
        depth = float(self.knobs["inside"])
        free = not (yield from self.forward(place[1] - depth, float(self.knobs["peck_force"])))
        if free:
            depth = float(self.knobs["depth"])
            yield from self.forward(place[1] - depth, float(self.knobs["push_force"]))
        while (yield from self.pulls_back()):
            free = False
            yield from self.hand.hold(int(self.knobs["wait_frames"]))
            if self.hand.aim[1] < NEAREST + 0.004:
                yield from self.regrip()
            depth = max(depth, float(self.knobs["depth"])) + 0.002
            yield from self.forward(place[1] - depth, float(self.knobs["push_force"]))
        return free

    def aim(self, window: np.ndarray) -> Script[np.ndarray]:
        """The seen tip before the window; returns how far the hand is from the tip (3,)."""
        speed, away = float(self.knobs["travel_speed"]), float(self.knobs["stand_off"])
        reach = yield from self.reach(1)
        back = max(float(self.hand.aim[1]), float((window + reach)[1] + away))
        yield from self.hand.move((self.hand.aim[0], back, self.hand.aim[2]), speed)
        yield from self.hand.move(self.before(window, reach), speed)
        yield from self.hand.hold(int(self.knobs["settle_frames"]))
        reach = yield from self.reach(int(self.knobs["aim_frames"]))
        yield from self.hand.move(self.before(window, reach), speed)
        return reach

    def before(self, window: np.ndarray, reach: np.ndarray) -> np.ndarray:
        return window + reach + np.array([0.0, float(self.knobs["stand_off"]), 0.0])

    def reach(self, frames: int) -> Script[np.ndarray]:
        return (
            yield from self.robot.average(
                lambda seen: seen["hand_position_m"] - seen["tip_position_m"], frames
            )
        )

    def forward(self, until: float, most_n: float) -> Script[bool]:
        """Along -y to a place of the hand; whether the strap was stopped on the way."""
        far = float(self.hand.aim[1]) - max(until, NEAREST)
        if far <= 0.0:
            return False
        speed = float(self.knobs["push_speed"])
        return (yield from self.hand.push((0.0, -1.0, 0.0), far, speed, most_n)).touched

    def pulls_back(self) -> Script[bool]:
        """A little back; whether the ratchet is felt."""
        far, enough = float(self.knobs["pull_back"]), float(self.knobs["pull_force"])
        speed = float(self.knobs["pull_speed"])
        felt = yield from self.hand.push((0.0, 1.0, 0.0), far, speed, enough)
        return felt.touched and self.hand.holds(STRAP)

    def regrip(self) -> Script[None]:
        """Take the strap farther from the head."""
        speed = float(self.knobs["travel_speed"])
        yield from self.hand.release(0.006)
        yield from self.hand.move(self.hand.aim + np.array([0.0, 0.010, 0.0]), speed)
        yield from self.hand.grasp(STRAP, 0.0)
