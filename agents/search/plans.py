"""Plans: how each operator's idea is carried out, from its claim to its hand-in or end."""

import asyncio
import random
from collections.abc import Mapping

import msgspec
import numpy as np

from agents.search import operators, surveys
from agents.search.evidence import Trial, share_of_tags
from agents.search.knobs import Knob, read_knobs
from agents.search.numeric import Tuner, ranked_values
from agents.search.population import REACH, REACH_TOP, Variant
from agents.search.retraining import retrain
from agents.search.state import Carry, Plan
from agents.search.trials import (
    BLOCKS,
    SUCCEEDED,
    TrialResult,
    compare_on_blocks,
    conclude,
    drop,
    open_idea,
    wanted,
)
from agents.search.workbench import MODEL, SURVEY, SURVEY_VARIANTS, Bench, together
from agents.tools import calls as t
from agents.tools.toolbox import Toolbox

SURVEY_SEEDS = 2
# Gain of an episode from which a part of the model's proposal is worth a trial.
LEAST_GAIN = 0.03
# Champion's rate from which the model may move knobs further.
TOP = 0.75

TUNE_POPULATION = 6
TUNE_SEEDS = 5
TUNE_GENERATIONS = 2
TUNE_KNOBS = 3
CHECK_BLOCKS = 3


async def run_plan(
    plan: Plan, tools: Toolbox, bench: Bench, carries: Mapping[str, Carry]
) -> TrialResult:
    """Carry a plan out, from its claim to its hand-in or end."""
    operator, target = operators.split(plan.arm)
    if operator == "tune":
        return await tune(plan, tools, bench)
    if operator == "survey":
        return await survey(plan, tools, bench)
    if operator == "model":
        return await propose_from_model(plan, tools, bench)
    if operator in ("train", "imitate"):
        return await retrain(plan, tools, bench)
    base = await bench.recipe(plan.base)
    await open_idea(plan, tools, bench, operators.mark(plan.arm, plan.base))
    if operator == "adopt":
        files = await _adopt(plan, target, tools, bench)
    elif operator == "carry" and target not in carries:
        return drop(plan, tools, TrialResult(), "its values are lost")
    elif operator == "carry":
        files = operators.transplant(carries[target].values, base)
    else:
        files = operators.apply(plan.arm, base, await bench.original())
    if files == base:
        return drop(plan, tools, TrialResult(), "it changes nothing")
    result = await compare_on_blocks(plan, bench, files, BLOCKS, number=0)
    return await conclude(plan, tools, bench, files, result)


async def _adopt(plan: Plan, idea_id: str, tools: Toolbox, bench: Bench) -> dict[str, bytes]:
    """A peer's change on the plan's base: by Git where it fits, else part by part."""
    try:
        adopted = await tools.call(t.Adopt(idea_id=idea_id, base=plan.base))
        assert isinstance(adopted, t.Recipe)
    except t.ToolRefused as refused:
        if not refused.reason.startswith("conflict"):
            raise
    else:
        return adopted.files
    commit = tools.tree.commit_of(idea_id)
    before, after = await bench.recipe(f"{commit}^"), await bench.recipe(commit)
    return operators.graft(before, after, await bench.recipe(plan.base), await bench.original())


async def prepared(plan: Plan, bench: Bench) -> Plan:
    """A plan with all that its choice depended on, so that a restart chooses the same.

    Raises:
        ToolRefused: What the model would change is claimed already, or gains too little.
    """
    if plan.arm not in (MODEL, SURVEY):
        return plan
    run = bench.tools.desk.run
    top = run.champion is not None and run.champion.rate >= TOP
    plan = msgspec.structs.replace(plan, heard=await bench.news_of_peers(), top=top)
    if plan.arm == SURVEY:
        return plan
    base = await bench.recipe(plan.base)
    model = surveys.model_of(base, await bench.population(plan), reach_of(plan))
    champion = surveys.variant_of(base)
    least = min(LEAST_GAIN, wanted(plan, bench)[0])
    parts = surveys.alternatives(model.best(champion), champion)
    for part, proposed in enumerate(parts):
        mark = operators.mark(surveys.signs(proposed, model), plan.base)
        if proposed.gain < least:
            break
        if not run.same_trial(mark, plan.idea_id):
            return msgspec.structs.replace(plan, part=part)
    raise t.ToolRefused("nothing: what the model would change is claimed or gains too little")


def reach_of(plan: Plan) -> float:
    """How far a plan's model may move a knob."""
    return REACH_TOP if plan.top else REACH


