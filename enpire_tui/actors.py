"""The actor beside a job that learns online: episodes on this machine, while the job is followed.

A recipe asks for one by a table `[online]` in its `recipe.toml`. The job goes on without it, and
learns from what it has; called again for the same job, `enpire-tui train` starts another.
"""

import asyncio
import contextlib
import signal
import sys
import tomllib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated

import msgspec

from enpire_tui.fleet import FleetError
from robots.wire.records import RecipeArchive

_END_S = 10.0


class _Online(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    stations: Annotated[tuple[Annotated[int, msgspec.Meta(ge=0)], ...], msgspec.Meta(min_length=1)]


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
    try:
        return msgspec.convert(tables["online"], _Online).stations
    except msgspec.ValidationError as error:
        raise FleetError(
            f"RECIPE: recipe.toml: online.stations: must be a list of seeds from 0 on: {error}"
        ) from None


@contextlib.asynccontextmanager
async def beside(
    job: Path, task: str, stations: tuple[int, ...], *, sandboxed: bool
) -> AsyncGenerator[asyncio.Task[str]]:
    """Keeps an actor running for as long as the context lasts.

    Yields what ends when the actor does, with the last that it said of why.

    Args:
        job: The job's folder on this machine; what the actor says is added to its `actor.jsonl`.
        task: A simulated task.
        stations: Seeds of the worlds.
        sandboxed: Whether its policy, reset and verifier are.
    """
    told = ["--task", task, "--recipe", str(job / "recipe"), "--link", str(job / "out")]
    told += ["--stations", ",".join(map(str, stations)), *([] if sandboxed else ["--unsandboxed"])]
    with (job / "actor.jsonl").open("ab") as rows, (job / "actor.txt").open("ab") as words:
        # Its standard input ends with this process, however that ends.
        actor = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "recipes.actor", *told, "--until-eof"),
            stdin=asyncio.subprocess.PIPE,
            stdout=rows,
            stderr=words,
        )
        ended = asyncio.create_task(_told(actor, job / "actor.txt"))
        try:
            yield ended
        finally:
            ended.cancel()
            with contextlib.suppress(ProcessLookupError):
                actor.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(actor.wait(), _END_S)
            except TimeoutError:
                actor.kill()
                await actor.wait()


async def _told(actor: asyncio.subprocess.Process, words: Path) -> str:
    """Last line of what an actor said before it ended."""
    code = await actor.wait()
    lines = (await asyncio.to_thread(words.read_text, errors="replace")).splitlines()
    return lines[-1] if lines else f"exit code {code}"
