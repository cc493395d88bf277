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
    UsageDisputed,
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
        words: Words of people that the agent has not heard yet, by their id.
        told: How often people have spoken.
        disputes: How often what its SDK or program said it used was not what the gateway counted.
    """

    def __init__(self) -> None:
        self.ideas: dict[str, Work] = {}
        self.calls: set[str] = set()
        self.explored: dict[str, ExplorationFinished] = {}
        self.records: dict[str, bytes] = {}
        self.asked: set[str] = set()
        self.question: AgentAsked | None = None
        self.words: dict[str, str] = {}
        self.told = 0
        self.disputes = 0
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
            case AgentAsked() | AgentAnswered():
                self._ask(event)
            case ExplorationFinished():
                self.explored[event.batch_id] = event
                self.robot_s += event.robot_s
            case BackendRecorded():
                self._keep(event)
            case TranscriptLine():
                self._say(event)
            case UsageDisputed():
                self.disputes += 1
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

    def _ask(self, event: AgentAsked | AgentAnswered) -> None:
        if isinstance(event, AgentAsked):
            self.asked.add(event.question_id)
            self.question = event
            return
        if self.question is not None:
            self._hear(event.question_id, f"in answer to {self.question.text!r}: {event.text}")
        self.question = None

    def _keep(self, event: BackendRecorded) -> None:
        self.records[event.backend] = event.record
        for message_id in event.heard:
            self.words.pop(message_id, None)

    def _say(self, event: TranscriptLine) -> None:
        self.turn = max(self.turn, event.turn)
        if event.message_id:
            self._hear(event.message_id, event.text)

    def _hear(self, message_id: str, text: str) -> None:
        self.words[message_id] = text
        self.told += 1

    def _change(self, idea_id: str, **fields: str | bool) -> None:
        self.ideas[idea_id] = replace(self.ideas[idea_id], **fields)
