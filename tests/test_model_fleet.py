"""A whole run whose four agents are language models: gateway, sandbox, Git, sealed scoring, confirm.

The models are stand-ins behind the real interfaces of two providers, whose script reacts to what the
tools answer. Agents are killed in the second run, half of them in the midst of an answer.
"""

import asyncio
import collections
import contextlib
import json
import os
import random
import signal
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("anthropic", reason="not installed: pip install 'enpire-tui[llm]'")

from agents.git.command import Git
from agents.git.notes import read_notes
from agents.view import FINAL_DECISIONS
from robots.wire import events as ev
from robots.wire.processes import is_alive, read_pid_file, send_signal
from robots.wire.records import Outcome
from robots.wire.sqlite_journal import read_rows
from tests.agents.providers import Provider
from tests.agents.pusher import Pusher
from tests.enpire_tui.test_cli import run

pytestmark = [pytest.mark.long, pytest.mark.timeout(2400)]

# Room for a busy machine; two idle cores take a tenth of it.
MINUTES = 35
KILLS = 10
THINKS_S = 0.3
KEY = "sk-of-the-host-alone"
AGENTS = ("a1", "a2", "a3", "a4")
STATIONS = ("s1", "s2", "s3", "s4")
FLEET = """
name = "models"
[budget]
time = "{minutes} min"
[agent]
backend = "anthropic"
[providers.anthropic]
base_url = "{url}"
key_file = "{key}"
[providers.openai]
base_url = "{url}"
key_file = "{key}"
[[station]]
name = "s1"
[[station]]
name = "s2"
agent = "openai"
[[station]]
name = "s3"
[[station]]
name = "s4"
agent = "openai"
"""


class Served:
    """The stand-in on an event loop of its own, so that it outlives whatever a test kills."""

    def __init__(self) -> None:
        self.provider = Provider(Pusher(), thinks_s=THINKS_S)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._do(self.provider.start())

    def speaks_to(self, agent: str) -> bool:
        """Whether an answer to this agent has begun and not ended."""
        told = f"You are {agent};"
        return any(told in json.dumps(body) for body in [*self.provider.speaking.values()])

    def close(self) -> None:
        self._do(self.provider.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)


class Run:
    """One run, in a home of its own, and what its journals say."""

    def __init__(self, home: Path, process: asyncio.subprocess.Process) -> None:
        self.home = home
        self.ending = asyncio.ensure_future(self._ended(process))

    async def _ended(self, process: asyncio.subprocess.Process) -> dict:
        out, _ = await process.communicate()
        return json.loads(out.splitlines()[-1])

    def of(self, name: str, *kinds: type) -> list:
        """Events of some kinds in one daemon's journal."""
        path = self.home / "journals" / f"{name}.db"
        rows = read_rows(path) if path.exists() else []
        return [row.event for row in rows if isinstance(row.event, kinds)]

    def ids(self, name: str, kind: type, key: str = "idea_id") -> list[str]:
        return [getattr(each, key) for each in self.of(name, kind)]

    @property
    def working(self) -> bool:
        """Whether every agent has opened an idea."""
        try:
            return all(self.of(name, ev.IdeaOpened) for name in AGENTS)
        except sqlite3.OperationalError:
            return False  # A journal that is just being made has no table yet.

    @property
    def parted(self) -> bool:
        """Whether every agent has left at the run's end."""
        found = [read_pid_file(self.home / "pids" / name) for name in AGENTS]
        return not any(each is not None and is_alive(each) for each in found) and all(
            self.of(name, ev.AgentStateChanged)[-1].state == "STOPPED" for name in AGENTS
        )

    async def until(self, test: Callable[[], bool]) -> None:
        while not test():  # noqa: ASYNC110 - Journals of other processes.
            await asyncio.sleep(0.2)

    @property
    def rows(self) -> int:
        """Rows of the stations' journals: how far the run is, however fast the machine."""
        return sum(last_seq(self.home / "journals" / f"{name}.db") for name in STATIONS)

    def kill(self, agent: str) -> bool:
        identity = read_pid_file(self.home / "pids" / agent)
        return identity is not None and send_signal(identity, signal.SIGKILL)


