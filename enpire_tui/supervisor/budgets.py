"""What a run may spend, and whether it is spent; enforced by the supervisor, outside any agent."""

from enpire_tui.supervisor.state import BASELINE, RunState
from robots.wire.records import Frozen


class Budget(Frozen):
    """Bounds of one run; 0 means that this one is not bounded.

    Attributes:
        minutes: Research wall clock.
        robot_minutes: Minutes of all robots together, executing episodes with their resets.
        ideas: Ideas claimed by all agents together.
        tokens: Uncached tokens (fresh input and output) of all agents together.
    """

    minutes: float
    robot_minutes: float = 0.0
    ideas: int = 0
    tokens: int = 0


def left_s(budget: Budget, elapsed_s: float) -> float:
    """Research seconds until the wall clock budget is spent, at least 0."""
    return max(0.0, budget.minutes * 60.0 - elapsed_s)


def spent(budget: Budget, state: RunState, elapsed_s: float) -> str:
    """Which bound is reached, in words, or "" while none is."""
    if left_s(budget, elapsed_s) <= 0.0:
        return f"time: {budget.minutes:g} minutes"
    robot_s = sum(each.busy_s for each in state.figures.values())
    if budget.robot_minutes and robot_s >= budget.robot_minutes * 60.0:
        return f"robots: {budget.robot_minutes:g} minutes"
    if budget.ideas and ideas(state) >= budget.ideas and not _undecided(state):
        return f"ideas: {budget.ideas}"
    tokens = state.tokens.fresh_input + state.tokens.output
    if budget.tokens and tokens >= budget.tokens:
        return f"tokens: {budget.tokens}"
    return ""


def admits_idea(budget: Budget, state: RunState) -> bool:
    """Whether one more idea may be claimed."""
    return not budget.ideas or ideas(state) < budget.ideas


def ideas(state: RunState) -> int:
    """Ideas claimed so far; the baseline is nobody's idea."""
    return sum(1 for each in state.candidates if each != BASELINE)


def _undecided(state: RunState) -> bool:
    return any(each.phase in ("SCREENING", "PROMOTING") for each in state.candidates.values())
