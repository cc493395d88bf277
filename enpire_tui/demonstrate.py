"""`enpire-tui demonstrate`: a person jogs a simulated robot by keys; successes become a dataset.

The station is one of the fleet's as it is simulated, with its own draw of the world, run here and for
this person alone: a fleet that is up is not touched. What the person does is limited, judged and
recorded as what a policy does; the dataset is what `enpire-tui train --data` takes.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from enpire_tui import lines
from enpire_tui.cli import DONE, UNSUCCESSFUL
from enpire_tui.commands import (
    _told as told_in_a_line,  # pyright: ignore[reportPrivateUsage] - as every command is.
)
from enpire_tui.commands import resolve
from enpire_tui.fleet import SIMULATED_DRIVERS, Fleet, FleetError, StationEntry
from enpire_tui.lifecycle import Fault
from robots.dataset.export import state_names
from robots.dataset.features import DatasetError
from robots.dataset.writer import DatasetWriter
from robots.drivers.base import DriverError
from robots.station.demonstrating import Demonstrated, Seat, View
from robots.station.tasks import Task, TaskError, load_task
from robots.wire.records import Frozen, Outcome


class Options(Frozen):
    """What is demonstrated, and where it goes.

    Attributes:
        station: Of the fleet, "" for its first.
        output: The dataset, begun or gone on with; None for a new one in the home.
    """

    task: str
    station: str = ""
    output: Path | None = None
    json: bool = False
    unsandboxed: bool = False


class Session:
    """Episodes of one person and the dataset of the successful ones.

    Args:
        task: The task.
        station: Whose world it is.
        station_seed: Its draw.
        output: The dataset's folder.
        sandboxed: False only where a person said so.

    Raises:
        FleetError: What lies in the folder is another dataset.
    """

    def __init__(
        self, task: Task, station: StationEntry, station_seed: int, output: Path, *, sandboxed: bool
    ) -> None:
        self.task = task
        self.station = station
        self.output = output
        self.episodes = 0
        self.successes = 0
        self._station_seed = station_seed
        self._sandboxed = sandboxed
        spec = task.spec
        try:
            names = {"observation.state": state_names(spec)}
            self._writer = DatasetWriter(output, spec.policy_hz, spec.name, names)
        except DatasetError as error:
            raise FleetError(f"--output: {error}") from None

    @property
    def kept(self) -> int:
        """Episodes in the dataset, earlier sessions' as well."""
        return self._writer.episodes

    @property
    def frames(self) -> int:
        """Frames in the dataset."""
        return self._writer.frames

    def seat(self, shown: Callable[[View], None], acted: Callable[[str], None]) -> Seat:
        """The station; on the thread that runs its episodes.

        Raises:
            TaskError: The task's action cannot be given by keys.
            DriverError: It cannot be simulated here.
        """
        return Seat(
            self.task,
            self.station.driver,
            self._station_seed,
            shown,
            acted,
            sandboxed=self._sandboxed,
        )

    def take(self, found: Demonstrated) -> bool:
        """Keep an episode if it is a success; whether it was kept."""
        self.episodes += 1
        if found.episode.outcome is not Outcome.SUCCESS or not found.columns:
            return False
        spec = self.task.spec
        self._writer.add(spec.description or spec.name, found.columns, found.pictures)
        self.successes += 1
        return True


@told_in_a_line
def command(arguments: argparse.Namespace) -> int:
    """A person jogs a simulated robot by keys."""
    fleet, home, _ = resolve(arguments)
    asked = {name: getattr(arguments, name) for name in Options.__struct_fields__}
    return run(Options(**asked), fleet, home)


def session_of(options: Options, fleet: Fleet, home: Path) -> Session:
    """The session that the options ask for.

    Raises:
        FleetError: There is no such station or task, or a person cannot jog it by keys.
    """
    names = [each.name for each in fleet.station]
    name = options.station or names[0]
    if name not in names:
        raise FleetError(f"--station: {name!r} is none of {', '.join(names)}")
    station = fleet.station[names.index(name)]
    try:
        task = load_task(options.task)
    except TaskError as error:
        raise FleetError(f"--task: {error}") from None
    if station.driver not in SIMULATED_DRIVERS or station.clock != "lockstep":
        raise FleetError(
            f"--station: {name} has the driver {station.driver} and the clock {station.clock}; only "
            "simulated stations in lockstep wait for a key"
        )
    own = station.seed if station.seed is not None else names.index(name) + 1
    seed = fleet.seed * 1000 + own
    output = options.output or home / "demonstrations" / f"{task.spec.name}-{time.time_ns()}"
    return Session(task, station, seed, output, sandboxed=not options.unsandboxed)


def run(options: Options, fleet: Fleet, home: Path) -> int:
    """Opens the screen and tells what came of it when the person leaves.

    Raises:
        FleetError: Station, task or dataset are wrong.
        Fault: There is no terminal, or the station cannot be simulated here.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Fault("demonstrate: a person at a terminal is needed; run it on one")
    session = session_of(options, fleet, home)
    try:
        from enpire_tui.room.demonstrate_app import DemonstrateApp
    except ModuleNotFoundError as missing:
        raise Fault(f"the screen needs {missing.name}: install enpire-tui[room]") from None
    app = DemonstrateApp(session)
    app.run()
    if isinstance(app.fault, TaskError):
        raise FleetError(f"--task: {app.fault}")
    if isinstance(app.fault, DriverError):
        raise Fault(str(app.fault))
    if app.fault is not None:
        raise app.fault
    told(options, session)
    return DONE if session.successes else UNSUCCESSFUL


def told(options: Options, session: Session) -> None:
    """The result, as the last line."""
    dataset = str(session.output) if session.kept else ""
    if options.json:
        lines.say(
            "Demonstrated",
            None,
            task=session.task.spec.name,
            episodes=session.episodes,
            successes=session.successes,
            kept=session.kept,
            frames=session.frames,
            dataset=dataset,
        )
        return
    sys.stdout.write(
        f"{session.successes} of {session.episodes} episodes succeeded; "
        f"{session.kept} in {dataset or 'no dataset'}\n"
    )
    if dataset:
        sys.stdout.write(
            f"enpire-tui train behavior_cloning --task {options.task} --data {dataset}\n"
        )
