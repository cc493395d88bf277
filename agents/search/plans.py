"""Plans: how each operator's idea is carried out, from its claim to its hand-in or end."""

import random
from collections.abc import Coroutine, Mapping
from typing import Any

import numpy as np

from agents.search import operators, surveys
from agents.search.evidence import Trial
from agents.search.knobs import Knob, read_knobs
from agents.search.numeric import Tuner, ranked_values
from agents.search.state import Carry, Plan
from agents.search.trials import BLOCKS, TrialResult, compare_on_blocks, conclude, drop, open_idea
from agents.search.workbench import SURVEY_VARIANTS, Bench, together
from agents.tools import calls as t
from agents.tools.toolbox import Toolbox
from robots.wire.records import RecipeArchive

SURVEY_SEEDS = 4

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
    base = await bench.recipe(plan.base)
    await open_idea(plan, tools, bench, operators.mark(plan.arm, plan.base))
    if operator == "adopt":
        adopted = await tools.call(t.Adopt(idea_id=target, base=plan.base))
        assert isinstance(adopted, t.Recipe)
        files = adopted.files
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


async def survey(plan: Plan, tools: Toolbox, bench: Bench) -> TrialResult:
    """Mixtures of changes near the champion, drawn from the model of what is known."""
    base, original = await bench.recipe(plan.base), await bench.original()
    await open_idea(plan, tools, bench, "")
    space = surveys.space_of(base)
    model = surveys.model_of(base, tools.desk.bench.explored(plan.data))
    champion = surveys.variant_of(RecipeArchive(files=base, sha256=""))
    rng = np.random.default_rng(plan.seed)
    work: list[Coroutine[Any, Any, Trial]] = []
    for number in range(SURVEY_VARIANTS):
        proposed = model.vary(champion, rng)
        seeds = tuple(int(seed) for seed in rng.integers(2**31, size=SURVEY_SEEDS))
        files = surveys.files_of(proposed, base, original, space)
        work.append(bench.explore(plan, number, files, seeds))
    trials = await together(work)
    values = [value for trial in trials for value in trial.values.values()]
    minutes = sum(trial.robot_s for trial in trials) / 60
    known = bench.references.get(plan.base, Trial())
    mean = sum(values) / max(len(values), 1)
    found = f"{len(values)} episodes of {len(trials)} mixtures, mean {mean:.2f} ({known.mean:.2f})"
    # It gains nothing by itself: what it finds out is the model's.
    return drop(plan, tools, TrialResult(minutes=minutes), found)


async def propose_from_model(plan: Plan, tools: Toolbox, bench: Bench) -> TrialResult:
    """What the model's mean holds best, against the champion."""
    base, original = await bench.recipe(plan.base), await bench.original()
    space = surveys.space_of(base)
    model = surveys.model_of(base, tools.desk.bench.explored(plan.data))
    champion = surveys.variant_of(RecipeArchive(files=base, sha256=""))
    run = tools.desk.run
    found = surveys.alternatives(model.best(champion), champion)
    marks = [operators.mark(surveys.signs(part, model), plan.base) for part in found]
    free = [at for at, mark in enumerate(marks) if not run.same_trial(mark, plan.idea_id)]
    if not free:
        raise t.ToolRefused("duplicate: every part of the proposal is claimed")
    proposed, mark = found[free[0]], marks[free[0]]
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
    for generation in range(TUNE_GENERATIONS):
        seeds = tuple(rng.randrange(2**31) for _ in range(TUNE_SEEDS))
        variants = [operators.transplant(values, base) for values in tuner.ask()]
        first = generation * TUNE_POPULATION
        trials = await together(
            [bench.explore(plan, first + at, files, seeds) for at, files in enumerate(variants)]
        )
        minutes += sum(trial.robot_s for trial in trials) / 60
        tuner.tell(ranked_values([trial.values for trial in trials], seeds))
    files = operators.transplant(tuner.centre(), base)
    if files == base:
        return drop(plan, tools, TrialResult(minutes=minutes), "the centre did not move")
    number = TUNE_GENERATIONS * TUNE_POPULATION
    result = await compare_on_blocks(plan, bench, files, CHECK_BLOCKS, number)
    total = TrialResult(gain=result.gain, sure=result.sure, minutes=result.minutes + minutes)
    return await conclude(plan, tools, bench, files, total)


def pick_knobs(knobs: list[Knob], rng: random.Random) -> list[Knob]:
    """Knobs of one numeric search: all of few, some of many."""
    if len(knobs) <= TUNE_KNOBS:
        return knobs
    chosen = {knob.name for knob in rng.sample(knobs, TUNE_KNOBS)}
    return [knob for knob in knobs if knob.name in chosen]
