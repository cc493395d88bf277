"""When a confirm is worth its price, with which seeds, and how it ends.

A run has three confirms. Each asks for fifty successes in a row on seeds fixed beforehand, which a
policy of 98% passes one time in three, so evidence is bought before a confirm is spent: the best
candidate is measured until the predicted chance of fifty in a row is good or shown not to be.
"""

import enum
import hashlib

from enpire_tui.supervisor import selection
from enpire_tui.supervisor.state import (
    ADOPTED,
    CONFIRM,
    DISCARDED,
    PROMOTING,
    Candidate,
    Confirm,
    RunState,
)
from robots.wire.records import Frozen, Outcome


class ConfirmRule(Frozen):
    """What a confirm is, and when one is started.

    Attributes:
        length: Successes in a row on seeds fixed beforehand.
        most: Confirms a run may spend, void ones included.
        gate_success: A candidate needs at least this share of fresh successes...
        gate_episodes: ...of at least so many fresh episodes.
        evidence: Fresh episodes before a confirm is started with time in hand.
        evidence_most: Evidence is bought up to here while the chance is in doubt.
        start_chance: Predicted chance of a clean confirm that starts one.
        doubt_chance: Below this, more evidence is not bought: the policy must improve first.
        margin_s: Seconds kept at the run's end beside the remaining confirms' own time.
        replacements: Most seeds that may replace voids; more, and the confirm is void.
        nominated_chance: Predicted chance that starts a confirm which an agent asked for.
        nominated_most: Confirms of a run that may be started so; the rest are the planner's.
        nominations: Most of one agent in a run.
    """

    length: int = 50
    most: int = 3
    gate_success: float = 0.98
    gate_episodes: int = 100
    evidence: int = 200
    evidence_most: int = 400
    start_chance: float = 0.75
    doubt_chance: float = 0.5
    margin_s: float = 20.0
    replacements: int = 25
    nominated_chance: float = 0.5
    nominated_most: int = 2
    nominations: int = 2


DEFAULT_CONFIRM = ConfirmRule()


class WishKind(enum.Enum):
    """What the confirm planner wants done next."""

    NOTHING = "nothing"
    MEASURE = "measure"
    START = "start"


class Wish(Frozen):
    """The planner's wish, for one candidate."""

    kind: WishKind
    idea_id: str = ""
    episodes: int = 0
    chance: float = 0.0


def admitted(candidate: Candidate, rule: ConfirmRule = DEFAULT_CONFIRM) -> bool:
    """Whether the gate is passed: 98 of 100 fresh episodes, pooled over all that were run."""
    fresh = candidate.fresh
    return (
        fresh.episodes >= rule.gate_episodes and fresh.success >= rule.gate_success * fresh.episodes
    )


def row_chance(candidate: Candidate, rule: ConfirmRule = DEFAULT_CONFIRM) -> float:
    """Predicted chance of a clean confirm, from fresh and earlier confirm episodes."""
    return selection.chance_of_row(candidate.fresh.plus(candidate.confirm_rows), rule.length)


def wish(
    state: RunState, left_s: float, confirm_s: float, rule: ConfirmRule = DEFAULT_CONFIRM
) -> Wish:
    """What to do about confirms now.

    Args:
        state: The run.
        left_s: Seconds until the run's time is up.
        confirm_s: Expected seconds of one confirm on this fleet.
        rule: Bounds.
    """
    remaining = rule.most - len(state.confirms)
    if state.confirming is not None or remaining <= 0:
        return Wish(kind=WishKind.NOTHING)
    # What is not spent by the end is lost, so lateness lowers what a confirm must promise.
    # A confirm that fails does so halfway, on average.
    late = left_s <= confirm_s * (1 + (remaining - 1) / 2) + rule.margin_s
    pool = [
        each
        for each in state.candidates.values()
        if admitted(each, rule) and (late or each.phase != PROMOTING)
    ]
    ranked = sorted(pool, key=lambda each: (-row_chance(each, rule), each.order))
    if late and ranked:
        best = ranked[0]
        return Wish(kind=WishKind.START, idea_id=best.idea_id, chance=row_chance(best, rule))
    asked_for = nominated(state, rule)
    for each in ranked:
        chance = row_chance(each, rule)
        if each.idea_id in asked_for and chance >= rule.nominated_chance:
            return Wish(kind=WishKind.START, idea_id=each.idea_id, chance=chance)
    for each in ranked:
        # One that is in doubt and cannot be measured further leaves the turn to the next.
        found = _wish_of(each, rule)
        if found.kind is not WishKind.NOTHING:
            return found
    return Wish(kind=WishKind.NOTHING)


