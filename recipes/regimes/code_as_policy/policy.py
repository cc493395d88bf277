"""Code as policy: an episode as a script of skills, read from top to bottom.

Copy this folder, keep the shape: `script` says what is done in the task's words, a method each says
how, the motion itself is a skill of `robots.skills` (see docs/skills.md), which ends by distance, by
steps or with `SkillFailed`. Here the task is pin insertion. Lengths in metres, forces in newtons.
Source: Code as Policies (arXiv 2209.07753), with generators instead of blocking calls.
"""

import math

from robots.skills import Failure, Hand, Robot, ScriptedPolicy, SkillFailed, retry

GRIP_M = 0.004
HOVER_M, RIM_M, BOTTOM_M = 0.050, 0.045, 0.030
"""Heights of the hand, whose pads hold the pin 45 mm above its tip."""
TRAVEL_M_S, DOWN_M_S = 0.08, 0.04
GOLDEN_RAD = math.pi * (3.0 - math.sqrt(5.0))
"""Turns by this angle never meet again: tries are spread evenly around the first place."""
TRIES = 12


class Policy(ScriptedPolicy):
    """Looks, then tries places around what it saw until the pin is in."""

    def script(self, observation):
        self.robot = Robot(observation, [*observation["hand_position_m"], GRIP_M])
        self.hand = Hand(self.robot)
        self.tried = 0
        place = yield from self.look()
        yield from retry(TRIES, lambda: self.insert(place), self.lift, on={Failure.BLOCKED})

    def look(self):
        """Where the hand belongs for the pin to be over the hole (3,)."""
        return (
            yield from self.robot.average(
                lambda o: o["hole_position_m"] + o["hand_position_m"] - o["pin_tip_m"],
                int(self.knobs["look_frames"]),
            )
        )

    def insert(self, place):
        """Over the place of this try and down; BLOCKED where it stands on the box."""
        turn, away = self.tried * GOLDEN_RAD, self.knobs["circle_m"] * math.sqrt(self.tried)
        self.tried += 1
        x, y = place[0] + away * math.cos(turn), place[1] + away * math.sin(turn)
        yield from self.hand.move((x, y, HOVER_M), TRAVEL_M_S)
        yield from self.hand.settle()
        felt = yield from self.hand.descend(self.knobs["touch_n"], BOTTOM_M, DOWN_M_S)
        if felt.touched and felt.place_m[2] > RIM_M - 0.010:
            raise SkillFailed(Failure.BLOCKED, f"on the box at {felt.place_m}")

    def lift(self):
        yield from self.hand.move((*self.hand.aim[:2], HOVER_M), TRAVEL_M_S)
