"""From the command line into the room, and out again."""

import argparse
import sys
from pathlib import Path

from enpire_tui import home as places
from enpire_tui import lifecycle
from enpire_tui.cli import DONE, ERROR, USAGE
from enpire_tui.fleet import Fleet
from enpire_tui.run_spec import read_spec

OPTIONS = ("fleet", "task", "stations", "agent", "minutes", "seed")


def enter(fleet: Fleet, home: Path, source: str, arguments: argparse.Namespace) -> int:
    """Opens the room and returns when the person detaches; ends nothing."""
    try:
        from enpire_tui.room.app import RoomApp
    except ModuleNotFoundError as missing:
        sys.stderr.write(
            f"enpire-tui: the control room needs {missing.name}: install enpire-tui[room], or use "
            "`enpire-tui --autonomous` and `enpire-tui status`\n"
        )
        return ERROR
    from enpire_tui.room import keys
    from enpire_tui.room.launch import Launch

    try:
        own = keys.load()
    except keys.KeysError as error:
        sys.stderr.write(f"enpire-tui: {error}\n")
        return USAGE
    count = len(fleet.station)
    words = f"{source}: {count} station{'s' if count != 1 else ''}, {fleet.task}, in {home}"
    launch = Launch(home, _options(arguments), words, fresh=arguments.autonomous)
    app = RoomApp(launch, keys=own, autonomous=arguments.autonomous, policy=arguments.policy)
    app.run()
    _say_goodbye(home)
    return app.return_code or DONE


def _options(arguments: argparse.Namespace) -> list[str]:
    """The options that say which fleet is meant, as `enpire-tui up` takes them."""
    given = [(name, getattr(arguments, name)) for name in OPTIONS]
    return [
        word for name, value in given if value is not None for word in (f"--{name}", str(value))
    ]


def _say_goodbye(home: Path) -> None:
    """What goes on, in one line; a run whose end was seen makes way for the next."""
    if not lifecycle.running(home):
        return
    spec = read_spec(home)
    if places.ended(home, spec):
        places.run_folder(home, spec.run_id).joinpath(places.REPORTED).touch()
        said = f"run {spec.run_id} is over; its daemons stay up until `enpire-tui down`"
    else:
        said = "the fleet goes on; `enpire-tui` attaches again, `enpire-tui down` ends it"
    sys.stdout.write(said + "\n")
