"""How the search agent's memory changes: pure steps from one `SearchState` to the next."""

import msgspec

from agents.search.evidence import Trial
from agents.search.state import Carry, Handed, Plan, Promise, SearchState
from agents.search.trials import TrialResult
from agents.view import FINAL_DECISIONS, Champion, RunView, Standing

# A promise is worth combining from this gain in value an episode on.
PROMISE_GAIN = 0.02
PROMISE_SURE = 0.6
PEER_WEIGHT = 0.7
KEPT_BASES = 3
# Arms that are no part of a combination: many changes at once, or what only training makes.
WHOLE = ("combine:", "tune:", "adopt:", "carry:", "model:", "train:", "imitate:")
CREDITED_KEPT = 2000


def begun(state: SearchState, lane: str, plan: Plan | None) -> SearchState:
    """A choice was made: the next one draws anew, and the plan is in work."""
    state = msgspec.structs.replace(state, draws=state.draws + 1)
    if plan is None:
        return state
    tried = (*state.tried.get(plan.base, ()), plan.arm)
    return msgspec.structs.replace(
        state,
        number=int(plan.idea_id.rpartition("-")[2]),
        lanes={**state.lanes, lane: plan},
        tried={**state.tried, plan.base: tried},
    )


def declined(state: SearchState, plan: Plan) -> SearchState:
    """A choice came to nothing before it was an idea; the model is asked again with more data."""
    return msgspec.structs.replace(
        state,
        draws=state.draws + 1,
        modelled=plan.data if plan.arm.startswith("model:") else state.modelled,
    )


def finished(state: SearchState, lane: str, plan: Plan, result: TrialResult) -> SearchState:
    """A plan came to its end: handed in, promising, or neither."""
    lanes = {name: other for name, other in state.lanes.items() if name != lane}
    state = msgspec.structs.replace(state, lanes=lanes)
    if result.handed:
        handed = Handed(arm=plan.arm, base=plan.base, gain=result.gain, minutes=result.minutes)
        return msgspec.structs.replace(state, handed={**state.handed, plan.idea_id: handed})
    if result.values:
        carry = Carry(values=result.values, gain=result.gain)
        return msgspec.structs.replace(state, carries={**state.carries, plan.idea_id: carry})
    if plan.arm.startswith("carry:"):
        carries = {name: carry for name, carry in state.carries.items() if name != plan.arm[6:]}
        state = msgspec.structs.replace(state, carries=carries)
    # A survey gains nothing by itself; it shares the credit of the proposals made from it.
    if result.minutes > 0 and not plan.arm.startswith("survey:"):
        # Exploration alone confirms nothing; a loss seen there is counted, a gain is shrunk.
        gain = min(result.gain, 0.5 * result.gain)
        state = msgspec.structs.replace(
            state, credit=state.credit.learn(plan.arm, gain, result.minutes, 0.5)
        )
    single = not plan.arm.startswith(WHOLE)
    if single and result.gain >= PROMISE_GAIN and result.sure >= PROMISE_SURE:
        promises = (
            *state.promising.get(plan.base, ()),
            Promise(arm=plan.arm, gain=result.gain),
        )
        state = msgspec.structs.replace(state, promising={**state.promising, plan.base: promises})
    return state


def learned(state: SearchState, run: RunView, champion: Champion | None) -> SearchState:
    """Credit for every decision that was not learned from yet; old results age with the champion."""
    known = set(state.credited)
    fresh = [
        (idea_id, standing)
        for idea_id, standing in run.ideas.items()
        if standing.decision in FINAL_DECISIONS and idea_id not in known
    ]
    if champion is not None and champion.commit != state.champion:
        # What the model has left to say depends on where it stands.
        state = msgspec.structs.replace(state, champion=champion.commit, modelled=0)
    if not fresh:
        return state
    credit, handed = state.credit, dict(state.handed)
    for idea_id, standing in fresh:
        own = handed.pop(idea_id, None)
        arm = own.arm if own else standing.idea.operator
        if not arm:
            continue
        minutes = own.minutes if own else max(standing.robot_s / 60, 1.0)
        weight = 1.0 if own else PEER_WEIGHT
        credit = credit.learn(arm, confirmed_gain(standing), minutes, weight)
        if arm.startswith("model:"):
            credit = credit.learn("survey:mixtures", confirmed_gain(standing), minutes, weight)
        if standing.decision == "adopted":
            credit = credit.aged()
    kept = set(list(state.references)[-KEPT_BASES:])
    if champion is not None:
        kept.add(champion.commit)
    return msgspec.structs.replace(
        state,
        credit=credit,
        handed=handed,
        credited=(*state.credited, *(idea_id for idea_id, _ in fresh))[-CREDITED_KEPT:],
        tried={base: arms for base, arms in state.tried.items() if base in kept},
        promising={base: found for base, found in state.promising.items() if base in kept},
        references={base: trial for base, trial in state.references.items() if base in kept},
    )


def confirmed_gain(standing: Standing) -> float:
    """What sealed episodes say a decided idea gained; what was not adopted gained nothing."""
    if not standing.episodes:
        return 0.0
    gain = standing.success / standing.episodes - standing.champion_rate
    return max(gain, 0.0) if standing.decision == "adopted" else min(gain, 0.0)


def with_references(
    state: SearchState, references: dict[str, Trial], callers: dict[str, tuple[str, int]]
) -> SearchState:
    """The champion's own exploration, as far as it has come and has been asked for."""
    return msgspec.structs.replace(state, references=dict(references), callers=dict(callers))
