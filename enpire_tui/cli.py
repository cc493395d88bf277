"""`enpire-tui`: the command line. It parses and dispatches; each command is imported when used."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

DONE, ERROR, USAGE, UNSUCCESSFUL, INTERRUPTED = 0, 1, 2, 3, 130

Command = Callable[[argparse.Namespace], int]

EPILOG = """exit codes: 0 done or criterion met; 1 error; 2 usage; 3 ended without success (budget,
time, stopped); 130 interrupted"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        return _command(arguments)(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left; the run goes on without a reader.
        sys.stderr.close()
        return ERROR


def _command(arguments: argparse.Namespace) -> Command:
    if arguments.command is None and _on_terminal(arguments):
        from enpire_tui.room import entrance

        return entrance.enter
    from enpire_tui import commands

    if arguments.command == "demonstrate":
        from enpire_tui import demonstrate

        return demonstrate.command
    if arguments.command == "environment" and arguments.action == "assist":
        from enpire_tui import assisting

        return assisting.command
    if arguments.command is None:
        return commands.autonomous if arguments.autonomous else commands.overview
    chosen: Command = getattr(commands, arguments.command)
    return chosen


def _on_terminal(arguments: argparse.Namespace) -> bool:
    """Whether the control room is asked for, and somebody can see it."""
    wanted = arguments.room or not arguments.autonomous
    return wanted and not arguments.json and sys.stdin.isatty() and sys.stdout.isatty()


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="enpire-tui",
        description="A control room in which coding agents improve robot policies on a fleet of "
        "stations. Without a command: the control room on a terminal, elsewhere what the fleet does now.",
        epilog=EPILOG,
    )
    parser.add_argument(
        "--autonomous", action="store_true", help="a run without people, followed to its end"
    )
    _add_common(parser)
    _add_fleet_options(parser)
    parser.add_argument(
        "--room", action="store_true", help="with --autonomous: in the control room, on a terminal"
    )
    parser.add_argument(
        "--no-bell", action="store_true", help="in the room: no bell, no desktop notification"
    )
    parser.add_argument("--keep", action="store_true", help="leave the fleet up after the run")
    parser.add_argument(
        "--policy", type=Path, metavar="FILE", help="signed policy file, for real drivers"
    )
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    up = _add(commands.add_parser, "up", "start the fleet's daemons, or find them running")
    _add_fleet_options(up, default=argparse.SUPPRESS)
    _add(commands.add_parser, "down", "end the fleet's daemons")
    _add(commands.add_parser, "status", "what every station, agent and job does")
    _add(commands.add_parser, "doctor", "whether this machine can run a fleet, and what is missing")
    _add(commands.add_parser, "watch", "follow the run to its end, from wherever it is")
    hold = _add(commands.add_parser, "hold", "hold every station now")
    hold.add_argument("reason", nargs="?", default="", help="why, for the journal")
    release = _add(commands.add_parser, "release", "let held stations move again")
    release.add_argument("cause", nargs="?", default="", help="what was wrong, for the journal")
    _add_force(release)
    stop = _add(commands.add_parser, "stop", 'end the run with outcome "stopped"')
    stop.add_argument("reason", nargs="?", default="", help="why, for the journal")
    _add_force(stop)
    _add(commands.add_parser, "checklist", "what a hand-over to autonomy needs, item by item")
    back = _add(commands.add_parser, "setup", "take the fleet back from autonomy: it holds")
    _add_force(back)

    review = _add(commands.add_parser, "review", "look through a run's transcripts, live or ended")
    review.add_argument("run", nargs="?", default="", metavar="RUN", help="id of a run (newest)")
    review.add_argument("--search", default="", metavar="TEXT", help="only lines with this text")
    review.add_argument("--regex", action="store_true", help="TEXT is a regular expression")
    review.add_argument("--agent", dest="of_agent", default="", metavar="A", help="only of agent A")
    review.add_argument("--kind", default="", metavar="K", help="only lines of kind K")
    review.add_argument("--idea", default="", metavar="I", help="only idea I, with its change")
    review.add_argument(
        "--export", type=Path, metavar="FILE", help="write them as .md, .jsonl or .html"
    )

    transfer = _add(commands.add_parser, "transfer", "what a run leaves to the next, on a page")
    transfer.add_argument("run", nargs="?", default="", metavar="RUN", help="id of a run (newest)")
    transfer.add_argument(
        "-o", "--output", type=Path, metavar="FILE",
        help="where to; HOME/transfer.md gives it to the agents of that home's runs",
    )  # fmt: skip

    permit = _add(commands.add_parser, "permit", "sign a policy file for a fleet of real drivers")
    _add_fleet_options(permit, default=argparse.SUPPRESS)
    permit.add_argument("--key", type=Path, required=True, metavar="FILE", help="your signing key")
    permit.add_argument("--hours", type=_minutes, default=24.0, metavar="H", help="validity (24)")
    permit.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="where to")

    _add_environment(_add(commands.add_parser, "environment", "examine a task, or publish it"))

    evaluate = _add(commands.add_parser, "evaluate", "score a policy on sealed seeds")
    evaluate.add_argument(
        "recipe", metavar="RECIPE", help="a folder, a commit of a run, baseline or reference"
    )
    evaluate.add_argument("--task", default="push_t", metavar="T", help="task (push_t)")
    evaluate.add_argument("--episodes", type=_positive, default=100, metavar="N", help="how many")
    evaluate.add_argument("--run", default="", metavar="RUN", help="run whose commit is meant")
    evaluate.add_argument("--workers", type=_positive, default=0, metavar="N", help="processes")
    evaluate.add_argument("--record", type=Path, metavar="DIR", help="record every episode there")

    _add_train(_add(commands.add_parser, "train", "run a recipe's training as a job on a box"))
    _add_demonstrate(
        _add(commands.add_parser, "demonstrate", "jog a simulated robot by keys, as data")
    )
    jobs = _add(commands.add_parser, "jobs", "the training jobs of a box")
    jobs.add_argument("--box", default="local", metavar="B", help="box of the fleet file (local)")
    jobs.add_argument("--cancel", default="", metavar="JOB", help="have this one ended")
    export = _add(commands.add_parser, "episodes", "recordings as a LeRobot dataset")
    export.add_argument("recordings", type=Path, metavar="RECORDINGS", help="folder of .npz files")
    export.add_argument("--task", default="push_t", metavar="T", help="their task (push_t)")
    export.add_argument("--successes", action="store_true", help="only those that succeeded")
    export.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="dataset")
    return parser


