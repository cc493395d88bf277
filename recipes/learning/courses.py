"""Episodes as learners take them: of a dataset or from an actor, and as transitions of chunks."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robots.dataset.features import SOURCES
from robots.dataset.reader import Dataset

Array = NDArray[np.float32]
TAUGHT = frozenset({"demonstration", "human"})
"""Sources that are learned from as demonstrations are: an intervention is one."""


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """One episode, on the wire and on disk; arrays as little-endian float32 bytes.

    Attributes:
        number: Counts an actor's episodes; a gap tells how many were lost on the way.
        states: (steps, numbers), every observation in the task's order.
        actions: (steps, numbers of an action), as asked for.
        sources: Who each action came from, one a step, as a place in `SOURCES`.
        weights: SHA-256 of the weights that acted, "" for none.
        reason: How the episode ended, as a station says it.
    """

    number: int
    steps: int
    states: bytes
    actions: bytes
    sources: bytes
    success: bool
    reason: str = ""
    weights: str = ""

    def arrays(self) -> tuple[Array, Array, NDArray[np.uint8]]:
        """States, actions and sources."""
        states = np.frombuffer(self.states, dtype="<f4").reshape(self.steps, -1)
        actions = np.frombuffer(self.actions, dtype="<f4").reshape(self.steps, -1)
        return states, actions, np.frombuffer(self.sources, dtype=np.uint8)


def course(
    number: int,
    states: NDArray[Any],
    actions: NDArray[Any],
    sources: Sequence[str],
    *,
    success: bool,
    reason: str = "",
    weights: str = "",
) -> Course:
    """Packs an episode; one source for each step."""
    return Course(
        number=number,
        steps=len(actions),
        states=states.astype("<f4").tobytes(),
        actions=actions.reshape(len(actions), -1).astype("<f4").tobytes(),
        sources=bytes(SOURCES.index(source) for source in sources),
        success=success,
        reason=reason,
        weights=weights,
    )


def of_dataset(folder: Path) -> tuple[list[Course], list[str]]:
    """Successful episodes of a LeRobot dataset as demonstrations, and the names of their numbers."""
    data = Dataset(folder, ("observation.state", "action", "next.success"))
    found: list[Course] = []
    for number in np.unique(data.episode):
        rows = data.episode == number
        if data.columns["next.success"][rows].any():
            states, actions = data.columns["observation.state"][rows], data.columns["action"][rows]
            by = ["demonstration"] * len(actions)
            found.append(course(int(number), states, actions, by, success=True))
    return found, list(data.info["features"]["observation.state"]["names"] or [])


def places(names: Sequence[str], key: str) -> list[int]:
    """Places in a state of one observation's numbers.

    Raises:
        ValueError: The state has none of that name.
    """
    found = [place for place, name in enumerate(names) if name.rpartition(".")[0] == key]
    if not found:
        raise ValueError(f"recipe.toml: train: no observation {key!r}; the state has {[*names]}")
    return found


class Transitions:
    """Turns episodes into transitions of whole chunks.

    A transition begins at every step of an episode, not at each chunk's first alone, and spans a
    chunk: what was done in it, the discounted reward, and what was seen after it. Reward is 1 at
    success. The end of an episode is an end, also the one at its time limit: the time is seen.

    Args:
        senses: As `policy.py` beside `train.py` takes them.
        features: (rows, numbers) of states to (rows, features); the policy's own.
        history, chunk: As in `recipe.toml`.
        discount: Of one step.
        clock: Of a step's number, its time in the policy's unit.
    """

    def __init__(
        self,
        senses: Mapping[str, Array],
        features: Callable[[Array, Mapping[str, Array]], Array],
        history: Sequence[int],
        chunk: int,
        discount: float,
        clock: float,
    ) -> None:
        self._senses = senses
        self._features = features
        self._history = np.asarray(history)
        self._chunk = chunk
        self._discount = discount
        self._clock = clock

    def of(self, course: Course) -> tuple[dict[str, Tensor], Tensor]:
        """Transitions of an episode, and of which of them a person or demonstrator taught all."""
        states, actions, sources = course.arrays()
        steps = np.arange(course.steps)
        seen = self._features(states, self._senses)[np.maximum(steps[:, None] - self._history, 0)]
        seen = np.concatenate(
            (seen.reshape(course.steps, -1), self._clock * steps[:, None]), axis=1
        ).astype(np.float32)
        done = self.actions_of(states, actions)
        left = course.steps - 1 - steps
        over = left < self._chunk
        reward = np.where(over & course.success, self._discount**left, 0.0)
        rows = {
            "observation": seen,
            "action": done,
            "reward": reward,
            "goes_on": ~over,
            "next_observation": seen[np.minimum(steps + self._chunk, course.steps - 1)],
        }
        taught = np.isin(sources, [SOURCES.index(source) for source in TAUGHT])
        whole = taught[np.minimum(steps[:, None] + np.arange(self._chunk), steps[-1])].all(axis=1)
        found = {
            name: torch.from_numpy(np.asarray(v, dtype=np.float32)) for name, v in rows.items()
        }
        return found, torch.from_numpy(whole)

    def actions_of(self, states: Array, actions: Array) -> Array:
        """Normalised chunks of actions, (steps, chunk * numbers), clipped to [-1, 1]."""
        steps = np.arange(len(actions))
        ahead = np.minimum(steps[:, None] + np.arange(self._chunk), steps[-1])
        chunks = actions[ahead].copy()
        origin = self._senses["origin"].astype(int)
        chunks[..., : len(origin)] -= states[:, None, origin]
        scaled = (chunks - self._senses["done_middle"]) / self._senses["done_spread"]
        return np.clip(scaled, -1.0, 1.0).reshape(len(actions), -1).astype(np.float32)
