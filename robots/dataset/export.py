"""Turns a station's recordings into a LeRobot dataset."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robots.dataset.features import SOURCES
from robots.dataset.writer import DatasetWriter
from robots.station.cameras import PICTURE
from robots.station.recording import RecordingInfo, read_recording
from robots.station.tasks import TaskSpec
from robots.wire.records import Outcome

_SEEN = "observation."


def export(
    recordings: Iterable[Path],
    writer: DatasetWriter,
    spec: TaskSpec,
    *,
    failures: bool = True,
    most: int | None = None,
) -> int:
    """Add recordings to a dataset, in the order given; returns how many were added.

    Args:
        recordings: Files of one task.
        writer: Of a dataset of that task's rate.
        spec: The task.
        failures: Whether failed episodes are wanted as well; void ones never are.
        most: Episodes that are added at most; None for all.
    """
    added = 0
    wanted = (Outcome.SUCCESS, Outcome.FAILURE) if failures else (Outcome.SUCCESS,)
    for path in recordings:
        if added == most:
            break
        info, columns = read_recording(path)
        if info.episode.outcome in wanted and len(columns["time_s"]):
            seen = pictures_of(columns)
            writer.add(spec.description or spec.name, columns_of(info, columns, spec), seen)
            added += 1
    return added


def state_names(spec: TaskSpec) -> list[str]:
    """Names of the numbers of `observation.state`: `hand_position_m.0`, ..."""
    return [
        f"{each.key}.{number}"
        for each in spec.observation
        for number in range(math.prod(each.shape))
    ]


def pictures_of(columns: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.uint8]]:
    """A recording's pictures by camera, (frames, height, width, 3) each; {} where it has none."""
    start = _SEEN + PICTURE
    return {
        name.removeprefix(start): column
        for name, column in columns.items()
        if name.startswith(start)
    }


def columns_of(
    info: RecordingInfo, columns: dict[str, NDArray[Any]], spec: TaskSpec
) -> dict[str, NDArray[Any]]:
    """A recording's columns as a dataset has them.

    `observation.state` is every observation of the task in the order of its `task.toml`, flattened
    and joined: what readers of other robots' datasets expect, and what a policy here is given.
    """
    count = len(columns["time_s"])
    parts = [columns[_SEEN + each.key].reshape(count, -1) for each in spec.observation]
    last = np.arange(count) == count - 1
    won = last & (info.episode.outcome is Outcome.SUCCESS)
    return {
        "observation.state": np.concatenate(parts, axis=1).astype(np.float64),
        "action": columns["action"].reshape(count, -1).astype(np.float64),
        "executed": columns["executed"].reshape(count, -1),
        # When it was, beside the grid on which `timestamp` lies.
        "capture_s": columns["time_s"] - columns["time_s"][0],
        "next.reward": won.astype(np.float64),
        "next.done": last,
        "next.success": won,
        "action_source": np.full(count, SOURCES.index(info.action_source), dtype=np.int64),
    }
