"""What an examination of a task says."""

from robots.wire.records import Frozen


class Check(Frozen):
    """One rule, looked at.

    Attributes:
        detail: What was seen; where the rule is broken, also what to do.
    """

    name: str
    ok: bool
    detail: str


class Nonconforming(Exception):
    """A rule is broken; the message says what was seen and what to do."""