def _add_train(train: argparse.ArgumentParser) -> None:
    add = train.add_argument
    add("recipe", metavar="RECIPE", help="a folder, a commit of a run, or a regime by name")
    add("--task", default="push_t", metavar="T", help="task (push_t)")
    add("--box", default="local", metavar="B", help="box of the fleet file (local)")
    add("--data", type=Path, action="append", default=[], metavar="DIR", help="LeRobot dataset")
    add("--demonstrations", type=_positive, default=0, metavar="N",
        help="record N successful episodes of the task's reference as data first")  # fmt: skip
    add(
        "--id", dest="job", default="", metavar="JOB", help="its id; the same again is the same job"
    )
    add("--resume", default="", metavar="JOB", help="go on from this earlier job of the box")
    add("--cpus", type=float, default=2.0, metavar="N", help="processors (2)")
    add("--gpus", type=int, default=0, metavar="N", help="GPUs (0)")
    add("--processes", type=_positive, default=1, metavar="N", help="by torchrun (1)")
    add("--minutes", type=_minutes, default=24 * 60.0, metavar="M", help="its limit (a day)")
    add("--disk", type=float, default=64.0, metavar="GIB", help="what it may write (64)")
    add("--unsandboxed", action="store_true", help="without walls, where no sandbox works")
    add("--argument", dest="arguments", action="append", default=[], metavar="A",
        help="for its train.py; may be given again")  # fmt: skip


