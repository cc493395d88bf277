"""Baseline for GPU insertion: look once, go over the slot, push the card down, wait; then try again.

Each step is a method of its own, so that a better idea replaces one of them. The game is a script
of skills: commands are hand x, y, z (m), yaw, pitch (rad) and the gap between the pads (m). A held
card's tongue ends 76.8 mm below the hand.
"""

from robots.skills import Arm, Hand, Robot, ScriptedPolicy


class Policy(ScriptedPolicy):
    """Inserts the card by straight moves."""

    def script(self, observation):
        grip = self.knobs["grip"]
        action = [*observation["hand_position_m"], observation["hand_angles_rad"][0], 0.0, grip]
        self.robot = Robot(observation, action)
        self.hand = Hand(self.robot, Arm(gap=5, yaw=3))
        x, y, yaw = yield from self.look()
        while True:
            yield from self.over(x, y, yaw)
            yield from self.down()
            yield from self.wait()
            yield from self.up()

    def look(self):
        """Where the hand must be for the card to be over the slot: x, y, yaw."""
        yield from self.hand.hold(1)
        x, y, yaw = self.robot.seen["slot_pose"]
        return x + self.knobs["offset_x"], y + self.knobs["offset_y"], float(yaw)

    def over(self, x, y, yaw):
        self.robot.command[4] = self.knobs["pitch"]
        height, speed = self.knobs["hover"], self.knobs["travel_speed"]
        yield from self.hand.move((x, y, height), speed, yaw_rad=yaw)
        yield from self.hand.hold(self.knobs["settle_frames"])

    def down(self):
        """Straight down to a fixed height, or until the push is felt."""
        yield from self.hand.descend(
            self.knobs["stop_force"], self.knobs["bottom"], self.knobs["push_speed"]
        )

    def wait(self):
        """Time for the verifier to look."""
        yield from self.hand.hold(self.knobs["wait_frames"])

    def up(self):
        x, y, _ = self.hand.aim
        yield from self.hand.move((x, y, self.knobs["hover"]), self.knobs["travel_speed"])
