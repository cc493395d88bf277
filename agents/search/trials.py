"""Trials: an idea explored against its base, block by block, until it is clear enough.

A change is measured against the champion's sealed record, or where there is none yet, against what
the champion did in exploration. A trial stops early when the change is likely worse, is handed in when it
is likely better by enough, and else leaves a promise to combine.
"""

import msgspec

from agents.search import operators
from agents.search.evidence import Comparison, Trial, compare, merge
from agents.search.knobs import Value
from agents.search.population import Variant
from agents.search.state import Plan
from agents.search.surveys import variant_of, write_survey
from agents.search.workbench import Bench, together
from agents.tools import calls as t
from agents.tools.toolbox import Toolbox
from robots.wire.records import Frozen

BLOCKS = 3
SUCCEEDED = "its champion was succeeded meanwhile"
DROP_SURE = 0.20
HAND_IN_SURE = 0.85
LAST_SURE = 0.75
EARLY_SURE = 0.97
HAND_IN_GAIN = 0.04
NEAR_TOP = 0.85
NEAR_TOP_GAIN = 0.005
NEAR_TOP_SURE = 0.60


class TrialResult(Frozen):
    """What came of a plan.

    Attributes:
        gain: Mean gain in value an episode over the base.
        sure: Probability that it is better.
        minutes: Robot minutes that it took, without the base's own.
        handed: It awaits a decision on sealed episodes.
        values: Good knob values that came too late for their champion.
        seen: What was explored, for the model of this agent's peers.
    """

    gain: float = 0.0
    sure: float = 0.5
    minutes: float = 0.0
    handed: bool = False
    values: dict[str, Value] = msgspec.field(default_factory=dict[str, Value])
    seen: tuple[Variant, ...] = ()


async def compare_on_blocks(
    plan: Plan, bench: Bench, files: dict[str, bytes], blocks: int, number: int
) -> TrialResult:
    """Blocks of episodes until the change is clearly worse, clearly better, or all are run.

    Batch numbers go on from `number`, two a block: the change's, then the base's.
    """
    change, seen, said = Trial(), Trial(), Comparison(gain=0.0, sure=0.5)
    for block in range(blocks):
        # Seeds of its own: an easy block that all changes shared would make all of them look good.
        seeds = bench.seeds(plan.idea_id, block)
        work = [bench.explore(plan, number + 2 * block, files, seeds)]
        record = bench.record(plan.base)
        if record is None or block == 0:
            work.append(bench.reference(plan, block, number + 2 * block + 1))
        ours, *base = await together(work)
        seen = base[0] if base else seen
        change = merge(change, ours)
        said = compare(seen, change, record)
        if said.sure < DROP_SURE or (said.sure >= EARLY_SURE and said.gain >= 2 * HAND_IN_GAIN):
            break
        if bench.tools.desk.run.is_succeeded(plan.base):
            # The next champion asks for other trials; what was seen so far may carry over.
            break
        if block > 0 and said.sure >= HAND_IN_SURE and said.gain >= wanted(plan, bench)[0]:
            break
    variant = variant_of(files, tuple(change.values.values()))
    return TrialResult(gain=said.gain, sure=said.sure, minutes=change.robot_s / 60, seen=(variant,))


def wanted(plan: Plan, bench: Bench) -> tuple[float, float]:
    """Gain from which a change is worth sealed episodes, and how likely it must be better.

    Near the top gains are small, and likely is enough: screens decide.
    """
    record = bench.record(plan.base)
    rate = record.rate if record else bench.references.get(plan.base, Trial()).rate
    return (NEAR_TOP_GAIN, NEAR_TOP_SURE) if rate >= NEAR_TOP else (HAND_IN_GAIN, LAST_SURE)


async def conclude(
    plan: Plan, tools: Toolbox, bench: Bench, files: dict[str, bytes], result: TrialResult
) -> TrialResult:
    """Hand a change in, or give it up; either way its commit tells peers what was explored."""
    least_gain, least_sure = wanted(plan, bench)
    said = f"gain {result.gain:+.3f} an episode, {result.sure:.0%} sure"
    good = result.sure >= least_sure and result.gain >= least_gain
    late = tools.desk.run.is_succeeded(plan.base)
    await tools.call(
        t.Commit(
            idea_id=plan.idea_id,
            base=plan.base,
            files=files,
            notes=write_survey(plan.idea_id, result.seen),
        )
    )
    if not good:
        return drop(plan, tools, result, said)
    if late:
        # Another champion came meanwhile: what was found is tried on it, as an idea of its own.
        drop(plan, tools, result, f"{said}, but over a champion that was succeeded")
        values = operators.changed_knobs(await bench.recipe(plan.base), files)
        carried = values if plan.arm.startswith(("tune:", "carry:", "model:")) else {}
        return msgspec.structs.replace(result, values=carried)
    tools.desk.say("agent", f"{plan.arm}: {said}; it is handed in", plan.idea_id)
    await tools.call(t.Submit(idea_id=plan.idea_id))
    return TrialResult(gain=result.gain, sure=result.sure, minutes=result.minutes, handed=True)


async def open_idea(
    plan: Plan,
    tools: Toolbox,
    bench: Bench,
    mark: str,
    proposal: operators.Proposal | None = None,
) -> None:
    """Claim a plan's idea; `mark` is what is claimed, "" for trials that are never the same."""
    proposal = proposal or operators.propose(plan.arm, bench.tags(plan.base))
    _, target = operators.split(plan.arm)
    await tools.call(
        t.OpenIdea(
            idea_id=plan.idea_id,
            kind=proposal.kind,
            hypothesis=proposal.hypothesis,
            prediction=proposal.prediction,
            parent=plan.base_idea,
            borrowed_from=target if plan.arm.startswith("adopt:") else "",
            operator=plan.arm,
            fingerprint=mark,
        )
    )


def drop(plan: Plan, tools: Toolbox, result: TrialResult, detail: str) -> TrialResult:
    """Give a plan's idea up, with what was found."""
    tools.ideas.drop(t.Drop(idea_id=plan.idea_id, detail=f"{plan.arm}: {detail}"))
    return result
