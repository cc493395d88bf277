"""Whole runs on virtual time: supervisor, stations and agents in one process."""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator

import pytest

from enpire_tui.supervisor.checklist import Environment
from enpire_tui.supervisor.daemon import Supervisor
from enpire_tui.supervisor.state import RunState, apply
from robots.wire import commands as c
from robots.wire import envelopes
from robots.wire import events as ev
from robots.wire.client import Refused
from robots.wire.records import Counts, Mode, Purpose
from robots.wire.replies import NominationReceipt
from robots.wire.server import EndpointTaken
from robots.wire.signing import SigningKey
from tests.enpire_tui.fakes import FakeAgent, FakeStation, idea, recipe, roles_of, spec_of
from tests.robots.wire.memory import MemoryJournal, MemoryTransport, VirtualClock


async def shipped() -> Environment:
    return Environment(shipped=True)


class World:
    """A fleet on one event loop."""

    def __init__(self, stations: int = 4, *, agents: bool = True, **options) -> None:
        self.clock = VirtualClock()
        self.keys = {f"s{number}": SigningKey.generate() for number in range(1, stations + 1)}
        station_options = {
            name: options.pop(name)
            for name in ("episode_s", "void_rate", "seed")
            if name in options
        }
        self.spec = spec_of(stations, keys=self.keys, **options)
        self.transport = MemoryTransport(self.clock, roles_of(self.spec))
        self.journal = MemoryJournal(self.clock)
        self.signer = SigningKey.generate()
        self.stations = {
            name: FakeStation(name, self.transport, self.clock, key, **station_options)
            for name, key in self.keys.items()
        }
        seed = station_options.get("seed", 0)
        self.agents = [
            FakeAgent(name, self.transport, self.clock, seed=seed)
            for name in (self.spec.agents if agents else ())
        ]
        self.tasks: list[asyncio.Task] = []
        self.supervisor: Supervisor | None = None
        self.serving: asyncio.Task | None = None

    def start_supervisor(self) -> None:
        self.supervisor = Supervisor(
            self.spec,
            self.journal,
            self.transport,
            self.clock,
            self.signer,
            entropy=lambda count: hashlib.sha256(b"seeds").digest()[:count],
            boot_id="virtual",
            environment=shipped,
        )
        self.serving = asyncio.create_task(self.supervisor.serve())

    async def kill_supervisor(self) -> None:
        self.serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.serving

    async def hand_over(self) -> None:
        await self.order(c.HandOver(mode=Mode.AUTONOMOUS, word="simulated"))

    def events(self, kind: type) -> list:
        return [row.event for row in self.journal.rows(0, 10**6) if isinstance(row.event, kind)]

    async def until(self, kind: type, count: int = 1, limit_s: float = 1e5) -> None:
        deadline = self.clock.monotonic() + limit_s
        while len(self.events(kind)) < count:
            assert self.clock.monotonic() < deadline, f"no {kind.__name__} in {limit_s} s"
            for task in (*self.tasks, self.serving):
                if task is not None and task.done() and not task.cancelled():
                    task.result()
            await self.clock.sleep(2.0)

    async def order(self, command: c.AnyCommand, who: str = "operator") -> None:
        client = self.transport.client(who, "supervisor")
        epoch = None
        if who == "operator":
            epoch = (await client.call(c.TakeLease(), envelopes.LeaseTaken, 10.0)).epoch
        try:
            await client.request(command, 10.0, lease_epoch=epoch)
        finally:
            client.close()


@contextlib.asynccontextmanager
async def world(*args, **options) -> AsyncIterator[World]:
    # Debug mode walks the stack at every callback, of which virtual time makes a million.
    asyncio.get_running_loop().set_debug(False)
    made = World(*args, **options)
    for each in (*made.stations.values(), *made.agents):
        made.tasks.append(asyncio.create_task(each.run()))
    made.start_supervisor()
    try:
        yield made
    finally:
        for task in (*made.tasks, made.serving):
            task.cancel()
        await asyncio.gather(*made.tasks, made.serving, return_exceptions=True)


def once(made: World) -> None:
    """Nothing was dispatched twice, counted twice or executed twice."""
    dispatched = [each.batch_id for each in made.events(ev.BatchDispatched)]
    counted = [each.batch_id for each in made.events(ev.BatchCounted)]
    assert len(dispatched) == len(set(dispatched))
    assert len(counted) == len(set(counted))
    assert set(counted) <= set(dispatched)
    for station in made.stations.values():
        rows = station.journal.rows(0, 10**6)
        accepted = [r.event.batch_id for r in rows if isinstance(r.event, ev.BatchAccepted)]
        assert len(accepted) == len(set(accepted))
    assert len(made.events(ev.RunEnded)) == 1


