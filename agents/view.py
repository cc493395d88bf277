"""What an agent knows of its run and its station: folds over the journals it follows. Pure."""

from msgspec.structs import replace

from robots.wire.events import (
    AnyEvent,
    BatchAccepted,
    BatchCounted,
    BatchFinished,
    CandidateDecided,
    CandidateQueued,
    ChampionChanged,
    ConfirmFinished,
    EpisodeFinished,
    IdeaProposed,
    RunEnded,
    RunStarted,
)
from robots.wire.records import Counts, Episode, Frozen, Idea, Purpose, RecipeArchive

BASELINE = "baseline"
FINAL_DECISIONS = ("adopted", "discarded")


# Stage of batches that measure a champion.
MEASURE = "measure"


class Champion(Frozen):
    """The best confirmed commit, with its fresh evidence."""

    idea_id: str
    commit: str
    success: int = 0
    episodes: int = 0
    rate: float = 0.0
    interval: tuple[float, float] = (0.0, 1.0)


class Standing(Frozen):
    """An idea as the run holds it.

    Attributes:
        decision: "" while open, else "adopted" or "discarded".
        ledger: Batches counted for it.
    """

    idea: Idea
    fingerprint: str
    queued: bool = False
    decision: str = ""
    success: int = 0
    episodes: int = 0
    interval: tuple[float, float] = (0.0, 1.0)
    champion_rate: float = 0.0
    detail: str = ""
    ledger: tuple[str, ...] = ()
    robot_s: float = 0.0


class RunView:
    """The run, as the supervisor's journal tells it; a new run begins it anew."""

    def __init__(self) -> None:
        self.run_id = ""
        self.task = ""
        self.ended = ""
        self.champion: Champion | None = None
        self.ideas: dict[str, Standing] = {}
        self.reigned: dict[str, Champion] = {}
        self.confirms = 0
        self.events: list[AnyEvent] = []
        self._marks: dict[str, str] = {}

    @property
    def running(self) -> bool:
        """Whether there is a run that has not ended."""
        return self.champion is not None and not self.ended

    def is_succeeded(self, commit: str) -> bool:
        """Whether another champion than this commit reigns."""
        return self.champion is not None and self.champion.commit != commit

    def apply(self, event: AnyEvent) -> None:
        """Take in a row of the supervisor's journal."""
        match event:
            case RunStarted():
                self.begin(event.run_id, event.task, event.baseline_commit)
            case ChampionChanged():
                self.champion = Champion(
                    idea_id=event.idea_id,
                    commit=event.commit,
                    success=event.success,
                    episodes=event.episodes,
                    rate=event.rate,
                    interval=event.interval,
                )
                self.reigned[event.idea_id] = self.champion
            case ConfirmFinished():
                self.confirms += 1
            case RunEnded():
                self.ended = event.outcome
            case IdeaProposed() | CandidateQueued() | BatchCounted() | CandidateDecided():
                self._apply_idea(event)
            case _:
                return
        # What a digest is made of; a candidate's archive is not.
        if not isinstance(event, CandidateQueued | BatchCounted):
            self.events.append(event)

    def begin(self, run_id: str, task: str, baseline_commit: str) -> None:
        """A run began, with its baseline as the first champion."""
        self.run_id, self.task, self.ended = run_id, task, ""
        self.champion = Champion(idea_id=BASELINE, commit=baseline_commit)
        self.ideas.clear()
        self.reigned.clear()
        self.confirms = 0
        self.events.clear()
        self._marks.clear()

    def adopted(self) -> list[Standing]:
        """Adopted ideas, in the order they were proposed."""
        return [standing for standing in self.ideas.values() if standing.decision == "adopted"]

    def same_trial(self, fingerprint: str, idea_id: str) -> str:
        """The other idea that already is this trial, "" if none is."""
        known_id = self._marks.get(fingerprint, "")
        return known_id if known_id != idea_id else ""

    def _measure(self, event: BatchCounted) -> None:
        """The champion was measured again, or the baseline at all."""
        known = self.champion
        if known is None or known.idea_id != event.idea_id or event.stage != MEASURE or event.void:
            return
        success = known.success + event.counts.success
        episodes = known.episodes + event.counts.success + event.counts.failure
        rate = success / max(episodes, 1)
        self.champion = replace(known, success=success, episodes=episodes, rate=rate)
        self.reigned[known.idea_id] = self.champion

    def _apply_idea(
        self, event: IdeaProposed | CandidateQueued | BatchCounted | CandidateDecided
    ) -> None:
        if isinstance(event, IdeaProposed | CandidateQueued):
            idea_id = event.idea.idea_id
            queued = isinstance(event, CandidateQueued)
            if event.fingerprint:
                self._marks.setdefault(event.fingerprint, idea_id)
            self.ideas[idea_id] = Standing(
                idea=event.idea, fingerprint=event.fingerprint, queued=queued
            )
            return
        if isinstance(event, BatchCounted):
            self._measure(event)
        standing = self.ideas.get(event.idea_id)
        if standing is None:
            return
        if isinstance(event, BatchCounted):
            counted = replace(
                standing,
                ledger=(*standing.ledger, event.batch_id),
                robot_s=standing.robot_s + event.robot_s,
            )
        else:
            final = event.decision in FINAL_DECISIONS
            counted = replace(
                standing,
                decision=event.decision if final else standing.decision,
                success=event.success,
                episodes=event.episodes,
                interval=event.interval,
                champion_rate=event.champion_rate,
                detail=event.detail,
            )
        self.ideas[event.idea_id] = counted


