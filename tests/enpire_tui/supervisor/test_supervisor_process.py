"""The supervisor as a process of its own, killed by SIGKILL while a run goes on."""

import asyncio
import contextlib
import random
import sys

import pytest

from enpire_tui.control import Control
from enpire_tui.run_spec import write_spec
from robots.wire import commands as c
from robots.wire import events as ev
from robots.wire import keys
from robots.wire.client import Refused, Unreachable
from robots.wire.clock import SystemClock
from robots.wire.records import Mode, Role
from robots.wire.signing import SigningKey
from robots.wire.transport import ZmqTransport
from tests.enpire_tui.fakes import FakeStation, idea, recipe, spec_of

EPISODE_S = 0.01
KILLS = 20


async def start(home) -> asyncio.subprocess.Process:
    log = (home / "supervisor.log").open("ab")
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "enpire_tui.supervisor",
            "--home",
            str(home),
            stdout=log,
            stderr=log,
        )
    finally:
        log.close()


@pytest.fixture
async def fleet(tmp_path):
    """A home, two stations served by this process, and their tasks."""
    clock = SystemClock()
    signers = {name: SigningKey.generate() for name in ("s1", "s2")}
    spec = spec_of(2, minutes=30.0, rate=0.6, keys=signers)
    roles = {"supervisor": Role.SUPERVISOR, "operator": Role.OPERATOR, "s1": None, "s2": None}
    keys.provision(tmp_path, {**roles, **dict.fromkeys(spec.agents, Role.AGENT)})
    (tmp_path / "journals").mkdir()
    SigningKey.load_or_create(tmp_path / "keys" / "supervisor.sign")
    write_spec(tmp_path, spec)
    transport = ZmqTransport(tmp_path, clock)
    stations = [
        FakeStation(name, transport, clock, key, episode_s=EPISODE_S)
        for name, key in signers.items()
    ]
    tasks = [asyncio.create_task(each.run()) for each in stations]
    yield tmp_path, stations, transport
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def patiently(order, deadline_s: float = 30.0):
    """Repeats an order while the supervisor is away."""
    async with asyncio.timeout(deadline_s):
        while True:
            with contextlib.suppress(Unreachable):
                return await order()


async def test_twenty_kills_dispatch_nothing_twice_and_lose_no_decision(fleet):
    home, stations, transport = fleet
    rng = random.Random(1)
    seen: dict[int, object] = {}
    process = await start(home)
    agent = transport.client("a1", "supervisor")
    try:
        async with Control(home) as control:
            word = c.HandOver(mode=Mode.AUTONOMOUS, word="simulated")
            await patiently(lambda: control.command(word))

            async def watch() -> None:
                async for row in control.follow():
                    assert row.seq not in seen, "a row was followed twice"
                    seen[row.seq] = row.event

            watching = asyncio.create_task(watch())
            for number in range(KILLS):
                command = c.SubmitCandidate(
                    idea=idea(f"a1-{number}", "a1"),
                    recipe=recipe(0.6, f"{number}"),
                    fingerprint=f"{number}",
                )
                with contextlib.suppress(Refused):
                    await patiently(lambda command=command: agent.request(command, 2.0))
                # Random on purpose: between any two instructions of dispatching and counting.
                await asyncio.sleep(rng.uniform(0.0, 0.15))
                process.kill()
                await process.wait()
                process = await start(home)
            await patiently(lambda: control.command(c.StopRun(reason="enough")))
            async with asyncio.timeout(30):
                while not any(isinstance(each, ev.RunEnded) for each in seen.values()):
                    assert not watching.done(), watching.result()
                    await asyncio.sleep(0.05)
            watching.cancel()
    finally:
        agent.close()
        if process.returncode is None:
            process.kill()
            await process.wait()
    events = list(seen.values())
    assert sorted(seen) == list(range(1, len(seen) + 1)), "a row was lost"
    assert sum(isinstance(each, ev.DaemonStarted) for each in events) >= KILLS
    for kind in (ev.BatchDispatched, ev.BatchCounted):
        ids = [each.batch_id for each in events if isinstance(each, kind)]
        assert len(ids) == len(set(ids))
        assert ids
    assert sum(isinstance(each, ev.RunStarted) for each in events) == 1
    dispatched = {each.batch_id for each in events if isinstance(each, ev.BatchDispatched)}
    for station in stations:
        rows = station.journal.rows(0, 10**6)
        accepted = [row.event.batch_id for row in rows if isinstance(row.event, ev.BatchAccepted)]
        assert len(accepted) == len(set(accepted))
        assert set(accepted) <= dispatched


async def test_a_second_supervisor_of_a_home_leaves(fleet):
    home, _, _ = fleet
    first = await start(home)
    try:
        async with Control(home) as control:
            await patiently(control.status)
            second = await start(home)
            async with asyncio.timeout(20):
                assert await second.wait() == 1
            assert (await control.status()).run_id == "r1"
    finally:
        first.kill()
        await first.wait()
