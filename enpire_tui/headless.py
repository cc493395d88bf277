"""A run without a screen: started or found, handed over, followed to its end.

Killing this process ends nothing: the fleet belongs to its keeper. Running it again attaches again.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Protocol

from enpire_tui import home as places
from enpire_tui import lifecycle, permit
from enpire_tui.cli import DONE, ERROR, UNSUCCESSFUL
from enpire_tui.control import Control, Refused, Unreachable
from enpire_tui.fleet import Fleet
from enpire_tui.lines import say
from enpire_tui.run_spec import RunSpec, read_spec
from enpire_tui.supervisor.authority import SIMULATED_WORD
from robots.wire import commands as c
from robots.wire import events as ev
from robots.wire.client import PASSING
from robots.wire.records import Frozen, Mode
from robots.wire.replies import SupervisorStatus
from robots.wire.rows import JournalReplaced, Row

STATUS_EVERY_S = 1.0
HAND_OVER_S = 60.0
# Longer than a supervisor takes to come back; then somebody took the fleet down.
GONE_AFTER_S = 20.0
WIND_DOWN_S = 60.0
POLL_S = 0.1

EXIT = {"success": DONE, "budget": UNSUCCESSFUL, "stopped": UNSUCCESSFUL, "failed": ERROR}

KEY_EVENTS = (
    ev.RunStarted,
    ev.ModeChanged,
    ev.StationSeen,
    ev.IdeaProposed,
    ev.CandidateDecided,
    ev.ChampionChanged,
    ev.CandidateNominated,
    ev.ConfirmStarted,
    ev.ConfirmFinished,
    ev.FleetHeld,
    ev.FleetReleased,
    ev.RunStopRequested,
    ev.Noted,
    ev.RunEnded,
)


class Options(Frozen):
    """How a run is followed.

    Attributes:
        keep: Leave the fleet up after the run's end.
        policy: A signed policy file, for real drivers.
    """

    json: bool = False
    keep: bool = False
    policy: Path | None = None


class Progress(Protocol):
    """Where the run's course is shown."""

    def row(self, row: Row) -> None:
        """A row of the supervisor's journal."""
        ...

    def status(self, status: SupervisorStatus) -> None:
        """The run and the fleet at this moment."""
        ...


class JsonLines:
    """One JSON object a key event, on standard output."""

    def row(self, row: Row) -> None:
        if isinstance(row.event, KEY_EVENTS):
            say(row.kind, row.event, wall_s=row.wall_s)

    def status(self, status: SupervisorStatus) -> None:
        """Nothing: lines tell events, not moments."""


def run(fleet: Fleet, home: Path, source: str, options: Options) -> int:
    """Starts or finds the fleet, hands over, follows; the exit code of the outcome.

    Raises:
        FleetError, Fault: The fleet cannot be used or started.
        Refused, Unreachable: The hand-over failed.
    """
    if lifecycle.running(home) and lifecycle.told(home):
        # The fleet was kept after a run whose end was told; this is a new run's command.
        lifecycle.down(home)
    spec, started = lifecycle.up(fleet, home, source)
    if not started:
        sys.stderr.write(f"attached to run {spec.run_id}, already up in {home}\n")
    try:
        ended = asyncio.run(_follow(home, spec, options, begin=True))
    except KeyboardInterrupt:
        sys.stderr.write(
            "\nthe run goes on; `enpire-tui watch` follows it, `enpire-tui stop` ends it\n"
        )
        raise
    _await_record(home, spec)
    places.run_folder(home, spec.run_id).joinpath(places.REPORTED).touch()
    if not options.keep:
        lifecycle.down(home)
    return _finish(ended, home, spec, options)


def watch(home: Path, options: Options) -> int:
    """Follows the run of a fleet that is up; changes nothing.

    Raises:
        Fault: The fleet went away.
    """
    spec = read_spec(home)
    ended = asyncio.run(_follow(home, spec, options, begin=False))
    return _finish(ended, home, spec, options)


