"""Which open evaluation an idle station takes next: a pure scheduler.

Confirms come first, then what a decision waits for: the champion's own figure, evidence for a
confirm, promotions by their chance of being better, screens by age. The baseline is measured on
where a station has nothing else to do.
A station is given its next batch when the present one is nearly done: earlier, and stops for
futility come too late; later, and the robot waits.
"""

from enpire_tui.supervisor import confirm as confirms
from enpire_tui.supervisor import selection
from enpire_tui.supervisor.confirm import Wish, WishKind
from enpire_tui.supervisor.selection import Rule, Verdict
from enpire_tui.supervisor.state import (
    ADOPTED,
    BASELINE,
    CONFIRM,
    DISCARDED,
    MEASURE,
    PROMOTE,
    PROMOTING,
    SCREEN,
    SCREENING,
    Candidate,
    RunState,
    batch_id_of,
)
from robots.wire import events as ev
from robots.wire.records import Frozen, Purpose

# Episodes of sealed batches a station may still have before it is given more.
LOOK_AHEAD_EPISODES = 2
# A batch smaller than this costs more in fresh workers than it tells.
LEAST_BATCH = 5
# Void batches after which a candidate is given up.
MOST_VOID_BATCHES = 3


class StationLoad(Frozen):
    """What a station has to do, as its journal tells.

    Attributes:
        ready: It is linked, may move and is neither held nor in quarantine.
        sealed_left: Episodes of sealed batches given to it and not finished.
        explore_open: Explore batches queued or running there.
    """

    station: str
    ready: bool
    sealed_left: int
    explore_open: int = 0


class Demand(Frozen):
    """One batch that somebody wants."""

    idea_id: str
    stage: str
    episodes: int


def plan(
    state: RunState,
    loads: tuple[StationLoad, ...],
    wish: Wish,
    rule: Rule = selection.DEFAULT_RULE,
) -> tuple[ev.BatchDispatched, ...]:
    """Batches to give out now; folding them into `state` is the caller's part."""
    ready = [load for load in loads if load.ready]
    confirm = state.confirming
    if confirm is not None:
        due = confirms.shortfall(state, confirm)
        if due:
            return _confirm_batches(state, ready, due)
    planned: list[ev.BatchDispatched] = []
    out = _outstanding(state)
    numbers = _numbers(state)
    for load in sorted(ready, key=lambda each: (each.sealed_left, each.explore_open)):
        if load.sealed_left > LOOK_AHEAD_EPISODES:
            continue
        idle = load.sealed_left == 0 and load.explore_open == 0
        demand = next_demand(state, out, wish, rule, idle=idle)
        if demand is None:
            continue
        key = (demand.idea_id, demand.stage)
        numbers[key] = numbers.get(key, 0) + 1
        out[key] = out.get(key, 0) + demand.episodes
        planned.append(_dispatch(state, load.station, demand, numbers[key]))
    return tuple(planned)


def next_demand(
    state: RunState, out: dict[tuple[str, str], int], wish: Wish, rule: Rule, *, idle: bool
) -> Demand | None:
    """The most informative open evaluation, given what is already `out` (episodes by stage)."""
    champion = state.candidates[state.champion]
    pooled = champion.fresh
    champion_out = out.get((state.champion, MEASURE), 0)
    due = least_episodes(state, rule) - pooled.episodes - champion_out
    if due > 0:
        return _measure(state.champion, due, rule)
    if wish.kind is WishKind.MEASURE:
        due = wish.episodes - out.get((wish.idea_id, MEASURE), 0)
        if due > 0:
            return _measure(wish.idea_id, due, rule)
    for candidate in _promoting_by_chance(state):
        judged = selection.judge_promotion(candidate.fresh, pooled, rule)
        due = judged.needed - out.get((candidate.idea_id, PROMOTE), 0)
        if judged.verdict is Verdict.PROMOTE and due > 0:
            size = min(rule.promote_batch, max(due, LEAST_BATCH))
            return Demand(idea_id=candidate.idea_id, stage=PROMOTE, episodes=size)
    screening = [each for each in state.candidates.values() if each.phase == SCREENING]
    for candidate in sorted(screening, key=lambda each: (-each.screen.episodes, each.order)):
        # Up to the next look, in small batches, so that several stations bring it nearer.
        looks = candidate.screen.episodes // rule.screen_batch + 1
        upto = min(looks * rule.screen_batch, rule.screen_episodes)
        due = upto - candidate.screen.episodes - out.get((candidate.idea_id, SCREEN), 0)
        if due > 0:
            return Demand(idea_id=candidate.idea_id, stage=SCREEN, episodes=LEAST_BATCH)
    due = rule.champion_episodes - pooled.episodes - champion_out
    if idle and due > 0:
        return _measure(state.champion, due, rule)
    return None


def least_episodes(state: RunState, rule: Rule = selection.DEFAULT_RULE) -> int:
    """Pooled episodes of the champion before anything is judged against it.

    What was adopted was the luckiest of several, and looks better than it is until it is measured
    again: the next ideas would be judged against its luck.
    """
    return rule.champion_least if state.champion == BASELINE else rule.champion_episodes


def open_candidates(state: RunState, agent: str | None = None) -> int:
    """Candidates that await a decision, of one agent or of all."""
    return sum(
        1
        for each in state.candidates.values()
        if each.phase in (SCREENING, PROMOTING) and agent in (None, each.idea.agent)
    )


