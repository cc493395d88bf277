"""Episodes as learners take them: of a dataset or from an actor, and as transitions of chunks."""

from collections.abc import Callable, Sequence
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
CUT = "episode_limit"
"""A station's reason for an episode that ended at its time limit; safety is not in a job's sandbox."""


class Course(msgspec.Struct, frozen=True, kw_only=True):
    """One episode, on the wire and on disk; arrays as little-endian float32 bytes.

    Attributes:
        number: The actor's count of episodes, those that it did not hand over included.
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


def by_name(states: Array, names: Sequence[str]) -> dict[str, Array]:
    """Observations (steps, numbers) by name, from a state's numbers `hand_position_m.0`, ..."""
    keys = [name.rpartition(".")[0] for name in names]
    return {
        key: states[:, [place for place, each in enumerate(keys) if each == key]]
        for key in dict.fromkeys(keys)
    }


def chunks(actions: Array, length: int, origin: Array | None) -> Array:
    """The actions that follow each step, (steps, length, numbers of an action).

    Args:
        actions: Of an episode; beyond its end its last action stands.
        length: Actions of a chunk.
        origin: (steps, numbers): what the first numbers of an action are measured from, or None.
    """
    ahead = np.minimum(np.arange(len(actions))[:, None] + np.arange(length), len(actions) - 1)
    found = actions[ahead].copy()
    if origin is not None:
        found[..., : origin.shape[1]] -= origin[:, None]
    return found


class Transitions:
    """Turns episodes into transitions of whole chunks.

    A transition begins at every step of an episode, not at each chunk's first alone, and spans a
    chunk: what was done in it, the discounted reward, and what was seen after it. Reward is 1 at
    success. Where an episode was cut at its time limit, values go on from what was seen last: no
    policy sees the time, and its task did not end (Pardo et al. 2018, arXiv 1712.00378).

    Args:
        inputs: States (steps, numbers) of an episode to what the networks are given.
        outputs: States and actions of an episode to normalised chunks, (steps, numbers).
        chunk: Actions of one.
        discount: Of one step.
    """

    def __init__(
        self,
        inputs: Callable[[Array], Array],
        outputs: Callable[[Array, Array], Array],
        chunk: int,
        discount: float,
    ) -> None:
        self._inputs, self._outputs = inputs, outputs
        self._chunk, self._discount = chunk, discount

    def of(self, course: Course) -> tuple[dict[str, Tensor], Tensor]:
        """Transitions of an episode, and which of them were taught from first to last action."""
        states, actions, sources = course.arrays()
        steps = np.arange(course.steps)
        seen = self._inputs(states)
        left = course.steps - 1 - steps
        over = left < self._chunk
        cut = not course.success and course.reason == CUT
        rows = {
            "observation": seen,
            "action": self._outputs(states, actions),
            "reward": np.where(over & course.success, self._discount**left, 0.0),
            "goes_on": ~over | cut,
            "next_observation": seen[np.minimum(steps + self._chunk, course.steps - 1)],
        }
        taught = np.isin(sources, [SOURCES.index(source) for source in TAUGHT])
        whole = taught[np.minimum(steps[:, None] + np.arange(self._chunk), steps[-1])].all(axis=1)
        found = {name: torch.from_numpy(np.array(v, np.float32)) for name, v in rows.items()}
        return found, torch.from_numpy(whole)
