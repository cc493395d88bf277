"""Episodes of a dataset as tensors: normalised states with some history, and what was done next."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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


class Demonstrations:
    """States and actions of whole episodes.

    Args:
        folder: Of a LeRobot dataset.
        relative_to: Observation whose numbers the first numbers of an action are measured from,
            such as the hand's position: what is learned is then where to go from here; "" for none.
        ignore: Observations that are left out, such as the time.

    Attributes:
        relative: Places in the states of what `relative_to` names.
    """

    def __init__(self, folder: Path, relative_to: str = "", ignore: Sequence[str] = ()) -> None:
        data = Dataset(folder, ("observation.state", "action"))
        names: list[str] = data.info["features"]["observation.state"]["names"] or []
        keys = [name.rpartition(".")[0] for name in names]
        kept = [place for place, key in enumerate(keys) if key not in ignore]
        self.states: Array = data.columns["observation.state"].astype(np.float32)[:, kept]
        self.actions: Array = data.columns["action"].astype(np.float32)
        self.episode = data.episode
        self.relative = [n for n, place in enumerate(kept) if keys[place] == relative_to]
        if relative_to and not self.relative:
            raise ValueError(f"relative_to: {relative_to!r} is not in the state: {names}")

    @property
    def episodes(self) -> int:
        return len(np.unique(self.episode))

    def windows(self, history: Sequence[int], chunk: int) -> tuple[Array, Array]:
        """States with their past, and the actions that follow.

        Args:
            history: How many steps back each of the seen states lies, such as (0, 3, 6); before an
                episode's start its first state stands.
            chunk: Actions of a window; beyond an episode's end its last action stands.

        Returns:
            (frames, len(history), numbers of a state), (frames, chunk, numbers of an action).
        """
        index = np.arange(len(self.episode))
        starts = np.searchsorted(self.episode, self.episode, side="left")
        ends = np.searchsorted(self.episode, self.episode, side="right") - 1
        back = np.maximum(index[:, None] - np.asarray(history), starts[:, None])
        ahead = np.minimum(index[:, None] + np.arange(chunk), ends[:, None])
        actions = self.actions[ahead].copy()
        if self.relative:
            actions[..., : len(self.relative)] -= self.states[index][:, None, self.relative]
        return self.states[back], actions


def tensors(*arrays: Array, device: str = "cpu") -> list[Tensor]:
    """Arrays as tensors on a device."""
    return [torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays]
