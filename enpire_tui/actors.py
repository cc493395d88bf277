"""The actor beside a job that learns online: episodes on this machine, while the job is followed.

A recipe asks for one by a table `[online]` in its `recipe.toml`. The job goes on without it, and
learns from what it has; called again for the same job, `enpire-tui train` starts another.
"""

import asyncio
import contextlib
import signal
import sys
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

from enpire_tui.fleet import FleetError
from robots.wire.records import RecipeArchive

_END_S = 10.0


def stations_of(recipe: RecipeArchive) -> tuple[int, ...]:
    """Seeds of the worlds that a recipe's actor plays in, () for a recipe that needs no actor.

    Raises:
        FleetError: `[online]` is wrong.
    """
    try:
        tables = tomllib.loads(recipe.files.get("recipe.toml", b"").decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FleetError(f"RECIPE: recipe.toml: {error}") from None
    if "online" not in tables:
        return ()
    stations = tables["online"].get("stations")
    if (
        not isinstance(stations, list)
        or not stations
        or not all(type(seed) is int and seed >= 0 for seed in stations)
    ):
        raise FleetError(
            f"RECIPE: recipe.toml: online.stations: must be a list of seeds from 0 on, got {stations!r}"
        )
    return tuple(stations)


@contextlib.asynccontextmanager
async def beside(
    job: Path, task: str, stations: tuple[int, ...], *, sandboxed: bool
) -> AsyncIterator[None]:
    """Keeps an actor running for as long as the context lasts.

    Args:
        job: The job's folder on this machine; what the actor says is added to its `actor.jsonl`.
        task: A simulated task.
        stations: Seeds of the worlds.
        sandboxed: Whether its policy, reset and verifier are.
    """
    told = ["--task", task, "--recipe", str(job / "recipe"), "--link", str(job / "out")]
    told += ["--stations", ",".join(map(str, stations)), *([] if sandboxed else ["--unsandboxed"])]
    with (job / "actor.jsonl").open("ab") as rows, (job / "actor.txt").open("ab") as words:
        actor = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "recipes.actor", *told, stdout=rows, stderr=words
        )
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                actor.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(actor.wait(), _END_S)
            except TimeoutError:
                actor.kill()
                await actor.wait()
