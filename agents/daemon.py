"""The agent daemon: journal, links, Git and tools around a backend that thinks.

It answers commands at any time; the backend works turn by turn. A pause takes effect at the next
tool call, a stop as well; the robot is held by neither.
"""

import asyncio
import logging
import os
from pathlib import Path
from typing import Self

import msgspec

from agents.backends.base import Backend
from agents.desk import Desk
from agents.git.bundle import Gate
from agents.git.command import GitFailed
from agents.git.trailers import clean
from agents.git.workspace import Workspace
from agents.settings import AgentSettings
from agents.status import AgentStatus
from agents.tools.bench import Bench
from agents.tools.calls import ToolRefused, first_of
from agents.tools.toolbox import Toolbox
from agents.tools.tree import on_thread
from robots.sandbox import SandboxError
from robots.station.archive import sha256
from robots.wire.client import Client
from robots.wire.clock import Clock
from robots.wire.commands import (
    AnswerAgent,
    AnyCommand,
    GetStatus,
    InterruptAgent,
    MessageAgent,
    PauseAgent,
    ResumeAgent,
    StartBatch,
    StopAgent,
)
from robots.wire.endpoints import socket_path
from robots.wire.events import DaemonStarted, Noted
from robots.wire.journal import Journal, JournalFull
from robots.wire.reception import Peer, Refused
from robots.wire.records import Purpose, RecipeArchive
from robots.wire.transport import Transport

log = logging.getLogger(__name__)

VERSION = "1"
CATCH_UP_S = 10.0
AWAY_S = 10.0
IDLE_S = 30.0
FAULT_PAUSE_S = 5.0
STOP_GRACE_S = 5.0
PARTING_S = 0.1
CATCH_UPS = 20
OWN_EPISODES = 20


