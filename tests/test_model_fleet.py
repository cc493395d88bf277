"""A whole run whose four agents are language models: gateway, sandbox, Git, sealed scoring, confirm.

The model is a stand-in behind the real Messages protocol, whose script reacts to what tools answer.
"""

import asyncio
import collections
import json
import os
import random
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("anthropic", reason="not installed: pip install 'enpire-tui[llm]'")

from agents.git.command import Git
from robots.wire.events import (
    BackendRecorded,
    BatchAccepted,
    CandidateQueued,
    DaemonStarted,
    DecisionLearned,
    IdeaCommitted,
    IdeaOpened,
    IdeaProposed,
    RequestRefused,
    RunStarted,
    TokensMetered,
)
from robots.wire.processes import read_pid_file, send_signal
from robots.wire.sqlite_journal import read_rows
from tests.agents.providers import Provider
from tests.agents.pusher import Pusher
from tests.enpire_tui.test_cli import run

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

# Room for a busy machine.
MINUTES = 25
KILLS = 20
KEY = "sk-of-the-host-alone"
AGENTS = ("a1", "a2", "a3", "a4")
FLEET = """
name = "models"
[agent]
backend = "anthropic"
[budget]
time = "{minutes} min"
[providers.anthropic]
base_url = "{url}"
key_file = "{key}"
""" + "".join(f'[[station]]\nname = "s{n}"\n' for n in range(1, 5))


class Served:
    """The stand-in on an event loop of its own, so that it outlives whatever a test kills."""

    def __init__(self) -> None:
        self.provider = Provider(Pusher())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._do(self.provider.start())

    def _do(self, work) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def close(self) -> None:
        self._do(self.provider.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.close()


async def follow(home: Path, folder: Path, served: Served) -> asyncio.subprocess.Process:
    (folder / "key").write_text(KEY)
    fleet = folder / "models.toml"
    text = FLEET.format(minutes=MINUTES, url=served.provider.url, key=folder / "key")
    fleet.write_text(text)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "enpire_tui.cli", "--autonomous", "--fleet", str(fleet)),
        *("--seed", "5", "--json", "--keep"),
        env={**os.environ, "ENPIRE_HOME": str(home)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=1 << 24,
    )


def events(home: Path, name: str) -> list:
    return [row.event for row in read_rows(home / "journals" / f"{name}.db")]


def of(home: Path, name: str, kind: type) -> list:
    return [each for each in events(home, name) if isinstance(each, kind)]


def once(found: list, what: str) -> None:
    counted = collections.Counter(found)
    assert found, what
    assert set(counted.values()) == {1}, (what, counted.most_common(3))


def working(home: Path) -> bool:
    """Whether every agent of the run has opened an idea."""
    journals = [home / "journals" / f"{name}.db" for name in AGENTS]
    return all(each.exists() for each in journals) and all(
        of(home, name, IdeaOpened) for name in AGENTS
    )


async def ended(process: asyncio.subprocess.Process) -> dict:
    out, _ = await process.communicate()
    return json.loads(out.splitlines()[-1])


def check(home: Path, served: Served) -> None:
    """Every idea is where its agent and the run say; every effect was had once."""
    [begun] = of(home, "supervisor", RunStarted)
    origin = home / "runs" / begun.run_id / "origin.git"
    refs = Git(origin).run("for-each-ref", "--format=%(refname) %(objectname)", "refs/heads")
    branches = dict(line.split() for line in refs.decode().splitlines())
    proposed = [each.idea.idea_id for each in of(home, "supervisor", IdeaProposed)]
    queued = [each.idea.idea_id for each in of(home, "supervisor", CandidateQueued)]
    once(proposed, "proposed")
    once(queued, "handed in")
    for number, name in enumerate(AGENTS, 1):
        opened = [each.idea_id for each in of(home, name, IdeaOpened)]
        once(opened, f"{name} opened")
        assert set(opened) <= set(proposed)
        for each in of(home, name, IdeaCommitted):
            assert branches[each.branch] == each.commit
        once([each.idea_id for each in of(home, name, IdeaCommitted)], f"{name} committed")
        decided = [each.idea_id for each in of(home, name, DecisionLearned)]
        assert len(decided) == len(set(decided))
        # A call is answered once: what it did is on record under its id.
        answered = [
            each.backend for each in of(home, name, BackendRecorded) if "/answer/" in each.backend
        ]
        once(answered, f"{name} answered")
        accepted = of(home, f"s{number}", BatchAccepted)
        once([each.batch_id for each in accepted], f"s{number} batches")
        explored = [each.batch_id for each in accepted if each.idea_id in opened and each.seeds]
        assert set(explored) <= {f"{idea_id}/x0" for idea_id in opened}
    commits = {each.commit for name in AGENTS for each in of(home, name, IdeaCommitted)}
    ideas = {sha for ref, sha in branches.items() if ref != "refs/heads/main"}
    assert commits <= ideas
    # A kill may fall between a push and its row; the push is made again and finds itself done.
    assert len(ideas - commits) <= len(AGENTS)
    assert set(served.provider.keys) == {KEY}
    assert not of(home, "gateway", RequestRefused)


async def test_four_models_reach_the_criterion(tmp_path, served):
    home = tmp_path / "h"
    process = await follow(home, tmp_path, served)
    try:
        told = await ended(process)
        assert told["outcome"] == "success", told
        assert told["confirm"]["success"] == 50
        assert told["adopted"] >= 2
        check(home, served)
        metered = of(home, "gateway", TokensMetered)
        assert len(metered) == len(served.provider.requests)
        assert sum(each.output for each in metered) == served.provider.sent["output"]
        assert told["tokens"]["output"] == served.provider.sent["output"]
    finally:
        run("down", home=home)


async def test_agents_killed_at_random_lose_no_idea_and_repeat_nothing(tmp_path, served):
    home = tmp_path / "h"
    rng = random.Random(3)
    process = await follow(home, tmp_path, served)
    ending = asyncio.ensure_future(ended(process))
    killed = 0
    try:
        # Bringing a fleet up is another matter: what is killed is at work.
        while not working(home):
            assert not ending.done(), ending.result()
            await asyncio.sleep(0.2)
        while killed < KILLS and not ending.done():
            await asyncio.sleep(rng.uniform(1.0, 8.0))
            identity = read_pid_file(home / "pids" / rng.choice(AGENTS))
            if identity is not None and not ending.done():
                killed += send_signal(identity, signal.SIGKILL)
        told = await ending
        assert told["outcome"] == "success", told
        assert told["confirm"]["success"] == 50
        assert killed >= 4
        starts = sum(len(of(home, name, DaemonStarted)) for name in AGENTS)
        assert starts > len(AGENTS)
        check(home, served)
    finally:
        ending.cancel()
        run("down", home=home)
