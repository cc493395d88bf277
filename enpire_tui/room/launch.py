"""Brings the fleet up while the room is on the screen already.

`enpire-tui up` runs as a process of its own, in its own session: leaving or killing the room at any
moment ends nothing. What it has come to is read from the keeper's file and from its output. Nothing
heavy is imported here before `run`, so that the first paint does not wait for it.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from enpire_tui.run_spec import RunSpec

UP_S = 120.0
TAIL_LINES = 12
LOG = "up.log"


class DidNotComeUp(Exception):
    """There is no fleet to show; says why, and with which code the command ends."""

    def __init__(self, reason: str, code: int) -> None:
        super().__init__(reason)
        self.code = code


class Wanted(NamedTuple):
    """A fleet that somebody wants to see.

    Attributes:
        home: Its folder.
        words: What it is, for people.
        options: Of `enpire-tui up`, as they were given.
        fresh: Whether a run that is over and was told makes way for a new one.
    """

    home: Path
    words: str
    options: tuple[str, ...] = ()
    fresh: bool = False


class Launch:
    """One start of a fleet.

    Args:
        find: Says which fleet is wanted; called on a thread, may read files and import.

    Attributes:
        wanted: What it said, None before.
        detail: What is going on.
    """

    def __init__(self, find: Callable[[], Wanted]) -> None:
        self.wanted: Wanted | None = None
        self.detail = "looking for the fleet"
        self._find = find

    async def run(self) -> "RunSpec":
        """Finds the fleet running, or starts it.

        Raises:
            DidNotComeUp: With the reason.
        """
        wanted = self.wanted = await asyncio.to_thread(self._find)
        up, make_way = await asyncio.to_thread(_standing, wanted)
        if make_way:
            self.detail = "ending the last run's daemons"
            await self._command(wanted.home, "down")
        if make_way or not up:
            self.detail = "starting daemons"
            await self._command(wanted.home, "up", *wanted.options)
        from enpire_tui.run_spec import read_spec

        return await asyncio.to_thread(read_spec, wanted.home)

    async def _command(self, home: Path, name: str, *options: str) -> None:
        log = home / LOG
        await asyncio.to_thread(home.mkdir, 0o700, True, True)
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "enpire_tui.cli", name, *options, "--home", str(home)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(UP_S):
                code = await process.wait()
        except TimeoutError:
            raise DidNotComeUp(f"`enpire-tui {name}` did not end in {UP_S:g} s", 1) from None
        if code != 0:
            tail = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
            raise DidNotComeUp("\n".join(tail) or f"`enpire-tui {name}` ended with {code}", code)

    def daemons(self) -> list[tuple[str, str]]:
        """What the keeper has started so far: name and state."""
        if self.wanted is None or self.detail == "looking for the fleet":
            return []
        from robots.wire import keeper

        return [(each.name, each.state) for each in keeper.read_state(self.wanted.home)]


def _standing(wanted: Wanted) -> tuple[bool, bool]:
    """Whether the fleet is up, and whether its run makes way for a new one."""
    from enpire_tui import lifecycle

    up = lifecycle.running(wanted.home)
    return up, up and wanted.fresh and lifecycle.told(wanted.home)