async def test_a_run_climbs_to_success():
    async with world(4, minutes=15.0, rate=0.85) as made:
        await made.hand_over()
        await made.until(ev.RunEnded)
        (ended,) = made.events(ev.RunEnded)
        assert ended.outcome == "success"
        assert (ended.confirm.success, ended.confirm.failure) == (50, 0)
        assert ended.adopted >= 1
        assert 0.5 < ended.mru <= 1.0
        once(made)
        await made.clock.sleep(30.0)
        assert all(agent.stopped for agent in made.agents)
        climb = [each.rate for each in made.supervisor.conductor.state.climb]
        assert climb == sorted(climb)


async def test_a_run_ends_by_its_budget_and_dispatches_nothing_after():
    async with world(2, minutes=1.0, rate=0.3) as made:
        await made.hand_over()
        await made.until(ev.RunEnded)
        (ended,) = made.events(ev.RunEnded)
        assert ended.outcome == "budget"
        assert ended.seconds == pytest.approx(60.0, abs=2.0)
        before = len(made.events(ev.BatchDispatched))
        await made.clock.sleep(60.0)
        assert len(made.events(ev.BatchDispatched)) == before
        assert not any(station.busy for station in made.stations.values())


async def test_a_budget_of_robot_minutes_ends_the_run():
    async with world(2, minutes=60.0, rate=0.3, robot_minutes=2.0) as made:
        await made.hand_over()
        await made.until(ev.RunEnded)
        (ended,) = made.events(ev.RunEnded)
        assert "robots" in ended.reason
        assert ended.seconds == pytest.approx(60.0, abs=10.0)


async def test_a_person_stops_the_run():
    async with world(2, agents=False) as made:
        await made.hand_over()
        await made.until(ev.BatchCounted)
        await made.order(c.StopRun(reason="lunch"))
        await made.until(ev.RunEnded)
        (ended,) = made.events(ev.RunEnded)
        assert (ended.outcome, ended.reason) == ("stopped", "lunch")


async def test_nothing_moves_before_the_hand_over():
    async with world(2, agents=False) as made:
        await made.clock.sleep(60.0)
        assert made.events(ev.BatchDispatched) == []
        with pytest.raises(Refused, match="word"):
            await made.order(c.HandOver(mode=Mode.AUTONOMOUS, word="please"))
        assert made.events(ev.RunStarted) == []


class Killed(Exception):
    """Stands for SIGKILL: nothing after it runs."""


class MortalJournal(MemoryJournal):
    """Dies right after some appends, as a process might between any two instructions."""

    every = 0
    dead = False

    def append(self, event, *, durable):
        if self.dead:
            raise Killed
        seq = super().append(event, durable=durable)
        if self.every and seq % self.every == 0:
            self.dead = True
            self.on_death()
            raise Killed
        return seq


@pytest.mark.parametrize("every", [4, 7, 31])
async def test_killed_after_any_append_it_goes_on_and_does_nothing_twice(every, caplog):
    caplog.set_level(logging.CRITICAL)
    async with world(3, minutes=3.0, rate=0.85) as made:
        await made.kill_supervisor()
        mortal = made.journal = MortalJournal(made.clock)
        mortal.on_death = lambda: made.serving.cancel()  # noqa: PLW0108 - another task each life
        made.start_supervisor()
        await made.hand_over()
        mortal.every = every
        deaths = 0
        while not made.events(ev.RunEnded):
            await made.clock.sleep(0.5)
            if made.serving.done():
                deaths += 1
                with contextlib.suppress(BaseExceptionGroup, asyncio.CancelledError, Killed):
                    made.serving.result()
                mortal.dead = False
                made.start_supervisor()
            assert made.clock.monotonic() < 1000
        mortal.every = 0
        if mortal.dead:
            # It died of the very last row, after the run's end.
            with contextlib.suppress(BaseExceptionGroup, asyncio.CancelledError, Killed):
                await made.serving
            mortal.dead = False
            made.start_supervisor()
            await made.clock.sleep(0.5)
        assert deaths >= 3
        once(made)
        replayed = RunState()
        for row in mortal.rows(0, 10**6):
            apply(replayed, row.seq, row.event)
        assert replayed == made.supervisor.conductor.state
        (ended,) = made.events(ev.RunEnded)
        assert ended.outcome in ("success", "budget")
        # The run's clock counts every second once, restarts included.
        assert ended.seconds <= 3.0 * 60.0 + 3.0


