"""Transitions in memory: one ring a source, and batches that mix them in fixed shares."""

from collections.abc import Mapping

import torch
from torch import Tensor

COLUMNS = ("observation", "action", "reward", "goes_on", "next_observation")


class Replay:
    """A ring of transitions.

    Args:
        capacity: Transitions kept; the oldest make room.
        observations: Numbers of an observation.
        actions: Numbers of an action.
        device: Where batches are wanted.
    """

    def __init__(self, capacity: int, observations: int, actions: int, device: str = "cpu") -> None:
        widths = {"observation": observations, "action": actions, "next_observation": observations}
        self._rows = {
            name: torch.zeros(capacity, *([widths[name]] if name in widths else []), device=device)
            for name in COLUMNS
        }
        self.capacity = capacity
        self.seen = 0

    def __len__(self) -> int:
        return min(self.seen, self.capacity)

    def add(self, rows: Mapping[str, Tensor]) -> None:
        """Take transitions, (count, ...) each, in order."""
        count = len(rows["reward"])
        places = (torch.arange(count) + self.seen) % self.capacity
        for name, kept in self._rows.items():
            kept[places] = rows[name].to(kept)
        self.seen += count

    def sample(self, count: int) -> dict[str, Tensor]:
        """Transitions drawn with replacement, (count, ...) each."""
        drawn = torch.randint(len(self), (count,), device=self._rows["reward"].device)
        return {name: kept.index_select(0, drawn) for name, kept in self._rows.items()}


def mixed(parts: Mapping[Replay, float], count: int) -> dict[str, Tensor]:
    """A batch of several sources; one that is empty leaves its share to the others.

    Args:
        parts: Share of each.
        count: Transitions in all.
    """
    filled = {replay: share for replay, share in parts.items() if len(replay)}
    whole = sum(filled.values())
    taken: list[dict[str, Tensor]] = []
    left = count
    for index, (replay, share) in enumerate(filled.items()):
        size = left if index == len(filled) - 1 else round(count * share / whole)
        left -= size
        taken.append(replay.sample(size))
    return {name: torch.cat([part[name] for part in taken]) for name in COLUMNS}
