"""The commands that start, end and steer a fleet; each returns its exit code."""

import argparse
import asyncio
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from enpire_tui import home as places
from enpire_tui import lifecycle
from enpire_tui.cli import DONE, ERROR, USAGE
from enpire_tui.control import Control, Refused, Unreachable
from enpire_tui.fleet import Fleet, FleetError, check, demo_fleet, read_fleet
from enpire_tui.lines import say
from robots.wire import commands as c
from robots.wire.keys import KeyFileError
from robots.wire.records import Mode
from robots.wire.replies import Checklist

Command = Callable[[argparse.Namespace], int]

DEMO = "demo fleet"


def _told(command: Command) -> Command:
    """The command with its expected errors told in one line each."""

    def run(arguments: argparse.Namespace) -> int:
        try:
            return command(arguments)
        except FleetError as error:
            return _fail(arguments, str(error), USAGE)
        except (lifecycle.Fault, Refused, Unreachable, KeyFileError) as error:
            return _fail(arguments, str(error), ERROR)

    return run


def _fail(arguments: argparse.Namespace, text: str, code: int) -> int:
    sys.stderr.write(f"enpire-tui: {text}\n")
    if arguments.json:
        say("Failed", error=text, exit=code)
    return code


def resolve(arguments: argparse.Namespace) -> tuple[Fleet, Path, str]:
    """Fleet, home and the fleet's source, as the arguments name them.

    Raises:
        FleetError: The fleet file, or an option, is wrong.
    """
    task = getattr(arguments, "task", None)
    stations = getattr(arguments, "stations", None)
    agent = getattr(arguments, "agent", None)
    if arguments.fleet is not None:
        if stations is not None:
            raise FleetError("--stations: belongs to the demo fleet; name stations in the file")
        source = str(arguments.fleet)
        fleet = read_fleet(arguments.fleet)
        if task:
            fleet = msgspec.structs.replace(fleet, task=task)
        if agent:
            shared = msgspec.structs.replace(fleet.agent, backend=agent)
            fleet = msgspec.structs.replace(fleet, agent=shared)
    else:
        source = DEMO
        fleet = demo_fleet(stations or 4, task or "push_t", agent or "search")
    if getattr(arguments, "minutes", None) is not None:
        budget = msgspec.structs.replace(fleet.budget, time=f"{arguments.minutes:f} min")
        fleet = msgspec.structs.replace(fleet, budget=budget)
    own = {"seed": getattr(arguments, "seed", None), "recipe": getattr(arguments, "start", None)}
    fleet = msgspec.structs.replace(fleet, **{k: v for k, v in own.items() if v is not None})
    return check(fleet, source), places.home_of(fleet.name, arguments.home), source


@_told
def autonomous(arguments: argparse.Namespace) -> int:
    """A run without people, from its start, or from where it is, to its end."""
    from enpire_tui import headless

    fleet, home, source = resolve(arguments)
    options = headless.Options(json=arguments.json, keep=arguments.keep, policy=arguments.policy)
    return headless.run(fleet, home, source, options)


@_told
def watch(arguments: argparse.Namespace) -> int:
    """Follows the run that is under way."""
    from enpire_tui import headless

    _, home, _ = resolve(arguments)
    if not lifecycle.running(home):
        raise lifecycle.Fault(f"{home}: no fleet runs there; `enpire-tui up` starts one")
    return headless.watch(home, headless.Options(json=arguments.json, keep=True))


@_told
def up(arguments: argparse.Namespace) -> int:
    """Starts the fleet or finds it running."""
    fleet, home, source = resolve(arguments)
    spec, started = lifecycle.up(fleet, home, source)
    word = "started" if started else "found running"
    if arguments.json:
        say("Up", home=str(home), run=spec.run_id, started=started)
    else:
        sys.stdout.write(
            f"fleet {word} in {home}: {', '.join(spec.stations)}; run {spec.run_id} of "
            f"{spec.task} waits for a hand-over (enpire-tui --autonomous)\n"
        )
    return DONE


@_told
def down(arguments: argparse.Namespace) -> int:
    """Ends the fleet's daemons."""
    _, home, _ = resolve(arguments)
    found = lifecycle.down(home)
    if arguments.json:
        say("Down", home=str(home), ended=found)
    else:
        sys.stdout.write(f"fleet in {home} {'is down' if found else 'was not up'}\n")
    return DONE