async def test_a_second_supervisor_leaves():
    async with world(1, agents=False) as made:
        await made.until(ev.DaemonStarted)
        second = Supervisor(
            made.spec,
            MemoryJournal(made.clock),
            made.transport,
            made.clock,
            made.signer,
            environment=shipped,
        )
        with pytest.raises(EndpointTaken):
            await second.serve()


async def test_a_lost_stations_batches_go_elsewhere_under_new_ids_and_late_results_do_not_count():
    async with world(2, agents=False, rate=0.5) as made:
        await made.hand_over()
        await made.until(ev.BatchDispatched, 2)
        made.transport.cut("supervisor", "s2")
        await made.until(ev.BatchWithdrawn, limit_s=200.0)
        gone = {each.batch_id for each in made.events(ev.BatchWithdrawn)}
        assert {each.station for each in made.events(ev.BatchWithdrawn)} == {"s2"}
        made.transport.mend("supervisor", "s2")
        await made.clock.sleep(120.0)
        counted = {each.batch_id for each in made.events(ev.BatchCounted)}
        assert not gone & counted
        states = [each.state for each in made.events(ev.StationSeen) if each.station == "s2"]
        assert states == ["ONLINE", "LOST", "ONLINE"]
        pooled = made.supervisor.conductor.state.champion_tally()
        assert pooled.episodes >= 60


async def test_a_run_without_any_station_fails():
    async with world(2, agents=False) as made:
        await made.hand_over()
        for name in made.stations:
            made.transport.cut("supervisor", name)
        await made.until(ev.RunEnded)
        assert made.events(ev.RunEnded)[0].outcome == "failed"
        assert made.clock.monotonic() == pytest.approx(185.0, abs=15.0)


async def test_a_short_cut_loses_nothing():
    async with world(2, agents=False, rate=0.5) as made:
        await made.hand_over()
        await made.until(ev.BatchDispatched, 2)
        made.transport.cut("supervisor", "s2")
        await made.clock.sleep(20.0)
        made.transport.mend("supervisor", "s2")
        await made.clock.sleep(60.0)
        assert made.events(ev.BatchWithdrawn) == []
        dispatched = {each.batch_id for each in made.events(ev.BatchDispatched)}
        counted = {each.batch_id for each in made.events(ev.BatchCounted)}
        assert len(dispatched - counted) <= 2


async def test_a_record_signed_by_another_key_is_not_counted():
    async with world(1, agents=False) as made:
        made.stations["s1"].key = SigningKey.generate()
        await made.hand_over()
        await made.until(ev.BatchWithdrawn)
        assert made.events(ev.BatchCounted) == []
        assert any("not counted" in each.text for each in made.events(ev.Noted))


async def test_a_held_fleet_gets_no_work_until_it_is_released():
    async with world(2, agents=False) as made:
        await made.hand_over()
        await made.until(ev.BatchDispatched, 2)
        await made.order(c.HoldFleet(reason="look"))
        assert all(station.held for station in made.stations.values())
        before = len(made.events(ev.BatchDispatched))
        await made.clock.sleep(30.0)
        assert len(made.events(ev.BatchDispatched)) == before
        await made.order(c.ReleaseFleet(cause="looked"))
        await made.until(ev.BatchCounted, 4)


async def test_voids_are_replaced_until_the_run_succeeds():
    async with world(2, minutes=30.0, rate=0.998, agents=False, void_rate=0.03) as made:
        await made.hand_over()
        await made.until(ev.RunEnded)
        (ended,) = made.events(ev.RunEnded)
        assert ended.outcome == "success"
        assert ended.confirm.success == 50
        given = [seed for each in made.events(ev.BatchDispatched) for seed in each.seeds or ()]
        assert len(given) == len(set(given))
        once(made)


async def test_grants_are_renewed_with_growing_serials_over_a_restart():
    async with world(1, agents=False) as made:
        await made.hand_over()
        await made.clock.sleep(100.0)
        await made.kill_supervisor()
        made.start_supervisor()
        await made.clock.sleep(100.0)
        serials = made.stations["s1"].serials
        assert len(serials) >= 4
        assert serials == sorted(set(serials))