def decide(state: RunState, rule: Rule = selection.DEFAULT_RULE) -> tuple[ev.AnyEvent, ...]:
    """The next due decision on a candidate, or ().

    One at a time, best first: after an adoption the others face the new champion.
    """
    pooled = state.champion_tally()
    if pooled.episodes < least_episodes(state, rule):
        return ()
    for candidate in _promoting_by_chance(state):
        judged = selection.judge_promotion(candidate.fresh, pooled, rule)
        if judged.verdict is Verdict.ADOPT:
            return (_decision(state, candidate, "adopted", PROMOTE, judged.detail),)
        if judged.verdict is Verdict.DISCARD or candidate.void_batches >= MOST_VOID_BATCHES:
            return _discarded(state, candidate, PROMOTE, judged.detail)
    for candidate in state.candidates.values():
        if candidate.phase != SCREENING:
            continue
        if candidate.void_batches >= MOST_VOID_BATCHES:
            return _discarded(state, candidate, SCREEN, "its batches were void")
        if not candidate.screen.episodes:
            continue
        judged = selection.judge_screen(candidate.screen, pooled, rule)
        if judged.verdict is Verdict.PROMOTE:
            return (_decision(state, candidate, "promoted", SCREEN, judged.detail),)
        if judged.verdict is Verdict.DISCARD:
            return _discarded(state, candidate, SCREEN, judged.detail)
    return ()


def unwanted(state: RunState) -> tuple[ev.BatchWithdrawn, ...]:
    """Open batches that no decision waits for any more."""
    confirm = state.confirming
    gone: list[ev.BatchWithdrawn] = []
    for batch in state.open_batches():
        phase = state.candidates[batch.idea_id].phase
        if batch.stage == CONFIRM:
            reason = "" if confirm is not None and not confirm.failure else "the confirm ended"
        elif batch.stage in (SCREEN, PROMOTE) and phase in (DISCARDED, ADOPTED):
            reason = f"the candidate is {phase.lower()}"
        else:
            reason = ""
        if reason:
            gone.append(
                ev.BatchWithdrawn(batch_id=batch.batch_id, station=batch.station, reason=reason)
            )
    return tuple(gone)


def _promoting_by_chance(state: RunState) -> list[Candidate]:
    pooled = state.champion_tally()
    promoting = [each for each in state.candidates.values() if each.phase == PROMOTING]

    def rank(each: Candidate) -> tuple[float, int]:
        # Before its first promotion episodes a candidate ranks by its screen.
        seen = each.fresh if each.fresh.episodes else each.screen
        return -selection.chance_better(seen, pooled), each.order

    return sorted(promoting, key=rank)


def _measure(idea_id: str, due: int, rule: Rule) -> Demand:
    size = min(rule.promote_batch, max(due, LEAST_BATCH))
    return Demand(idea_id=idea_id, stage=MEASURE, episodes=size)


def _outstanding(state: RunState) -> dict[tuple[str, str], int]:
    out: dict[tuple[str, str], int] = {}
    for batch in state.open_batches():
        key = (batch.idea_id, batch.stage)
        out[key] = out.get(key, 0) + batch.episodes
    return out


def _numbers(state: RunState) -> dict[tuple[str, str], int]:
    numbers: dict[tuple[str, str], int] = {}
    for batch in state.batches.values():
        key = (batch.idea_id, batch.stage)
        numbers[key] = numbers.get(key, 0) + 1
    return numbers


def _dispatch(state: RunState, station: str, demand: Demand, number: int) -> ev.BatchDispatched:
    assert state.run is not None
    return ev.BatchDispatched(
        batch_id=batch_id_of(state.run.run_id, demand.idea_id, demand.stage, number),
        station=station,
        idea_id=demand.idea_id,
        commit=state.candidates[demand.idea_id].idea.commit,
        purpose=Purpose.EVALUATE,
        stage=demand.stage,
        episodes=demand.episodes,
    )


def _confirm_batches(
    state: RunState, ready: list[StationLoad], due: int
) -> tuple[ev.BatchDispatched, ...]:
    confirm = state.confirming
    assert confirm is not None
    assert state.run is not None
    if not ready:
        return ()
    stations = sorted(each.station for each in ready)
    seeds = confirms.next_seeds(confirm, due)
    stage = f"{CONFIRM}{confirm.number}"
    number = sum(1 for each in state.batches if f"/{confirm.idea_id}/{stage}/" in each)
    planned: list[ev.BatchDispatched] = []
    for station, share in zip(stations, confirms.shares(due, len(stations)), strict=True):
        if not share:
            continue
        number += 1
        own, seeds = seeds[:share], seeds[share:]
        planned.append(
            ev.BatchDispatched(
                batch_id=batch_id_of(state.run.run_id, confirm.idea_id, stage, number),
                station=station,
                idea_id=confirm.idea_id,
                commit=confirm.commit,
                purpose=Purpose.CONFIRM,
                stage=CONFIRM,
                episodes=share,
                seeds=own,
            )
        )
    return tuple(planned)


def _decision(
    state: RunState, candidate: Candidate, decision: str, stage: str, detail: str
) -> ev.CandidateDecided:
    tally = candidate.screen if stage == SCREEN else candidate.fresh
    return ev.CandidateDecided(
        idea_id=candidate.idea_id,
        decision=decision,
        success=tally.success,
        episodes=tally.episodes,
        interval=selection.wilson_interval(tally),
        champion_rate=state.champion_tally().rate,
        detail=detail,
    )


def _discarded(
    state: RunState, candidate: Candidate, stage: str, detail: str
) -> tuple[ev.AnyEvent, ...]:
    return (_decision(state, candidate, "discarded", stage, detail),)
