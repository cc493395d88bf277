"""The station daemon: takes commands, keeps the journal, and lets the batch thread work.

All state is a fold over the journal. What the robot may do is decided by `robots.safety`; this file
carries commands to the `Authority` and decisions to the journal, on one event loop.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from robots.safety.table import Condition
from robots.station.authority import Authority
from robots.station.batches import Batches, accepted, objection
from robots.station.config import StationConfig
from robots.station.crew import Crew
from robots.station.drift import DRIFT
from robots.station.grants import GrantRefused, accept
from robots.station.labelling import Labelling
from robots.station.labels import Labels
from robots.station.latch import Latch, Standing
from robots.station.ledger import Ledger, sha256_of
from robots.station.portrait import Portrait
from robots.station.recording import Recorder, Trace
from robots.station.reports import Evidence, unwritten
from robots.station.rollout import Rig
from robots.station.scribe import Scribe
from robots.station.setup import Setup
from robots.station.stills import Stills
from robots.wire import codec, commands
from robots.wire.clock import Clock
from robots.wire.commands import AnyCommand
from robots.wire.events import (
    AnyEvent,
    BatchFinished,
    DaemonStarted,
    GrantLapsed,
    GrantReceived,
    StationHeld,
    StationQuarantined,
    StationReleased,
    TryFinished,
)
from robots.wire.journal import Journal, replay
from robots.wire.reception import Peer, Refused
from robots.wire.records import LedgerRecord, Purpose, Role
from robots.wire.station_replies import BatchPhase, BatchState, Done, StationReport
from robots.wire.telemetry import StationTelemetry

log = logging.getLogger(__name__)

VERSION = "1"
CLOSE_TIMEOUT_S = 12.0


class Station:
    """One station, without its sockets: `handle` is what the server calls.

    Args:
        name: The station's name.
        folder: Where its latch, ledger and recordings are.
        config: What it was told.
        journal: Its journal.
        ledger: Its ledger.
        clock: Time.
        make_rig: Makes the rig on the batch thread, given the authority.
        labels: Where people's judgements of its scenes are kept.
        public_key: Of its ledger.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        config: StationConfig,
        journal: Journal,
        ledger: Ledger,
        clock: Clock,
        make_rig: Callable[[Authority], Rig],
        labels: Labels,
        *,
        public_key: bytes,
    ) -> None:
        self.name = name
        self._config = config
        self._journal = journal
        self._ledger = ledger
        self._clock = clock
        self._public_key = public_key
        self._batches = Batches()
        self._standing = Standing()
        self._latch = Latch(folder / "estop")
        self._drift = folder / DRIFT
        self._evidence = Evidence()
        self._loop = asyncio.get_running_loop()
        self._restarts = 0
        self._grant_until_s = float("-inf")
        self._lapsing: int | None = None
        self._rig: Rig | None = None
        self._stills = Stills()
        self._scribe = Scribe(journal, clock, self._fold)
        self.authority = Authority(clock.monotonic, needs_grant=config.grants == "required")
        self._setup = Setup(
            name, folder, config.approval_s, self.authority, self._scribe, clock, self._stopped
        )
        recorder = None
        if config.record != "off":
            recorder = Recorder(folder / "recordings", config.recording_quota_bytes)

        def made() -> Rig:
            self._rig = self._setup.rig = make_rig(self.authority)
            return self._rig

        self._crew = Crew(
            station=name,
            make_rig=made,
            authority=self.authority,
            ledger=ledger,
            recorder=recorder,
            record_all=config.record == "all",
            clock=clock,
            post=self._scribe.post,
            evidence=self._keep_evidence,
            stopped=self._stopped,
            gave_up=lambda: self._soon(self._on_gave_up),
            desk=self._setup,
        )
        self._setup.send_on = self._crew.send_on
        look, note = self._crew.glimpses.ask, self._scribe.note
        self._labelling = Labelling(name, labels, look, clock, note)

    def start(self, incarnation: str) -> None:
        """Fold the journal, give cut episodes their outcome, and go on with open batches."""
        self._replay()
        self._scribe.append(
            DaemonStarted(
                name=self.name,
                incarnation=incarnation,
                pid=os.getpid(),
                restarts=self._restarts,
                version=VERSION,
            ),
        )
        self._adopt_ledger()
        self._setup.start(incarnation)
        for cut in self._batches.interrupted("station_restarted"):
            self._scribe.append(cut)
        detail = self._latch.read()
        if detail is not None:
            self._standing.held(Condition.EMERGENCY_STOP, detail, by_agent=False)
        if self._standing.condition is not None:
            self.authority.stop(
                self._standing.condition, self._standing.detail, by_agent=self._standing.by_agent
            )
        self._crew.start()
        self._dispatch()

    async def close(self) -> None:
        """Stop the batch thread; an episode in work is void at the next start."""
        await self._crew.close(CLOSE_TIMEOUT_S)
        await self._stills.close()
        await asyncio.sleep(0)
        self._journal.flush()

    def _replay(self) -> None:
        for row in replay(self._journal):
            if isinstance(row.event, DaemonStarted):
                self._restarts += 1
            self._batches.apply(row.event, row.wall_s)
            self._standing.apply(row.event)
            self._setup.apply(row.event, row.wall_s)

    def _adopt_ledger(self) -> None:
        """Finish batches whose record was signed before a kill and not yet journalled."""
        for batch_id, batch in list(self._batches.open.items()):
            signed = self._ledger.find(batch_id)
            if signed is not None:
                record = codec.decode(signed.body, LedgerRecord)
                for event in unwritten(record, batch.episodes, sha256_of(signed)):
                    self._scribe.append(event)

    async def handle(self, command: AnyCommand, peer: Peer) -> msgspec.Struct | None:
        """Execute one command whose sender's role was checked.

        Raises:
            Refused: With a named reason.
        """
        match command:
            case commands.GetStatus():
                return self.report()
            case commands.StartBatch():
                return self._start_batch(command, peer)
            case commands.GetBatch(batch_id=batch_id):
                return self._state(batch_id)
            case commands.CancelBatch():
                return self._cancel(command, peer)
            case commands.GetFrame():
                return await self._stills.take(self._rig)
            case commands.GetEpisode() | commands.GetFrames():
                return await self._shown(command, peer)
            case commands.OnBehalf() | commands.GetApproval():
                return self._setup.handle(command, next(iter(self._batches.open), ""))
            case commands.RenewGrant():
                return self._renew(command)
            case commands.Hold(reason=reason):
                return self._hold(Condition.HOLD, reason, peer)
            case commands.EmergencyStop(reason=reason):
                return self._emergency_stop(reason, peer)
            case commands.Release():
                return self._release(command, peer)
            case _:
                return await self._labelling.take(command)

    def _start_batch(self, command: commands.StartBatch, peer: Peer) -> BatchState:
        known = self._batches.state(command.batch_id)
        if known is not None:
            return self._state(command.batch_id)
        if self._standing.quarantined:
            raise Refused(f"quarantined: {self._standing.detail}")
        reason = objection(command, peer.role, self._batches.queued())
        if reason:
            raise Refused(reason)
        self._scribe.append(accepted(command, peer.name))
        self._dispatch()
        return self._state(command.batch_id)

    def _state(self, batch_id: str) -> BatchState:
        state = self._batches.state(batch_id)
        if state is None:
            raise Refused(f"unknown_batch: {batch_id}")
        if state.phase is BatchPhase.FINISHED:
            state = msgspec.structs.replace(state, signed=self._ledger.find(batch_id))
        return state

    def _cancel(self, command: commands.CancelBatch, peer: Peer) -> BatchState:
        batch = self._batches.open.get(command.batch_id)
        if batch is None:
            return self._state(command.batch_id)
        if peer.role is Role.AGENT and batch.accepted.purpose is not Purpose.EXPLORE:
            # SAFETY: else an agent could take back the evaluation it is losing.
            raise Refused("role: an agent may cancel explore batches only")
        self.authority.cancel(command.batch_id, f"{command.reason} (by {peer.name})")
        return self._state(command.batch_id)

    async def _shown(
        self, command: commands.GetEpisode | commands.GetFrames, peer: Peer
    ) -> msgspec.Struct:
        state, batch = self._state(command.batch_id), self._batches.open.get(command.batch_id)
        running = batch.episodes if batch is not None else ()
        if isinstance(command, commands.GetEpisode):
            return self._evidence.shown(state, running, command.index, peer.role)
        watched = self._evidence.watched(state, running, command.index, peer.role)
        return await self._stills.frames(self._rig, command, *watched)

    def _renew(self, command: commands.RenewGrant) -> Done:
        try:
            grant = accept(
                command.grant,
                station=self.name,
                trusted=self._config.trusted(),
                last_serial=self._standing.serial,
            )
        except GrantRefused as error:
            raise Refused(f"grant: {error}") from error
        until_s = self._clock.monotonic() + grant.ttl_s
        self._scribe.append(
            GrantReceived(serial=grant.serial, mode=grant.mode, ttl_s=grant.ttl_s), durable=True
        )
        self._grant_until_s = until_s
        self._setup.mode_changed(grant.mode)
        self.authority.grant(grant.mode, until_s)
        self._lapsing = grant.serial
        return Done(word=self.word())

    def pulse(self) -> None:
        """Called a few times a second: sees the stop's file, ends of grants and approvals."""
        self._setup.pulse()
        latched = self._latch.read()
        if latched is not None and self.authority.stopped is not Condition.EMERGENCY_STOP:
            # Somebody at the robot pressed its button, or made the file by hand.
            self.authority.stop(Condition.EMERGENCY_STOP, latched)
            self._scribe.note(StationHeld(reason=latched, by="robot", latched=True))
        if self._lapsing is not None and self._clock.monotonic() >= self._grant_until_s:
            serial, self._lapsing = self._lapsing, None
            self._scribe.note(GrantLapsed(serial=serial))

    def _hold(self, condition: Condition, reason: str, peer: Peer) -> Done:
        # Stop first, write afterwards: a full disk must not keep a robot moving.
        by_agent = peer.role is Role.AGENT
        detail = f"{reason} (by {peer.name})"
        self.authority.stop(condition, detail, by_agent=by_agent)
        latched = condition is Condition.EMERGENCY_STOP
        self._scribe.note(StationHeld(reason=detail, by=_by(peer), latched=latched))
        return Done(word=self.word())

    def _emergency_stop(self, reason: str, peer: Peer) -> Done:
        self.authority.stop(Condition.EMERGENCY_STOP, reason, by_agent=peer.role is Role.AGENT)
        self._latch.set(f"{reason} (by {peer.name})")
        return self._hold(Condition.EMERGENCY_STOP, reason, peer)

    def _release(self, command: commands.Release, peer: Peer) -> Done:
        if command.station != self.name:
            raise Refused(f"confirmation: type the station's name, {self.name}")
        if self._latch.read() is not None:
            raise Refused(f"estop_latched: a person at the robot clears it ({self._latch.path})")
        standing = self._standing
        if standing.needs_cause and not command.cause:
            raise Refused(f"cause: name the cause of {standing.detail!r} to release it")
        if standing.quarantined and standing.detail.startswith(DRIFT):
            self._drift.unlink(missing_ok=True)
        if standing.condition is not None or standing.quarantined:
            self._scribe.append(StationReleased(cause=command.cause, by=_by(peer)))
        self.authority.release()
        self._dispatch()
        return Done(word=self.word())

    def _fold(self, event: AnyEvent, wall_s: float) -> None:
        self._batches.apply(event, wall_s)
        self._standing.apply(event)
        self._setup.apply(event, wall_s)
        if isinstance(event, TryFinished):
            self._loop.call_soon(self._dispatch)
        if isinstance(event, BatchFinished) and event.batch_id == self._batches.running:
            self._batches.running = ""
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """Give the idle thread its next batch."""
        if self._batches.running or self._setup.open is not None:
            return
        batch = self._batches.next()
        if batch is None:
            return
        plan = batch.plan()
        self._batches.running = plan.batch_id
        self._crew.hand_over(plan, batch.accepted_wall_s)

    def _soon(self, call: Callable[..., None], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(call, *arguments)

    def _keep_evidence(self, batch_id: str, index: int, trace: Trace) -> None:
        self._soon(self._evidence.keep, batch_id, index, trace)

    def _stopped(self, condition: Condition | None, detail: str) -> None:
        self._soon(self._on_stopped, condition, detail)

    def _on_gave_up(self) -> None:
        """The rig broke: its episode is void, its batch goes on after a release, a try is over."""
        self._batches.running = ""
        if self._setup.open is not None:
            self._scribe.note(TryFinished(try_id=self._setup.try_id, detail="driver_error"))
        for cut in self._batches.interrupted("driver_error"):
            self._scribe.note(cut)

    def _on_stopped(self, condition: Condition | None, detail: str) -> None:
        if condition is None:
            self.authority.stop(Condition.HOLD, f"quarantined: {detail}")
            self._scribe.note(StationQuarantined(reason=detail))
        else:
            reason = f"{condition.value}: {detail}"
            self._scribe.note(StationHeld(reason=reason, by="station", latched=True))

    def word(self) -> str:
        """The station's state in one word."""
        return self._portrait().word()

    def report(self) -> StationReport:
        """Answer to `GetStatus`."""
        report = self._portrait().report(self._config)
        return msgspec.structs.replace(report, public_key=self._public_key)

    def telemetry(self) -> StationTelemetry:
        """How the station stands now."""
        return self._portrait().telemetry()

    def _portrait(self) -> Portrait:
        return Portrait(
            name=self.name,
            batches=self._batches,
            standing=self._standing,
            authority=self.authority,
            rig=self._rig,
            full=self._scribe.full,
            grant_s=self._grant_until_s - self._clock.monotonic(),
            try_id=self._setup.try_id,
            approval_id=self._setup.approval_id,
        )


def _by(peer: Peer) -> str:
    return f"{peer.role.value}:{peer.name}"
