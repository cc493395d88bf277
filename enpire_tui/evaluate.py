"""`enpire-tui evaluate`: scores a policy on fresh sealed seeds, in one process a core.

The worlds are those of a run's stations: the same fixed draws, each with its share of the episodes.
Workers are processes of their own that read a task from standard input and write JSON lines;
`python -m enpire_tui.evaluate` is one.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path

import msgspec

from enpire_tui import home as places
from enpire_tui import lines
from enpire_tui.cli import DONE
from enpire_tui.fleet import FleetError
from enpire_tui.progress import bar
from enpire_tui.run_spec import RunSpec, read_spec
from enpire_tui.supervisor.selection import Tally, wilson_interval
from robots.wire.records import Episode, Frozen, Outcome, RecipeArchive

STATIONS = 4
LINE_BYTES = 1 << 20
END_S = 10.0


class Options(Frozen):
    """What to score, on what.

    Attributes:
        run: Run whose commit is meant, "" for the one that has it.
        workers: Processes; 0 for one a core.
        record: Folder that takes a recording of every episode.
    """

    recipe: str
    task: str
    episodes: int
    run: str = ""
    workers: int = 0
    json: bool = False
    record: Path | None = None


class Share(Frozen):
    """What one worker is given: some episodes in one station's world."""

    recipe: RecipeArchive
    task: str
    episodes: int
    station_seed: int
    record: str = ""


class Evaluated(Frozen):
    """The result, as the last line tells it."""

    task: str
    success: int
    failure: int
    void: int
    rate: float
    interval: tuple[float, float]
    cpu_seconds_per_episode: float
    seconds: float


def run(options: Options, home: Path) -> int:
    """Scores and tells.

    Raises:
        FleetError: There is no such recipe or task.
    """
    from robots.station.tasks import TaskError, load_task

    try:
        load_task(options.task)
    except TaskError as error:
        raise FleetError(f"--task: {error}") from None
    recipe, seed = find_recipe(options, home)
    shares = split(recipe, options, seed)
    started = time.monotonic()
    with _shown(options) as finished:
        episodes = asyncio.run(_score(shares, options.workers or _cores(), finished))
    result = evaluated(options.task, episodes, time.monotonic() - started)
    if options.json or not sys.stdout.isatty():
        lines.say("Evaluated", result)
    else:
        low, high = result.interval
        sys.stdout.write(
            f"{result.success} of {result.success + result.failure} ({result.rate:.1%} "
            f"[{low:.1%}, {high:.1%}]), {result.void} void, {result.seconds:.0f} s, "
            f"{result.cpu_seconds_per_episode:.3f} policy CPU seconds an episode\n"
        )
    return DONE


def recorded(recipe: RecipeArchive, options: Options) -> list[Episode]:
    """Runs a recipe for the sake of its recordings, and tells nobody."""
    with _shown(options) as finished:
        return asyncio.run(_score(split(recipe, options, 0), options.workers or _cores(), finished))


def find_recipe(options: Options, home: Path) -> tuple[RecipeArchive, int]:
    """The recipe that was named, and the seed of its run (0 outside a run).

    Raises:
        FleetError: It cannot be found, or may not travel.
    """
    from recipes import shipped
    from robots.station import archive

    name = options.recipe
    try:
        if Path(name).is_dir() and ("/" in name or not shipped.exists(options.task, name)):
            return archive.pack(Path(name)), 0
        if name in ("baseline", "reference") or shipped.exists(options.task, name):
            return shipped.pack(options.task, name), 0
    except archive.ArchiveRefused as error:
        raise FleetError(f"RECIPE {name}: {error}") from None
    return _of_a_run(options, home)


def _of_a_run(options: Options, home: Path) -> tuple[RecipeArchive, int]:
    from agents.git.command import GitFailed
    from agents.git.repository import Repository

    runs = [options.run] if options.run else _runs(home)
    for run_id in runs:
        origin = places.origin_of(home, run_id)
        if not origin.is_dir():
            continue
        with contextlib.suppress(GitFailed):
            return Repository(origin).archive(options.recipe), _spec(home, run_id).seed
    raise FleetError(
        f"RECIPE {options.recipe}: neither a folder, nor baseline or reference, nor a commit of "
        f"{', '.join(runs) or 'any run'} in {home}; name its run's --home"
    )


