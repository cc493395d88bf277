"""From the command line into the room, and out again.

The first paint comes first: which fleet is meant is found out once the screen is there.
"""

import argparse
import sys
from functools import partial

from enpire_tui.cli import DONE, ERROR, USAGE
from enpire_tui.room.launch import DidNotComeUp, Launch, Wanted

OPTIONS = ("fleet", "task", "stations", "agent", "minutes", "seed")


def enter(arguments: argparse.Namespace) -> int:
    """Opens the room and returns when the person detaches; ends nothing."""
    try:
        from enpire_tui.room.app import RoomApp
    except ModuleNotFoundError as missing:
        return _fail(
            f"the control room needs {missing.name}: install enpire-tui[room], or use "
            "`enpire-tui --autonomous` and `enpire-tui status`",
            ERROR,
        )
    from enpire_tui.room import keys

    try:
        own = keys.load()
    except keys.KeysError as error:
        return _fail(str(error), USAGE)
    launch = Launch(partial(find, arguments))
    app = RoomApp(
        launch,
        keys=own,
        autonomous=arguments.autonomous,
        policy=arguments.policy,
        call=not arguments.no_bell,
    )
    app.run()
    if app.fault is not None:
        return _fail(str(app.fault), app.fault.code)
    if launch.wanted is not None:
        _say_goodbye(launch.wanted)
    return app.return_code or DONE


def find(arguments: argparse.Namespace) -> Wanted:
    """Which fleet the arguments mean.

    Raises:
        DidNotComeUp: The fleet file, or an option, is wrong.
    """
    from enpire_tui.commands import resolve
    from enpire_tui.fleet import FleetError

    try:
        fleet, home, source = resolve(arguments)
    except FleetError as error:
        raise DidNotComeUp(str(error), USAGE) from None
    count = len(fleet.station)
    words = f"{source}: {count} station{'s' if count != 1 else ''}, {fleet.task}, in {home}"
    given = [(name, getattr(arguments, name)) for name in OPTIONS]
    given.append(("recipe", arguments.start))
    options = tuple(
        word for name, value in given if value is not None for word in (f"--{name}", str(value))
    )
    return Wanted(home, words, options, arguments.autonomous)


def _fail(text: str, code: int) -> int:
    sys.stderr.write(f"enpire-tui: {text}\n")
    return code


def _say_goodbye(wanted: Wanted) -> None:
    """What goes on, in one line; a run whose end was seen makes way for the next."""
    from enpire_tui import home as places
    from enpire_tui import lifecycle
    from enpire_tui.run_spec import FILE, read_spec

    if not lifecycle.running(wanted.home) or not (wanted.home / FILE).exists():
        return
    spec = read_spec(wanted.home)
    if places.ended(wanted.home, spec):
        places.run_folder(wanted.home, spec.run_id).joinpath(places.REPORTED).touch()
        said = f"run {spec.run_id} is over; its daemons stay up until `enpire-tui down`"
    else:
        said = "the fleet goes on; `enpire-tui` attaches again, `enpire-tui down` ends it"
    sys.stdout.write(said + "\n")
