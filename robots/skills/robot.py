"""Scripts: generators that yield an action and are resumed with the next observation.

A skill is a script that `yield from` runs inside another one. A `Robot` holds what all of them
share: the whole action in force and the last observation.
"""

from collections.abc import Callable, Collection, Generator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from robots.skills.failures import Failure, SkillFailed

T = TypeVar("T")

Array = NDArray[np.float64]
Observation = dict[str, Array]
Place = Array | Sequence[float]
Script = Generator[Array, Observation, T]


class Robot:
    """What the hands of one robot share.

    Args:
        observation: The sensors now.
        action: The whole action that shall be in force; changed by its hands.
        period_s: Of the policy.
    """

    def __init__(
        self, observation: Observation, action: Place, period_s: float = 1.0 / 30.0
    ) -> None:
        self.seen = observation
        self.command: Array = np.array(action, dtype=np.float64)
        self.period_s = period_s

    def hold(self, steps: int) -> Script[None]:
        """Keep the action in force for some steps."""
        for _ in range(steps):
            self.seen = yield self.command.copy()

    def average(self, of: Callable[[Observation], Array], frames: int) -> Script[Array]:
        """Hold, and return the mean of what `of` takes from each of the next observations."""
        found: list[Array] = []
        for _ in range(frames):
            yield from self.hold(1)
            found.append(np.asarray(of(self.seen), dtype=np.float64))
        return np.mean(found, axis=0)

    def together(self, *scripts: Script[Any]) -> Script[list[Any]]:
        """Run scripts of several hands side by side; returns what each one returned.

        Raises:
            SkillFailed: The first one that failed; the others are dropped where they are.
        """
        results: list[Any] = [None] * len(scripts)
        running = dict(enumerate(scripts))
        observation: Any = None
        while True:
            for index, script in list(running.items()):
                try:
                    script.send(observation)
                except StopIteration as end:
                    results[index] = end.value
                    del running[index]
            if not running:
                return results
            observation = yield self.command.copy()


def retry(
    times: int,
    attempt: Callable[[], Script[T]],
    recover: Callable[[], Script[None]] | None = None,
    on: Collection[Failure] = tuple(Failure),
) -> Script[T]:
    """Run what `attempt` makes until it does not fail.

    Args:
        times: At most, at least 1.
        attempt: Makes the script anew.
        recover: Makes what runs between two attempts.
        on: Failures after which another attempt makes sense.

    Raises:
        SkillFailed: The last attempt's, or one that is not in `on`.
    """
    for _ in range(times - 1):
        try:
            return (yield from attempt())
        except SkillFailed as failed:
            if failed.failure not in on:
                raise
        if recover is not None:
            yield from recover()
    return (yield from attempt())


def within(steps: int, script: Script[T]) -> Script[T]:
    """Run a script for at most so many steps.

    Raises:
        SkillFailed: TIMED_OUT.
    """
    try:
        action = next(script)
        for _ in range(steps):
            action = script.send((yield action))
    except StopIteration as end:
        return end.value
    script.close()
    raise SkillFailed(Failure.TIMED_OUT, f"not done within {steps} steps")