@_told
def status(arguments: argparse.Namespace) -> int:
    """What every station, agent and job does."""
    from enpire_tui import overview as views

    _, home, _ = resolve(arguments)
    found = asyncio.run(views.read(home))
    if arguments.json:
        say("Status", found)
    else:
        sys.stdout.write(views.text(found))
    return DONE


@_told
def overview(arguments: argparse.Namespace) -> int:
    """The fleet's state, and what to type next."""
    code = status(arguments)
    if not arguments.json:
        sys.stdout.write(
            "\nenpire-tui --autonomous   a run, followed to its end\n"
            "enpire-tui watch          follow the run that is under way\n"
            "enpire-tui --help         every command\n"
        )
    return code


@_told
def doctor(arguments: argparse.Namespace) -> int:
    """Whether this machine can run a fleet."""
    from enpire_tui import doctor as examination

    _, home, _ = resolve(arguments)
    findings = examination.examine(home)
    fit = all(each.ok or not each.required for each in findings)
    if arguments.json:
        say("Doctor", fit=fit, findings=findings)
    else:
        sys.stdout.write(examination.text(findings))
    return DONE if fit else ERROR


@_told
def hold(arguments: argparse.Namespace) -> int:
    """Holds every station."""
    return _command_fleet(arguments, c.HoldFleet(reason=arguments.reason or "operator"), "held")


@_told
def release(arguments: argparse.Namespace) -> int:
    """Lets held stations move again."""
    return _command_fleet(arguments, c.ReleaseFleet(cause=arguments.cause), "released")


@_told
def stop(arguments: argparse.Namespace) -> int:
    """Ends the run."""
    return _command_fleet(arguments, c.StopRun(reason=arguments.reason), "run stopping")


@_told
def setup(arguments: argparse.Namespace) -> int:
    """Takes the fleet back from autonomy."""
    return _command_fleet(arguments, c.HandOver(mode=Mode.SETUP), "in setup")


@_told
def checklist(arguments: argparse.Namespace) -> int:
    """What a hand-over to autonomy needs."""
    home = _running(arguments)

    async def read() -> Checklist:
        async with Control(home) as control:
            return await control.checklist()

    found = asyncio.run(read())
    if arguments.json:
        say("Checklist", found)
    else:
        for item in found.items:
            remedy = f" -> {item.remedy}" if item.remedy else ""
            sys.stdout.write(f"{item.state:8}{item.name:10}{item.detail}{remedy}\n")
    return DONE if found.ready else ERROR


def _running(arguments: argparse.Namespace) -> Path:
    """Home of the fleet that runs."""
    _, home, _ = resolve(arguments)
    if not lifecycle.running(home):
        raise lifecycle.Fault(f"{home}: no fleet runs there; `enpire-tui up` starts one")
    return home


def _command_fleet(arguments: argparse.Namespace, command: c.AnyCommand, word: str) -> int:
    home = _running(arguments)

    async def send() -> None:
        force: bool = getattr(arguments, "take_lease", False)
        async with Control(home, force=force) as control:
            await control.command(command)

    asyncio.run(send())
    if arguments.json:
        say(type(command).__name__, done=word)
    else:
        sys.stdout.write(f"{word}\n")
    return DONE


@_told
def evaluate(arguments: argparse.Namespace) -> int:
    """Scores a policy on sealed seeds."""
    from enpire_tui import evaluate as scoring

    _, home, _ = resolve(arguments)
    options = scoring.Options(
        recipe=arguments.recipe,
        task=arguments.task,
        episodes=arguments.episodes,
        run=arguments.run,
        workers=arguments.workers,
        json=arguments.json,
        record=arguments.record,
    )
    return scoring.run(options, home)


@_told
def train(arguments: argparse.Namespace) -> int:
    """Runs a recipe's training as a job."""
    from enpire_tui import train as training

    fleet, home, _ = resolve(arguments)
    asked = {name: getattr(arguments, name) for name in training.Options.__struct_fields__}
    asked |= {"data": tuple(arguments.data), "arguments": tuple(arguments.arguments)}
    return training.run(training.Options(**asked), fleet, home)


@_told
def jobs(arguments: argparse.Namespace) -> int:
    """Lists the training jobs of a box, or cancels one."""
    from enpire_tui import train as training

    fleet, home, _ = resolve(arguments)
    return training.jobs(fleet, home, arguments.box, arguments.cancel, json=arguments.json)


