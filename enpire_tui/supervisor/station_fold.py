"""What a station is doing and has done: a pure fold over that station's journal."""

import dataclasses
from dataclasses import field

import msgspec

from robots.wire import events as ev
from robots.wire.records import Episode, Mode, Outcome, Purpose, StationFigures

EXECUTING, EXPLORING, QUEUED, IDLE = "EXECUTING", "EXPLORING", "QUEUED", "IDLE"
ASKING, TRYING = "ASKING", "TRYING"
HELD, QUARANTINED = "HELD", "QUARANTINED"


@dataclasses.dataclass
class KnownBatch:
    """A batch the station accepted.

    Attributes:
        done: Episodes that came to an outcome.
        failed: Whether one of them was a failure.
    """

    batch_id: str
    purpose: Purpose
    idea_id: str
    episodes: int
    done: int = 0
    failed: bool = False
    running: bool = False


@dataclasses.dataclass
class StationFold:
    """A station as its journal tells it; finished batches are let go of.

    Attributes:
        incarnation: Of the daemon's latest start; a new one has forgotten its motion grant.
        finished: Batches that ended; whoever counts them takes them out.
        granted: Mode of the last motion grant of this incarnation.
        trying: The try that is open.
        asking: The approval that waits for a person.
        moving: Whether an approved reset moves the robot, or is about to.
    """

    name: str
    figures: StationFigures
    open: dict[str, KnownBatch] = field(default_factory=dict[str, KnownBatch])
    finished: list[str] = field(default_factory=list[str])
    incarnation: str = ""
    held: str = ""
    quarantined: str = ""
    granted: Mode | None = None
    trying: ev.TryAsked | None = None
    asking: ev.ApprovalAsked | None = None
    moving: bool = False

    @property
    def current(self) -> KnownBatch | None:
        """The batch with episodes on the way."""
        return next((each for each in self.open.values() if each.running), None)

    @property
    def word(self) -> str:
        """State word for people."""
        current = self.current
        if self.quarantined:
            return QUARANTINED
        if self.held:
            return HELD
        if self.asking is not None:
            return ASKING
        if self.trying is not None:
            return TRYING
        if current is not None:
            return EXPLORING if current.purpose is Purpose.EXPLORE else EXECUTING
        return QUEUED if self.open else IDLE

    @property
    def explore_open(self) -> int:
        """Explore batches queued or running."""
        return sum(1 for each in self.open.values() if each.purpose is Purpose.EXPLORE)

    def done_of(self, batch_id: str) -> int:
        """Finished episodes of an open batch, 0 of an unknown one."""
        known = self.open.get(batch_id)
        return known.done if known is not None else 0


def apply(fold: StationFold, seq: int, event: ev.AnyEvent) -> None:  # noqa: C901 - one row a kind
    """Folds one row of a station's journal."""
    fold.figures = msgspec.structs.replace(fold.figures, seq=seq)
    match event:
        case ev.DaemonStarted(incarnation=incarnation):
            fold.incarnation = incarnation
            fold.granted, fold.moving = None, False
            for batch in fold.open.values():
                batch.running = False
        case ev.BatchAccepted():
            fold.open[event.batch_id] = KnownBatch(
                event.batch_id, event.purpose, event.idea_id, event.episodes
            )
        case ev.EpisodeStarted(batch_id=batch_id):
            for batch in fold.open.values():
                batch.running = batch.batch_id == batch_id
        case ev.EpisodeFinished(batch_id=batch_id, episode=episode):
            _episode(fold, batch_id, episode)
        case ev.BatchFinished(batch_id=batch_id):
            fold.open.pop(batch_id, None)
            fold.finished.append(batch_id)
        case ev.StationHeld(reason=reason):
            fold.held = reason or "held"
        case ev.StationQuarantined(reason=reason):
            fold.quarantined = reason or "quarantined"
        case ev.StationReleased():
            fold.held = ""
            fold.quarantined = ""
        case ev.GrantReceived(mode=mode):
            fold.granted = mode
        case ev.TryAsked():
            fold.trying = event
        case ev.ApprovalAsked():
            fold.asking = event
        case ev.ApprovalClosed():
            fold.asking = None
        case ev.ResetBegan():
            fold.moving = True
        case ev.ResetTried():
            fold.moving = False
        case ev.TryFinished():
            fold.trying, fold.moving = None, False
        case _:
            pass


def _episode(fold: StationFold, batch_id: str, episode: Episode) -> None:
    batch = fold.open.get(batch_id)
    if batch is not None:
        batch.done += episode.outcome is not Outcome.VOID
        batch.failed = batch.failed or episode.outcome is Outcome.FAILURE
    before = fold.figures
    moving_s = episode.robot_s + episode.reset_s
    reset_share = episode.reset_s / moving_s if moving_s > 0 else 0.0
    fold.figures = msgspec.structs.replace(
        before,
        episodes=before.episodes + 1,
        busy_s=before.busy_s + episode.wall_s,
        reset_s=before.reset_s + episode.wall_s * reset_share,
        robot_s=before.robot_s + moving_s,
    )
