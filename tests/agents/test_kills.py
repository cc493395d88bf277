"""SIGKILL of the real agent process at random moments: nothing is done twice, nothing is lost."""

import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from robots.wire import commands as c
from robots.wire.clock import SystemClock
from robots.wire.endpoints import socket_path
from robots.wire.events import (
    AnyEvent,
    BackendRecorded,
    BatchAccepted,
    DecisionLearned,
    IdeaCommitted,
    IdeaOpened,
    ToolCalled,
)
from robots.wire.keys import provision
from robots.wire.records import Role
from robots.wire.sqlite_journal import SqliteJournal
from robots.wire.transport import ZmqTransport
from tests.agents.stand_ins import BASELINE, LEARNED, StationStandIn, SupervisorStandIn

DEADLINE_S = 90.0
ROLES: dict[str, Role | None] = {
    "a1": Role.AGENT,
    "s1": None,
    "supervisor": Role.SUPERVISOR,
    "person": Role.OPERATOR,
}


class Fleet:
    """A home with stand-ins, and the agent as a process of its own."""

    def __init__(
        self, home: Path, backend: str = "search", start: Mapping[str, bytes] = BASELINE
    ) -> None:
        self.home = home
        clock = SystemClock()
        provision(home, ROLES)
        folder = home / "agents" / "a1"
        folder.mkdir(parents=True)
        (folder / "agent.toml").write_text(f'station = "s1"\nbackend = "{backend}"\nseed = 11\n')
        transport = ZmqTransport(home, clock)
        journals = home / "journals"
        self.station = StationStandIn(
            transport, "s1", SqliteJournal.open(journals / "s1.db", clock)
        )
        self.supervisor = SupervisorStandIn(
            transport,
            SqliteJournal.open(journals / "supervisor.db", clock),
            home / "runs" / "r1" / "origin.git",
            clock,
            start,
        )
        self.log = (home / "a1.log").open("ab")
        self.process: subprocess.Popen[bytes] | None = None
        self.person = transport.client("person", "a1")

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "agents.cli", "--home", str(self.home), "--name", "a1"],
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )

    def kill(self) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self.process = None

    async def journalled(self, rows: int) -> None:
        """Wait until the stand-ins have journalled so many rows together."""
        changed = asyncio.Event()
        journals = (self.station.journal, self.supervisor.journal)
        undo = [each.subscribe(lambda _: changed.set()) for each in journals]
        try:
            async with asyncio.timeout(DEADLINE_S):
                while sum(each.last_seq for each in journals) < rows:
                    changed.clear()
                    await changed.wait()
        finally:
            for each in undo:
                each()

    @property
    def rows(self) -> int:
        return self.station.journal.last_seq + self.supervisor.journal.last_seq

    def own_events(self) -> list[AnyEvent]:
        journal = SqliteJournal.open(self.home / "journals" / "a1.db", SystemClock())
        try:
            return [row.event for row in journal.rows(0, 100_000)]
        finally:
            journal.close()


@contextlib.asynccontextmanager
async def answering(made: Fleet) -> AsyncGenerator[Fleet]:
    await made.station.server.start()
    await made.supervisor.server.start()
    yield made
    if made.process is not None and made.process.poll() is None:
        made.kill()
    made.person.close()
    await made.station.server.close()
    await made.supervisor.server.close()
    for journal in (made.station.journal, made.supervisor.journal):
        journal.close()
    made.log.close()


@pytest.fixture
async def fleet(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Fleet]:
    async with answering(Fleet(tmp_path, getattr(request, "param", "search"))) as made:
        yield made