class BatchView(Frozen):
    """A batch of this agent at its station.

    Attributes:
        recipe: What it ran, once the station said that it took the batch.
    """

    batch_id: str
    purpose: Purpose = Purpose.EXPLORE
    recipe: RecipeArchive | None = None
    episodes: tuple[Episode, ...] = ()
    finished: bool = False
    void: bool = False
    void_reason: str = ""
    counts: Counts = Counts()


class StationView:
    """This agent's batches, as the station's journal tells them; other batches leave no trace."""

    def __init__(self, agent: str) -> None:
        self._prefix = f"{agent}-"
        self._batches: dict[str, BatchView] = {}
        self._explored: list[str] = []
        self._contents: dict[bytes, bytes] = {}

    def batch(self, batch_id: str) -> BatchView | None:
        """A batch that the station accepted, or None."""
        return self._batches.get(batch_id)

    def explored(self, limit: int | None = None) -> list[BatchView]:
        """Explore batches that ended with counts, in that order; the first `limit` of them."""
        return [self._batches[batch_id] for batch_id in self._explored[:limit]]

    def apply(self, event: AnyEvent) -> bool:
        """Take in a row of the station's journal; True if it told of this agent's batches."""
        match event:
            case BatchAccepted() | EpisodeFinished() | BatchFinished():
                if not event.batch_id.startswith(self._prefix):
                    return False
            case _:
                return False
        known = self._batches.get(event.batch_id) or BatchView(batch_id=event.batch_id)
        match event:
            case BatchAccepted():
                known = replace(known, purpose=event.purpose, recipe=self._shared(event.recipe))
            case EpisodeFinished():
                known = replace(known, episodes=(*known.episodes, event.episode))
            case BatchFinished():
                known = replace(
                    known,
                    finished=True,
                    void=event.void,
                    void_reason=event.void_reason,
                    counts=event.counts,
                )
                if known.purpose is Purpose.EXPLORE and not event.void:
                    self._explored.append(event.batch_id)
        self._batches[event.batch_id] = known
        return True

    def _shared(self, recipe: RecipeArchive) -> RecipeArchive:
        """The recipe, with what other batches hold as well held once: weights are large."""
        kept = self._contents
        files = {name: kept.setdefault(content, content) for name, content in recipe.files.items()}
        return replace(recipe, files=files)