class AgentDaemon:
    """One agent.

    Args:
        home: The fleet's home.
        name: The agent's name, which is also that of its key and journal.
        settings: What it was told.
        backend: What thinks.
        journal: Its journal.
        clock: Time.
        transport: Makes its server and its clients.
    """

    def __init__(
        self,
        home: Path,
        name: str,
        settings: AgentSettings,
        backend: Backend,
        journal: Journal,
        clock: Clock,
        transport: Transport,
    ) -> None:
        self.name = name
        self._home = home
        self._settings = settings
        self._backend = backend
        self._journal = journal
        self._clock = clock
        self._server = transport.server(name, journal, self.handle)
        self._station: Client = transport.client(name, settings.station)
        self._supervisor: Client = transport.client(name, settings.supervisor)
        self.desk = Desk(name, settings, journal, clock, self._station, self._supervisor)
        self.desk.home = home
        self.desk.literature = Path(settings.literature or home / "literature").expanduser()
        self.desk.gateway = socket_path(home, name, "api")
        self.tools = Toolbox(self.desk)
        self._detail = ""
        self._resumed = 0

    async def run(self) -> None:
        """Work until `StopAgent`.

        Raises:
            EndpointTaken: Another process is this agent.
            ExceptionGroup: Of `JournalFull`, where the journal cannot be written.
        """
        async with self:
            self._started()
            async with asyncio.TaskGroup() as group:
                followers = [
                    group.create_task(self.desk.follow_station()),
                    group.create_task(self.desk.follow_supervisor()),
                    group.create_task(self._stand_in()),
                ]
                await self._work()
                for follower in followers:
                    follower.cancel()
            # The answer to `StopAgent` leaves before the socket does.
            await self._clock.sleep(PARTING_S)

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()
        self._station.close()
        self._supervisor.close()
        self.tools.training.close()
        self._journal.flush()

    # --- commands ---

    async def handle(self, command: AnyCommand, peer: Peer) -> msgspec.Struct | None:
        """Answer a command.

        Raises:
            Refused: It is none of an agent's.
        """
        desk = self.desk
        match command:
            case GetStatus():
                return self.status()
            case PauseAgent():
                desk.set_state("PAUSED", f"{peer.name}: {clean(command.reason, 200)}")
            case InterruptAgent():
                desk.set_state("PAUSED", f"{peer.name} broke it off: {clean(command.reason, 200)}")
                desk.interrupted.set()
            case ResumeAgent():
                desk.interrupted.clear()
                self._resumed += 1
                if desk.log.paused:
                    desk.set_state("THINKING", f"resumed by {peer.name}", resumed=True)
            case MessageAgent():
                desk.hear(command.text)
            case AnswerAgent():
                if not desk.answer(command.question_id, command.text, peer.name):
                    raise Refused("not_asked: the agent does not wait for an answer to this")
            case StopAgent():
                desk.set_state("STOPPED", f"{peer.name}: {clean(command.reason, 200)}")
                desk.stop.set()
            case _:
                raise Refused(f"unknown_command: {type(command).__name__} is not an agent's")
        await desk.changed()
        return None

    def status(self) -> AgentStatus:
        """The agent at this moment."""
        desk = self.desk
        decisions = [work.decision for work in desk.log.ideas.values()]
        return AgentStatus(
            name=self.name,
            station=self._settings.station,
            backend=self._backend.name,
            label=self._backend.label,
            state=desk.state,
            detail=self._detail,
            run_id=desk.run.run_id,
            ideas=len(decisions),
            pending=tuple(desk.log.pending()),
            adopted=decisions.count("adopted"),
            robot_s=desk.log.robot_s,
            supervisor_reached=desk.supervisor_lost_s is None,
            disputes=desk.log.disputes,
        )

    # --- work ---

    def _started(self) -> None:
        desk = self.desk
        started = DaemonStarted(
            name=self.name,
            incarnation=self._server.incarnation,
            pid=os.getpid(),
            restarts=desk.starts,
            version=VERSION,
        )
        desk.record(started)
        desk.say("system", f"{self.name} is a {self._backend.label}")

    async def _work(self) -> None:
        """Turn after turn, until the run has ended or this agent is told to stop."""
        desk = self.desk
        while not desk.stop.is_set():
            await desk.catch_up(CATCH_UP_S)
            if desk.run.ended:
                break
            if not desk.run.running:
                if not desk.log.paused:
                    desk.set_state("WAITING", "for a run")
                await desk.wait_until(lambda: desk.run.running or bool(desk.run.ended), IDLE_S)
                continue
            try:
                await self._open_run()
                await self._turns(desk.run.run_id)
            except JournalFull:
                raise
            except Exception as fault:  # noqa: BLE001 - the edge to Git, the sandbox and a backend.
                await self._fault(fault)
        await self._part()
        desk.set_state("STOPPED", f"the run ended: {desk.run.ended}" if desk.run.ended else "")

    async def _turns(self, run_id: str) -> None:
        desk = self.desk
        while desk.run.running and desk.run.run_id == run_id and not desk.stop.is_set():
            if desk.log.paused:
                await desk.wait_until(lambda: not desk.log.paused, IDLE_S)
                continue
            desk.set_state("THINKING")
            desk.log.turn += 1
            resumed = self._resumed
            await self._turn()
            # A turn that a pause ended may end after the pause has.
            if desk.run.running and not desk.log.paused and resumed == self._resumed:
                # A turn that ends in a run with nothing to do: budgets are used up.
                desk.set_state("WAITING")
                await desk.wait_until(lambda: not desk.run.running or desk.log.paused, IDLE_S)

    async def _turn(self) -> None:
        """One turn; a backend that does not end it once it is told to stop is cut off."""
        turn = asyncio.ensure_future(self._backend.turn(self.tools))
        stopped = asyncio.ensure_future(self.desk.stop.wait())
        try:
            await asyncio.wait({turn, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not turn.done():
                await asyncio.wait({turn}, timeout=STOP_GRACE_S)
            if turn.done():
                turn.result()
        finally:
            stopped.cancel()
            turn.cancel()
            await asyncio.gather(turn, stopped, return_exceptions=True)

    async def _open_run(self) -> None:
        """Open gate and clone of the present run."""
        desk = self.desk
        folder = self._home / "agents" / self.name / desk.run.run_id
        origin = self._settings.origin or str(self._home / "runs" / desk.run.run_id / "origin.git")
        station, sandboxed = self._settings.station, self._settings.sandboxed

        def opened() -> tuple[Gate, Workspace]:
            gate = Gate.open(folder / "gate.git", origin, station)
            objects = gate.folder / "objects"
            clone = folder / "clone"
            return gate, Workspace.open(clone, objects, gate.baseline, sandboxed=sandboxed)

        desk.gate, desk.workspace = await asyncio.to_thread(opened)

    async def _part(self) -> None:
        """What was decided goes to Git before this agent leaves, at the run's end or told to stop."""
        # The word to stop may overtake the rows that it is about.
        for _ in range(CATCH_UPS):
            if await self.desk.catch_up(STOP_GRACE_S) or self.desk.supervisor_lost_s is not None:
                break
            await self._clock.sleep(PARTING_S)
        if not self.desk.unsettled():
            return
        try:
            if self.desk.gate is None:
                await self._open_run()
            await self.tools.ideas.push_results()
        except (GitFailed, SandboxError, ToolRefused, OSError) as fault:
            log.warning("%s: results were not pushed: %s", self.name, fault)
            self.desk.record(Noted(level="warning", text=clean(f"results not pushed: {fault}")))

    async def _fault(self, fault: Exception) -> None:
        """Something beyond this daemon failed: say so, wait a little, go on from the journal."""
        first = first_of(fault)
        words = f"{type(first).__name__}: {clean(str(first), 300)}"
        log.error("%s: %s", self.name, words, exc_info=fault)
        self.desk.record(Noted(level="error", text=words))
        self.desk.set_state("FAILED", words)
        await self.desk.wait_until(lambda: False, FAULT_PAUSE_S)

    # --- without the supervisor ---

    async def _stand_in(self) -> None:
        """While the supervisor is away, measure own candidates here; when it is back, hand in."""
        desk = self.desk
        while True:
            await desk.wait_until(lambda: False, AWAY_S / 2)
            if desk.stop.is_set():
                return
            now_s = desk.clock.monotonic()
            if self._supervisor.connected:
                desk.supervisor_lost_s = None
            elif desk.supervisor_lost_s is None:
                desk.supervisor_lost_s = now_s
            if desk.gate is None or not desk.run.running or desk.log.paused:
                continue
            for idea_id in desk.log.pending():
                try:
                    if desk.supervisor_lost_s is None:
                        await self.tools.ideas.hand_in(idea_id)
                    elif now_s - desk.supervisor_lost_s >= AWAY_S:
                        await self._measure(idea_id)
                except ToolRefused as refused:
                    # Another idea's hand-in must not wait for this one's.
                    log.info("%s: %s", self.name, refused.reason)

    async def _measure(self, idea_id: str) -> None:
        """Sealed episodes of an own candidate on the own station; a figure, not a decision."""
        desk, batch_id = self.desk, f"{idea_id}/own"
        if f"{batch_id}/told" in desk.log.calls:
            return
        work, gate = desk.log.ideas[idea_id], desk.gate
        assert gate is not None
        desk.call(batch_id, "evaluate", f"{OWN_EPISODES} sealed episodes without the supervisor")
        recipe: RecipeArchive = await on_thread(gate.archive, work.commit)
        assert recipe.sha256 == sha256(recipe.files)
        command = StartBatch(
            batch_id=batch_id,
            purpose=Purpose.EVALUATE,
            commit=work.commit,
            recipe=recipe,
            idea_id=idea_id,
            episodes=OWN_EPISODES,
        )
        batch = await Bench(desk).finish(command)
        if desk.call(f"{batch_id}/told", "evaluate", "counted"):
            told = f"{idea_id}: {batch.counts.success}/{OWN_EPISODES} without the supervisor"
            desk.say("result", told, idea_id)