def _await_record(home: Path, spec: RunSpec) -> None:
    """Waits until the supervisor has stopped the agents, cleared the stations and written."""
    until = time.monotonic() + WIND_DOWN_S
    while not places.ended(home, spec):
        if time.monotonic() > until or not lifecycle.running(home):
            sys.stderr.write(f"run {spec.run_id}: its record was not written in time\n")
            return
        time.sleep(POLL_S)


def _finish(ended: ev.RunEnded, home: Path, spec: RunSpec, options: Options) -> int:
    if not options.json and sys.stdout.isatty():
        from enpire_tui import display

        sys.stdout.write(display.summary(ended, places.run_folder(home, spec.run_id)))
    else:
        say("RunEnded", ended)
    return EXIT.get(ended.outcome, ERROR)


async def _follow(home: Path, spec: RunSpec, options: Options, *, begin: bool) -> ev.RunEnded:
    async with Control(home) as control:
        if begin:
            await hand_over(control, spec, options)
        with _progress(spec, options) as progress:
            async with contextlib.aclosing(_rows(control, home)) as rows:
                asking = asyncio.create_task(_ask(control, progress))
                try:
                    async for row in rows:
                        if isinstance(row.event, ev.RunEnded):
                            return row.event
                        progress.row(row)
                finally:
                    asking.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await asking
    raise lifecycle.Fault("the supervisor's journal ended without the run's end")


@contextlib.contextmanager
def _progress(spec: RunSpec, options: Options) -> Generator[Progress, None, None]:
    if options.json or not sys.stdout.isatty():
        yield JsonLines()
        return
    from enpire_tui.display import LiveDisplay

    with LiveDisplay(spec) as display:
        yield display


async def _rows(control: Control, home: Path) -> AsyncGenerator[Row, None]:
    """The journal's rows; ends with a `Fault` when the fleet is gone for good."""
    arrived: asyncio.Queue[Row] = asyncio.Queue(maxsize=1000)

    async def pump() -> None:
        while True:
            try:
                async for row in control.follow():
                    await arrived.put(row)
            except JournalReplaced:
                sys.stderr.write("the supervisor's journal was replaced; following the new one\n")

    pumping = asyncio.create_task(pump())
    try:
        silent_s = 0.0
        while True:
            try:
                row = await control.clock.wait_for(arrived.get(), STATUS_EVERY_S)
            except TimeoutError:
                silent_s = 0.0 if lifecycle.running(home) else silent_s + STATUS_EVERY_S
                if pumping.done():
                    pumping.result()
                if silent_s >= GONE_AFTER_S:
                    raise lifecycle.Fault(
                        f"{home}: the fleet was taken down before its run ended; "
                        "`enpire-tui --autonomous` goes on with it"
                    ) from None
                continue
            silent_s = 0.0
            yield row
    finally:
        pumping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await pumping


async def _ask(control: Control, progress: Progress) -> None:
    while True:
        # A supervisor that is coming back; the display keeps what it last knew.
        with contextlib.suppress(Refused, Unreachable):
            progress.status(await control.status())
        await control.clock.sleep(STATUS_EVERY_S)


async def hand_over(control: Control, spec: RunSpec, options: Options) -> None:
    """Hands the fleet over to autonomy, with the built-in policy for simulated drivers only.

    Raises:
        Refused: With the supervisor's reason.
        Unreachable: It did not answer in time.
    """
    command = c.HandOver(mode=Mode.AUTONOMOUS, word=SIMULATED_WORD if spec.simulated else "")
    if options.policy is not None:
        command = c.HandOver(mode=Mode.AUTONOMOUS, policy=permit.read(options.policy))
    deadline = control.clock.monotonic() + HAND_OVER_S
    while True:
        try:
            status = await control.status()
            if status.outcome or status.mode is Mode.AUTONOMOUS:
                return
            await control.command(command)
        except (Refused, Unreachable) as error:
            passing = isinstance(error, Unreachable) or error.reason in PASSING
            if not passing or control.clock.monotonic() >= deadline:
                raise
        else:
            return
