"""How an episode of gym_pusht/PushT-v0 ended, from its observations: evidence that steers an agent."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Observation = dict[str, NDArray[np.float64]]

SIDE_PX = 512.0
GOAL = (256.0, 256.0, math.pi / 4.0)
REACH_PX = 75.0
"""From the block's centre to its farthest corner, less what the tool needs to get behind it."""
CENTRE_PX = 45.0
FAR_PX = 20.0
TURNED_RAD = math.radians(10.0)
NEAR_PX, NEAR_RAD = 12.0, 0.15
STILL_PX, STILL_STEPS = 4.0, 20


def evidence(history: Sequence[Observation]) -> dict[str, float]:
    """Where the block was left."""
    state = history[-1]["observation"]
    return {
        "position_error_px": math.hypot(state[2] - GOAL[0], state[3] - GOAL[1]),
        "angle_error_rad": abs(math.remainder(float(state[4]) - GOAL[2], math.tau)),
    }


def failure_tags(history: Sequence[Observation]) -> list[str]:
    """Names how a failed episode ended.

    Tags: `near_miss` (close in place and angle), `far` (over 20 px), `orientation` (over 10
    degrees), `border` (the block's middle near the arena's edge), `stalled` (the agent stood still
    for the last 2 s), `timeout` (still busy at the end).
    """
    found = evidence(history)
    away, turned = found["position_error_px"], found["angle_error_rad"]
    tags: list[str] = []
    if away < NEAR_PX and turned < NEAR_RAD:
        tags.append("near_miss")
    if away > FAR_PX:
        tags.append("far")
    if turned > TURNED_RAD:
        tags.append("orientation")
    _, _, x, y, angle = (float(value) for value in history[-1]["observation"])
    middle = (x - CENTRE_PX * math.sin(angle), y + CENTRE_PX * math.cos(angle))
    if min(*middle, *(SIDE_PX - value for value in middle)) < REACH_PX:
        tags.append("border")
    recent = np.array([frame["observation"][:2] for frame in history[-STILL_STEPS:]])
    still = len(recent) == STILL_STEPS and float(np.ptp(recent, axis=0).max()) < STILL_PX
    tags.append("stalled" if still else "timeout")
    return tags