def _wish_of(candidate: Candidate, rule: ConfirmRule) -> Wish:
    """Start with this candidate, measure it further, or leave it, while there is time."""
    chance = row_chance(candidate, rule)
    evidence = candidate.fresh.episodes
    if evidence >= rule.evidence and chance >= rule.start_chance:
        return Wish(kind=WishKind.START, idea_id=candidate.idea_id, chance=chance)
    wanted = rule.evidence if chance >= rule.start_chance else rule.evidence_most
    if evidence < wanted and chance >= rule.doubt_chance:
        return Wish(
            kind=WishKind.MEASURE,
            idea_id=candidate.idea_id,
            episodes=wanted - evidence,
            chance=chance,
        )
    return Wish(kind=WishKind.NOTHING)


def nominated(state: RunState, rule: ConfirmRule = DEFAULT_CONFIRM) -> frozenset[str]:
    """Ideas that may be confirmed on less evidence than usual, since their agents asked for it."""
    if _begun_so(state) >= rule.nominated_most:
        return frozenset()
    return frozenset(each.idea_id for each in state.nominations.values() if not each.confirm)


def nominations_left(state: RunState, agent: str, rule: ConfirmRule = DEFAULT_CONFIRM) -> int:
    """Nominations that an agent may still make in this run."""
    made = sum(each.agent == agent for each in state.nominations.values())
    return max(0, rule.nominations - made)


def objection(
    state: RunState, agent: str, idea_id: str, rule: ConfirmRule = DEFAULT_CONFIRM
) -> str:
    """Why an agent may not nominate an idea for a confirm, "" if it may."""
    candidate = state.candidates.get(idea_id)
    if candidate is None:
        return f"unknown_idea: {idea_id} is none of this run; submit it first"
    if candidate.idea.agent != agent:
        return f"foreign_idea: {idea_id} is not {agent}'s; nominate an idea of your own"
    if candidate.phase not in (ADOPTED, DISCARDED):
        return f"undecided: {idea_id} is {candidate.phase.lower()}; wait for its decision"
    fresh, chance = candidate.fresh, row_chance(candidate, rule)
    if not admitted(candidate, rule):
        return (
            f"not_better: {idea_id} has {fresh.success} of {fresh.episodes} fresh successes; a "
            f"confirm asks for {rule.gate_success:.0%} of at least {rule.gate_episodes}"
        )
    if any(each.idea_id == idea_id and each.outcome is Outcome.FAILURE for each in state.confirms):
        return f"lost: a confirm of {idea_id} failed in this run; improve it"
    if chance < rule.nominated_chance:
        return (
            f"not_better: {fresh.success} of {fresh.episodes} promise {rule.length} successes in a "
            f"row with a chance of {chance:.2f}; {rule.nominated_chance:.2f} is asked for"
        )
    if len(state.confirms) >= rule.most:
        return f"spent: all {rule.most} confirms of this run are used"
    if _begun_so(state) >= rule.nominated_most:
        return (
            f"spent: {rule.nominated_most} confirms were begun because agents asked; the rest are "
            "begun on evidence alone"
        )
    if not nominations_left(state, agent, rule):
        return f"spent: {agent} has made its {rule.nominations} nominations of this run"
    return ""


def _begun_so(state: RunState) -> int:
    return len({each.confirm for each in state.nominations.values() if each.confirm})


def fixed_seeds(entropy: bytes, length: int) -> tuple[int, ...]:
    """Distinct seeds below 2**53 drawn from `entropy`, in a fixed order."""
    seeds: list[int] = []
    counter = 0
    while len(seeds) < length:
        digest = hashlib.sha256(entropy + counter.to_bytes(8, "big")).digest()
        seed = int.from_bytes(digest[:8], "big") >> 11
        if seed not in seeds:
            seeds.append(seed)
        counter += 1
    return tuple(seeds)


def next_seeds(confirm: Confirm, count: int) -> tuple[int, ...]:
    """The next `count` seeds to hand out: of the fifty first, then replacements for voids.

    Replacements follow from the fifty, so that they too were fixed before the first episode.
    """
    entropy = b"replace:" + b",".join(str(seed).encode() for seed in confirm.seeds)
    more = fixed_seeds(entropy, max(0, confirm.given + count - len(confirm.seeds)))
    return (confirm.seeds + more)[confirm.given : confirm.given + count]


def shortfall(state: RunState, confirm: Confirm) -> int:
    """Episodes that must still be handed out so that the confirm can become whole."""
    if confirm.failure:
        return 0
    out = sum(batch.episodes for batch in state.open_batches() if batch.stage == CONFIRM)
    return max(0, len(confirm.seeds) - confirm.success - out)


def shares(count: int, stations: int) -> tuple[int, ...]:
    """`count` split over stations as evenly as it goes, larger shares first."""
    least, more = divmod(count, stations)
    return tuple(least + 1 if index < more else least for index in range(stations))


def outcome_of(confirm: Confirm, rule: ConfirmRule = DEFAULT_CONFIRM) -> Outcome | None:
    """How the confirm ended, or None while it goes on."""
    if confirm.failure:
        return Outcome.FAILURE
    if confirm.success >= len(confirm.seeds):
        return Outcome.SUCCESS
    if confirm.given - len(confirm.seeds) > rule.replacements:
        return Outcome.VOID
    return None
