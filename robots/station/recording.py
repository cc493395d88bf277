"""What is kept of an episode's course: a sparse trace as evidence, or every step on disk.

A recording is one file an episode, written beside its place and renamed into it, so that a crash
leaves whole files only. Frame count equals row count by construction.
"""

import contextlib
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from robots.station.cameras import PICTURE, numbers
from robots.station.tasks import Observation
from robots.wire.records import Episode

SPARSE_EVERY = 15
"""Evidence for agents keeps every n-th policy step: two a second at 30 Hz."""

QUOTA_BYTES = 2 << 30


class Moment(NamedTuple):
    """Where everything was after a policy step, for pictures.

    Attributes:
        step: Policy steps that had been made.
        time_s: Since the episode began, on the station's clock.
        positions: As `MujocoDriver.scene` gives them.
    """

    step: int
    time_s: float
    positions: NDArray[np.float64]


class Trace:
    """Steps of one episode, as they were; pictures only where each step is kept.

    Args:
        every: Keep each n-th step.
        scene: Where everything is, asked at each kept step and at the end; None where the driver
            cannot tell. It is the simulation's truth: no recording and no evidence holds it.
    """

    __slots__ = (
        "_actions",
        "_every",
        "_observations",
        "_scene",
        "_seen",
        "_setpoints",
        "_times",
        "moments",
    )

    def __init__(
        self,
        every: int = SPARSE_EVERY,
        scene: Callable[[], NDArray[np.float64]] | None = None,
    ) -> None:
        self._every = every
        self._scene = scene
        self.moments: list[Moment] = []
        self._seen = 0
        self._times: list[float] = []
        self._observations: list[Observation] = []
        self._actions: list[NDArray[Any]] = []
        self._setpoints: list[list[float]] = []

    def add(
        self,
        time_s: float,
        observation: Observation,
        action: NDArray[Any],
        setpoint: Sequence[float],
    ) -> None:
        """Take a step: the policy saw `observation`, asked for `action`, got `setpoint`."""
        if self._seen % self._every == 0:
            self._times.append(time_s)
            whole = self._every == 1
            self._observations.append(observation if whole else numbers(observation))
            self._actions.append(action)
            self._setpoints.append(list(setpoint))
        self._seen += 1
        if self._scene is not None and self._seen % SPARSE_EVERY == 1:
            self.moments.append(Moment(self._seen, time_s, self._scene()))

    def end(self, steps: int, time_s: float) -> None:
        """The episode is over, after so many policy steps: how it was left is kept as well."""
        if self._scene is not None and steps:
            self.moments.append(Moment(steps, time_s, self._scene()))

    def forget_pictures(self) -> None:
        """Keep numbers only: pictures are for a recording, and many episodes are evidence."""
        self._observations = [numbers(each) for each in self._observations]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Columns by name, one row a kept step: time_s, observation.KEY, action, executed.

        A picture is `observation.image.NAME`, (steps, height, width, 3), uint8.
        """
        columns: dict[str, NDArray[Any]] = {"time_s": np.array(self._times)}
        if self._observations:
            for key in self._observations[0]:
                columns[f"observation.{key}"] = np.stack([row[key] for row in self._observations])
            columns["action"] = np.stack(self._actions)
            columns["executed"] = np.array(self._setpoints)
        return columns

    def rows(self) -> list[dict[str, list[float]]]:
        """The same as plain numbers, without pictures, for evidence on the wire."""
        columns = self.arrays()
        # SAFETY: agents read evidence of sealed episodes too, and see no picture of them.
        names = [name for name in columns if not name.startswith(f"observation.{PICTURE}")]
        return [
            {name: [float(value) for value in np.ravel(columns[name][row])] for name in names}
            for row in range(len(self._times))
        ]


class RecordingInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in a recording beside its columns."""

    format: str = "enpire-episode-1"
    batch_id: str
    commit: str
    task: str
    station: str
    episode: Episode
    action_source: str = "policy"
    label_source: str = "verifier"


class Recorder:
    """Writes recordings below one folder, oldest pruned first beyond a quota.

    Args:
        folder: Holds recordings only; ledgers and journals lie elsewhere and are never pruned.
        quota_bytes: Size of all recordings together.
    """

    def __init__(self, folder: Path, quota_bytes: int = QUOTA_BYTES) -> None:
        self._folder = folder
        self._quota_bytes = quota_bytes
        folder.mkdir(parents=True, exist_ok=True)
        for torn in folder.glob("*.part"):
            torn.unlink()
        kept = sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_mtime_ns)
        self._kept = [(path, path.stat().st_size) for path in kept]
        self._size = sum(size for _, size in self._kept)

    def write(self, name: str, trace: Trace, info: RecordingInfo) -> Path:
        """Write one episode atomically; returns its path."""
        buffer = io.BytesIO()
        meta = np.frombuffer(msgspec.json.encode(info), dtype=np.uint8)
        np.savez(buffer, info=meta, **trace.arrays())  # pyright: ignore[reportArgumentType]
        path = self._folder / f"{name}.npz"
        part = path.with_suffix(".part")
        content = buffer.getvalue()
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fdatasync(file.fileno())
        part.replace(path)
        self._kept.append((path, len(content)))
        self._size += len(content)
        self._prune()
        return path

    def _prune(self) -> None:
        while self._size > self._quota_bytes and len(self._kept) > 1:
            path, size = self._kept.pop(0)
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            self._size -= size


def read_recording(path: Path) -> tuple[RecordingInfo, dict[str, NDArray[Any]]]:
    """Read a recording back; no pickle."""
    with _opened(path) as content:
        columns = {name: content[name] for name in content.files if name != "info"}
        return _info(content), columns


def batch_of(path: Path) -> str:
    """The batch that a recording belongs to, "" where it was pruned meanwhile."""
    try:
        with _opened(path) as content:
            return _info(content).batch_id
    except FileNotFoundError:
        return ""


def _opened(path: Path) -> Any:  # noqa: ANN401 - numpy's archive, which reads an array when asked.
    return np.load(path, allow_pickle=False)


def _info(content: Any) -> RecordingInfo:  # noqa: ANN401 - see above.
    return msgspec.json.decode(bytes(content["info"]), type=RecordingInfo)
