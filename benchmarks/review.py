"""A run's transcript of a million lines: opened, searched, jumped through, and the memory it takes.

    python -m benchmarks.review [--lines 1000000] [--agents 4] [--home DIR]

The journals are written by the daemons' own writer, the row ids and times as a live run has them.
What is measured runs in a process of its own, so that its memory is the review's alone.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robots.wire.journal import SqliteJournal

RUN = "r20260101-000000"
TARGETS = {"open_s": 1.0, "search_s": 1.0, "jump_ms": 10.0, "rss_mb": 120.0}


def write_run(home: Path, lines: int, agents: int) -> None:
    """A home with one live run, its agents' journals together of so many lines."""
    from enpire_tui.run_spec import RunSpec, write_spec
    from enpire_tui.supervisor.budgets import Budget
    from robots.wire.clock import SystemClock
    from robots.wire.events import RunStarted
    from robots.wire.journal import SqliteJournal
    from robots.wire.records import RecipeArchive

    names = tuple(f"a{n}" for n in range(1, agents + 1))
    baseline = RecipeArchive(files={}, sha256="")
    spec = RunSpec(
        run_id=RUN,
        task="push_t",
        seed=0,
        backend="search",
        stations=(),
        agents=names,
        agent_of={},
        trusted={},
        budget=Budget(minutes=15.0),
        baseline_commit="",
        baseline=baseline,
        simulated=True,
    )
    (home / "runs" / RUN).mkdir(parents=True)
    write_spec(home, spec)
    started = RunStarted(
        run_id=RUN,
        task="push_t",
        stations=(),
        agents=names,
        backend="search",
        seed=0,
        baseline_commit="",
        baseline=baseline,
        minutes=15.0,
        simulated=True,
        unsandboxed=False,
    )
    for name in ("supervisor", *names):
        journal = SqliteJournal.open(home / "journals" / f"{name}.db", SystemClock())
        if name == "supervisor":
            journal.append(started, durable=True)
        else:
            _fill(journal, name, lines // agents)
        journal.close()


def _fill(journal: "SqliteJournal", agent: str, lines: int) -> None:
    from robots.wire.events import DecisionLearned, IdeaOpened, ToolCalled, TranscriptLine

    words = "the pusher stops short of the goal when the block turns; a longer stroke may press it"
    for n in range(lines):
        idea = f"{agent}-{n // 200 + 1}"
        match n % 200:
            case 0:
                event = IdeaOpened(
                    idea_id=idea,
                    kind="heuristic",
                    hypothesis=f"a stroke of {n} helps",
                    prediction="more successes",
                    parent="baseline",
                    borrowed_from="",
                    operator="",
                )
            case 199:
                event = DecisionLearned(idea_id=idea, decision="discarded", detail="7/20")
            case place if place % 5 == 1:
                event = ToolCalled(call_id=f"{idea}/x{n}", tool="explore", summary="8 episodes")
            case _:
                text = f"step {n}: {words}"
                event = TranscriptLine(turn=n // 50, role="agent", text=text, idea_id=idea)
        journal.append(event, durable=False)


def timed(action: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds of an action."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure(home: Path) -> dict[str, Any]:
    """The figures of one reading; times are (wall, processor) seconds."""
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    from enpire_tui.review.runs import choose
    from enpire_tui.review.search import Query, find
    from enpire_tui.review.transcript import JUMPS, Selection, Transcript

    with Transcript(choose(home)) as transcript:
        steps: list[float] = []

        def read() -> None:
            more = True
            while more:
                began = time.perf_counter()
                more = transcript.step()
                steps.append(time.perf_counter() - began)

        row: dict[str, Any] = {"open_s": timed(read), "lines": len(transcript)}
        row["longest_step_ms"] = 1000 * max(steps)
        row["bytes"] = transcript.span(len(transcript) - 1)[1]
        selection = Selection(transcript)
        queries = {
            "rare": Query(text=f"step {len(transcript) // 1000 * 200 + 3}:"),
            "absent": Query(text="no such words"),
            "every_line": Query(text="e"),
            "regex": Query(text=r"step \d+99:.*press", regex=True),
        }
        row["search_s"] = {
            name: timed(lambda query=query: find(transcript, query))
            for name, query in queries.items()
        }
        row["hits"] = {name: len(find(transcript, query)) for name, query in queries.items()}
        middle = len(selection) // 2
        row["jump_ms"] = {
            jump: 1000 * timed(lambda jump=jump: selection.jump(middle, jump, forward=True))[0]
            for jump in JUMPS
        }
        row["page_ms"] = 1000 * timed(lambda: [transcript.text(middle + n) for n in range(50)])[0]
        row["opened_row_ms"] = 1000 * timed(lambda: transcript.row(middle))[0]
        peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        row["rss_mb"] = peak_kb / 1024
        row["rss_of_python_mb"] = before_kb / 1024
        return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--agents", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=3, help="readings, each in a new process")
    parser.add_argument("--home", type=Path, help="keep or find the run's home here")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        print(json.dumps(measure(options.measure)))
        return 0
    with tempfile.TemporaryDirectory(prefix="enpire-review-") as folder:
        home = options.home or Path(folder) / "home"
        if not (home / "run.json").exists():
            write_run(home, options.lines, options.agents)
        command = [sys.executable, "-m", "benchmarks.review", "--measure", str(home.absolute())]
        rows = [
            json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            for _ in range(options.repeat)
        ]
    print(json.dumps({"benchmark": "review", "targets": TARGETS, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
