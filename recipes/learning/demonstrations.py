"""Episodes of a dataset as arrays and tensors: what was observed, done and won, frame by frame."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recipes.learning import courses
from robots.dataset.reader import Dataset

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Scale:
    """Affine normalisation, per number.

    Attributes:
        middle, spread: (numbers,) each; normalised = (value - middle) / spread.
    """

    middle: Array
    spread: Array

    @classmethod
    def standard(cls, rows: Array, constant: float = 1.0) -> "Scale":
        """By mean and standard deviation.

        Args:
            rows: (count, numbers).
            constant: Spread of a number that never changes: 1 for inputs, which then may; next to
                nothing for outputs, which then never do.
        """
        spread = rows.std(axis=0)
        return cls(rows.mean(axis=0), np.where(spread > 1e-6, spread, constant).astype(np.float32))

    @classmethod
    def range(cls, rows: Array) -> "Scale":
        """To -1 and 1 at the extremes."""
        low, high = rows.min(axis=0), rows.max(axis=0)
        half = 0.5 * (high - low)
        middle = (0.5 * (low + high)).astype(np.float32)
        return cls(middle, np.where(half > 1e-6, half, 1.0).astype(np.float32))

    def __call__(self, rows: Array) -> Array:
        return (rows - self.middle) / self.spread


@dataclass(frozen=True, slots=True)
class Recorded:
    """One episode.

    Attributes:
        seen: Observations by name, (frames, numbers) each.
        actions: (frames, numbers of an action).
        rewards: (frames,): 1 at the last frame of a success, else 0.
        pictures: By camera, (frames, height, width, 3), uint8; of those that were asked for.
    """

    seen: dict[str, Array]
    actions: Array
    rewards: Array
    pictures: dict[str, NDArray[np.uint8]] = field(default_factory=dict[str, NDArray[np.uint8]])

    def __len__(self) -> int:
        return len(self.actions)


def episodes(*folders: Path, images: Sequence[str] = ()) -> Iterator[Recorded]:
    """Episodes of LeRobot datasets, one dataset after the other.

    Args:
        folders: Of datasets of one task.
        images: Cameras whose pictures are wanted.

    Raises:
        DatasetError: A dataset lacks `observation.state`, `action`, `next.reward` or a camera.
        ValueError: Its state does not say what its numbers are.
    """
    for folder in folders:
        data = Dataset(folder, ("observation.state", "action", "next.reward"))
        names: list[str] = data.info["features"]["observation.state"]["names"] or []
        if not names:
            raise ValueError(f"{folder}/meta/info.json: observation.state has no names")
        states, actions, rewards = (
            np.asarray(data.columns[name], dtype=np.float32)
            for name in ("observation.state", "action", "next.reward")
        )
        pictures = {name: data.pictures(name) for name in images}
        starts = np.flatnonzero(np.diff(data.episode, prepend=-1))
        for first, end in zip(starts, [*starts[1:], len(states)], strict=True):
            seen = courses.by_name(states[first:end], names)
            shown = {name: each[first:end] for name, each in pictures.items()}
            yield Recorded(seen, actions[first:end], rewards[first:end], shown)


def chunks(episode: Recorded, length: int, relative_to: str = "") -> Array:
    """The actions that follow each frame, (frames, length, numbers of an action).

    Args:
        episode: Beyond its end its last action stands.
        length: Actions of a chunk.
        relative_to: Observation that the first numbers of an action are measured from, such as the
            hand's position: what is learned is then where to go from here; "" for none.
    """
    origin = episode.seen[relative_to] if relative_to else None
    return courses.chunks(episode.actions, length, origin)


def tensors(*arrays: Array, device: str = "cpu") -> list[Tensor]:
    """Arrays as tensors on a device."""
    return [
        torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(device)
        for array in arrays
    ]


def split(everything: Sequence[Recorded], share: float) -> tuple[list[Recorded], list[Recorded]]:
    """Episodes to learn from, and every n-th one held out; with fewer than two, none is."""
    if len(everything) < 2:
        return [*everything], []
    every = max(2, round(1.0 / share))
    held = [each for n, each in enumerate(everything) if n % every == every - 1]
    held = held or [everything[-1]]
    return [each for each in everything if not any(each is h for h in held)], held
