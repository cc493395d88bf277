"""`enpire-tui train` and `jobs`: training runs on a box, followed here, going on without us.

What a job trained comes back as a whole recipe in `HOME/trained/JOB`: the files that were submitted
and what it wrote beside them, ready for `evaluate`.
"""

import asyncio
import contextlib
import secrets
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from enpire_tui import actors, evaluate, lines
from enpire_tui.boxes import LOCAL, box_of
from enpire_tui.cli import DONE, ERROR, INTERRUPTED
from enpire_tui.fleet import Fleet, FleetError
from enpire_tui.lifecycle import Fault
from enpire_tui.progress import bar
from recipes import data as datasets
from recipes.jobs.box import Box, ShellBroken
from recipes.jobs.records import JobRefused, JobSpec, JobState, JobStatus, Needs
from robots.station import archive
from robots.wire.records import Frozen, RecipeArchive

T = TypeVar("T")


class Options(Frozen):
    """What to train, where, on what.

    Attributes:
        data: LeRobot datasets here, copied to the box.
        demonstrations: Successful episodes of the task's reference to record as a dataset first.
        job: Its id; "" for a new one.
        resume: Id of the job to go on from.
    """

    recipe: str
    task: str
    box: str = "local"
    data: tuple[Path, ...] = ()
    demonstrations: int = 0
    job: str = ""
    resume: str = ""
    arguments: tuple[str, ...] = ()
    cpus: float = 2.0
    gpus: int = 0
    processes: int = 1
    minutes: float = 24 * 60.0
    disk: float = 64.0
    json: bool = False
    unsandboxed: bool = False


def run(options: Options, fleet: Fleet, home: Path) -> int:
    """Submits, follows to the end, and brings back what was trained.

    Raises:
        FleetError: Recipe, task, box or data are wrong.
        Fault: The job cannot be submitted or followed.
    """
    wanted = evaluate.Options(recipe=options.recipe, task=options.task, episodes=1)
    recipe, _ = evaluate.find_recipe(wanted, home)
    box = box_of(fleet, options.box, home)
    data = list(options.data)
    if options.demonstrations:
        data.append(_demonstrations(options, home))
    try:
        return asyncio.run(_closing(box, _train(options, recipe, box, data, home)))
    except KeyboardInterrupt:
        sys.stderr.write(f"\nthe job goes on; see it with `enpire-tui jobs --box {box.name}`\n")
        return INTERRUPTED
    except (JobRefused, ShellBroken) as error:
        raise Fault(str(error)) from None


