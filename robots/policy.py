"""What every policy on a station is: reset once an episode, then one action an observation."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Observation = dict[str, Array]
Knob = float | int | str | bool


class Policy(Protocol):
    """A recipe's `policy.py` defines `class Policy` with these three methods.

    It runs in a sandboxed process of its own, sees observations only, and may import the standard
    library, numpy, `robots.skills` and the files of its own recipe folder.
    """

    def __init__(self, knobs: dict[str, Knob]) -> None:
        """Takes the knobs' values by name, as `recipe.toml` or a candidate sets them."""
        ...

    def reset(self, observation: Observation) -> None:
        """Begins an episode; forgets everything of the episode before."""
        ...

    def act(self, observation: Observation) -> Array:
        """Action for this policy step: float64, shape, unit and limits as in `task.toml`."""
        ...
