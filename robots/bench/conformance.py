"""The conformance suite: what every task must keep to, shipped or not, each rule by its name.

Checks run in order, from what can be read to what must be run; after a stage with a failure the
later ones are not looked at, since they stand on it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from robots.bench import parts, play, senses
from robots.bench.bench import Bench
from robots.bench.findings import Check, Nonconforming
from robots.station.tasks import Task, TaskError, read_task
from robots.wire.records import RecipeArchive

Told = Callable[[Check], None]
Recipes = Mapping[str, RecipeArchive | str]
Stage = Mapping[str, Callable[[], str]]

STATION_SEEDS = (1, 2)


def examine(
    folder: Path, recipes: Recipes, told: Told, *, episodes: int = 5, sandboxed: bool = True
) -> tuple[Check, ...]:
    """Look at everything a task must keep to.

    Args:
        folder: The task's.
        recipes: By name, or why there is none.
        told: Told of each check as it is done.
        episodes: In which a robot that is only held must not succeed.
        sandboxed: False only where a person said so.
    """
    found: list[Check] = []

    def passed(stage: Stage) -> bool:
        checks: list[Check] = []
        for name, look in stage.items():
            checks.append(_looked(name, look))
            told(checks[-1])
        found.extend(checks)
        return all(check.ok for check in checks)

    tasks: list[Task] = []
    if not passed({"task": lambda: _read(folder, tasks)}):
        return tuple(found)
    task = tasks[0]
    if all(map(passed, _of_parts(task, sandboxed=sandboxed))):
        with Bench(task, STATION_SEEDS[0], sandboxed=sandboxed) as bench:
            all(map(passed, _in_motion(bench, recipes, episodes)))
    return tuple(found)


def _of_parts(task: Task, *, sandboxed: bool) -> tuple[Stage, ...]:
    """What can be seen without moving anything."""
    return (
        {"files": lambda: parts.files(task)},
        {"scene": lambda: parts.scene(task)},
        {
            "actuators": lambda: parts.actuators(task),
            "timestep": lambda: parts.timestep(task),
            "cameras": lambda: parts.cameras(task),
            "hooks": lambda: parts.hooks(task),
        },
        {"power_on": lambda: play.power_on(task, STATION_SEEDS[0], sandboxed=sandboxed)},
    )


def _in_motion(bench: Bench, recipes: Recipes, episodes: int) -> tuple[Stage, ...]:
    """What takes a station."""
    return (
        {
            "auto_reset": lambda: senses.auto_reset(bench),
            "observation": lambda: senses.observation(bench),
        },
        {
            "truth": lambda: senses.truth(bench),
            "randomise": lambda: senses.randomise(bench.task, STATION_SEEDS),
        },
        {"reset": lambda: play.reset(bench)},
        {
            "fault": lambda: play.fault(bench),
            "verify": lambda: play.verify(bench),
            "stillness": lambda: play.stillness(bench, episodes),
            "retracted": lambda: play.retracted(bench),
            "evidence": lambda: play.evidence(bench),
        },
        {
            f"recipe_{name}": lambda recipe=recipe: play.recipe(bench, recipe)
            for name, recipe in recipes.items()
        },
    )


def _looked(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name=name, ok=True, detail=look())
    except Nonconforming as error:
        return Check(name=name, ok=False, detail=str(error))
    except Exception as error:  # noqa: BLE001 - the task's own code runs here: that is the finding.
        detail = f"{type(error).__name__}: {error}; the task's code must not raise here"
        return Check(name=name, ok=False, detail=detail)


def _read(folder: Path, tasks: list[Task]) -> str:
    try:
        tasks.append(read_task(folder))
    except TaskError as error:
        raise Nonconforming(str(error)) from None
    spec = tasks[0].spec
    if not spec.observation:
        raise Nonconforming("task.toml: observation: empty; a policy must see something")
    return f"{spec.name}, {spec.policy_hz:g} Hz, {len(spec.observation)} observations"
