"""Ways for the disc round the block: straight lines over the corners of the grown outline."""

import heapq
import math

import numpy as np
from world import BAR, RADIUS, STEM

MARGIN = 9.0
SAMPLES = 24
SLOPE = 0.2
LOW, HIGH = 1.0, 511.0

_R = RADIUS + MARGIN + 1.0
_B, _S = BAR[3] + _R, STEM[1] + _R
# Corners that a way may turn at, in the block's frame; the notches beside the stem are convex ways
# out and need none of their own.
NODES = np.array(
    [
        (BAR[0] - _R, BAR[2] - _R), (BAR[1] + _R, BAR[2] - _R), (BAR[1] + _R, _B), (_S, _B),
        (_S, STEM[3] + _R), (-_S, STEM[3] + _R), (-_S, _B), (BAR[0] - _R, _B),
    ]
)  # fmt: skip


def gaps(points):
    """Distance of points (..., 2) in the block's frame from its outline, 0 inside."""
    found = []
    for box in (BAR, STEM):
        dx = np.maximum(np.maximum(box[0] - points[..., 0], points[..., 0] - box[1]), 0.0)
        dy = np.maximum(np.maximum(box[2] - points[..., 1], points[..., 1] - box[3]), 0.0)
        found.append(np.hypot(dx, dy))
    return np.minimum(*found)


def free(start, end, margin=MARGIN):
    """Whether the disc's way between two points stays off the block.

    Near either end it may come nearer, as it must where a push starts or has ended.
    """
    part = np.linspace(0.0, 1.0, SAMPLES)
    way = start + part[:, None] * (end - start)
    room = gaps(way) - RADIUS
    length = float(np.hypot(*(end - start)))
    from_ends = np.minimum(part, 1.0 - part) * length
    ends = np.where(part < 0.5, room[0], room[-1])
    wanted = np.minimum(margin, np.maximum(ends, -1.0) + SLOPE * from_ends) - 0.5
    return bool((room >= wanted).all())


def route(pose, start, end):
    """Points to go through from `start` to `end` (arena's frame), `end` last; None if there are none."""
    x, y, angle = pose
    cos, sin = math.cos(angle), math.sin(angle)
    turned = np.array([[cos, -sin], [sin, cos]])
    points = np.vstack([(start - (x, y)) @ turned, (end - (x, y)) @ turned, NODES])
    if free(points[0], points[1]):
        return [end]
    world = np.clip(points @ turned.T + (x, y), LOW, HIGH)
    points = (world - (x, y)) @ turned
    cost, before, queue = {0: 0.0}, {}, [(0.0, 0)]
    while queue:
        so_far, here = heapq.heappop(queue)
        if here == 1:
            break
        if so_far > cost[here]:
            continue
        for there in range(1, len(points)):
            if there == here or not free(points[here], points[there]):
                continue
            # A turn costs the time that the disc slows down for it.
            total = so_far + float(np.hypot(*(points[there] - points[here]))) + 25.0
            if total < cost.get(there, math.inf):
                cost[there], before[there] = total, here
                heapq.heappush(queue, (total, there))
    if 1 not in before:
        return None
    way, at = [], 1
    while at != 0:
        way.append(world[at] if at != 1 else end)
        at = before[at]
    return way[::-1]
