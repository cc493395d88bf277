"""The digest: what changed in a run since an agent last looked, made by code, at most 600 tokens.

It stands in for every agent reading every branch, which made tokens grow faster than the fleet.
Newest decisions come first, the champion before everything; what does not fit is counted.
"""

from collections.abc import Iterable, Mapping, Sequence

from agents.git.trailers import clean
from robots.wire.events import (
    AnyEvent,
    CandidateDecided,
    ChampionChanged,
    ConfirmFinished,
    IdeaProposed,
    RunEnded,
)
from robots.wire.records import Idea

LIMIT_TOKENS = 600

# Tokenisers give 3 to 5 characters a token for such text; the low end keeps the promise.
CHARACTERS_PER_TOKEN = 3
HYPOTHESIS_LIMIT = 140


def build_digest(
    events: Sequence[AnyEvent],
    known: Mapping[str, Idea] | None = None,
    limit_tokens: int = LIMIT_TOKENS,
) -> str:
    """Say what a run's events since a cursor mean for an agent.

    Args:
        events: Rows of the supervisor's journal after the cursor, oldest first.
        known: Ideas by id, for those proposed before the cursor.
        limit_tokens: Most tokens of the digest.

    Returns:
        Lines of text, "" if nothing of interest happened.
    """
    ideas = {
        **(known or {}),
        **{event.idea.idea_id: event.idea for event in events if isinstance(event, IdeaProposed)},
    }
    lines = [*_champion_lines(events, ideas), *_decision_lines(events, ideas)]
    lines += _open_lines(events, ideas)
    lines += _fleet_lines(events)
    return _fit(lines, limit_tokens)


def _hypothesis(ideas: Mapping[str, Idea], idea_id: str) -> str:
    idea = ideas.get(idea_id)
    return clean(idea.hypothesis, HYPOTHESIS_LIMIT) if idea else ""


def _champion_lines(events: Iterable[AnyEvent], ideas: Mapping[str, Idea]) -> list[str]:
    changes = [event for event in events if isinstance(event, ChampionChanged)]
    if not changes:
        return []
    last = changes[-1]
    low, high = last.interval
    line = (
        f"Champion: {last.idea_id} ({last.commit[:10]}) at {last.rate:.3f} "
        f"[{low:.3f}, {high:.3f}], {last.success}/{last.episodes} fresh episodes."
    )
    return [f"{line} {_hypothesis(ideas, last.idea_id)}".strip()]


def _decision_lines(events: Sequence[AnyEvent], ideas: Mapping[str, Idea]) -> list[str]:
    return [
        f"{event.decision} {event.idea_id}: {event.success}/{event.episodes} against "
        f"{event.champion_rate:.2f}. {_hypothesis(ideas, event.idea_id)}".rstrip()
        for event in reversed(events)
        if isinstance(event, CandidateDecided)
    ]


def _open_lines(events: Sequence[AnyEvent], ideas: Mapping[str, Idea]) -> list[str]:
    decided = {event.idea_id for event in events if isinstance(event, CandidateDecided)}
    return [
        f"claimed {event.idea.idea_id}: {_hypothesis(ideas, event.idea.idea_id)}"
        for event in reversed(events)
        if isinstance(event, IdeaProposed) and event.idea.idea_id not in decided
    ]


def _fleet_lines(events: Iterable[AnyEvent]) -> list[str]:
    lines: list[str] = []
    for event in events:
        match event:
            case ConfirmFinished():
                counts = event.counts
                lines.append(
                    f"confirm {event.confirm} of {event.idea_id}: {event.outcome.value}, "
                    f"{counts.success} successes, {counts.failure} failures."
                )
            case RunEnded():
                lines.append(f"the run ended: {event.outcome}.")
            case _:
                pass
    return lines


def _fit(lines: Sequence[str], limit_tokens: int) -> str:
    """The first lines that fit, and how many did not."""
    room = limit_tokens * CHARACTERS_PER_TOKEN - len("(999999 more)")
    kept: list[str] = []
    for at, line in enumerate(lines):
        if len(line) + 1 > room:
            return "\n".join([*kept, f"({len(lines) - at} more)"])
        kept.append(line)
        room -= len(line) + 1
    return "\n".join(kept)
