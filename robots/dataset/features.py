"""What a LeRobot dataset says of its columns: types, shapes, statistics. Pure, on numpy.

Source: the dataset format v3.0 as `lerobot` writes and reads it (codebase_version "v3.0").
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]

SOURCES = ("policy", "demonstration", "human", "rl")
"""Who an action came from, by the number in the column `action_source`."""

CODEBASE = "v3.0"
CHUNK_FILES = 1000
DATA_MB, VIDEO_MB = 100, 200
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
TASKS_PATH, STATS_PATH, INFO_PATH = "meta/tasks.parquet", "meta/stats.json", "meta/info.json"

INDEX_FEATURES: dict[str, dict[str, Any]] = {
    "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    "frame_index": {"dtype": "int64", "shape": [1], "names": None},
    "episode_index": {"dtype": "int64", "shape": [1], "names": None},
    "index": {"dtype": "int64", "shape": [1], "names": None},
    "task_index": {"dtype": "int64", "shape": [1], "names": None},
}
"""Columns that every dataset has."""

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
IMAGE_SAMPLES = 64
_DTYPES = {"float64": "float32", "float32": "float32", "int64": "int64", "bool": "bool"}


class DatasetError(ValueError):
    """A dataset that cannot be written or read; names file, column and remedy."""


def feature(array: NDArray[Any], names: Sequence[str] | None = None) -> dict[str, Any]:
    """A column of numbers, one row a frame.

    Args:
        array: (frames, ...) of float64, float32, int64 or bool; float64 is kept as float32.
        names: Of its numbers.

    Raises:
        ValueError: Another type.
    """
    dtype = _DTYPES.get(str(array.dtype))
    if dtype is None:
        raise ValueError(f"a column of {array.dtype}; a dataset has {', '.join(_DTYPES)}")
    shape = list(array.shape[1:]) or [1]
    return {"dtype": dtype, "shape": shape, "names": None if names is None else list(names)}


def video_feature(height: int, width: int, fps: float, codec: str, pixels: str) -> dict[str, Any]:
    """A camera's column, kept as a video."""
    info = {
        "video.height": height,
        "video.width": width,
        "video.codec": codec,
        "video.pix_fmt": pixels,
        "video.is_depth_map": False,
        "video.fps": fps,
        "video.channels": 3,
        "has_audio": False,
    }
    shape, names = [height, width, 3], ["height", "width", "channels"]
    return {"dtype": "video", "shape": shape, "names": names, "info": info}


def index_columns(
    frames: int, fps: float, episode: int, first: int, task: int
) -> dict[str, NDArray[Any]]:
    """The columns that every dataset has, of one episode.

    Args:
        frames: Of the episode.
        fps: The grid on which timestamps lie; capture times are a column of their own.
        episode: Its index.
        first: Index of its first frame in the whole dataset.
        task: Index of its task.
    """
    return {
        "timestamp": (np.arange(frames) / fps).astype(np.float32),
        "frame_index": np.arange(frames, dtype=np.int64),
        "episode_index": np.full(frames, episode, dtype=np.int64),
        "index": np.arange(first, first + frames, dtype=np.int64),
        "task_index": np.full(frames, task, dtype=np.int64),
    }


def statistics(array: NDArray[Any], *, image: bool = False) -> dict[str, list[Any]]:
    """Statistics of one episode's column.

    Args:
        array: (frames, ...) numbers; of a camera (frames, height, width, 3), uint8.
        image: Whether it is a camera's; then they are per channel, of 0 to 1, in shape (3, 1, 1).
    """
    if image:
        taken = np.linspace(0, len(array) - 1, min(len(array), IMAGE_SAMPLES)).round().astype(int)
        values = array[taken].astype(np.float64).reshape(-1, 3) / 255.0
    else:
        values = array.reshape(len(array), -1).astype(np.float64)
    found = {
        "min": values.min(axis=0),
        "max": values.max(axis=0),
        "mean": values.mean(axis=0),
        "std": values.std(axis=0),
        **{name: np.quantile(values, share, axis=0) for name, share in QUANTILES.items()},
    }
    told: dict[str, list[Any]] = {
        name: value.reshape(3, 1, 1).tolist() if image else value.tolist()
        for name, value in found.items()
    }
    return {**told, "count": [len(array)]}


def pooled(parts: Sequence[Mapping[str, list[Any]]]) -> dict[str, list[Any]]:
    """Statistics of several episodes together; quantiles are means weighted by their frames.

    Args:
        parts: Of one column, an episode each.
    """
    counts = np.array([part["count"][0] for part in parts], dtype=np.float64)
    share = counts / counts.sum()

    def stacked(name: str) -> NDArray[np.float64]:
        return np.array([part[name] for part in parts], dtype=np.float64)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.tensordot(share, values, axes=1), dtype=np.float64)

    means = stacked("mean")
    centre = mean(means)
    variance = mean(stacked("std") ** 2 + (means - centre) ** 2)
    return {
        "min": stacked("min").min(axis=0).tolist(),
        "max": stacked("max").max(axis=0).tolist(),
        "mean": centre.tolist(),
        "std": np.sqrt(variance).tolist(),
        **{name: mean(stacked(name)).tolist() for name in QUANTILES},
        "count": [int(counts.sum())],
    }