def _runs(home: Path) -> list[str]:
    folder = home / "runs"
    return sorted((each.name for each in folder.iterdir()), reverse=True) if folder.exists() else []


def _spec(home: Path, run_id: str) -> RunSpec:
    """The spec of a run: the present one's in the home, an earlier one's in its folder."""
    present = read_spec(home)
    return present if present.run_id == run_id else read_spec(places.run_folder(home, run_id))


def split(recipe: RecipeArchive, options: Options, seed: int) -> list[Share]:
    """The episodes in shares, as evenly as it goes, one a station's world."""
    least, more = divmod(options.episodes, STATIONS)
    sizes = [least + (1 if index < more else 0) for index in range(STATIONS)]
    return [
        Share(
            recipe=recipe,
            task=options.task,
            episodes=size,
            station_seed=seed * 1000 + number,
            record="" if options.record is None else str(options.record.absolute()),
        )
        for number, size in enumerate(sizes, start=1)
        if size
    ]


def evaluated(task: str, episodes: list[Episode], seconds: float) -> Evaluated:
    """The result of all episodes together."""
    outcomes = [each.outcome for each in episodes]
    tally = Tally(success=outcomes.count(Outcome.SUCCESS), failure=outcomes.count(Outcome.FAILURE))
    cpu_s = sum(each.policy_cpu_s for each in episodes)
    return Evaluated(
        task=task,
        success=tally.success,
        failure=tally.failure,
        void=outcomes.count(Outcome.VOID),
        rate=tally.rate,
        interval=wilson_interval(tally),
        cpu_seconds_per_episode=cpu_s / tally.episodes if tally.episodes else 0.0,
        seconds=seconds,
    )


async def _score(
    shares: list[Share], workers: int, finished: Callable[[Episode], None]
) -> list[Episode]:
    """Runs the shares, so many at a time."""
    free = asyncio.Semaphore(workers)
    episodes: list[Episode] = []

    async def one(share: Share) -> None:
        async with free:
            await _work(share, lambda episode: (episodes.append(episode), finished(episode)))

    try:
        async with asyncio.TaskGroup() as tasks:
            for share in shares:
                tasks.create_task(one(share))
    except* FleetError as group:
        raise FleetError(str(group.exceptions[0])) from None
    return episodes


async def _work(share: Share, finished: Callable[[Episode], object]) -> None:
    """One worker from its start to its end.

    Raises:
        FleetError: It failed; with what it said last.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment.setdefault("MUJOCO_GL", "egl")
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "enpire_tui.evaluate",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        limit=LINE_BYTES,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    assert worker.stderr is not None
    said = asyncio.create_task(worker.stderr.read())
    try:
        worker.stdin.write(msgspec.msgpack.encode(share))
        worker.stdin.close()
        async for line in worker.stdout:
            finished(msgspec.json.decode(line, type=Episode))
        code = await worker.wait()
        if code:
            last = (await said).decode(errors="replace").strip().splitlines()[-1:]
            raise FleetError(f"evaluation failed (exit {code}): {''.join(last)}")
    finally:
        if worker.returncode is None:
            worker.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(END_S):
                    await worker.wait()
        said.cancel()


@contextlib.contextmanager
def _shown(options: Options) -> Generator[Callable[[Episode], None], None, None]:
    """A progress bar on a terminal, nothing elsewhere."""
    won = 0
    with bar(options.episodes, quiet=options.json) as advance:

        def finished(episode: Episode) -> None:
            nonlocal won
            won += episode.outcome is Outcome.SUCCESS
            advance(f"success {won}", 0 if episode.outcome is Outcome.VOID else 1)

        yield finished


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def work() -> int:
    """A worker: one share in, one JSON line an episode out."""
    from robots.station.scoring import Scorer

    share = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Share)

    def tell(episode: Episode, counts: object) -> None:
        del counts
        sys.stdout.buffer.write(msgspec.json.encode(episode) + b"\n")
        sys.stdout.buffer.flush()

    record = Path(share.record) if share.record else None
    with Scorer(share.task, station_seed=share.station_seed) as scorer:
        scorer.run(share.recipe, share.episodes, progress=tell, record=record)
    return DONE


if __name__ == "__main__":
    sys.exit(work())