@pytest.fixture
async def learning(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with answering(Fleet(tmp_path, start=LEARNED)) as made:
        yield made


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("seed", "kills"), [(1, 4), pytest.param(2, 20, marks=pytest.mark.long)])
async def test_an_agent_killed_at_random_repeats_no_side_effect(
    fleet: Fleet, seed: int, kills: int
) -> None:
    rng = random.Random(seed)
    for _ in range(kills):
        fleet.start()
        # Moments between two effects of the agent, and moments in the midst of one.
        await fleet.journalled(fleet.rows + rng.randrange(1, 40))
        await asyncio.sleep(rng.random() * 0.2)
        fleet.kill()
    await ends_with_nothing_done_twice(fleet)


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_an_agent_killed_while_its_jobs_train_submits_none_twice(learning: Fleet) -> None:
    rng = random.Random(3)
    for _ in range(6):
        learning.start()
        await learning.journalled(learning.rows + rng.randrange(1, 40))
        await asyncio.sleep(rng.random() * 2.0)
        learning.kill()
    await ends_with_nothing_done_twice(learning)
    jobs = {path.parent.name for path in (learning.home / "jobs").glob("*/job.json")}
    begun = [event.call_id for event in learning.own_events() if isinstance(event, ToolCalled)]
    trained = Counter(call for call in begun if call in jobs)
    assert jobs
    assert trained == Counter(jobs)


async def ends_with_nothing_done_twice(fleet: Fleet) -> None:
    fleet.start()
    await fleet.journalled(fleet.rows + 60)
    fleet.supervisor.end()
    assert fleet.process is not None
    async with asyncio.timeout(DEADLINE_S):
        code = await asyncio.to_thread(fleet.process.wait, DEADLINE_S)

    assert code == 0, (fleet.home / "a1.log").read_text()[-3000:]
    own = fleet.own_events()
    opened = Counter(event.idea_id for event in own if isinstance(event, IdeaOpened))
    committed = Counter(event.idea_id for event in own if isinstance(event, IdeaCommitted))
    decided = Counter(event.idea_id for event in own if isinstance(event, DecisionLearned))
    assert len(opened) >= 2
    for once in (opened, committed, decided, fleet.supervisor.proposed, fleet.supervisor.queued):
        assert set(once.values()) <= {1}, once
    assert set(fleet.station.started.values()) == {1}
    # No block of seeds was explored twice for one recipe, under whatever id.
    explored = Counter(
        (row.event.recipe.sha256, row.event.seeds)
        for row in fleet.station.journal.rows(0, 100_000)
        if isinstance(row.event, BatchAccepted) and row.event.seeds is not None
    )
    assert set(explored.values()) == {1}
    # Every commit that the run knows is the one that the agent knows.
    ideas = fleet.supervisor.repository.ideas()
    known = {event.idea_id: event.commit for event in own if isinstance(event, IdeaCommitted)}
    assert {idea_id: ideas[idea_id].commit for idea_id in known} == known
    assert set(fleet.supervisor.queued) <= set(known)


WORDS = "mind the left gripper"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("fleet", ["anthropic", "openai"], indirect=True)
async def test_words_outlive_a_kill_and_are_heard_once(
    fleet: Fleet,
) -> None:
    pytest.importorskip("anthropic", reason="not installed: pip install 'enpire-tui[llm]'")
    from tests.agents.providers import Provider
    from tests.agents.test_models import WORK, Host, worker

    at = Host(fleet.home, Provider(worker(WORK)))
    at.socket = socket_path(fleet.home, "a1", "api")
    # The model is in the midst of its third answer while a person speaks.
    at.provider.holds[2] = asyncio.Event()
    await at.start()
    try:
        fleet.start()
        async with asyncio.timeout(DEADLINE_S):
            await at.provider.halfway.wait()
        await fleet.person.request(c.MessageAgent(text=WORDS), 30)
        fleet.kill()
        assert not any(heard(body) for body in at.provider.requests)

        fleet.start()
        await asked(at.provider, lambda: any(heard(body) for body in at.provider.requests))
        fleet.kill()
        before = len(at.provider.requests)

        fleet.start()
        await asked(at.provider, lambda: len(at.provider.requests) >= before + 2)
        fleet.kill()
    finally:
        await at.stop()

    told = [heard(body) for body in at.provider.requests]
    assert told == sorted(told)
    assert told[-1] == 1
    records = [event for event in fleet.own_events() if isinstance(event, BackendRecorded)]
    assert [event.heard for event in records if event.heard] == [("words-1",)]


def heard(body: dict[str, Any]) -> int:
    """How often a conversation holds the person's words."""
    return json.dumps(body).count(WORDS)


async def asked(provider: Any, test: Callable[[], bool]) -> None:
    """Wait until the requests that a provider got are as wanted."""
    async with asyncio.timeout(DEADLINE_S):
        while not test():
            provider.asked.clear()
            await provider.asked.wait()
