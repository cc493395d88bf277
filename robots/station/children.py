"""What the station asks of the three kinds of sandboxed child: policy, reset and verifier.

The interfaces stand here, apart from the sandbox's machinery (`robots.station.sandboxed`), so that
an episode reads without it and a test can put plain objects in its place.
"""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from robots.station.cameras import Images
from robots.station.tasks import Observation
from robots.wire.records import RecipeArchive


def printable(text: str) -> str:
    """Text from untrusted code without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class ChildFailed(Exception):
    """A child did not answer as it must.

    Attributes:
        reason: policy_raised, policy_timeout, policy_memory, policy_exited, bad_reply and the
            same with `reset` or `verifier` for `policy`.
        detail: For people and agents; may quote what the child wrote.
        ended: Whether its process is gone.
    """

    def __init__(self, reason: str, detail: str = "", *, ended: bool = True) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.ended = ended

    @property
    def line(self) -> str:
        """The last line of the detail, short enough for a record: of a traceback, the error."""
        lines = [line.strip() for line in self.detail.splitlines() if line.strip()]
        return printable(lines[-1][:200]) if lines else ""


class Answer(NamedTuple):
    """A child's answer to an observation.

    Attributes:
        action: What it returned, not yet validated; None from a reset that is done.
        cpu_s: Processor seconds the child used for it.
    """

    action: NDArray[Any] | None
    cpu_s: float


class Sight(NamedTuple):
    """A verifier's verdict on one set of images."""

    success: bool
    score: float | None


class Child(Protocol):
    """A process of its own."""

    @property
    def pid(self) -> int | None:
        """Of the process, None if it is gone or there is none."""
        ...

    def close(self) -> None: ...


class PolicyChild(Child, Protocol):
    """A policy in a process of its own."""

    def reset(self, observation: Observation) -> float:
        """Begin an episode; returns processor seconds."""
        ...

    def act(self, observation: Observation) -> Answer: ...

    def blocked(self) -> list[str]:
        """What it tried and was refused since the last call."""
        ...


class ResetChild(Child, Protocol):
    """A task's reset in a process of its own."""

    def reset(self, observation: Observation, target: NDArray[np.float64]) -> None: ...

    def act(self, observation: Observation) -> Answer: ...


class VerifyChild(Child, Protocol):
    """A task's verifier in a process of its own."""

    def verify(self, images: Images, proprioception: Observation) -> Sight: ...


class Children(Protocol):
    """Starts children of one station and task."""

    def policy(self, recipe: RecipeArchive) -> PolicyChild:
        """A fresh one.

        Raises:
            ChildFailed: The recipe cannot be loaded, which is its own failure.
        """
        ...

    def reset(self) -> ResetChild: ...

    def verify(self) -> VerifyChild: ...