async def _train(
    options: Options, recipe: RecipeArchive, box: Box, data: list[Path], home: Path
) -> int:
    stations = actors.stations_of(recipe)
    if stations and (options.box != LOCAL or options.task.startswith("gym:")):
        raise FleetError(
            "RECIPE: one that learns online is trained on box local, for a task that has a scene"
        )
    put = [Path(await box.put(folder)).name for folder in data]
    names = tuple(dict.fromkeys((*datasets.named(recipe.files), *put)))
    if put and datasets.RECIPE_FILE in recipe.files:
        # What was learned from goes with what was learned: whoever trains it again finds the data.
        files = datasets.naming(recipe.files, names)
        recipe = RecipeArchive(files=files, sha256=archive.sha256(files))
    spec = JobSpec(
        job_id=options.job or _new_id(options),
        recipe=recipe,
        arguments=options.arguments,
        data=tuple(box.data(name) for name in names),
        resume_from=options.resume,
        needs=Needs(
            cpus=options.cpus,
            gpus=options.gpus,
            processes=options.processes,
            minutes=options.minutes,
            disk_gib=options.disk,
        ),
        unsandboxed=options.unsandboxed,
    )
    await box.submit(spec)
    ended: asyncio.Task[str] | None = None
    async with contextlib.AsyncExitStack() as stack:
        if stations:
            job, walls = home / "jobs" / spec.job_id, not options.unsandboxed
            actor = actors.beside(job, options.task, stations, sandboxed=walls)
            ended = await stack.enter_async_context(actor)
        followed = asyncio.ensure_future(_followed(box, spec.job_id, quiet=options.json))
        if ended is not None:
            await asyncio.wait({followed, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not followed.done():
                # Nothing more to learn from: better told now than after its last minute.
                sys.stderr.write(f"{spec.job_id}: its actor ended: {ended.result()}\n")
                await box.cancel(spec.job_id)
        status = await followed
    if status.state is not JobState.SUCCEEDED:
        told = (await box.read(spec.job_id, "console.txt"))[-2000:].decode("utf-8", "replace")
        sys.stderr.write(f"{told}\n{spec.job_id} {status.state.value}: {status.detail}\n")
    folder = home / "trained" / spec.job_id
    await bring(box, status, recipe, folder)
    checkpoint = _best(folder.with_name(folder.name + "-checkpoints"), status.checkpoints)
    result = {
        "job": spec.job_id,
        "state": status.state.value,
        "seconds": round(status.seconds, 1),
        "checkpoint": checkpoint,
        "recipe": str(folder) if status.policy else "",
    }
    if options.json or not sys.stdout.isatty():
        lines.say("Trained", None, **result)
    else:
        sys.stdout.write(
            f"{spec.job_id}: {status.state.value} after {status.seconds:.0f} s; {folder}\n"
        )
    return DONE if status.state is JobState.SUCCEEDED else ERROR


async def _followed(box: Box, job_id: str, *, quiet: bool) -> JobStatus:
    """Follows a job to its end, with its progress on a terminal."""
    total, done, status = 1000, 0, JobStatus(job_id=job_id, state=JobState.UNKNOWN)
    with bar(total, quiet=quiet) as advance:
        async for _, row in box.follow(job_id):
            if isinstance(row, JobStatus):
                status = row
                advance(f"{job_id} {row.state.value}", 0)
            elif row.get("kind") == "progress" and row.get("steps"):
                now = int(total * row["step"] / row["steps"])
                advance(figures(row), max(0, now - done))
                done = max(done, now)
    return status


def figures(row: dict[str, object]) -> str:
    """What a progress row says beside how far it is: `loss 0.0123  held_out 0.1`."""
    told = {"kind", "wall_s", "step", "steps", "rate_hz", "seconds_left"}
    shown = [f"{k} {v:.4g}" for k, v in row.items() if k not in told and isinstance(v, int | float)]
    return "  ".join(shown)


async def bring(box: Box, status: JobStatus, recipe: RecipeArchive, folder: Path) -> None:
    """Copies what a job wrote beside the recipe that it was given; what is there is replaced."""
    kept = folder.with_name(folder.name + "-checkpoints")
    _lay(recipe, folder, kept)
    for name in status.policy:
        await box.fetch(status.job_id, f"out/policy/{name}", folder / name)
    for name in status.checkpoints:
        await box.fetch(status.job_id, f"out/checkpoints/{name}", kept / name)


def _lay(recipe: RecipeArchive, folder: Path, kept: Path) -> None:
    kept.mkdir(parents=True, exist_ok=True)
    for name, content in recipe.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def jobs(fleet: Fleet, home: Path, box_name: str, cancel: str, *, json: bool) -> int:
    """Lists the jobs of a box, or cancels one.

    Raises:
        Fault: The box cannot be reached, or does not know the job.
    """
    box = box_of(fleet, box_name, home)
    try:
        found = asyncio.run(_closing(box, _cancelled(box, cancel) if cancel else box.all()))
    except (JobRefused, ShellBroken) as error:
        raise Fault(str(error)) from None
    if json:
        lines.say("Jobs", None, box=box_name, jobs=found)
        return DONE
    for each in found:
        share = _share(each)
        detail = each.detail or figures(dict(each.progress))
        sys.stdout.write(f"{each.job_id:<32} {each.state.value:<10} {share:>5}  {detail}\n")
    if not found:
        sys.stdout.write(f"no jobs on {box_name}\n")
    return DONE


async def _cancelled(box: Box, job_id: str) -> list[JobStatus]:
    return [await box.cancel(job_id)]


async def _closing(box: Box, asked: Coroutine[Any, Any, T]) -> T:
    """The answer, once the box's connection is hung up in the loop that made it."""
    try:
        return await asked
    finally:
        box.close()


def _share(status: JobStatus) -> str:
    step, steps = status.progress.get("step"), status.progress.get("steps")
    if isinstance(step, int) and isinstance(steps, int) and steps:
        return f"{step / steps:.0%}"
    return ""


def _best(folder: Path, names: tuple[str, ...]) -> str:
    """Where the best checkpoint lies here, else the newest, "" if there is none."""
    if not names:
        return ""
    name = "best.safetensors" if "best.safetensors" in names else names[-1]
    return str(folder / name)


def _new_id(options: Options) -> str:
    name = Path(options.recipe).name[:24] or "job"
    stamp = time.strftime("%m%d-%H%M%S")
    return f"{options.task.partition(':')[2] or options.task}-{name}-{stamp}-{secrets.token_hex(2)}"


def _demonstrations(options: Options, home: Path) -> Path:
    """A dataset of the reference's successful episodes, recorded now: data, never its code."""
    from robots.dataset.export import export, state_names
    from robots.dataset.writer import DatasetWriter
    from robots.station.tasks import load_task

    spec = load_task(options.task).spec
    place = home / "demonstrations" / f"{options.task}-{time.time_ns()}"
    # The reference may fail now and then: some more are recorded than are wanted.
    many = options.demonstrations + max(3, options.demonstrations // 10)
    scored = evaluate.Options(
        recipe="reference", task=options.task, episodes=many, record=place / "recordings",
        json=True,
    )  # fmt: skip
    recipe, _ = evaluate.find_recipe(scored, home)
    evaluate.recorded(recipe, scored)
    writer = DatasetWriter(
        place / "dataset", spec.policy_hz, spec.name, {"observation.state": state_names(spec)}
    )
    won = export(
        sorted((place / "recordings").glob("*.npz")), writer, spec,
        failures=False, most=options.demonstrations,
    )  # fmt: skip
    if won < options.demonstrations:
        raise FleetError(
            f"--demonstrations: the reference succeeded in {won} of {many} episodes; "
            f"ask for at most {won}"
        )
    return place / "dataset"
