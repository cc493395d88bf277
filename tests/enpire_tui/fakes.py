"""Stations and agents that follow the protocol and do nothing real, for runs on virtual time.

A recipe's file `rate` is its true success rate. A station draws outcomes, journals, signs its
ledger and obeys grants, priorities and cancellation as the real one does.
"""

import asyncio
import contextlib
import random
from dataclasses import dataclass, field

from enpire_tui.run_spec import RunSpec
from enpire_tui.supervisor.budgets import Budget
from robots.station.archive import sha256
from robots.wire import commands as c
from robots.wire import events as ev
from robots.wire.clock import Clock
from robots.wire.reception import Peer, Refused
from robots.wire.records import (
    Counts,
    Episode,
    Idea,
    LedgerRecord,
    Outcome,
    Purpose,
    RecipeArchive,
    Role,
    Signed,
)
from robots.wire.signing import SigningKey
from robots.wire.station_replies import BatchPhase, BatchState, StationReport
from tests.robots.wire.memory import MemoryJournal, MemoryTransport

PRIORITY = (Purpose.CONFIRM, Purpose.EVALUATE, Purpose.EXPLORE)


def recipe(rate: float, name: str = "") -> RecipeArchive:
    files = {"rate": repr(rate).encode(), "name": name.encode()}
    return RecipeArchive(files=files, sha256=sha256(files))


def idea(idea_id: str, agent: str, parent: str = "baseline") -> Idea:
    return Idea(
        idea_id=idea_id,
        agent=agent,
        commit=f"c-{idea_id}",
        kind="heuristic",
        hypothesis="it helps",
        prediction="more successes",
        parent=parent,
    )


def spec_of(
    stations: int = 2, minutes: float = 10.0, rate: float = 0.3, keys: dict | None = None, **budget
) -> RunSpec:
    names = tuple(f"s{number}" for number in range(1, stations + 1))
    return RunSpec(
        run_id="r1",
        task="push_t",
        seed=0,
        backend="search",
        stations=names,
        agents=tuple(f"a{number}" for number in range(1, stations + 1)),
        agent_of={name: f"a{name[1:]}" for name in names},
        trusted={name: key.public for name, key in (keys or {}).items()},
        budget=Budget(minutes=minutes, **budget),
        baseline_commit="c-baseline",
        baseline=recipe(rate, "baseline"),
        simulated=True,
    )


def roles_of(spec: RunSpec) -> dict[str, Role]:
    return {
        "supervisor": Role.SUPERVISOR,
        "operator": Role.OPERATOR,
        **dict.fromkeys(spec.agents, Role.AGENT),
        **dict.fromkeys(spec.stations, Role.VIEWER),
    }


@dataclass
class _Batch:
    command: c.StartBatch
    episodes: list[Episode] = field(default_factory=list)
    signed: Signed | None = None
    cancelled: str = ""

    @property
    def over(self) -> bool:
        return self.signed is not None


