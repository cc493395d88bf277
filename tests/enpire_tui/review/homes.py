"""Homes with runs whose journals are written by the daemons' own writer."""

import json
import shutil
from pathlib import Path

from msgspec.structs import replace

from agents.git.command import Git, dated
from agents.git.repository import Repository
from enpire_tui.run_spec import write_spec
from enpire_tui.supervisor.record import FILE as RECORD
from robots.wire import events as ev
from robots.wire.journal import SqliteJournal
from robots.wire.records import Counts
from tests.enpire_tui.fakes import recipe, spec_of
from tests.robots.wire.memory import VirtualClock

RUN = "r20260101-000000"
SECRET = "sk-" + "ant-" + "A1b2C3d4" * 4


class Clock(VirtualClock):
    """A wall clock that is set."""

    now_s = 1_767_225_600.0  # 2026-01-01 00:00:00 UTC.

    def wall(self) -> float:
        return self.now_s


class Home:
    """A home with one run; `say` appends to one daemon's journal, a second later each time."""

    def __init__(self, folder: Path, run_id: str = RUN, agents: int = 2) -> None:
        self.folder = folder
        self.spec = replace(spec_of(agents), run_id=run_id, gateway=True)
        self.clock = Clock()
        self.run_folder = folder / "runs" / run_id
        self.run_folder.mkdir(parents=True)
        write_spec(folder, self.spec)
        self.journals = {
            name: SqliteJournal.open(folder / "journals" / f"{name}.db", self.clock)
            for name in ("supervisor", "gateway", *self.spec.agents)
        }

    def say(self, daemon: str, event: ev.AnyEvent, after_s: float = 1.0) -> None:
        self.clock.now_s += after_s
        self.journals[daemon].append(event, durable=True)

    def line(self, agent: str, text: str, turn: int = 1, role: str = "agent", idea: str = ""):
        self.say(agent, ev.TranscriptLine(turn=turn, role=role, text=text, idea_id=idea))

    def idea(self, idea_id: str, hypothesis: str = "a longer stroke helps", parent="baseline"):
        opened = ev.IdeaOpened(
            idea_id=idea_id,
            kind="heuristic",
            hypothesis=hypothesis,
            prediction="more successes",
            parent=parent,
            borrowed_from="",
            operator="",
        )
        self.say(idea_id.rpartition("-")[0], opened)

    def decide(self, idea_id: str, decision: str, success: int, episodes: int) -> None:
        decided = ev.CandidateDecided(
            idea_id=idea_id,
            decision=decision,
            success=success,
            episodes=episodes,
            interval=(0.36, 0.55),
            champion_rate=0.1,
            detail="chance better 1.000",
        )
        self.say("supervisor", decided)

    def meter(self, agent: str, fresh: int, output: int, status: int = 200) -> None:
        metered = ev.TokensMetered(
            agent=agent,
            provider="anthropic",
            model="m",
            fresh_input=fresh,
            cached_input=10_000,
            output=output,
            reasoning=0,
            aborted=False,
            status=status,
        )
        self.say("gateway", metered)

    def commit(self, idea_id: str) -> str:
        """A commit on the baseline that changes the recipe's rate, in the run's own repository."""
        files = recipe(0.3, "baseline").files
        git: Git = Repository.create(self.run_folder / "origin.git", files).git
        blob = git.line("hash-object", "-w", "--stdin", stdin=b"0.9\n")
        base = git.line("rev-parse", "main")
        tree = git.run("ls-tree", "-r", "main").decode().splitlines()
        entries: dict[str, dict[str, str]] = {}
        for entry in tree:
            folder, _, name = entry.partition("\t")[2].rpartition("/")
            entries.setdefault(folder, {})[name] = entry.partition("\t")[0].split()[2]
        entries["recipe"]["rate"] = blob
        lines = "".join(f"100644 blob {each}\t{n}\n" for n, each in entries["recipe"].items())
        folder = git.line("mktree", stdin=lines.encode())
        root = git.line("mktree", stdin=f"040000 tree {folder}\trecipe\n".encode())
        commit = ("commit-tree", root, "-p", base, "-m", idea_id)
        made = git.run(*commit, extra=dated(1e9)).decode().strip()
        branch = f"refs/heads/s1/{idea_id}"
        git.run("update-ref", branch, made)
        self.say("a1", ev.IdeaCommitted(idea_id=idea_id, commit=made, branch=branch))
        return made

    def end(self, outcome: str = "success") -> None:
        """The run's end as the supervisor leaves it: its record is written last."""
        ended = {"outcome": outcome, "seconds": 60.0, "champion": "a1-1"}
        record = {"run_id": self.spec.run_id, "climb": [], "ended": ended}
        (self.run_folder / RECORD).write_text(json.dumps(record))

    def close(self) -> None:
        while self.journals:
            self.journals.popitem()[1].close()

    def put_away(self) -> None:
        """What the next `up` does with the journals of an ended run."""
        self.close()
        shutil.move(self.folder / "journals", self.run_folder / "journals")
        shutil.copy2(self.folder / "run.json", self.run_folder / "run.json")
        (self.folder / "journals").mkdir()


def a_story(home: Home) -> str:
    """Two agents with an idea each, one of them adopted; returns the adopted idea's commit."""
    home.say("a1", started("a1"))
    home.line("a1", "I look at the failures", turn=1)
    home.idea("a1-1")
    home.line("a2", "[bold]not markup[/bold] \x1b[31mred\x1b[0m\ttab", turn=1)
    home.say("a1", ev.ToolCalled(call_id="a1-1/x0", tool="explore", summary="8 episodes"))
    counts = Counts(success=5, failure=3)
    explored = ev.ExplorationFinished(
        idea_id="a1-1", batch_id="a1-1/x0", counts=counts, robot_s=80.0
    )
    home.say("a1", explored)
    home.meter("a1", 1200, 300)
    commit = home.commit("a1-1")
    home.line("a2", f"the key is {SECRET}, keep it", turn=2)
    home.idea("a2-1", "press it home")
    home.say("a2", ev.DecisionLearned(idea_id="a2-1", decision="refused", detail="duplicate: a1-1"))
    home.decide("a1-1", "adopted", 45, 100)
    home.line("a1", "it was adopted", turn=2, role="system", idea="a1-1")
    home.say("a2", ev.Noted(level="error", text="GitFailed: no"))
    return commit


def ended(outcome: str) -> ev.RunEnded:
    return ev.RunEnded(
        outcome=outcome,
        seconds=60.0,
        champion="",
        confirm=Counts(),
        confirms_failed=0,
        mru=0.5,
        gpu_utilisation=0.0,
        mtu={},
        tokens={},
        ideas=2,
        adopted=1,
    )


def started(name: str) -> ev.DaemonStarted:
    return ev.DaemonStarted(name=name, incarnation="i", pid=1, restarts=0, version="1")
