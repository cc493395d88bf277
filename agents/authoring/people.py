"""What passes between an agent that builds an environment and the person beside it."""

from typing import Protocol

from robots.bench.findings import Check
from robots.bench.resets import ResetFigures
from robots.bench.sights import VerifierFigures
from robots.wire.records import Frozen


class Measured(Frozen):
    """What was measured of one reset and verifier; what was not is None, or no checks at all."""

    checks: tuple[Check, ...] = ()
    verifier: VerifierFigures | None = None
    reset: ResetFigures | None = None

    @property
    def passed(self) -> bool:
        """Whether every rule of a task was looked at and held."""
        return bool(self.checks) and all(each.ok for each in self.checks)


class Proposal(Frozen):
    """A change of a task's reset or verifier.

    Attributes:
        reason: The agent's words.
        changed: Names of the files that differ.
        diff: Unified, from the task's files to those proposed.
        diff_sha256: Its hash, under which decision and difference are on record.
        before: Measured of the task's files.
        after: Measured of those proposed.
    """

    reason: str
    changed: tuple[str, ...]
    diff: str
    diff_sha256: str
    before: Measured
    after: Measured


class Decision(Frozen):
    """A person's answer to a proposal, or to a question (then `yes` means nothing).

    Attributes:
        about: Hash of the difference, "" of a question.
    """

    yes: bool
    words: str
    by: str
    about: str = ""


class People(Protocol):
    """The person beside the agent.

    Attributes:
        by: Who, for the record.
    """

    by: str

    def told(self, role: str, text: str) -> None:
        """Show a line of the transcript."""
        ...

    async def answer(self, question: str, choices: tuple[str, ...]) -> str | None:
        """Their words; None where nobody answers any more."""
        ...

    async def decide(self, proposal: Proposal) -> Decision | None:
        """Their decision; None where nobody answers any more."""
        ...


def figures(found: Measured) -> str:
    """What was measured, in a line."""
    told: list[str] = []
    if found.checks:
        failed = [each.name for each in found.checks if not each.ok]
        told.append(f"check failed: {', '.join(failed)}" if failed else "check passed")
    if found.verifier is not None:
        v = found.verifier
        told.append(
            f"verifier: {v.false_positives} false positives on {v.negatives} negatives "
            f"({v.near_misses} near misses), recall {v.recall:.1%} of {v.positives}, set {v.seed}"
        )
    if found.reset is not None:
        r = found.reset
        told.append(
            f"reset: {r.success} of {r.tries} reached, {r.single_try_success} at the first try, "
            f"{r.seconds_per_reset:.1f} robot seconds each"
        )
    return "; ".join(told) or "nothing measured"
