"""The robot of a workspace: state, pose between its limits, last episodes, camera. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from enpire_tui.room.moment import Live, Moment
from enpire_tui.room.state import StationSeen
from enpire_tui.room.text import Line, Span, fit, wrap
from enpire_tui.room.tones import OUTCOMES
from enpire_tui.room.views.fleet import batch
from enpire_tui.room.views.pieces import age, bar, clock, needle, percent, runs, title, word
from robots.station.tasks import TaskSpec
from robots.wire.records import Outcome
from robots.wire.station_replies import CameraFrame

# Keys of the observation that telemetry leaves out.
_UNSHOWN = ("goal", "time")
_AXES = ("x", "y", "z")
EPISODES = 40
# Lines about the last try in setup.
TRIES = 3
# A station without grants tells a very long one.
_ENDLESS_S = 1e5


class Axis(NamedTuple):
    """One number of a robot's pose with its limits; low equals high where there are none."""

    name: str
    unit: str
    low: float
    high: float


def axes(spec: TaskSpec) -> tuple[Axis, ...]:
    """The numbers of a task's pose in the order in which telemetry tells them."""
    found: list[Axis] = []
    for each in spec.observation:
        if each.key.startswith(_UNSHOWN):
            continue
        size = math.prod(each.shape)
        units = [unit.strip() for unit in each.unit.split(",")]
        commanded = each.shape == spec.limits.shape and not found
        label = each.key.split("_")[0]
        for index in range(size):
            unit = units[min(index, len(units) - 1)]
            low = high = 0.0
            if commanded and spec.limits.low:
                low, high = spec.limits.low[index], spec.limits.high[index]
            elif unit == "rad":
                low, high = -math.pi, math.pi
            part = "yaw" if unit == "rad" else _AXES[index] if size <= len(_AXES) else str(index)
            found.append(Axis(f"{label} {part}", unit, low, high))
    return tuple(found)


def lines(
    moment: Moment, name: str, pose_axes: Sequence[Axis], width: int, frame: Sequence[Line] = ()
) -> list[Line]:
    """The pane; a camera frame stands where it is seen without scrolling."""
    live, seen, need = moment.live.get(name), moment.station(name), moment.need(name)
    told: list[Line] = [(word(moment.word(name), 14), (batch(moment, name), ""))]
    told += [((part, "bold warn"),) for part in wrap(need.text, width)[:3] if part]
    tried = list(seen.tries.told)[-TRIES:] if seen.tries.pending is None else []
    told += [((part, tone),) for tone, text in tried for part in wrap(text, width)[:2]]
    told += frame
    if live is not None:
        told += _standing(live)
    told.append(
        (
            (fit("last 50", 9), "dim"),
            (f"{percent(seen.rate):5}", "bold"),
            *bar(seen.rate or 0.0, max(4, width - 14)),
        )
    )
    told += strip([each.episode.outcome for each in seen.episodes], width, 1 if frame else 2)
    if live is None:
        return [*told, (("no telemetry yet", "dim"),)]
    told += _pose(live, pose_axes, width)
    return [*told, title("episodes", width), *episodes(seen)]


def _standing(live: Live) -> list[Line]:
    value = live.value
    grant = clock(value.grant_s) if value.grant_s < _ENDLESS_S else "not needed"
    episode = f"{value.episode + 1}" if value.episode >= 0 else "-"
    score = f"{value.score:.3f}" if value.score is not None else "-"
    return [
        _pair(("episode", episode, ""), ("robot", f"{value.robot_s:.1f} s", "")),
        _pair(
            ("grant", grant if value.grant_s > 0 else "none", "" if value.grant_s > 0 else "warn"),
            ("data", age(live.age_s), "dim"),
        ),
        _pair(("verifier", score, ""), ("jitter", f"{value.jitter_ms:.1f} ms", "dim")),
    ]


def _pair(one: tuple[str, str, str], other: tuple[str, str, str]) -> Line:
    """Two named values side by side."""
    return (
        (fit(one[0], 9), "dim"),
        (fit(one[1], 9), one[2]),
        (fit(other[0], 7), "dim"),
        (other[1], other[2]),
    )


def _pose(live: Live, pose_axes: Sequence[Axis], width: int) -> list[Line]:
    told: list[Line] = []
    for index, value in enumerate(live.value.pose):
        axis = pose_axes[index] if index < len(pose_axes) else Axis(f"{index}", "", 0.0, 0.0)
        head = (fit(axis.name, 10), "dim"), (fit(f"{value:+.3f}", 7, right=True), "")
        room = width - 22
        if axis.low < axis.high and room >= 5:
            share = (value - axis.low) / (axis.high - axis.low)
            told.append((*head, (f" {axis.unit:4}", "dim"), *needle(share, room - 2)))
        else:
            told.append((*head, (f" {axis.unit}", "dim")))
    return told


def strip(outcomes: Sequence[Outcome], width: int, rows: int = 2) -> list[Line]:
    """The last episodes, the latest at the end."""
    kept = list(outcomes)[-width * rows :]
    told: list[Line] = [
        tuple(OUTCOMES[each.value] for each in kept[start : start + width])
        for start in range(0, len(kept), width)
    ]
    return told or [(("no episodes yet", "dim"),)]


def episodes(seen: StationSeen, count: int = EPISODES) -> list[Line]:
    """The last episodes in words, the latest first."""
    told: list[Line] = []
    for each in list(seen.episodes)[: -count - 1 : -1]:
        glyph, tone = OUTCOMES[each.episode.outcome.value]
        told.append(
            (
                (f"{glyph} ", tone),
                (fit(each.episode.outcome.value, 8), ""),
                (f"{each.episode.robot_s:5.1f} s  ", "dim"),
                (" ".join((each.episode.reason, *each.episode.tags)), "dim"),
            )
        )
    return told


def picture(
    frame: CameraFrame, width: int, marks: Mapping[tuple[int, int], str] | None = None
) -> list[Line]:
    """A camera frame in half-blocks: two pixels a cell, one above the other.

    Args:
        frame: The picture.
        width: Cells at most.
        marks: Colours of pixels of what is drawn, by column and row, that cover the picture's own.
    """
    over = marks or {}
    wide = max(1, min(width, frame.width))
    rows = max(1, round(wide * frame.height / frame.width / 2))
    told: list[Line] = []
    for row in range(rows):
        cells: list[Span] = []
        for column in range(wide):
            upper, lower = (
                over.get((column, y)) or _pixel(frame, column / wide, y / (2 * rows))
                for y in (2 * row, 2 * row + 1)
            )
            cells.append(("▀", f"{upper} on {lower}"))
        told.append(tuple(runs(cells)))
    return told


def _pixel(frame: CameraFrame, x: float, y: float) -> str:
    at = 3 * (int(y * frame.height) * frame.width + int(x * frame.width))
    red, green, blue = frame.rgb[at : at + 3]
    return f"#{red:02x}{green:02x}{blue:02x}"