async def survey(plan: Plan, tools: Toolbox, bench: Bench) -> TrialResult:
    """Mixtures of changes near the champion, drawn from the model of what is known."""
    base, original = await bench.recipe(plan.base), await bench.original()
    await open_idea(plan, tools, bench, "")
    space = surveys.space_of(base)
    known = await bench.population(plan)
    seen = await bench.reference(plan, 0, SURVEY_VARIANTS)
    failures = share_of_tags(seen.tags, seen.failure)

    def mix() -> list[tuple[dict[str, bytes], tuple[int, ...]]]:
        model = surveys.model_of(base, known, reach_of(plan))
        champion = surveys.variant_of(base)
        rng = np.random.default_rng(plan.seed)
        mixtures: list[tuple[dict[str, bytes], tuple[int, ...]]] = []
        for _ in range(SURVEY_VARIANTS):
            proposed = model.vary(champion, rng, failures)
            seeds = tuple(int(seed) for seed in rng.integers(2**31, size=SURVEY_SEEDS))
            mixtures.append((surveys.files_of(proposed, base, original, space), seeds))
        return mixtures

    # Seconds of work on syntax trees, during which the daemon must go on answering.
    mixtures = await asyncio.to_thread(mix)
    trials = await together(
        [
            bench.explore(plan, number, files, seeds)
            for number, (files, seeds) in enumerate(mixtures)
        ]
    )
    shared = [
        surveys.variant_of(files, tuple(trial.values.values()))
        for (files, _), trial in zip(mixtures, trials, strict=True)
    ]
    notes = surveys.write_survey(plan.idea_id, shared)
    await tools.call(t.Commit(idea_id=plan.idea_id, base=plan.base, files=base, notes=notes))
    values = [value for trial in trials for value in trial.values.values()]
    minutes = sum(trial.robot_s for trial in trials) / 60
    own = bench.references.get(plan.base, Trial())
    mean = sum(values) / max(len(values), 1)
    found = f"{len(values)} episodes of {len(trials)} mixtures, mean {mean:.2f} ({own.mean:.2f})"
    # It gains nothing by itself: what it finds out is the model's.
    return drop(plan, tools, TrialResult(minutes=minutes), found)


async def propose_from_model(plan: Plan, tools: Toolbox, bench: Bench) -> TrialResult:
    """What the model's mean holds best, against the champion."""
    base, original = await bench.recipe(plan.base), await bench.original()
    space = surveys.space_of(base)
    model = surveys.model_of(base, await bench.population(plan), reach_of(plan))
    champion = surveys.variant_of(base)
    parts = surveys.alternatives(model.best(champion), champion)
    if plan.part >= len(parts):
        raise t.ToolRefused("nothing: the model would change nothing more")
    proposed = parts[plan.part]
    mark = operators.mark(surveys.signs(proposed, model), plan.base)
    words = ", ".join(f"{change.what} ({change.gain:+.2f})" for change in proposed.changes)
    proposal = operators.Proposal(
        kind="algorithm",
        hypothesis=f"A model of {model.episodes} explored episodes says: {words}",
        prediction=f"{proposed.gain:+.2f} in value an episode over the champion",
    )
    await open_idea(plan, tools, bench, mark, proposal)
    files = surveys.files_of(proposed, base, original, space, only=proposed.changes)
    if files == base:
        return drop(plan, tools, TrialResult(), "the model would change nothing")
    result = await compare_on_blocks(plan, bench, files, BLOCKS, number=0)
    return await conclude(plan, tools, bench, files, result)


async def tune(plan: Plan, tools: Toolbox, bench: Bench) -> TrialResult:
    """Generations of CMA-ES on fresh seeds, then its centre against the base on others."""
    base = await bench.recipe(plan.base)
    rng = random.Random(plan.seed)
    knobs = pick_knobs([knob for knob in read_knobs(base).values() if knob.numeric], rng)
    names = [knob.name for knob in knobs]
    proposal = operators.propose(plan.arm, bench.tags(plan.base), names)
    await open_idea(plan, tools, bench, "", proposal)
    tuner = Tuner(knobs, plan.seed, TUNE_POPULATION)
    minutes = 0.0
    seen: list[Variant] = []
    for generation in range(TUNE_GENERATIONS):
        seeds = tuple(rng.randrange(2**31) for _ in range(TUNE_SEEDS))
        variants = [operators.transplant(values, base) for values in tuner.ask()]
        first = generation * TUNE_POPULATION
        trials = await together(
            [bench.explore(plan, first + at, files, seeds) for at, files in enumerate(variants)]
        )
        minutes += sum(trial.robot_s for trial in trials) / 60
        seen += [
            surveys.variant_of(files, tuple(trial.values.values()))
            for files, trial in zip(variants, trials, strict=True)
        ]
        tuner.tell(ranked_values([trial.values for trial in trials], seeds))
        if tools.desk.run.is_succeeded(plan.base):
            return drop(plan, tools, TrialResult(minutes=minutes), SUCCEEDED)
    files = operators.transplant(tuner.centre(), base)
    if files == base:
        return drop(plan, tools, TrialResult(minutes=minutes), "the centre did not move")
    number = TUNE_GENERATIONS * TUNE_POPULATION
    result = await compare_on_blocks(plan, bench, files, CHECK_BLOCKS, number)
    total = msgspec.structs.replace(
        result, minutes=result.minutes + minutes, seen=(*seen, *result.seen)
    )
    return await conclude(plan, tools, bench, files, total)


def pick_knobs(knobs: list[Knob], rng: random.Random) -> list[Knob]:
    """Knobs of one numeric search: all of few, some of many."""
    if len(knobs) <= TUNE_KNOBS:
        return knobs
    chosen = {knob.name for knob in rng.sample(knobs, TUNE_KNOBS)}
    return [knob for knob in knobs if knob.name in chosen]
