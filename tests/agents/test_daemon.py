"""The agent daemon beside stand-ins of its station and supervisor, in one process."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from agents.backends.search import SearchBackend
from agents.cli import main
from agents.daemon import AgentDaemon
from agents.git.bundle import Gate
from agents.git.notes import read_notes
from agents.git.rules import MAX_FILE_BYTES
from agents.search import surveys
from agents.search.state import Plan
from agents.search.trials import TrialResult
from agents.settings import AgentSettings
from agents.status import AgentStatus
from agents.tools import calls as t
from agents.tools.offered import TOOLS
from agents.tools.surface import Surface
from agents.tools.toolbox import Toolbox
from robots.wire import commands as c
from robots.wire.client import Client, Refused
from robots.wire.clock import SystemClock
from robots.wire.events import (
    AgentAnswered,
    AgentAsked,
    AgentStateChanged,
    AnyEvent,
    BatchAccepted,
    CandidateSubmitted,
    DaemonStarted,
    DecisionLearned,
    ExplorationFinished,
    IdeaCommitted,
    IdeaOpened,
    Noted,
    TranscriptLine,
)
from robots.wire.journal import Journal, JournalFull
from robots.wire.records import Role
from tests.agents.stand_ins import BASELINE, StationStandIn, SupervisorStandIn
from tests.robots.wire.memory import MemoryJournal, MemoryTransport

ROLES = {
    "a1": Role.AGENT,
    "s1": Role.VIEWER,
    "supervisor": Role.SUPERVISOR,
    "person": Role.OPERATOR,
}
DEADLINE_S = 60.0


class Scripted:
    """A backend that does what a test tells it to, once."""

    name = "scripted"
    label = "script of a test"

    def __init__(self) -> None:
        self.script: Callable[[Toolbox], asyncio.Future[None]] | None = None
        self.tools: asyncio.Future[Toolbox] = asyncio.get_running_loop().create_future()

    async def turn(self, tools: Toolbox) -> None:
        if not self.tools.done():
            self.tools.set_result(tools)
        await tools.desk.stop.wait()


class Fleet:
    """One agent with its station and supervisor."""

    def __init__(
        self, home: Path, start: Mapping[str, bytes] = BASELINE, task: str = "stand_in"
    ) -> None:
        self.home = home
        self.deadline_s = DEADLINE_S
        self.clock = SystemClock()
        self.transport = MemoryTransport(self.clock, ROLES)
        self.station = StationStandIn(self.transport, "s1", MemoryJournal(self.clock))
        self.supervisor = SupervisorStandIn(
            self.transport,
            MemoryJournal(self.clock),
            home / "runs" / "r1" / "origin.git",
            self.clock,
            start,
            task,
        )
        self.journal: Journal = MemoryJournal(self.clock)
        self.person: Client = self.transport.client("person", "a1")
        self.working: asyncio.Task[None] | None = None

    async def start(self, backend: object, **settings: object) -> AgentDaemon:
        daemon = AgentDaemon(
            self.home,
            "a1",
            AgentSettings(station="s1", seed=3, **settings),  # type: ignore[arg-type]
            backend,  # type: ignore[arg-type]
            self.journal,
            self.clock,
            self.transport,
        )
        self.working = asyncio.create_task(daemon.run())
        return daemon

    async def stop(self) -> None:
        if self.working is not None:
            self.working.cancel()
            await asyncio.gather(self.working, return_exceptions=True)
            self.working = None

    def events(self, kind: type[AnyEvent]) -> list[AnyEvent]:
        return [row.event for row in self.journal.rows(0, 100_000) if isinstance(row.event, kind)]

    async def until(self, test: Callable[[], bool], journal: Journal | None = None) -> None:
        """Wait until a condition on journals holds."""
        changed = asyncio.Event()
        watched = [journal or self.journal, self.station.journal, self.supervisor.journal]
        undo = [each.subscribe(lambda _: changed.set()) for each in watched]
        try:
            async with asyncio.timeout(self.deadline_s):
                while not test():
                    assert self.working is None or not self.working.done(), self.working
                    changed.clear()
                    await changed.wait()
        finally:
            for each in undo:
                each()


@contextlib.asynccontextmanager
async def running(made: Fleet) -> AsyncGenerator[Fleet]:
    """The stand-ins answer; whatever was started ends."""
    await made.station.server.start()
    await made.supervisor.server.start()
    yield made
    await made.stop()
    made.person.close()
    await made.station.server.close()
    await made.supervisor.server.close()


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with running(Fleet(tmp_path)) as made:
        yield made


async def scripted(fleet: Fleet, **settings: object) -> Toolbox:
    backend = Scripted()
    await fleet.start(backend, **settings)
    async with asyncio.timeout(DEADLINE_S):
        return await backend.tools


def open_idea(fingerprint: str = "", idea_id: str = "") -> t.OpenIdea:
    return t.OpenIdea(
        kind="heuristic",
        hypothesis="Faster is better",
        prediction="more successes",
        parent="baseline",
        fingerprint=fingerprint,
        idea_id=idea_id,
    )


FASTER = {
    **BASELINE,
    "recipe.toml": BASELINE["recipe.toml"].replace(b'value = "slow"', b'value = "fast"'),
}


# --- the search agent ---------------------------------------------------------------------------


async def test_the_search_agent_improves_a_champion_through_its_tools(fleet: Fleet) -> None:
    before = fleet.supervisor.champion_rate
    await fleet.start(SearchBackend("a1", 3))

    await fleet.until(lambda: fleet.supervisor.adopted >= 1)

    assert fleet.supervisor.champion_rate > before
    ideas = fleet.supervisor.repository.ideas()
    assert all(idea.hypothesis and idea.prediction and idea.operator for idea in ideas.values())
    lines = fleet.events(TranscriptLine)
    assert any("not a language model" in line.text for line in lines)  # type: ignore[union-attr]


async def test_an_interrupted_search_leaves_its_batch_and_takes_it_up_again(fleet: Fleet) -> None:
    fleet.station.hold = True
    daemon = await fleet.start(SearchBackend("a1", 3))
    await fleet.until(lambda: bool(fleet.station.started))
    batch_id = next(iter(fleet.station.started))
    await fleet.person.request(c.InterruptAgent(reason="look at the table"), 5)
    fleet.station.go_on()
    async with asyncio.timeout(DEADLINE_S):
        while not daemon.desk.bench.batch(batch_id).finished:  # type: ignore[union-attr] # noqa: ASYNC110
            await asyncio.sleep(0.01)
    # It knows the batch's end, and takes it up only when it goes on.
    assert not fleet.events(ExplorationFinished)
    assert daemon.desk.state == "PAUSED"
    await fleet.person.request(c.ResumeAgent(), 5)
    await fleet.until(lambda: batch_id in daemon.desk.log.explored)

    assert set(fleet.station.started.values()) == {1}
    # Both lanes go on, however short the pause was.
    await fleet.until(lambda: len(fleet.events(IdeaOpened)) >= 3)


async def test_the_search_agent_shares_its_surveys_through_git(fleet: Fleet) -> None:
    await fleet.start(SearchBackend("a1", 3))
    await fleet.until(
        lambda: any(
            event.decision == "dropped" and event.detail.startswith("survey")  # type: ignore[union-attr]
            for event in fleet.events(DecisionLearned)
        )
    )

    git = fleet.supervisor.repository.git
    gate = Gate.open(fleet.home / "peer.git", str(git.folder), "s2")
    shared = [surveys.read_survey(each) for each in gate.shared(surveys.SURVEY_PATH).values()]
    (survey, *_) = sorted((each for each in shared if each), key=lambda each: -len(each.variants))

    assert survey.idea_id.startswith("a1-")
    assert len(survey.variants) >= 10
    assert all(variant.values for variant in survey.variants)


async def test_an_agent_leaves_at_the_runs_end_with_its_results_in_git(fleet: Fleet) -> None:
    await fleet.start(SearchBackend("a1", 3))
    await fleet.until(lambda: len(fleet.events(DecisionLearned)) >= 2 and _decided(fleet) >= 1)

    fleet.supervisor.end()
    assert fleet.working is not None
    await asyncio.wait_for(fleet.working, DEADLINE_S)

    notes = read_notes(fleet.supervisor.repository.git)
    known = {event.idea_id: event.commit for event in fleet.events(IdeaCommitted)}  # type: ignore[union-attr]
    decided = {
        event.idea_id
        for event in fleet.events(DecisionLearned)
        if event.decision in ("adopted", "discarded")  # type: ignore[union-attr]
    }
    assert {known[idea_id] for idea_id in decided} == set(notes)
    assert fleet.events(AgentStateChanged)[-1].state == "STOPPED"  # type: ignore[union-attr]


async def test_an_agent_told_to_stop_leaves_its_results_in_git_too(fleet: Fleet) -> None:
    surface = Surface(await scripted(fleet), "scripted", TOOLS)
    claim = b'{"kind": "heuristic", "hypothesis": "fast loses nothing", "prediction": "20 points"}'
    edit = rb'{"path": "recipe/recipe.toml", "old": "\"slow\"\n", "new": "\"fast\"\n"}'
    await surface.call("1", "open_idea", claim)
    await surface.call("2", "edit_file", edit)
    await surface.call("3", "submit", b"")
    # The word may come before the decision does.
    await fleet.person.request(c.StopAgent(reason="the run ended"), 5)
    assert fleet.working is not None
    await asyncio.wait_for(fleet.working, DEADLINE_S)

    [committed] = fleet.events(IdeaCommitted)
    notes = read_notes(fleet.supervisor.repository.git)
    assert notes[committed.commit].decision == "adopted"  # type: ignore[union-attr]


def _decided(fleet: Fleet) -> int:
    return sum(
        event.decision in ("adopted", "discarded")  # type: ignore[union-attr]
        for event in fleet.events(DecisionLearned)
    )


async def test_a_restart_goes_on_where_it_stood(fleet: Fleet) -> None:
    for count in (1, 2, 4, 6):
        await fleet.start(SearchBackend("a1", 3))
        await fleet.until(lambda count=count: len(fleet.events(IdeaOpened)) >= count)
        await fleet.stop()

    assert [each.restarts for each in fleet.events(DaemonStarted)] == [0, 1, 2, 3]  # type: ignore[union-attr]
    opened = [event.idea_id for event in fleet.events(IdeaOpened)]  # type: ignore[union-attr]
    assert len(opened) == len(set(opened))
    assert set(fleet.station.started.values()) == {1}
    assert set(fleet.supervisor.proposed.values()) == {1}


async def test_a_plan_that_breaks_is_given_up(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    others = asyncio.Event()

    async def run_plan(plan: Plan, *_: object) -> TrialResult:
        ran.append(plan.idea_id)
        if plan.idea_id == "a1-1":
            raise RuntimeError("as scripted")
        if len(set(ran)) == 4:
            others.set()
        return TrialResult()

    monkeypatch.setattr("agents.backends.search.run_plan", run_plan)
    monkeypatch.setattr("agents.daemon.FAULT_PAUSE_S", 0.01)
    await fleet.start(SearchBackend("a1", 3))
    await asyncio.wait_for(others.wait(), DEADLINE_S)

    assert ran.count("a1-1") == 1
    assert [each.text for each in fleet.events(Noted)] == ["RuntimeError: as scripted"]  # type: ignore[union-attr]


# --- tools --------------------------------------------------------------------------------------


async def test_an_idea_goes_its_whole_way_through_the_tools(fleet: Fleet) -> None:
    tools = await scripted(fleet)
    champion = tools.desk.run.champion
    assert champion is not None

    opened = await tools.call(open_idea())
    explored = await tools.call(
        t.Explore(idea_id="a1-1", number=0, seeds=(1, 2, 3), base=champion.commit, files=FASTER)
    )
    committed = await tools.call(t.Commit(idea_id="a1-1", base=champion.commit, files=FASTER))
    await tools.call(t.Submit(idea_id="a1-1"))
    news = await tools.call(t.Wait(timeout_s=10))
    board = await tools.call(t.Leaderboard())

    assert opened == t.Opened(idea_id="a1-1")
    assert isinstance(explored, t.Explored)
    assert [episode.seed for episode in explored.episodes] == [1, 2, 3]
    assert isinstance(committed, t.Committed)
    assert fleet.supervisor.repository.archive(committed.commit).files == FASTER
    assert isinstance(news, t.News)
    assert isinstance(board, t.Text)
    await fleet.until(lambda: _decided(fleet) == 1)
    assert tools.desk.log.ideas["a1-1"].decision == "adopted"


async def test_a_repeated_call_is_answered_and_not_done_again(fleet: Fleet) -> None:
    tools = await scripted(fleet)
    champion = tools.desk.run.champion
    assert champion is not None
    calls: list[t.AnyCall] = [
        open_idea(idea_id="a1-1"),
        t.Explore(idea_id="a1-1", number=0, seeds=(1, 2), base=champion.commit, files=FASTER),
        t.Commit(idea_id="a1-1", base=champion.commit, files=FASTER),
    ]

    for call in calls:
        assert await tools.call(call) == await tools.call(call)

    fleet.supervisor.silent = True
    await tools.call(t.Submit(idea_id="a1-1"))
    await tools.call(t.Submit(idea_id="a1-1"))
    assert fleet.station.started == Counter({"a1-1/x0": 1})
    assert fleet.supervisor.queued == Counter({"a1-1": 1})
    assert len(fleet.events(IdeaOpened)) == len(fleet.events(IdeaCommitted)) == 1


async def test_files_are_written_in_the_clone_and_frozen_ones_refused(fleet: Fleet) -> None:
    tools = await scripted(fleet)
    await tools.call(t.WriteFile(path="recipe/policy.py", text="class Policy: ...\n"))

    text = await tools.call(t.ReadFile(path="recipe/policy.py"))
    files = await tools.call(t.ListFiles())

    assert text == t.FileText(text="class Policy: ...\n")
    assert isinstance(files, t.FileList)
    assert set(files.sizes) == {"recipe/policy.py", "recipe/recipe.toml"}
    for path in ("TASK.md", "recipe/../TASK.md", "/etc/passwd", ".git/config"):
        with pytest.raises(t.ToolRefused, match="frozen_path"):
            await tools.call(t.WriteFile(path=path, text="x"))


async def test_a_write_that_is_repeated_undoes_no_later_edit(fleet: Fleet) -> None:
    tools = await scripted(fleet)
    at = Surface(tools, "model", TOOLS)
    for _ in range(2):
        await at.call("w", "write_file", b'{"path": "notes/a.md", "text": "one"}')
        await at.call("e", "edit_file", b'{"path": "notes/a.md", "old": "one", "new": "two"}')

    assert await tools.tree.whole("notes/a.md") == "two"


async def test_a_commit_of_the_working_tree_is_shared(fleet: Fleet) -> None:
    tools = await scripted(fleet)
    champion = tools.desk.run.champion
    assert champion is not None
    await tools.call(open_idea())
    await tools.call(t.StartFrom())
    await tools.call(t.WriteFile(path="recipe/extra.py", text="A = 1\n"))

    committed = await tools.call(t.Commit(idea_id="a1-1", base=champion.commit))

    assert isinstance(committed, t.Committed)
    files = fleet.supervisor.repository.archive(committed.commit).files
    assert files == {**BASELINE, "extra.py": b"A = 1\n"}


async def test_a_refused_commit_ends_its_idea_with_a_record(fleet: Fleet) -> None:
    tools = await scripted(fleet)
    champion = tools.desk.run.champion
    assert champion is not None
    await tools.call(open_idea())

    with pytest.raises(t.ToolRefused, match="oversize"):
        await tools.call(
            t.Commit(
                idea_id="a1-1", base=champion.commit, files={"big": b"x" * (MAX_FILE_BYTES + 1)}
            )
        )

    (decision,) = fleet.events(DecisionLearned)
    assert decision.decision == "refused"  # type: ignore[union-attr]
    assert "oversize" in decision.detail  # type: ignore[union-attr]


async def test_an_idea_that_is_refused_twice_at_once_has_one_end(fleet: Fleet) -> None:
    tools = await scripted(fleet)
    champion = tools.desk.run.champion
    assert champion is not None
    await tools.call(open_idea())
    await tools.call(t.Commit(idea_id="a1-1", base=champion.commit, files={"extra.py": b"A = 1\n"}))
    fleet.supervisor.refuses = "not_now: the run is over"

    both = (tools.ideas.hand_in("a1-1"), tools.ideas.hand_in("a1-1"))
    answers = await asyncio.gather(*both, return_exceptions=True)

    assert [type(each) for each in answers] == [t.ToolRefused, t.ToolRefused]
    (decision,) = fleet.events(DecisionLearned)
    assert decision.decision == "refused"  # type: ignore[union-attr]


async def test_a_claimed_trial_is_not_opened_twice(fleet: Fleet) -> None:
    tools = await scripted(fleet)
    await tools.call(open_idea(fingerprint="same"))
    await fleet.until(lambda: "a1-1" in fleet.supervisor.proposed)
    await tools.desk.wait_until(lambda: "a1-1" in tools.desk.run.ideas, DEADLINE_S)

    with pytest.raises(t.ToolRefused, match="duplicate: a1-1"):
        await tools.call(open_idea(fingerprint="same"))

    assert len(fleet.events(IdeaOpened)) == 1


async def test_budgets_are_kept_outside_the_backend(fleet: Fleet) -> None:
    tools = await scripted(fleet, max_ideas=1, robot_minutes=0.5)
    champion = tools.desk.run.champion
    assert champion is not None
    await tools.call(open_idea())
    explore = t.Explore(idea_id="a1-1", number=0, seeds=(1, 2), base=champion.commit, files=FASTER)
    await tools.call(explore)

    left = await tools.call(t.BudgetLeft())
    assert left == t.Budget(ideas=0, robot_minutes=0.0)
    with pytest.raises(t.ToolRefused, match="budget"):
        await tools.call(open_idea())
    again = t.Explore(idea_id="a1-1", number=1, seeds=(3,), base=champion.commit, files=FASTER)
    with pytest.raises(t.ToolRefused, match="budget"):
        await tools.call(again)


def test_long_texts_are_cut_in_their_middle() -> None:
    text, left_out = t.cut_text("a" * 5000 + "b" * 5000, 3000)

    assert left_out == 7000
    assert text.startswith("a" * 2000)
    assert text.endswith("b" * 1000)
    assert t.cut_text("short") == ("short", 0)


# --- commands -----------------------------------------------------------------------------------


async def test_tools_answer_paused_until_a_person_resumes(fleet: Fleet) -> None:
    tools = await scripted(fleet)

    await fleet.person.request(c.PauseAgent(reason="lunch"), 5)
    with pytest.raises(t.ToolRefused, match="PAUSED"):
        await tools.call(open_idea())
    await fleet.person.request(c.ResumeAgent(), 5)

    assert await tools.call(open_idea()) == t.Opened(idea_id="a1-1")


async def test_a_pause_outlives_a_restart(fleet: Fleet) -> None:
    await scripted(fleet)
    await fleet.person.request(c.PauseAgent(), 5)
    await fleet.stop()

    await fleet.start(SearchBackend("a1", 3))

    status = await fleet.person.call(c.GetStatus(), AgentStatus, 5)
    assert status.state == "PAUSED"
    assert fleet.events(IdeaOpened) == []


async def test_a_message_reaches_the_agent_at_its_next_turn(fleet: Fleet) -> None:
    tools = await scripted(fleet)
    await fleet.person.request(c.MessageAgent(text="mind the \x1b[2Jborder"), 5)

    news = await tools.call(t.Wait(timeout_s=5))

    assert isinstance(news, t.News)
    assert news.messages == {"words-1": "mind the \x1b[2Jborder"}
    said = [line for line in fleet.events(TranscriptLine) if line.role == "person"]  # type: ignore[union-attr]
    # Journalled as it came; whoever paints it takes the escapes out.
    assert [line.text for line in said] == ["mind the \x1b[2Jborder"]  # type: ignore[union-attr]


async def test_words_are_owed_until_a_record_holds_them(fleet: Fleet) -> None:
    tools = await scripted(fleet)
    await fleet.person.request(c.MessageAgent(text="mind the border"), 5)
    await fleet.person.request(c.MessageAgent(text="and the gripper"), 5)
    assert await words_of(tools) == ["mind the border", "and the gripper"]
    await fleet.stop()

    tools = await scripted(fleet)
    assert await words_of(tools) == ["mind the border", "and the gripper"]
    tools.desk.record_backend("scripted", b"read the first", heard=("words-1",))
    assert await words_of(tools) == ["and the gripper"]
    await fleet.stop()

    tools = await scripted(fleet)
    assert await words_of(tools) == ["and the gripper"]
    await fleet.person.request(c.MessageAgent(text="slower"), 5)
    assert list(tools.desk.log.words) == ["words-2", "words-3"]


async def words_of(tools: Toolbox) -> list[str]:
    news = await tools.call(t.Wait(timeout_s=5))
    assert isinstance(news, t.News)
    return list(news.messages.values())


async def test_one_question_at_a_time_is_asked_once_and_answered_once(fleet: Fleet) -> None:
    tools = await scripted(fleet)
    tools.desk.ask("q1", "short or \x1b[2Jlong?", ("short", "long"))
    tools.desk.ask("q1", "short or long?")
    with pytest.raises(t.ToolRefused, match="asked_already"):
        tools.desk.ask("q2", "which table?")
    with pytest.raises(Refused, match="not_asked"):
        await fleet.person.request(c.AnswerAgent(question_id="q2", text="the left one"), 5)
    await fleet.person.request(c.AnswerAgent(question_id="q1", text="long"), 5)
    with pytest.raises(Refused, match="not_asked"):
        await fleet.person.request(c.AnswerAgent(question_id="q1", text="short"), 5)

    assert [each.text for each in fleet.events(AgentAsked)] == ["short or [2Jlong?"]  # type: ignore[union-attr]
    assert [each.text for each in fleet.events(AgentAnswered)] == ["long"]  # type: ignore[union-attr]
    assert tools.desk.log.words == {"q1": "in answer to 'short or [2Jlong?': long"}
    tools.desk.ask("q2", "which table?")


async def test_a_stopped_agent_ends_for_good(fleet: Fleet) -> None:
    await fleet.start(SearchBackend("a1", 3))
    await fleet.until(lambda: bool(fleet.events(IdeaOpened)))

    await fleet.person.request(c.StopAgent(reason="enough"), 5)

    assert fleet.working is not None
    await asyncio.wait_for(fleet.working, DEADLINE_S)
    assert fleet.events(AgentStateChanged)[-1].state == "STOPPED"  # type: ignore[union-attr]


async def test_commands_of_others_are_refused(fleet: Fleet) -> None:
    await scripted(fleet)

    with pytest.raises(Refused, match="unknown_command"):
        await fleet.person.request(c.HoldFleet(reason="?"), 5)


async def test_status_says_who_thinks(fleet: Fleet) -> None:
    await fleet.start(SearchBackend("a1", 3))
    await fleet.until(lambda: bool(fleet.events(IdeaOpened)))

    status = await fleet.person.call(c.GetStatus(), AgentStatus, 5)

    assert status.label == "search agent, not a language model"
    assert status.run_id == "r1"


def test_a_full_journal_ends_the_daemon_with_its_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def serve(home: Path, name: str) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(full())

    async def full() -> None:
        raise JournalFull("no space left below /srv")

    monkeypatch.setattr("agents.cli.serve", serve)

    assert main(["--home", "/srv", "--name", "a1"]) == 1
    assert capsys.readouterr().err == "enpire-agent a1: no space left below /srv\n"


# --- without the supervisor ---------------------------------------------------------------------


async def test_without_the_supervisor_candidates_are_measured_here_and_handed_in_later(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.daemon.AWAY_S", 0.4)
    monkeypatch.setattr("agents.tools.ideas.REQUEST_TIMEOUT_S", 0.3)
    tools = await scripted(fleet)
    champion = tools.desk.run.champion
    assert champion is not None
    await tools.call(open_idea())
    await tools.call(t.Commit(idea_id="a1-1", base=champion.commit, files=FASTER))
    fleet.transport.cut("a1", "supervisor")

    submitted = await tools.call(t.Submit(idea_id="a1-1"))
    await fleet.until(lambda: "a1-1/own" in fleet.station.started)
    assert submitted == t.Submitted(idea_id="a1-1", reached=False)
    assert fleet.supervisor.queued == Counter()
    fleet.transport.mend("a1", "supervisor")
    await fleet.until(lambda: _decided(fleet) == 1)

    assert fleet.supervisor.queued == Counter({"a1-1": 1})
    (own,) = [
        row.event
        for row in fleet.station.journal.rows(0, 1000)
        if isinstance(row.event, BatchAccepted)
    ]
    assert own.seeds is None


async def test_a_call_whose_answer_a_kill_took_is_answered_as_it_was_done(fleet) -> None:
    tools = await scripted(fleet)

    async def call(call_id: str, name: str, **arguments: object) -> str:
        # A fresh life each time: what it knows is what the journal holds.
        surface = Surface(tools, "scripted", TOOLS)
        return (await surface.call(call_id, name, msgspec.json.encode(arguments))).text

    async def again(call_id: str, name: str, **arguments: object) -> str:
        run_id = tools.desk.run.run_id
        del tools.desk.log.records[f"scripted/{run_id}/answer/{call_id}"]
        return await call(call_id, name, **arguments)

    claim = {"kind": "heuristic", "hypothesis": "fast loses nothing", "prediction": "20 points"}
    opened = await call("1", "open_idea", **claim)
    assert opened.startswith("a1-1 is yours")
    assert await again("1", "open_idea", **claim) == opened
    await call("2", "edit_file", path="recipe/recipe.toml", old='"slow"\n', new='"fast"\n')
    assert "is commit" in await call("3", "submit")
    await fleet.until(lambda: bool(fleet.events(DecisionLearned)))
    assert await again("3", "submit") == "a1-1 was handed in, and was adopted"
    await call("4", "open_idea", **claim)
    dropped = await call("5", "drop", reason="no better")
    assert await again("5", "drop", reason="no better") == dropped == "a1-2 was given up"
    assert [each.idea_id for each in fleet.events(IdeaOpened)] == ["a1-1", "a1-2"]
    assert len(fleet.events(IdeaCommitted)) == 1
    assert fleet.supervisor.queued == {"a1-1": 1}


async def test_an_idea_that_cannot_be_handed_in_holds_up_no_other(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.daemon.AWAY_S", 0.02)
    tools = await scripted(fleet)
    handed = asyncio.Event()

    async def hand_in(idea_id: str) -> bool:
        if idea_id == "a1-1":
            raise t.ToolRefused("git_failed: as scripted")
        handed.set()
        return True

    monkeypatch.setattr(tools.ideas, "hand_in", hand_in)
    for idea_id in ("a1-1", "a1-2"):
        await tools.call(open_idea(idea_id=idea_id))
        tools.desk.record(CandidateSubmitted(idea_id=idea_id, commit="c1"))

    await asyncio.wait_for(handed.wait(), DEADLINE_S)
