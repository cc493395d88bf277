"""What an agent has done: a fold over its own journal, asked before every side effect. Pure."""

from msgspec.structs import replace

from robots.wire.events import (
    AgentAnswered,
    AgentAsked,
    AgentStateChanged,
    AnyEvent,
    BackendRecorded,
    CandidateSubmitted,
    DecisionLearned,
    ExplorationFinished,
    IdeaCommitted,
    IdeaOpened,
    ToolCalled,
    TranscriptLine,
)
from robots.wire.records import Frozen


class Work(Frozen):
    """One idea of this agent.

    Attributes:
        opened_wall_s: When it was opened; dates its commit, so that a repeated commit is the same.
        decision: "" while open.
    """

    opened: IdeaOpened
    opened_wall_s: float
    commit: str = ""
    submitted: bool = False
    decision: str = ""


class AgentLog:
    """Ideas, calls and records of one agent.

    Attributes:
        asked: Ids of all questions that it asked.
        question: The one that no person has answered yet.
    """

    def __init__(self) -> None:
        self.ideas: dict[str, Work] = {}
        self.calls: set[str] = set()
        self.explored: dict[str, ExplorationFinished] = {}
        self.records: dict[str, bytes] = {}
        self.asked: set[str] = set()
        self.question: AgentAsked | None = None
        self.robot_s = 0.0
        self.turn = 0
        self.paused = False
        self.stopped = False

    def apply(self, event: AnyEvent, wall_s: float) -> None:
        """Take in a row of the agent's own journal."""
        match event:
            case IdeaOpened():
                self.ideas[event.idea_id] = Work(opened=event, opened_wall_s=wall_s)
            case IdeaCommitted():
                self._change(event.idea_id, commit=event.commit)
            case CandidateSubmitted():
                self._change(event.idea_id, submitted=True)
            case DecisionLearned():
                self._change(event.idea_id, decision=event.decision)
            case ToolCalled():
                self.calls.add(event.call_id)
            case AgentAsked():
                self.asked.add(event.question_id)
                self.question = event
            case AgentAnswered():
                self.question = None
            case ExplorationFinished():
                self.explored[event.batch_id] = event
                self.robot_s += event.robot_s
            case BackendRecorded():
                self.records[event.backend] = event.record
            case TranscriptLine():
                self.turn = max(self.turn, event.turn)
            case AgentStateChanged():
                self.paused = event.state == "PAUSED"
                self.stopped = event.state == "STOPPED"
            case _:
                pass

    def next_idea_id(self, agent: str) -> str:
        """The id that this agent's next idea will have."""
        return f"{agent}-{len(self.ideas) + 1}"

    def pending(self) -> list[str]:
        """Ideas handed in whose decision is not known yet."""
        return [
            idea_id for idea_id, work in self.ideas.items() if work.submitted and not work.decision
        ]

    def forget(self, *prefixes: str) -> None:
        """Drop records that nothing asks for any more; the journal keeps them."""
        for key in [key for key in self.records if key.startswith(prefixes)]:
            del self.records[key]

    def _change(self, idea_id: str, **fields: str | bool) -> None:
        self.ideas[idea_id] = replace(self.ideas[idea_id], **fields)
