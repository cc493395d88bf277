"""The names of what can go wrong with a skill."""

from enum import StrEnum


class Failure(StrEnum):
    """Why a skill gave up."""

    NOT_SEEN = "not_seen"
    """What was looked for is not in the image, or is hidden."""
    NOT_HELD = "not_held"
    """The fingers closed on nothing, or on something of another width."""
    SLIPPED = "slipped"
    """What was held is no longer."""
    BLOCKED = "blocked"
    """Something is in the way: the force left its limit, or the hand did not arrive."""
    OUT_OF_REACH = "out_of_reach"
    """The place lies beyond what the hand may be told."""
    TIMED_OUT = "timed_out"
    """The steps that were allowed are used up."""


class SkillFailed(Exception):
    """A skill gave up; the robot stays where it then was.

    Attributes:
        failure: Why.
    """

    def __init__(self, failure: Failure, detail: str) -> None:
        super().__init__(f"{failure.value}: {detail}")
        self.failure = failure