def _add_demonstrate(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--task", default="push_t_simple", metavar="T", help="task (push_t_simple)")
    add(
        "--station", default="", metavar="S", help="simulated station whose world it is (the first)"
    )
    add(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="dataset, new or gone on with (in the home)",
    )
    add("--unsandboxed", action="store_true", help="without walls, where no sandbox works")


def _add_environment(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", dest="action", required=True)

    def add(name: str, text: str) -> argparse.ArgumentParser:
        action = _add(actions.add_parser, name, text)
        action.set_defaults(command="environment", action=name)
        action.add_argument("folder", metavar="TASK", help="a task, or the path of its folder")
        return action

    add("check", "whether a task keeps to every rule")
    add("reset-test", "how reliable its reset is").add_argument(
        "--tries", type=_positive, default=100, metavar="N", help="resets (100)"
    )
    score = add("score", "what its verifier gets right, on scenes drawn afresh")
    score.add_argument("--negatives", type=_positive, default=300, metavar="N", help="(300)")
    score.add_argument("--positives", type=_positive, default=300, metavar="N", help="(300)")
    score.add_argument("-o", "--output", type=Path, metavar="DIR", help="where to put its errors")
    score.add_argument("--seed", type=int, metavar="S", help="draw a set again (a fresh one)")
    score.add_argument("--labels", action="store_true", help="on held-out labels too")
    label = add("label", "judge scenes, for the verifier to be scored on")
    label.add_argument(
        "--draw", default="", choices=("positive", "near_miss", "negative"), help="kind of scenes"
    )
    label.add_argument("--count", type=_positive, default=1, metavar="N", help="scenes (1)")
    verdict = label.add_mutually_exclusive_group()
    for name, text in (
        ("success", "each is one"),
        ("failure", "each is one"),
        ("truth", "as the simulator knows it, and so marked"),
        ("withdraw", "take back the last label of --station"),
    ):
        verdict.add_argument(
            f"--{name}", dest="verdict", action="store_const", const=name, default="", help=text
        )
    label.add_argument("--by", default="", metavar="NAME", help="who judges (you)")
    label.add_argument("--station", default="", metavar="S", help="the scene at a running station")
    label.add_argument("-o", "--output", type=Path, metavar="DIR", help="where to put the images")
    add("drift", "what the stations' check for a moved camera is worth").add_argument(
        "--resets", dest="tries", type=_positive, default=200, metavar="N", help="(200)"
    )
    assist = add("assist", "let a language model improve its reset and verifier, beside you")
    assist.add_argument(
        "--backend", default="anthropic", choices=("anthropic", "openai"), help="whose (anthropic)"
    )
    assist.add_argument("--model", default="", metavar="M", help="its id (the backend's default)")
    assist.add_argument(
        "--budget", type=_positive, default=500_000, metavar="TOKENS", help="(500000)"
    )
    assist.add_argument(
        "--id", dest="session", default="", metavar="ID", help="go on with this session"
    )
    assist.add_argument(
        "--no-pictures", dest="sees", action="store_false", help="for a model that sees none"
    )
    publish = add("publish", "sign what its files are; stations then run on nothing else")
    publish.add_argument("--key", type=Path, required=True, metavar="FILE", help="your signing key")
    tried = add("try", "let a station of a fleet in setup try its reset, once you approve it")
    tried.add_argument("--station", required=True, metavar="S", help="which station")
    tried.add_argument("--count", type=_positive, default=1, metavar="N", help="resets (1)")
    tried.add_argument("--verify", action="store_true", help="only ask the verifier, once")
    answer = tried.add_mutually_exclusive_group()
    answer.add_argument("--ask", action="store_true", help="you answer each here (default)")
    answer.add_argument("--approve", action="store_true", help="approve each that can be approved")
    answer.add_argument("--reject", default="", metavar="WORDS", help="reject it with these words")
    tried.add_argument("-o", "--output", type=Path, metavar="DIR", help="where to put pictures")
    _add_force(tried)


def _add_force(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--take-lease", action="store_true", help="although another operator has control"
    )


def _add(
    make: Callable[..., argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    parser = make(name, help=text, description=text[0].upper() + text[1:] + ".")
    # Suppressed defaults: an option given before the command is not reset by the command.
    _add_common(parser, default=argparse.SUPPRESS)
    parser.set_defaults(command=name)
    return parser


def _add_common(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    parser.add_argument(
        "--fleet", type=Path, metavar="FILE", default=default, help="fleet file (demo fleet)"
    )
    parser.add_argument(
        "--home", type=Path, metavar="DIR", default=default, help="the fleet's folder"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        default=default or False,
        help="JSON lines; the last is the result",
    )


def _add_fleet_options(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    add = parser.add_argument
    add("--task", metavar="T", default=default, help="task of the run (push_t)")
    add("--recipe", dest="start", metavar="R", default=default,
        help="what the run starts from: a folder, a job's trained recipe by its id (baseline)")  # fmt: skip
    add("--stations", type=_positive, metavar="N", default=default, help="of the demo fleet (4)")
    add("--agent", metavar="BACKEND", default=default, help="who thinks (search)")
    add("--minutes", type=_minutes, metavar="M", default=default, help="research minutes (15)")
    add("--seed", type=int, metavar="S", default=default, help="seed of the run (0)")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


def _minutes(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} minutes are no time for a run")
    return value


if __name__ == "__main__":
    sys.exit(main())