@_told
def episodes(arguments: argparse.Namespace) -> int:
    """Turns recordings into a LeRobot dataset."""
    from robots.dataset.export import export, state_names
    from robots.dataset.features import DatasetError
    from robots.dataset.writer import DatasetWriter
    from robots.station.tasks import TaskError, load_task

    found = sorted(arguments.recordings.glob("*.npz"))
    if not found:
        raise FleetError(f"RECORDINGS: {arguments.recordings} holds no .npz recordings")
    try:
        spec = load_task(arguments.task).spec
        names = {"observation.state": state_names(spec)}
        writer = DatasetWriter(arguments.output, spec.policy_hz, spec.name, names)
        added = export(found, writer, spec, failures=not arguments.successes)
    except (TaskError, DatasetError) as error:
        raise FleetError(str(error)) from None
    if arguments.json:
        say("Exported", episodes=added, frames=writer.frames, dataset=str(arguments.output))
    else:
        sys.stdout.write(f"{added} of {len(found)} episodes in {arguments.output}\n")
    return DONE


@_told
def environment(arguments: argparse.Namespace) -> int:
    """Examines a task's environment, or publishes it."""
    from enpire_tui import environment as bench

    if arguments.action == "try":
        from enpire_tui import trying

        wanted = {key: value for key, value in vars(arguments).items() if key in trying.ASKED}
        return trying.run(trying.Options(**wanted), _running(arguments))
    fleet, home, _ = resolve(arguments)
    asked = {key: value for key, value in vars(arguments).items() if key in bench.ASKED}
    return bench.run(bench.Options(**asked), fleet, home)


@_told
def review(arguments: argparse.Namespace) -> int:
    """Looks through a run's transcripts."""
    from enpire_tui.review import command as reviewing
    from enpire_tui.review.runs import Unreadable, choose
    from enpire_tui.review.search import Query
    from enpire_tui.review.transcript import Filter

    _, home, _ = resolve(arguments)
    if arguments.regex and not arguments.search:
        raise FleetError("--regex: belongs to --search TEXT")
    text = arguments.search
    options = reviewing.Options(
        run=arguments.run,
        wanted=Filter(agent=arguments.of_agent, kind=arguments.kind, idea=arguments.idea),
        query=Query(text=text, regex=arguments.regex) if text else None,
        export=arguments.export,
        json=arguments.json,
    )
    try:
        if options.headless or not (sys.stdin.isatty() and sys.stdout.isatty()):
            return reviewing.run(options, home)
        chosen = choose(home, options.run)
    except Unreadable as error:
        raise lifecycle.Fault(str(error)) from None
    try:
        from enpire_tui.room import review_app
    except ModuleNotFoundError as missing:
        raise lifecycle.Fault(
            f"the screen needs {missing.name}: install enpire-tui[room], or use "
            "`enpire-tui review --search TEXT` or `--export FILE`"
        ) from None
    return review_app.enter(home, chosen.run_id)


@_told
def transfer(arguments: argparse.Namespace) -> int:
    """Tells what a run leaves to the next."""
    from agents.transfer import page
    from enpire_tui.review.runs import Unreadable, choose
    from robots.wire.sqlite_journal import read_rows

    _, home, _ = resolve(arguments)
    try:
        chosen = choose(home, arguments.run)
    except Unreadable as error:
        raise lifecycle.Fault(str(error)) from None
    journal = chosen.journals / f"{places.SUPERVISOR}.db"
    try:
        rows = read_rows(journal)
    except sqlite3.Error as error:
        raise lifecycle.Fault(f"{journal}: {error}") from None
    text = page(chosen.run_id, chosen.task, chosen.outcome, (row.event for row in rows))
    if arguments.output is not None:
        try:
            arguments.output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise lifecycle.Fault(f"{arguments.output}: {error.strerror}") from None
    if arguments.json:
        say("Transfer", run=chosen.run_id, text=text, file=str(arguments.output or ""))
    elif arguments.output is None:
        sys.stdout.write(text)
    else:
        sys.stdout.write(f"{chosen.run_id} is in {arguments.output}\n")
    return DONE


@_told
def permit(arguments: argparse.Namespace) -> int:
    """Signs a policy file."""
    from enpire_tui import permit as permits
    from robots.wire.clock import SystemClock

    fleet, _, _ = resolve(arguments)
    signed, policy = permits.sign(fleet, arguments.key, arguments.hours, SystemClock())
    permits.write(arguments.output, signed)
    if arguments.json:
        say("Permit", policy, file=str(arguments.output))
    else:
        sys.stdout.write(
            f"{policy.person} permits {', '.join(policy.stations)} to move for {policy.task}, "
            f"{policy.minutes:g} minutes, for {arguments.hours:g} hours: {arguments.output}\n"
        )
    return DONE