def last_seq(journal: Path) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as database:
        return database.execute("SELECT max(seq) FROM rows").fetchone()[0] or 0


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.close()


@pytest.fixture
async def begun(tmp_path: Path, served: Served) -> AsyncIterator[Run]:
    home = tmp_path / "h"
    (tmp_path / "key").write_text(KEY)
    fleet = tmp_path / "models.toml"
    url = served.provider.url
    fleet.write_text(FLEET.format(minutes=MINUTES, url=url, key=tmp_path / "key"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "enpire_tui.cli", "--autonomous", "--fleet", str(fleet)),
        *("--seed", "5", "--json", "--keep"),
        env={**os.environ, "ENPIRE_HOME": str(home)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=1 << 24,
    )
    made = Run(home, process)
    yield made
    if process.returncode is None:
        process.kill()
    made.ending.cancel()
    run("down", home=home, timeout_s=180)


def once(found: list, what: str) -> None:
    """Nothing was done twice."""
    twice = [each for each, count in collections.Counter(found).items() if count > 1]
    assert not twice, (what, twice[:3])


def check_ends(made: Run) -> None:
    """Every idea that an agent opened is known to the run, and has one end, the same for both."""
    proposed = [each.idea.idea_id for each in made.of("supervisor", ev.IdeaProposed)]
    queued = [each.idea.idea_id for each in made.of("supervisor", ev.CandidateQueued)]
    decided = [
        (each.idea_id, each.decision)
        for each in made.of("supervisor", ev.CandidateDecided)
        if each.decision in FINAL_DECISIONS
    ]
    ends = dict(decided)
    once(proposed, "proposed")
    once(queued, "handed in")
    once([idea_id for idea_id, _ in decided], "decided")
    once(made.ids("supervisor", ev.ChampionChanged), "adopted")
    opened = [idea_id for name in AGENTS for idea_id in made.ids(name, ev.IdeaOpened)]
    once(opened, "opened")
    assert set(opened) == set(proposed)
    assert len(opened) >= len(AGENTS)
    for name in AGENTS:
        learned = [(each.idea_id, each.decision) for each in made.of(name, ev.DecisionLearned)]
        once([idea_id for idea_id, _ in learned], f"{name} learned")
        known = dict(learned)
        for idea_id in made.ids(name, ev.IdeaOpened):
            if idea_id in ends:
                assert known[idea_id] == ends[idea_id]
            elif idea_id in known:
                assert known[idea_id] in ("dropped", "refused")
            else:
                # Under way when the run ended: the last one of its agent.
                assert idea_id == made.ids(name, ev.IdeaOpened)[-1]


def check_effects(made: Run) -> None:
    """No evaluation, commit, note or answer twice for one id."""
    [begun] = made.of("supervisor", ev.RunStarted)
    git = Git(made.home / "runs" / begun.run_id / "origin.git")
    once(made.ids("supervisor", ev.BatchDispatched, "batch_id"), "dispatched")
    once(made.ids("supervisor", ev.BatchCounted, "batch_id"), "counted")
    commits: dict[str, str] = {}
    for name, station in zip(AGENTS, STATIONS, strict=True):
        committed = made.of(name, ev.IdeaCommitted)
        once([each.idea_id for each in committed], f"{name} committed")
        for each in committed:
            commits[each.idea_id] = each.commit
            assert git.commit_of(each.branch) == each.commit
            # One commit an idea, upon the champion that it changed.
            assert git.commit_of(f"{each.commit}^") in {
                begun.baseline_commit,
                *made.ids("supervisor", ev.ChampionChanged, "commit"),
            }
        records = made.ids(name, ev.BackendRecorded, "backend")
        once([each for each in records if "/answer/" in each], f"{name} answered")
        once(made.ids(name, ev.ToolCalled, "call_id"), f"{name} called")
        accepted = made.of(station, ev.BatchAccepted)
        once([each.batch_id for each in accepted], f"{station} took")
        finished = made.of(station, ev.EpisodeFinished)
        once([(each.batch_id, each.episode.index) for each in finished], f"{station} ran")
        # One exploration an idea; its own figure, where the supervisor was out of reach too long.
        own = [each.batch_id for each in accepted if each.requested_by == name]
        opened = made.ids(name, ev.IdeaOpened)
        assert set(own) <= {f"{idea_id}/{kind}" for idea_id in opened for kind in ("x0", "own")}
    branches = git.run("for-each-ref", "--format=%(objectname)", "refs/heads").decode().split()
    # A kill may fall between a push and its row; the push is made again and finds itself done.
    assert set(commits.values()) <= set(branches)
    noted = read_notes(git)
    written = sum(
        int(git.run("rev-list", "--count", ref).decode())
        for ref in git.run("for-each-ref", "--format=%(refname)", "refs/notes/enpire")
        .decode()
        .split()
    )
    assert len(noted) >= 2
    ended = {idea_id for name in AGENTS for idea_id in made.ids(name, ev.DecisionLearned)}
    assert set(noted) == {commits[idea_id] for idea_id in ended & set(commits)}
    assert written == len(noted)


def check_success(told: dict, made: Run) -> None:
    """The run ended by its confirm, and came there by ideas that were measured and adopted."""
    assert told.get("outcome") == "success", told
    assert told["confirm"]["success"] == 50
    assert told["adopted"] >= 2
    last = made.of("supervisor", ev.ConfirmFinished)[-1]
    assert last.outcome is Outcome.SUCCESS
    assert last.idea_id in made.ids("supervisor", ev.ChampionChanged)
    assert (
        len({idea_id.partition("-")[0] for idea_id in made.ids("supervisor", ev.BatchCounted)}) > 2
    )


def check_tokens(made: Run, served: Served) -> None:
    """What the gateway metered is what was sent, class by class, answers that broke off included."""
    metered = made.of("gateway", ev.TokensMetered)
    assert {
        "fresh": sum(each.fresh_input for each in metered),
        "cached": sum(each.cached_input for each in metered),
        "output": sum(each.output for each in metered),
        "reasoning": sum(each.reasoning for each in metered),
    } == served.provider.sent
    assert served.provider.sent["output"] > 0
    assert {each.provider for each in metered} == {"anthropic", "openai"}
    assert set(served.provider.keys) == {KEY}
    assert not made.of("gateway", ev.RequestRefused)


async def test_four_models_reach_the_criterion(begun: Run, served: Served) -> None:
    told = await begun.ending

    check_success(told, begun)
    await begun.until(lambda: begun.parted)
    check_ends(begun)
    check_effects(begun)
    check_tokens(begun, served)


async def test_agents_killed_at_random_lose_no_idea_and_repeat_nothing(
    begun: Run, served: Served
) -> None:
    rng = random.Random(3)
    killed = unheard = 0
    # Bringing a fleet up is another matter: what is killed is at work.
    await begun.until(lambda: begun.working or begun.ending.done())
    while not begun.ending.done():
        agent, due = rng.choice(AGENTS), begun.rows + rng.randrange(1, 120)
        await begun.until(lambda due=due: begun.rows >= due or begun.ending.done())
        await asyncio.sleep(rng.random())
        if rng.random() < 0.5:
            # In the midst of an answer, if there is one before long.
            for _ in range(200):
                if heard := [each for each in AGENTS if served.speaks_to(each)]:
                    agent = rng.choice(heard)
                    break
                await asyncio.sleep(0.02)
        speaking = served.speaks_to(agent)
        if not begun.ending.done() and begun.kill(agent):
            killed, unheard = killed + 1, unheard + speaking
    told = await begun.ending

    check_success(told, begun)
    await begun.until(lambda: begun.parted)
    assert killed >= KILLS
    starts = sum(len(begun.of(name, ev.DaemonStarted)) for name in AGENTS)
    assert starts > len(AGENTS)
    check_ends(begun)
    check_effects(begun)
    # What was said to nobody is read to its end, and counted.
    assert unheard
    check_tokens(begun, served)
