"""What became of each idea of a run: a fold over the rows of all its agents. Pure."""

from collections.abc import MutableMapping

from msgspec.structs import replace

from robots.wire import events as ev
from robots.wire.records import Frozen

# Of the lines whose rows tell of ideas; see `words.KINDS`.
KINDS = ("idea", "commit", "decision")


class IdeaStory(Frozen):
    """One idea from its opening to its end.

    Attributes:
        decision: "" while open; else the last word of the queue, or the agent's own ("dropped").
        success: Of `episodes`, in the decision's evidence.
    """

    idea_id: str
    agent: str = ""
    kind: str = ""
    operator: str = ""
    parent: str = ""
    borrowed_from: str = ""
    hypothesis: str = ""
    prediction: str = ""
    commit: str = ""
    decision: str = ""
    success: int = 0
    episodes: int = 0
    interval: tuple[float, float] = (0.0, 1.0)
    champion_rate: float = 0.0
    detail: str = ""

    @property
    def score(self) -> str:
        """Evidence in short, "" before there is any."""
        if not self.episodes:
            return ""
        low, high = self.interval
        return f"{self.success}/{self.episodes} [{low:.2f}, {high:.2f}]"


def apply(ideas: MutableMapping[str, IdeaStory], event: ev.AnyEvent) -> None:
    """Takes in a row; rows about no idea change nothing."""
    match event:
        case ev.IdeaOpened():
            change(
                ideas,
                event.idea_id,
                agent=event.idea_id.rpartition("-")[0],
                kind=event.kind,
                operator=event.operator,
                parent=event.parent,
                borrowed_from=event.borrowed_from,
                hypothesis=event.hypothesis,
                prediction=event.prediction,
            )
        case ev.IdeaCommitted():
            change(ideas, event.idea_id, commit=event.commit)
        case ev.DecisionLearned():
            if not ideas.get(event.idea_id, IdeaStory(idea_id="")).episodes:
                change(ideas, event.idea_id, decision=event.decision, detail=event.detail)
        case ev.CandidateDecided():
            change(
                ideas,
                event.idea_id,
                decision=event.decision,
                success=event.success,
                episodes=event.episodes,
                interval=event.interval,
                champion_rate=event.champion_rate,
                detail=event.detail,
            )
        case _:
            pass


def change(ideas: MutableMapping[str, IdeaStory], idea_id: str, **fields: object) -> None:
    """Sets fields of an idea, which is made if it is not known yet."""
    ideas[idea_id] = replace(ideas.get(idea_id) or IdeaStory(idea_id=idea_id), **fields)
