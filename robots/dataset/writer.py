"""Writes a LeRobot dataset an episode at a time: after each, or after a crash, it is whole.

Each episode is a file of its own in every table, written beside its place and renamed into it;
`meta/info.json`, written last, says how many episodes there are. What lies beyond that count was
torn and is removed when the dataset is opened again. Rows and video frames of an episode are counted
against each other before anything has its name.
"""

import importlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robots.dataset import features as f
from robots.dataset.features import DatasetError
from robots.dataset.video import CODEC, PIXELS, write_video

# pyarrow ships no type information.
pa: Any = importlib.import_module("pyarrow")
pq: Any = importlib.import_module("pyarrow.parquet")

Frames = Mapping[str, NDArray[np.uint8]]
ROW_INDEX = "task"


class DatasetWriter:
    """A dataset that grows; one process at a time.

    Args:
        root: Its folder, made if it is missing.
        fps: Frames a second, the policy's rate.
        robot_type: Of the station, such as its task's name.
        names: Of a column's numbers, by column.

    Raises:
        DatasetError: What lies there is another format's, or has another rate.
    """

    def __init__(
        self,
        root: Path,
        fps: float,
        robot_type: str,
        names: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.root = root
        self._names = names or {}
        (root / "meta").mkdir(parents=True, exist_ok=True)
        path = root / f.INFO_PATH
        self._info = json.loads(path.read_text()) if path.exists() else _new(fps, robot_type)
        if self._info["codebase_version"] != f.CODEBASE:
            found = self._info["codebase_version"]
            raise DatasetError(f"{path}: codebase_version is {found}; this writes {f.CODEBASE}")
        if float(self._info["fps"]) != float(fps):
            raise DatasetError(f"{path}: fps is {self._info['fps']}, the episodes have {fps:g}")
        self._tasks = read_tasks(root)
        self._stats = _episode_stats(root, self.episodes)
        self._clear_torn()

    @property
    def episodes(self) -> int:
        """Whole episodes."""
        return int(self._info["total_episodes"])

    @property
    def frames(self) -> int:
        """Rows of all of them."""
        return int(self._info["total_frames"])

    def add(self, task: str, columns: f.Columns, cameras: Frames | None = None) -> int:
        """Add an episode; returns its index.

        Args:
            task: What it was to do, in words.
            columns: By feature name, (frames, ...) each; `action` and at least one `observation.*`
                are what readers look for.
            cameras: By camera name, (frames, height, width, 3) uint8; kept as
                `observation.images.NAME`.

        Raises:
            DatasetError: Columns that differ in length, or from the episodes before.
        """
        images = {f"observation.images.{name}": array for name, array in (cameras or {}).items()}
        count = _length({**columns, **images})
        fps = float(self._info["fps"])
        index, first = self.episodes, self.frames
        number = self._tasks.setdefault(task, len(self._tasks))
        own = {
            **f.index_columns(count, fps, index, first, number),
            **{name: np.asarray(array) for name, array in columns.items()},
        }
        described = {
            name: f.feature(array, self._names.get(name)) for name, array in columns.items()
        }
        for name, array in images.items():
            height, width = array.shape[1:3]
            described[name] = f.video_feature(height, width, fps, CODEC, PIXELS)
        self._agree(described)
        place = {"chunk_index": index // f.CHUNK_FILES, "file_index": index % f.CHUNK_FILES}
        for name, array in images.items():
            path = self.root / f.VIDEO_PATH.format(video_key=name, **place)
            _placed(path, lambda part, array=array: write_video(part, array, fps))
        table = pa.table({name: _column(array) for name, array in own.items()})
        assert table.num_rows == count
        _placed(self.root / f.DATA_PATH.format(**place), lambda part: pq.write_table(table, part))
        stats = {name: f.statistics(array) for name, array in own.items()}
        stats |= {name: f.statistics(array, image=True) for name, array in images.items()}
        row = _episode_row(index, first, count, task, place, images, fps, stats)
        episode = pa.Table.from_pylist([row])
        path = self.root / f.EPISODES_PATH.format(**place)
        _placed(path, lambda part: pq.write_table(episode, part))
        self._stats.append(stats)
        self._conclude(count, described)
        return index

    def _conclude(self, count: int, described: dict[str, Any]) -> None:
        """Say that the episode is there: tasks and statistics first, the count of episodes last."""
        _placed(self.root / f.TASKS_PATH, lambda part: pq.write_table(_tasks(self._tasks), part))
        names = self._stats[0]
        pooled = {name: f.pooled([part[name] for part in self._stats]) for name in names}
        _write_json(self.root / f.STATS_PATH, pooled)
        episodes = self.episodes + 1
        self._info |= {
            "total_episodes": episodes,
            "total_frames": self.frames + count,
            "total_tasks": len(self._tasks),
            "splits": {"train": f"0:{episodes}"},
            "features": {**described, **f.INDEX_FEATURES},
        }
        _write_json(self.root / f.INFO_PATH, self._info)

    def _agree(self, described: dict[str, Any]) -> None:
        if not self.episodes:
            return
        known = {k: v for k, v in self._info["features"].items() if k not in f.INDEX_FEATURES}
        for name in sorted({*known, *described}):
            if known.get(name) != described.get(name):
                raise DatasetError(
                    f"column {name!r}: the dataset has {known.get(name)}, the episode "
                    f"{described.get(name)}; start another dataset"
                )

    def _clear_torn(self) -> None:
        """Remove parts, and files of episodes that were never counted."""
        for part in self.root.rglob("*.part"):
            part.unlink()
        for path in (*self.root.glob("data/*/*"), *self.root.glob("meta/episodes/*/*"),
                     *self.root.glob("videos/*/*/*")):  # fmt: skip
            chunk, file = path.parent.name.partition("-")[2], path.stem.partition("-")[2]
            if int(chunk) * f.CHUNK_FILES + int(file) >= self.episodes:
                path.unlink()


def read_tasks(root: Path) -> dict[str, int]:
    """Tasks of a dataset by their words."""
    path = root / f.TASKS_PATH
    if not path.exists():
        return {}
    table = pq.read_table(path)
    words = table.column(ROW_INDEX).to_pylist()
    return dict(zip(words, table.column("task_index").to_pylist(), strict=True))


def _tasks(tasks: Mapping[str, int]) -> Any:  # noqa: ANN401 - see above.
    """As pandas keeps a frame whose index is the task's words, which is how it is read."""
    table = pa.table({"task_index": list(tasks.values()), ROW_INDEX: list(tasks)})
    column = {"metadata": None, "pandas_type": "int64", "numpy_type": "int64"}
    index = {"metadata": None, "pandas_type": "unicode", "numpy_type": "object"}
    pandas = {
        "index_columns": [ROW_INDEX],
        "column_indexes": [],
        "columns": [
            {"name": "task_index", "field_name": "task_index", **column},
            {"name": ROW_INDEX, "field_name": ROW_INDEX, **index},
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.0",
    }
    return table.replace_schema_metadata({b"pandas": json.dumps(pandas).encode()})


def _episode_row(
    index: int,
    first: int,
    count: int,
    task: str,
    place: dict[str, int],
    images: Frames,
    fps: float,
    stats: Mapping[str, Mapping[str, list[Any]]],
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "episode_index": index,
        "tasks": [task],
        "length": count,
        "dataset_from_index": first,
        "dataset_to_index": first + count,
    }
    for table in ("data", "meta/episodes"):
        row |= {f"{table}/{key}": value for key, value in place.items()}
    for name in images:
        row |= {f"videos/{name}/{key}": value for key, value in place.items()}
        row |= {
            f"videos/{name}/from_timestamp": 0.0,
            f"videos/{name}/to_timestamp": count / fps,
        }
    for name, found in stats.items():
        row |= {f"stats/{name}/{key}": value for key, value in found.items()}
    return row


def _episode_stats(root: Path, episodes: int) -> list[dict[str, dict[str, list[Any]]]]:
    """Statistics of the episodes that are there, by column."""
    found: list[dict[str, dict[str, list[Any]]]] = []
    for index in range(episodes):
        path = f.EPISODES_PATH.format(
            chunk_index=index // f.CHUNK_FILES, file_index=index % f.CHUNK_FILES
        )
        row = pq.read_table(root / path).to_pylist()[0]
        stats: dict[str, dict[str, list[Any]]] = {}
        for key, value in row.items():
            if key.startswith("stats/"):
                name, _, figure = key.removeprefix("stats/").rpartition("/")
                stats.setdefault(name, {})[figure] = value
        found.append(stats)
    return found


def _length(columns: Mapping[str, NDArray[Any]]) -> int:
    lengths = {name: len(array) for name, array in columns.items()}
    if len(set(lengths.values())) != 1 or not min(lengths.values(), default=0):
        raise DatasetError(f"columns differ in length, or are empty: {lengths}")
    return next(iter(lengths.values()))


def _column(array: NDArray[Any]) -> Any:  # noqa: ANN401 - see above.
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    flat = array.reshape(len(array), -1)
    if flat.shape[1] == 1:
        return pa.array(flat[:, 0])
    values = pa.array(np.ascontiguousarray(flat).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(values, flat.shape[1])


def _placed(path: Path, write: Callable[[Path], object]) -> None:
    """Have a file written beside its place, flush it, and rename it into it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    write(part)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(path)


def _write_json(path: Path, value: object) -> None:
    _placed(path, lambda part: part.write_text(json.dumps(value, indent=4)))


def _new(fps: float, robot_type: str) -> dict[str, Any]:
    return {
        "codebase_version": f.CODEBASE,
        "robot_type": robot_type,
        "total_episodes": 0,
        "total_frames": 0,
        "total_tasks": 0,
        "chunks_size": f.CHUNK_FILES,
        "data_files_size_in_mb": f.DATA_MB,
        "video_files_size_in_mb": f.VIDEO_MB,
        "fps": int(fps) if fps == int(fps) else fps,
        "splits": {},
        "data_path": f.DATA_PATH,
        "video_path": f.VIDEO_PATH,
        "features": {},
    }
