"""Reference for pin insertion: touch down, feel for the hole along a spiral, push until it stops.

Lengths in metres, forces in newtons.
"""

import math

from robots.skills import Hand, Robot, ScriptedPolicy

GRASP = 0.045
"""From the tip of the pin up to the hand."""
GRIP = 0.004
LOOK_FRAMES = 8
TRAVEL_M_S = 0.06
PUSH_M_S = 0.045


class Policy(ScriptedPolicy):
    """Compliant search with force feedback."""

    def script(self, observation):
        """The whole game, without end: the station decides when it is over."""
        robot = Robot(observation, [*observation["hand_position_m"], GRIP])
        hand, knobs = Hand(robot), self.knobs
        # Where the hand must be for the tip to be over the hole.
        start = yield from robot.average(
            lambda o: o["hole_position_m"] + o["hand_position_m"] - o["pin_tip_m"], LOOK_FRAMES
        )
        while True:
            yield from hand.move((start[0], start[1], GRASP + 0.004), TRAVEL_M_S)
            yield from hand.hold(6)
            yield from hand.descend(knobs["touch_force"], GRASP - 0.006, knobs["touch_speed"])
            rim = hand.place_m[2]
            if rim > GRASP - 0.003:
                yield from self.search(hand, start, rim)
            yield from self.push(hand)
            if hand.place_m[2] < knobs["floor"] + 0.003:
                yield from hand.hold(30)
            yield from hand.move((*hand.aim[:2], GRASP + 0.004), TRAVEL_M_S)

    def search(self, hand, start, rim):
        """Along a spiral at light pressure, until the hand sinks."""
        knobs, turn, radius = self.knobs, 0.0, 0.0
        while hand.place_m[2] > rim - 0.0015 and radius <= knobs["search_radius"]:
            way = knobs["search_speed"] * hand.robot.period_s
            turn += way / max(radius, 0.5 * knobs["turn_pitch"])
            radius = knobs["turn_pitch"] * turn / math.tau
            x, y = start[0] + radius * math.cos(turn), start[1] + radius * math.sin(turn)
            yield from hand.move((x, y, rim - knobs["press"]), 1.0)

    def push(self, hand):
        """Down where the hand now is, until the bottom or too much force is felt."""
        yield from hand.move((*hand.place_m[:2], hand.aim[2]), 1.0)
        yield from hand.hold(2)
        floor = self.knobs["floor"] - 0.002
        yield from hand.descend(self.knobs["push_force"], floor, PUSH_M_S)
