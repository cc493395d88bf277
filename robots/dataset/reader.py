"""Reads a LeRobot dataset as arrays, ours or another's; numbers and videos of any chunk layout."""

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robots.dataset import features as f
from robots.dataset.features import DatasetError
from robots.dataset.video import read_video

# pyarrow ships no type information.
pa: Any = importlib.import_module("pyarrow")
pq: Any = importlib.import_module("pyarrow.parquet")


class Dataset:
    """A dataset's columns of numbers, in memory.

    Args:
        root: Its folder.
        columns: Names of the columns wanted; None for all but videos.

    Attributes:
        root: Its folder.
        fps: Frames a second.
        columns: By name, (frames, ...), float32, int64 or bool, episode after episode.
        episode: Index of each frame's episode (frames,).

    Raises:
        DatasetError: It is of another version, or a column is missing.
    """

    def __init__(self, root: Path, columns: Sequence[str] | None = None) -> None:
        self.root = root
        path = root / f.INFO_PATH
        try:
            self.info: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise DatasetError(f"{path}: {error}; is this a LeRobot dataset?") from None
        if self.info.get("codebase_version") != f.CODEBASE:
            found = self.info.get("codebase_version")
            raise DatasetError(f"{path}: codebase_version is {found}; {f.CODEBASE} is read")
        self.fps = float(self.info["fps"])
        stored = {name: each for name, each in self.info["features"].items() if not _drawn(each)}
        wanted = [*stored] if columns is None else [*columns]
        for name in wanted:
            if name not in stored:
                raise DatasetError(f"{root}: no column {name!r}; it has {', '.join(stored)}")
        files = sorted(root.glob("data/*/*.parquet"))
        table = pa.concat_tables(
            [pq.read_table(file, columns=[*dict.fromkeys((*wanted, "episode_index", "index"))])
             for file in files]
        ).sort_by("index")  # fmt: skip
        if table.num_rows != self.info["total_frames"]:
            raise DatasetError(
                f"{root}: {table.num_rows} rows, {f.INFO_PATH} says {self.info['total_frames']}"
            )
        self.columns = {name: _array(table.column(name), stored[name]) for name in wanted}
        self.episode: NDArray[np.int64] = table.column("episode_index").to_numpy()

    def pictures(self, camera: str) -> NDArray[np.uint8]:
        """A camera's pictures, (frames, height, width, 3), RGB, as the video gives them back.

        Raises:
            DatasetError: There is no such camera, or a video lacks frames.
        """
        key = f"observation.images.{camera}"
        features: dict[str, dict[str, Any]] = self.info["features"]
        if features.get(key, {}).get("dtype") != "video":
            start = "observation.images."
            known = [name.removeprefix(start) for name in features if name.startswith(start)]
            raise DatasetError(
                f"{self.root}: no camera {camera!r}; it has {', '.join(known) or 'none'}"
            )
        found = [read_video(path) for path in sorted(self.root.glob(f"videos/{key}/*/*.mp4"))]
        count = sum(map(len, found))
        if count != self.frames:
            raise DatasetError(f"{self.root}: {count} pictures of {camera}, {self.frames} frames")
        return np.concatenate(found)

    @property
    def frames(self) -> int:
        return len(self.episode)


def _drawn(feature: dict[str, Any]) -> bool:
    return feature["dtype"] in ("video", "image")


def _array(column: Any, feature: dict[str, Any]) -> NDArray[Any]:  # noqa: ANN401 - see above.
    values: Any = column.combine_chunks()
    while isinstance(values, pa.FixedSizeListArray | pa.ListArray):
        values = values.flatten()
    shape = tuple(feature["shape"])
    flat = values.to_numpy(zero_copy_only=False)
    return flat.reshape(len(column), *(() if shape == (1,) else shape))