class FakeStation:
    """A lockstep station whose episodes take `episode_s` of the clock."""

    def __init__(
        self,
        name: str,
        transport: MemoryTransport,
        clock: Clock,
        key: SigningKey,
        *,
        seed: int = 0,
        episode_s: float = 1.0,
        void_rate: float = 0.0,
    ) -> None:
        self.name = name
        self.key = key
        self.journal = MemoryJournal(clock)
        self.started: list[str] = []
        self.granted_until_s = float("-inf")
        self.serials: list[int] = []
        self.held = False
        self.seeds: list[int] = []
        self._batches: dict[str, _Batch] = {}
        self._rng = random.Random(f"{name}{seed}")
        self._clock = clock
        self._episode_s = episode_s
        self._void_rate = void_rate
        self._server = transport.server(name, self.journal, self.handle)
        self._wake = asyncio.Event()

    @property
    def busy(self) -> bool:
        return any(not each.over for each in self._batches.values())

    async def run(self) -> None:
        await self._server.start()
        self.journal.append(
            ev.DaemonStarted(
                name=self.name,
                incarnation=self._server.incarnation,
                pid=0,
                restarts=0,
                version="0",
            ),
            durable=True,
        )
        try:
            while True:
                batch = self._next()
                if batch is None or self.held or self._clock.monotonic() >= self.granted_until_s:
                    self._wake.clear()
                    with contextlib.suppress(TimeoutError):
                        await self._clock.wait_for(self._wake.wait(), 0.5)
                    continue
                await self._episode(batch)
        finally:
            await self._server.close()

    async def handle(self, command: c.AnyCommand, peer: Peer):
        self._wake.set()
        match command:
            case c.StartBatch():
                return self._start(command, peer)
            case c.GetBatch(batch_id=batch_id):
                if batch_id not in self._batches:
                    raise Refused("unknown_batch")
                return self._state(batch_id)
            case c.CancelBatch(batch_id=batch_id, reason=reason):
                if batch_id not in self._batches:
                    raise Refused("unknown_batch")
                batch = self._batches[batch_id]
                if not batch.over:
                    batch.cancelled = reason
                    self._finish(batch)
                return self._state(batch_id)
            case c.RenewGrant(grant=grant):
                from robots.wire import codec
                from robots.wire.records import MotionGrant

                found = codec.decode(grant.body, MotionGrant)
                assert found.station == self.name
                assert not self.serials or found.serial > self.serials[-1]
                self.serials.append(found.serial)
                self.granted_until_s = self._clock.monotonic() + found.ttl_s
                self.journal.append(
                    ev.GrantReceived(serial=found.serial, mode=found.mode, ttl_s=found.ttl_s),
                    durable=True,
                )
            case c.Hold(reason=reason):
                self.held = True
                self.journal.append(
                    ev.StationHeld(reason=reason, by=peer.name, latched=False), durable=True
                )
            case c.Release(cause=cause):
                self.held = False
                self.journal.append(ev.StationReleased(cause=cause, by=peer.name), durable=True)
            case c.GetStatus():
                return StationReport(
                    name=self.name, task="push_t", driver="mujoco", clock="lockstep", word="IDLE"
                )
            case _:
                raise Refused("unknown_command")
        return None

    def _start(self, command: c.StartBatch, peer: Peer) -> BatchState:
        self.started.append(command.batch_id)
        if command.batch_id not in self._batches:
            self._batches[command.batch_id] = _Batch(command)
            self.journal.append(
                ev.BatchAccepted(
                    batch_id=command.batch_id,
                    purpose=command.purpose,
                    commit=command.commit,
                    idea_id=command.idea_id,
                    recipe=command.recipe,
                    episodes=command.episodes,
                    seeds=command.seeds,
                    stop_at_failure=command.stop_at_failure,
                    record=False,
                    requested_by=peer.name,
                ),
                durable=True,
            )
        return self._state(command.batch_id)

    def _state(self, batch_id: str) -> BatchState:
        batch = self._batches[batch_id]
        return BatchState(
            batch_id=batch_id,
            phase=BatchPhase.FINISHED if batch.over else BatchPhase.RUNNING,
            purpose=batch.command.purpose,
            commit=batch.command.commit,
            episodes=batch.command.episodes,
            counts=self._counts(batch),
            signed=batch.signed,
        )

    def _counts(self, batch: _Batch) -> Counts:
        outcomes = [each.outcome for each in batch.episodes]
        return Counts(
            success=outcomes.count(Outcome.SUCCESS),
            failure=outcomes.count(Outcome.FAILURE),
            void=outcomes.count(Outcome.VOID),
        )

    def _next(self) -> _Batch | None:
        waiting = [each for each in self._batches.values() if not each.over]
        return min(waiting, key=lambda each: PRIORITY.index(each.command.purpose), default=None)

    async def _episode(self, batch: _Batch) -> None:
        command, index = batch.command, len(batch.episodes)
        self.journal.append(
            ev.EpisodeStarted(batch_id=command.batch_id, index=index, number=0), durable=False
        )
        await self._clock.sleep(self._episode_s)
        if batch.over:
            return
        if command.seeds is not None:
            self.seeds.append(command.seeds[index])
        rate = float(command.recipe.files["rate"])
        outcome = Outcome.SUCCESS if self._rng.random() < rate else Outcome.FAILURE
        if self._rng.random() < self._void_rate:
            outcome = Outcome.VOID
        episode = Episode(
            index=index,
            outcome=outcome,
            reason="",
            robot_s=10.0,
            reset_s=5.0,
            wall_s=self._episode_s,
        )
        batch.episodes.append(episode)
        self.journal.append(
            ev.EpisodeFinished(batch_id=command.batch_id, episode=episode), durable=False
        )
        stopped = command.stop_at_failure and outcome is Outcome.FAILURE
        if len(batch.episodes) >= command.episodes or stopped:
            self._finish(batch)

    def _finish(self, batch: _Batch) -> None:
        command, counts = batch.command, self._counts(batch)
        record = LedgerRecord(
            batch_id=command.batch_id,
            station=self.name,
            task="push_t",
            purpose=command.purpose,
            commit=command.commit,
            recipe_sha256=command.recipe.sha256,
            idea_id=command.idea_id,
            counts=counts,
            episodes=tuple(batch.episodes),
            void=bool(batch.cancelled),
            void_reason=batch.cancelled,
            manifest_sha256="m",
            safety_sha256="s",
            previous_sha256="",
            started_wall_s=0.0,
            ended_wall_s=0.0,
            seconds=0.0,
        )
        batch.signed = self.key.sign(record)
        self.journal.append(
            ev.BatchFinished(
                batch_id=command.batch_id,
                purpose=command.purpose,
                commit=command.commit,
                idea_id=command.idea_id,
                counts=counts,
                void=record.void,
                void_reason=record.void_reason,
                seconds=0.0,
                ledger_sha256="",
            ),
            durable=True,
        )


