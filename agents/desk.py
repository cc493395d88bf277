"""What an agent's tools work with: journal, links to station and supervisor, Git, news.

The desk records before anything acts, folds what the two followed journals tell, and wakes who
waits for it. Nothing in it depends on which backend thinks.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from agents.git.bundle import Gate
from agents.git.notes import ResultNote
from agents.git.trailers import clean
from agents.git.workspace import Workspace
from agents.log import AgentLog
from agents.pictures import Album
from agents.settings import AgentSettings
from agents.settlement import Settlement
from agents.shelf import Shelf
from agents.tools.calls import PAUSED, ToolRefused
from agents.view import FINAL_DECISIONS, RunView, StationView
from robots.wire import codec
from robots.wire.client import Client, Refused, Unreachable
from robots.wire.clock import Clock
from robots.wire.commands import ReadJournal
from robots.wire.events import (
    AgentAnswered,
    AgentAsked,
    AgentStateChanged,
    AnyEvent,
    BackendRecorded,
    BatchFinished,
    CandidateDecided,
    ChampionChanged,
    DaemonStarted,
    DecisionLearned,
    RunStarted,
    ToolCalled,
    TranscriptLine,
)
from robots.wire.journal import Journal, JournalPage, JournalReplaced, Row
from robots.wire.records import MANIFEST_CHANGED, Frozen

log = logging.getLogger(__name__)

RUN_RECORD = "run"
FROZEN = "frozen"
FAR = 2**62
RESULTS_BYTES = 32 << 20
WORDS_LIMIT = 10_000
T = TypeVar("T")


class KnownRun(Frozen):
    """The run as it was last known, for a start without the supervisor.

    Attributes:
        seq: Row of the supervisor's journal that said so.
    """

    run_id: str
    task: str
    baseline_commit: str
    champion_idea: str
    champion_commit: str
    seq: int


class Desk:
    """State and effects of one agent, below its tools."""

    def __init__(
        self,
        name: str,
        settings: AgentSettings,
        journal: Journal,
        clock: Clock,
        station: Client,
        supervisor: Client,
    ) -> None:
        self.name = name
        self.settings = settings
        self.clock = clock
        self.station = station
        self.supervisor = supervisor
        self.log = AgentLog()
        self.run = RunView()
        self.bench = StationView(name)
        self.stop = asyncio.Event()
        self.interrupted = asyncio.Event()
        self.gate: Gate | None = None
        self.workspace: Workspace | None = None
        self.home = Path()
        self.literature = Path()
        self.gateway = Path()
        self.supervisor_lost_s: float | None = None
        self._journal = journal
        self._changed = asyncio.Condition()
        self.supervisor_seq = 0
        self._state = ""
        self._known_seq = 0
        self.starts = 0
        self._fold()

    # --- journal ---

    def record(self, event: AnyEvent, *, durable: bool = True) -> None:
        """Journal an event of this agent and take it in."""
        self._journal.append(event, durable=durable)
        self.log.apply(event, self.clock.wall())

    @property
    def album(self) -> Album:
        """Pictures that this agent was shown in the present run."""
        return Album(self._folder / "pictures")

    @property
    def results(self) -> Shelf:
        """Answers of tools that were too long to be given whole."""
        return Shelf(self._folder / "results", RESULTS_BYTES)

    @property
    def _folder(self) -> Path:
        return self.home / "agents" / self.name / self.run.run_id

    def record_backend(self, backend: str, record: bytes, heard: tuple[str, ...] = ()) -> None:
        """Keep what a backend needs to go on, before it acts.

        Args:
            backend: Whose record.
            record: In its own encoding.
            heard: Words of people that are in it, by their ids: one row holds both or neither.
        """
        self.record(BackendRecorded(backend=backend, record=record, heard=heard))

    def call(self, call_id: str, tool: str, summary: str) -> bool:
        """Journal a call before it acts; False if it was journalled in an earlier life."""
        if call_id in self.log.calls:
            return False
        self.record(ToolCalled(call_id=call_id, tool=tool, summary=clean(summary, 200)))
        return True

    def say(self, role: str, text: str, idea_id: str = "") -> None:
        """A line of the transcript."""
        line = TranscriptLine(turn=self.log.turn, role=role, text=clean(text), idea_id=idea_id)
        self.record(line, durable=False)

    def hear(self, text: str) -> None:
        """Take a person's words, journalled: the agent hears them once, whatever comes between."""
        line = TranscriptLine(
            turn=self.log.turn,
            role="person",
            text=text[:WORDS_LIMIT],
            message_id=f"words-{self.log.told + 1}",
        )
        self.record(line)

    def ask(self, question_id: str, text: str, choices: tuple[str, ...] = ()) -> None:
        """Ask a person, once for an id; the answer comes as a message.

        Raises:
            ToolRefused: An earlier question is not answered yet.
        """
        if question_id in self.log.asked:
            return
        if self.log.question is not None:
            raise ToolRefused(f"asked_already: {self.log.question.text!r} is not answered yet")
        offered = tuple(clean(each, 200) for each in choices)
        self.record(AgentAsked(question_id=question_id, text=clean(text, 2000), choices=offered))

    def answer(self, question_id: str, text: str, by: str) -> bool:
        """Take a person's answer, as words; False if it is no answer to what is asked now."""
        question = self.log.question
        if question is None or question.question_id != question_id:
            return False
        self.record(AgentAnswered(question_id=question_id, text=text[:WORDS_LIMIT], by=by))
        return True

    def set_state(self, state: str, detail: str = "", *, resumed: bool = False) -> None:
        """Show another state word; PAUSED and STOPPED outlive the process.

        Args:
            state: The word.
            detail: Why.
            resumed: A person lets a paused agent go on.
        """
        # SAFETY: what was under way when the pause came must not end it by telling how it goes.
        if self.log.paused and state not in {"PAUSED", "STOPPED"} and not resumed:
            return
        if state != self._state:
            self._state = state
            durable = state in {"PAUSED", "STOPPED"} or self.log.paused
            self.record(AgentStateChanged(state=state, detail=detail), durable=durable)

    @property
    def state(self) -> str:
        """The state word shown last."""
        return self._state

    def check_awake(self) -> None:
        """Raise PAUSED while this agent is paused, STOPPED once it is told to end."""
        self.check_stopped()
        if self.log.paused:
            raise ToolRefused(PAUSED)

    def check_stopped(self) -> None:
        """Raise STOPPED once this agent is told to end; what it began goes on."""
        if self.stop.is_set():
            raise ToolRefused("STOPPED")

    # --- news ---

    async def changed(self) -> None:
        """Wake everyone who waits for news."""
        async with self._changed:
            self._changed.notify_all()

    async def wait_until(self, test: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for news until `test` holds; False if it did not in time or the agent stops."""

        async def until() -> None:
            async with self._changed:
                await self._changed.wait_for(lambda: test() or self.stop.is_set())

        try:
            await self.clock.wait_for(until(), timeout_s)
        except TimeoutError:
            return False
        return test()

    async def unless_interrupted(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for something that may be broken off: nothing of it is had then.

        Raises:
            ToolRefused: PAUSED: a person broke it off.
        """
        working = asyncio.ensure_future(work)
        broken = asyncio.ensure_future(self.interrupted.wait())
        try:
            await asyncio.wait({working, broken}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise ToolRefused(PAUSED)
            return working.result()
        finally:
            working.cancel()
            broken.cancel()
            await asyncio.gather(working, broken, return_exceptions=True)

    async def follow_station(self) -> None:
        """Take in the station's journal, for ever."""
        while True:
            try:
                async for row in self.station.follow(0):
                    self._freeze_if_alarmed(row.event)
                    if self.bench.apply(row.event):
                        await self.changed()
            except JournalReplaced as replaced:
                log.warning("station %s: %s", self.settings.station, replaced)
                self.bench = StationView(self.name)

    async def follow_supervisor(self) -> None:
        """Take in the supervisor's journal, for ever."""
        while True:
            try:
                async for row in self.supervisor.follow(0):
                    self._take(row)
                    await self.changed()
            except JournalReplaced as replaced:
                log.warning("supervisor: %s", replaced)
                self.supervisor_seq = self._known_seq = 0

    def _freeze_if_alarmed(self, event: AnyEvent) -> None:
        """Stop work, once for each such batch, where somebody changed what decides about success.

        Whoever it was, nothing that this agent would learn now is worth anything.
        """
        if not isinstance(event, BatchFinished) or event.void_reason != MANIFEST_CHANGED:
            return
        known = f"{FROZEN}/{event.batch_id}"
        if known not in self.log.records:
            self.record_backend(known, b"")
            self.set_state("PAUSED", f"ALARM: batch {event.batch_id} ran in an edited environment")

    def _take(self, row: Row) -> None:
        event = row.event
        self.run.apply(event)
        if isinstance(event, RunStarted | ChampionChanged) and row.seq > self._known_seq:
            self._remember_run(event, row.seq)
        if isinstance(event, CandidateDecided):
            self._learn(event)
        self.supervisor_seq = row.seq

    async def catch_up(self, timeout_s: float) -> bool:
        """Wait until the supervisor's journal has been taken in as far as it goes now.

        Returns:
            False if the supervisor cannot be reached; the run is then as it was last known.
        """
        try:
            body = await self.supervisor.request(ReadJournal(after_seq=FAR, limit=1), timeout_s)
        except (Unreachable, Refused):
            self.supervisor_lost_s = self.clock.monotonic()
            return False
        self.supervisor_lost_s = None
        last_seq = codec.decode(body, JournalPage).last_seq
        return await self.wait_until(lambda: self.supervisor_seq >= last_seq, timeout_s)

    # --- results in Git ---

    def unsettled(self) -> list[Settlement]:
        """Decided ideas of this run with a commit whose result is not in Git yet."""
        found: list[Settlement] = []
        for idea_id, work in self.log.ideas.items():
            standing = self.run.ideas.get(idea_id)
            done = f"{idea_id}/settled" in self.log.calls
            if done or not work.decision or not work.submitted or standing is None:
                continue
            note = ResultNote(
                success=standing.success,
                episodes=standing.episodes,
                interval=standing.interval,
                purpose="evaluate",
                decision=work.decision,
                robot_s=standing.robot_s,
                ledger=" ".join(standing.ledger),
            )
            found.append(Settlement(idea_id, work.commit, note, work.opened_wall_s))
        return found

    def mark_settled(self, settlements: list[Settlement]) -> None:
        """Journal that results are pushed."""
        for settlement in settlements:
            self.call(f"{settlement.idea_id}/settled", "note", "result in Git")

    # --- inside ---

    def _fold(self) -> None:
        after = 0
        while rows := self._journal.rows(after, 1000):
            for row in rows:
                self.log.apply(row.event, row.wall_s)
                self.starts += isinstance(row.event, DaemonStarted)
                after = row.seq
        # Paused before a restart is paused after it.
        self._state = "PAUSED" if self.log.paused else ""
        known = self.log.records.get(RUN_RECORD)
        if known is not None:
            try:
                run = codec.decode(known, KnownRun)
            except msgspec.DecodeError:
                log.warning("the last run's record is not understood; waiting for the supervisor")
                return
            self._known_seq = run.seq
            self.run.begin(run.run_id, run.task, run.baseline_commit)
            self.run.apply(
                ChampionChanged(
                    idea_id=run.champion_idea,
                    commit=run.champion_commit,
                    agent="",
                    success=0,
                    episodes=0,
                    rate=0.0,
                    interval=(0.0, 1.0),
                    gain=0.0,
                )
            )

    def _remember_run(self, event: RunStarted | ChampionChanged, seq: int) -> None:
        champion = self.run.champion
        if champion is None:
            return
        self._known_seq = seq
        known = KnownRun(
            run_id=self.run.run_id,
            task=self.run.task,
            baseline_commit=event.baseline_commit if isinstance(event, RunStarted) else "",
            champion_idea=champion.idea_id,
            champion_commit=champion.commit,
            seq=seq,
        )
        self.record_backend(RUN_RECORD, codec.encode(known))

    def _learn(self, event: CandidateDecided) -> None:
        work = self.log.ideas.get(event.idea_id)
        if work is None or work.decision or event.decision not in FINAL_DECISIONS:
            return
        detail = f"{event.success}/{event.episodes}. {event.detail}".strip()
        decision = DecisionLearned(idea_id=event.idea_id, decision=event.decision, detail=detail)
        self.record(decision)
        self.say("system", f"{event.idea_id} was {event.decision}: {detail}", event.idea_id)