def submitted(
    idea_id: str, agent: str = "a1", rate: float = 0.5, name: str = ""
) -> c.SubmitCandidate:
    return c.SubmitCandidate(
        idea=idea(idea_id, agent), recipe=recipe(rate, name or idea_id), fingerprint=name or idea_id
    )


async def test_what_repeats_a_known_idea_is_refused_and_named():
    async with world(2, agents=False) as made:
        await made.hand_over()
        await made.order(submitted("a1-1"), "a1")
        await made.order(submitted("a1-1"), "a1")
        with pytest.raises(Refused, match="duplicate: a1-1"):
            await made.order(submitted("a2-1", "a2", name="a1-1"), "a2")
        same = c.SubmitCandidate(
            idea=idea("a1-2", "a1"), recipe=made.spec.baseline, fingerprint="x"
        )
        with pytest.raises(Refused, match="duplicate: baseline"):
            await made.order(same, "a1")
        assert len(made.events(ev.CandidateQueued)) == 1


async def test_an_agent_speaks_for_itself_only_and_waits_its_turn():
    async with world(2, agents=False) as made:
        await made.hand_over()
        with pytest.raises(Refused, match="foreign_agent"):
            await made.order(submitted("a2-1", "a2"), "a1")
        for number in range(4):
            await made.order(submitted(f"a1-{number}"), "a1")
        with pytest.raises(Refused, match="queue_full"):
            await made.order(submitted("a1-9"), "a1")


async def test_ideas_beyond_the_budget_are_refused():
    async with world(1, agents=False, ideas=1) as made:
        await made.hand_over()
        await made.order(c.ProposeIdea(idea=idea("a1-1", "a1"), fingerprint="one"), "a1")
        with pytest.raises(Refused, match="budget"):
            await made.order(c.ProposeIdea(idea=idea("a1-2", "a1"), fingerprint="two"), "a1")


async def nominate(made: World, nomination_id: str, idea_id: str, who: str = "a1"):
    client = made.transport.client(who, "supervisor")
    try:
        asked = c.Nominate(nomination_id=nomination_id, idea_id=idea_id, reason="it never failed")
        return await client.call(asked, NominationReceipt, 10.0)
    finally:
        client.close()


async def test_a_nomination_is_journalled_once_and_outlives_the_supervisor():
    async with world(1, agents=False) as made:
        await made.hand_over()
        with pytest.raises(Refused, match="unknown_idea"):
            await nominate(made, "n1", "a1-1")
        await made.order(submitted("a1-1"), "a1")
        with pytest.raises(Refused, match="undecided"):
            await nominate(made, "n1", "a1-1")
        # Held, the stations work on nothing, so that the confirm does not begin meanwhile.
        await made.order(c.HoldFleet(reason="a test"))
        batch = "r1/a1-1/promote/99"
        made.supervisor.conductor.append(
            ev.BatchDispatched(
                batch_id=batch, station="s1", idea_id="a1-1", commit="c", episodes=100,
                purpose=Purpose.EVALUATE, stage="promote",
            )
        )  # fmt: skip
        made.supervisor.conductor.append(
            ev.BatchCounted(
                batch_id=batch, station="s1", idea_id="a1-1", stage="promote", void=False,
                counts=Counts(success=100, failure=0), robot_s=1.0, wall_s=1.0,
            )
        )  # fmt: skip
        made.supervisor.conductor.append(
            ev.CandidateDecided(
                idea_id="a1-1", decision="adopted", success=100, episodes=100,
                interval=(0.96, 1.0), champion_rate=0.3, detail="",
            )
        )  # fmt: skip
        first = await nominate(made, "n1", "a1-1")
        assert first.left == 1
        assert 0.7 < first.chance < 0.9
        await made.kill_supervisor()
        made.start_supervisor()
        assert await nominate(made, "n1", "a1-1") == first
        # Another id for what waits already is the same nomination.
        assert await nominate(made, "n2", "a1-1") == first
        assert [each.nomination_id for each in made.events(ev.CandidateNominated)] == ["n1"]
        await made.order(c.ReleaseFleet())
        await made.until(ev.ConfirmStarted)
        begun = made.events(ev.ConfirmStarted)[0]
        assert begun.idea_id == "a1-1"
        assert made.supervisor.conductor.state.nominations["n1"].confirm == begun.confirm
