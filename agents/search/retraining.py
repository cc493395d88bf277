"""Plans that train a recipe again: with another setting, or on own successes as well.

The job runs on this machine's box while the agent's other lane keeps the robot busy. It is known by
its idea, so that a plan that is done again after a restart waits for the job that it had begun.
"""

import msgspec

from agents.search import operators, settings
from agents.search.state import Plan
from agents.search.trials import (
    BLOCKS,
    TrialResult,
    compare_on_blocks,
    conclude,
    open_idea,
)
from agents.search.workbench import Bench, together
from agents.tools import calls as t
from agents.tools.toolbox import Toolbox
from recipes import data

JOB_MINUTES = 15.0
IMITATE_BLOCKS = 4


async def retrain(plan: Plan, tools: Toolbox, bench: Bench) -> TrialResult:
    """Train the champion's recipe with one change, and compare what it learned with the champion."""
    base = await bench.recipe(plan.base)
    operator, target = operators.split(plan.arm)
    imitates = operator == "imitate"
    asked = settings.untrained(base) if imitates else settings.retrained(base, target)
    mark = operators.mark(plan.arm, plan.base)
    await open_idea(plan, tools, bench, mark, propose(plan.arm, base, asked))
    minutes, number = 0.0, 0
    if imitates:
        asked, minutes = await _with_successes(plan, tools, bench, base, asked)
        number = IMITATE_BLOCKS
    call = t.Train(idea_id=plan.idea_id, files=asked, base=plan.base, minutes=JOB_MINUTES)
    trained = await tools.call(call)
    assert isinstance(trained, t.Trained)
    said = f"{plan.arm}: trained in {trained.seconds:.0f} s; it is compared with the champion"
    tools.desk.say("agent", said, plan.idea_id)
    result = await compare_on_blocks(plan, bench, trained.files, BLOCKS, number)
    result = msgspec.structs.replace(result, minutes=result.minutes + minutes)
    return await conclude(plan, tools, bench, trained.files, result)


def propose(arm: str, base: dict[str, bytes], asked: dict[str, bytes]) -> operators.Proposal:
    """What training again is believed to do."""
    operator, target = operators.split(arm)
    if operator == "imitate":
        return operators.Proposal(
            kind="data",
            hypothesis="Its own successes, added to what it was trained on, show what it lacked",
            prediction="more successes than the champion, trained in the same way on less",
        )
    name = target.partition("=")[0]
    was, shall = settings.value_of(base, name), settings.value_of(asked, name)
    return operators.Proposal(
        kind="algorithm",
        hypothesis=f"Trained with {name} = {shall!r} in place of {was!r} it does the task better",
        prediction="more successes than the champion, on seeds of its own",
    )


async def _with_successes(
    plan: Plan, tools: Toolbox, bench: Bench, base: dict[str, bytes], asked: dict[str, bytes]
) -> tuple[dict[str, bytes], float]:
    """The recipe with the champion's own successes named as data, and the robot's minutes."""
    numbers = tuple(range(IMITATE_BLOCKS))
    trials = await together(
        [
            bench.explore(plan, number, base, bench.seeds(plan.idea_id, -1 - number), record=True)
            for number in numbers
        ]
    )
    gathered = await tools.call(t.Gather(idea_id=plan.idea_id, numbers=numbers))
    assert isinstance(gathered, t.Gathered)
    said = f"{gathered.episodes} own successes are data of the next training"
    tools.desk.say("agent", said, plan.idea_id)
    asked = data.naming(asked, (*data.named(asked), gathered.name))
    return asked, sum(trial.robot_s for trial in trials) / 60
