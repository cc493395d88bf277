"""Brings the fleet up while the room is on the screen already.

`enpire-tui up` runs as a process of its own, in its own session: leaving or killing the room at any
moment ends nothing. What it has come to is read from the keeper's file and from its output.
"""

import asyncio
import os
import sys
from pathlib import Path

from enpire_tui import lifecycle
from enpire_tui.run_spec import RunSpec, read_spec
from robots.wire import keeper

UP_S = lifecycle.UP_S + 30.0
TAIL_LINES = 12
LOG = "up.log"


class Launch:
    """One start of a fleet.

    Args:
        home: The fleet's folder.
        options: Of `enpire-tui up`, as they were given to us.
        words: What is being started, for people.
        fresh: Whether a run that is over and was told makes way for a new one.
    """

    def __init__(self, home: Path, options: list[str], words: str, *, fresh: bool) -> None:
        self.home = home
        self.words = words
        self.detail = "looking for the fleet"
        self._options = options
        self._fresh = fresh

    async def run(self) -> RunSpec:
        """Finds the fleet running, or starts it.

        Raises:
            Fault: It did not come up, with the reason.
        """
        up = await asyncio.to_thread(lifecycle.running, self.home)
        if up and self._fresh and await asyncio.to_thread(lifecycle.told, self.home):
            self.detail = "ending the last run's daemons"
            await self._command("down")
            up = False
        if not up:
            self.detail = "starting daemons"
            await self._command("up", *self._options)
        return await asyncio.to_thread(read_spec, self.home)

    async def _command(self, name: str, *options: str) -> None:
        log = self.home / LOG
        await asyncio.to_thread(self.home.mkdir, 0o700, True, True)
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "enpire_tui.cli",
                name,
                *options,
                "--home",
                str(self.home),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ},
            )
        try:
            async with asyncio.timeout(UP_S):
                code = await process.wait()
        except TimeoutError:
            raise lifecycle.Fault(f"`enpire-tui {name}` did not end in {UP_S:g} s") from None
        if code != 0:
            tail = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
            raise lifecycle.Fault("\n".join(tail) or f"`enpire-tui {name}` ended with {code}")

    def daemons(self) -> list[tuple[str, str]]:
        """What the keeper has started so far: name and state."""
        return [(each.name, each.state) for each in keeper.read_state(self.home)]
