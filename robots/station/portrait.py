"""How a station describes itself: in one word, in a report, in telemetry. Decides nothing."""

from typing import NamedTuple

import msgspec

from robots.safety.table import Condition
from robots.station.authority import Authority
from robots.station.batches import Batches
from robots.station.config import StationConfig
from robots.station.latch import Standing
from robots.station.rollout import Rig
from robots.wire.station_replies import StationReport
from robots.wire.telemetry import StationTelemetry

_OUTCOMES = {"success": "+", "failure": "-", "void": "v"}
_SHOWN_OUTCOMES = 60


class Portrait(NamedTuple):
    """What there is to be seen of a station at one moment.

    Attributes:
        full: Why the journal takes nothing, "" if it does.
        grant_s: Seconds until the motion grant lapses, negative if it has.
        try_id, approval_id: The try that is open, and what it waits for.
    """

    name: str
    batches: Batches
    standing: Standing
    authority: Authority
    rig: Rig | None
    full: str
    grant_s: float
    try_id: str = ""
    approval_id: str = ""

    def word(self) -> str:
        """The state in one word."""
        if self.full:
            return "FULL"
        if self.standing.quarantined:
            return "QUARANTINED"
        if self.authority.stopped is Condition.EMERGENCY_STOP:
            return "STOPPED"
        if self.authority.stopped is not None:
            return "HELD"
        if self.approval_id:
            return "ASKING"
        if self.try_id:
            return "TRYING"
        if not self.authority.granted():
            return "WAITING"
        return "EXECUTING" if self.batches.running else "IDLE"

    def report(self, config: StationConfig) -> StationReport:
        """The answer to `GetStatus`, but for the ledger's key."""
        running = self.batches.open.get(self.batches.running)
        published = config.manifest()
        can = self.rig.driver.capabilities if self.rig is not None else None
        return StationReport(
            name=self.name,
            task=config.task,
            driver=config.driver,
            clock=config.clock.value,
            word=self.word(),
            detail=self.full or self.standing.detail,
            mode=self.authority.mode,
            grant_s=max(0.0, self.grant_s),
            batch_id=self.batches.running,
            purpose=running.accepted.purpose if running else None,
            episode=len(running.episodes) if running else 0,
            queued=self.batches.queued(),
            finished_batches=len(self.batches.done),
            unsandboxed=config.sandbox == "off",
            simulated=can.simulated if can else True,
            simulator_reset=can.simulator_reset if can else False,
            blocked=self.standing.blocked,
            published=published.manifest_sha256 if published is not None else "",
            try_id=self.try_id,
            approval_id=self.approval_id,
        )

    def telemetry(self) -> StationTelemetry:
        """What viewers draw."""
        running = self.batches.open.get(self.batches.running)
        told = StationTelemetry(
            station=self.name,
            word=self.word(),
            mode=self.authority.mode.value,
            held=self.standing.detail,
            # A station without grants has no end of them; msgpack readers like finite numbers.
            grant_s=max(-1.0, min(1e6, self.grant_s)),
        )
        if running is None:
            return told
        live = self.rig.runner.live() if self.rig is not None else None
        outcomes = [_OUTCOMES[episode.outcome.value] for episode in running.episodes]
        return msgspec.structs.replace(
            told,
            batch_id=running.accepted.batch_id,
            purpose=running.accepted.purpose.value,
            idea_id=running.accepted.idea_id,
            episode=-1 if running.open_index is None else running.open_index,
            done=len(running.episodes),
            of=running.accepted.episodes,
            outcomes="".join(outcomes[-_SHOWN_OUTCOMES:]),
            robot_s=live.robot_s if live else 0.0,
            score=live.score if live else None,
            pose=live.pose if live else (),
            action=live.action if live else (),
            jitter_ms=1e3 * live.jitter_s if live else 0.0,
        )