class FakeAgent:
    """Submits candidates a little better (or not) than the champion it knows, one at a time."""

    def __init__(self, name: str, transport: MemoryTransport, clock: Clock, *, seed: int = 0):
        self.name = name
        self.stopped = False
        self.refusals: list[str] = []
        self._clock = clock
        self._rng = random.Random(f"{name}{seed}")
        self._client = transport.client(name, "supervisor")
        self._server = transport.server(name, MemoryJournal(clock), self.handle)
        self._rates = {"baseline": 0.0}
        self._decided: dict[str, str] = {}
        self._champion = "baseline"
        self._news = asyncio.Event()

    async def handle(self, command: c.AnyCommand, peer: Peer):
        if isinstance(command, c.StopAgent):
            self.stopped = True
            return
        raise Refused("unknown_command")

    async def run(self) -> None:
        await self._server.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._follow())
                tasks.create_task(self._work())
        finally:
            await self._server.close()

    async def _follow(self) -> None:
        async for row in self._client.follow(0):
            match row.event:
                case ev.RunStarted(baseline=archive):
                    self._rates["baseline"] = float(archive.files["rate"])
                case ev.CandidateQueued():
                    rate = float(row.event.recipe.files["rate"])
                    self._rates[row.event.idea.idea_id] = rate
                case ev.CandidateDecided(decision="adopted" | "discarded"):
                    self._decided[row.event.idea_id] = row.event.decision
                case ev.ChampionChanged(idea_id=idea_id):
                    self._champion = idea_id
                case _:
                    pass
            self._news.set()

    async def _work(self) -> None:
        number = 0
        while not self.stopped:
            if not self._rates["baseline"]:
                self._news.clear()
                await self._clock.wait_for(self._news.wait(), 1e6)
                continue
            number += 1
            idea_id = f"{self.name}-{number}"
            base = self._rates[self._champion]
            gain = self._rng.choice((-0.1, 0.0, 0.15, 0.3))
            rate = min(0.998, base + gain * min(1.0, 4 * (1 - base)))
            await self._clock.sleep(5.0)
            command = c.SubmitCandidate(
                idea=idea(idea_id, self.name, self._champion),
                recipe=recipe(rate, idea_id),
                fingerprint=idea_id,
            )
            try:
                await self._client.request(command, 5.0)
            except Refused as error:
                self.refusals.append(error.reason)
                continue
            while idea_id not in self._decided and not self.stopped:
                self._news.clear()
                with contextlib.suppress(TimeoutError):
                    await self._clock.wait_for(self._news.wait(), 60.0)
