"""Setup at the daemon's loop: takes tries and answers from the supervisor, keeps their approvals.

Between the batch thread, which asks and waits, and the pure rules in `approvals`, which decide. An
operator speaks through the supervisor, which has checked the control lease: an operator's key has
no say here by itself.
"""

import asyncio
import concurrent.futures
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from robots.safety.table import Condition
from robots.station import scenes
from robots.station.approvals import STATION, Approvals, Decision, Present
from robots.station.authority import Authority, BatchCancelled
from robots.station.children import printable
from robots.station.rollout import Rig
from robots.station.scribe import Scribe
from robots.station.trying import Desk, Errand, Evidence, Permit
from robots.station.versions import Versions
from robots.wire import commands as c
from robots.wire.approvals import (
    ApprovalAnswer,
    ApprovalCard,
    ApprovalState,
    TryKind,
    TryState,
)
from robots.wire.clock import Clock
from robots.wire.events import (
    AnyEvent,
    ApprovalAsked,
    ApprovalClosed,
    StationHeld,
    TryAsked,
    TryFinished,
)
from robots.wire.journal import JournalFull
from robots.wire.reception import Refused
from robots.wire.records import Mode

log = logging.getLogger(__name__)

RESETS = 50
SHOWN_PAST = 20
_RETRY_S = 0.5


class Waiting(NamedTuple):
    """The question that waits, with what it was asked on."""

    approval_id: str
    evidence: Evidence
    permit: "concurrent.futures.Future[Permit]"


class Setup(Desk):
    """Tries and approvals of one station.

    Args:
        station: Its name.
        folder: Its own.
        approval_s: How long an approval can be answered.
        authority: Mode, holds and stops.
        scribe: Its journal.
        clock: Time.
        stopped: Told of a protective stop.

    Attributes:
        rig: The robot, None before anything was asked of it.
        send_on: Gives the batch thread a try.
    """

    def __init__(
        self,
        station: str,
        folder: Path,
        approval_s: float,
        authority: Authority,
        scribe: Scribe,
        clock: Clock,
        stopped: Callable[[Condition | None, str], None],
    ) -> None:
        self.approvals = Approvals()
        self.open: TryAsked | None = None
        self._station = station
        self._approval_s = approval_s
        self._authority = authority
        self._scribe = scribe
        self._clock = clock
        self.rig: Rig | None = None
        self.send_on: Callable[[Errand], None] = _nobody
        self._stopped = stopped
        self._versions = Versions(folder / "approved")
        self._incarnation = ""
        self._asked = 0
        self._waiting: Waiting | None = None
        self._loop = asyncio.get_running_loop()

    # --- the daemon's loop --------------------------------------------------------------------

    @property
    def approval_id(self) -> str:
        """What waits for an answer, "" if nothing does."""
        pending = self.approvals.pending
        return pending.asked.approval_id if pending is not None else ""

    @property
    def try_id(self) -> str:
        """The try that is open, "" if none is."""
        return self.open.try_id if self.open is not None else ""

    def apply(self, event: AnyEvent, wall_s: float) -> None:
        """Take a journal row into account."""
        self.approvals.apply(event, wall_s, self._clock.monotonic())
        match event:
            case TryAsked():
                self._asked += 1
                self.open = event
            case TryFinished():
                self.open = None
            case ApprovalClosed(approval_id=approval_id):
                self._settle(approval_id, event.state, event.reason)
            case StationHeld():
                # Written from within another row's fold: the ends follow as rows of their own.
                self._loop.call_soon(self._void, "the station was held")
            case _:
                pass

    def start(self, incarnation: str) -> None:
        """End what a restart cut: what was seen then says nothing of the scene now."""
        self._incarnation = incarnation
        self._void("the station was restarted")
        if self.open is not None:
            self._scribe.append(TryFinished(try_id=self.open.try_id, detail="station_restarted"))

    def pulse(self) -> None:
        """Called a few times a second: what is due ends."""
        now_s = self._clock.monotonic()
        self._note(self.approvals.expired(now_s))
        self._note(self.approvals.scope_over(now_s))

    def mode_changed(self, mode: Mode) -> None:
        """A grant of another mode came: approvals are setup's."""
        if mode is Mode.AUTONOMOUS:
            self._void("the fleet was handed over")

    def handle(
        self, command: c.OnBehalf | c.GetApproval, batch_id: str
    ) -> TryState | ApprovalAnswer | ApprovalCard:
        """Execute an operator's command as the supervisor sent it, or show a card.

        Args:
            command: What is asked.
            batch_id: The batch that is open, "" if none is.

        Raises:
            Refused: With a named reason.
        """
        if isinstance(command, c.GetApproval):
            return self.card(command.approval_id)
        person = printable(command.person)[:100]
        match command.command:
            case c.TryReset(station=station, count=count):
                return self._begin(station, TryKind.RESET, count, person, batch_id)
            case c.TryVerify(station=station):
                return self._begin(station, TryKind.VERIFY, 0, person, batch_id)
            case c.Approve() as answer:
                decision = self.approvals.approve(answer, person, self._present())
                return self._decided(answer.approval_id, decision)
            case c.Reject() as answer:
                return self._decided(answer.approval_id, self.approvals.reject(answer, person))

    def card(self, approval_id: str) -> ApprovalCard:
        """Everything about the approval that waits.

        Raises:
            Refused: It does not wait any more, or never did.
        """
        pending, waiting = self.approvals.pending, self._waiting
        wanted = approval_id or self.approval_id
        if pending is None or waiting is None or wanted != pending.asked.approval_id:
            closed = self.approvals.closed(approval_id)
            if closed is not None:
                raise Refused(f"answered: {closed.state.value} by {closed.by}: {closed.reason}")
            raise Refused(f"unknown_approval: {approval_id or 'none waits'}")
        asked, evidence, now_s = pending.asked, waiting.evidence, self._clock.monotonic()
        rig, counts = self.rig, self.approvals.counts
        assert rig is not None
        diff, base = self._versions.diff(rig.task, self._last_approved())
        return ApprovalCard(
            approval_id=asked.approval_id,
            station=self._station,
            task=rig.task.spec.name,
            try_id=asked.try_id,
            number=evidence.number,
            count=evidence.resets,
            state=ApprovalState.PENDING,
            asked_by=self.open.by if self.open is not None else "",
            code_sha256=asked.code_sha256,
            plan_sha256=asked.plan_sha256,
            scene_version=asked.scene_version,
            age_s=round(now_s - pending.asked_s, 3),
            left_s=round(max(0.0, pending.until_s - now_s), 3),
            refusal=self._refusal(asked),
            image=evidence.image,
            image_missing=evidence.image_missing,
            plan=evidence.motion,
            plan_missing=evidence.plan_missing,
            checks=evidence.checks,
            diff=diff,
            diff_base=base,
            same_code=counts(asked.code_sha256),
            all_code=counts(),
            past=tuple(reversed(self.approvals.past[-SHOWN_PAST:])),
        )

    # --- the batch thread's side --------------------------------------------------------------

    def tell(self, event: AnyEvent) -> None:
        done = self._scribe.post(event, True)
        while True:
            try:
                return done.result(_RETRY_S)
            except TimeoutError:
                if self._authority.closing():
                    raise BatchCancelled("station_closing", closing=True) from None

    def ask(self, try_id: str, evidence: Evidence) -> "concurrent.futures.Future[Permit]":
        permit: concurrent.futures.Future[Permit] = concurrent.futures.Future()
        self._loop.call_soon_threadsafe(self._ask, try_id, evidence, permit)
        return permit

    def void(self, reason: str) -> None:
        self._loop.call_soon_threadsafe(self._void, reason)

    def stopped(self, condition: Condition, detail: str) -> None:
        self._stopped(condition, detail)

    def approved(self, code_sha256: str) -> None:
        rig = self.rig
        assert rig is not None
        self._versions.keep(rig.task, code_sha256)
        if not rig.frozen:
            # What a person approved is the environment that batches are held to from here on.
            rig.manifest_sha256 = code_sha256

    # --- on the loop --------------------------------------------------------------------------

    def _begin(
        self, station: str, kind: TryKind, count: int, person: str, batch_id: str
    ) -> TryState:
        if station != self._station:
            raise Refused(f"invalid: this is {self._station}, not {station}")
        if kind is TryKind.RESET and not 1 <= count <= RESETS:
            raise Refused(f"invalid: count must be 1 to {RESETS}, got {count}")
        if self._authority.mode is Mode.AUTONOMOUS:
            raise Refused("mode: the fleet is autonomous; take it back to setup first")
        if self._authority.stopped is not None:
            raise Refused("held: release the station first")
        if self.open is not None:
            waits = f", which waits for {self.approval_id}" if self.approval_id else ""
            raise Refused(f"busy: {self.open.try_id} is open{waits}")
        if batch_id:
            raise Refused(f"busy: batch {batch_id} is open; cancel it, or end the run")
        try_id = f"{self._station}/t{self._asked + 1}"
        self._scribe.append(TryAsked(try_id=try_id, kind=kind, count=count, by=person))
        self.send_on(Errand(try_id, kind, count))
        return TryState(try_id=try_id, station=self._station, kind=kind, count=count)

    def _ask(
        self, try_id: str, evidence: Evidence, permit: "concurrent.futures.Future[Permit]"
    ) -> None:
        code_sha256, failed = evidence.code_sha256, _failed(evidence)
        self._note(self.approvals.scope_over(self._clock.monotonic(), code_sha256))
        covering = self.approvals.covering()
        if covering and not failed:
            permit.set_result(Permit(covering, ApprovalState.APPROVED, scoped=True))
            return
        approval_id = f"{self._station}/a{self.approvals.asked + 1}"
        motion = evidence.motion
        self._waiting = Waiting(approval_id, evidence, permit)
        asked = ApprovalAsked(
            approval_id=approval_id,
            try_id=try_id,
            number=evidence.number,
            plan_sha256=motion.plan_sha256 if motion is not None else "",
            code_sha256=code_sha256,
            scene_version=scenes.version(evidence.scene, self._incarnation),
            ttl_s=self._approval_s,
            failed=failed,
            summary=_summary(evidence),
        )
        try:
            self._scribe.append(asked)
        except JournalFull as fault:
            self._waiting = None
            permit.set_result(Permit("", ApprovalState.VOID, f"journal: {fault}"))

    def _settle(self, approval_id: str, state: ApprovalState, reason: str) -> None:
        """Let the batch thread know how its question ended."""
        waiting = self._waiting
        if waiting is not None and waiting.approval_id == approval_id:
            self._waiting = None
            waiting.permit.set_result(Permit(approval_id, state, reason))

    def _decided(self, approval_id: str, decision: Decision) -> ApprovalAnswer:
        if decision.closes is not None:
            self._scribe.append(decision.closes)
        if decision.refusal:
            raise Refused(decision.refusal)
        closed = self.approvals.closed(approval_id)
        assert closed is not None
        return ApprovalAnswer(
            approval_id=approval_id,
            state=closed.state,
            by=closed.by,
            reason=closed.reason,
            repeated=decision.closes is None,
        )

    def _refusal(self, asked: ApprovalAsked) -> str:
        """Why a yes to this very card would be refused now."""
        answer = c.Approve(
            approval_id=asked.approval_id,
            plan_sha256=asked.plan_sha256,
            scene_version=asked.scene_version,
        )
        return self.approvals.approve(answer, STATION, self._present()).refusal

    def _present(self) -> Present:
        rig, waiting = self.rig, self._waiting
        moved = ""
        if rig is not None and waiting is not None:
            before = waiting.evidence.scene.positions
            moved = scenes.shifted(before, scenes.positions_of(rig.driver))
        stopped = self._authority.stopped
        return Present(
            now_s=self._clock.monotonic(),
            code_sha256=rig.task.manifest_sha256() if rig is not None else "",
            moved=moved,
            stopped=stopped.value if stopped is not None else "",
        )

    def _void(self, reason: str) -> None:
        self._note(self.approvals.void(reason))
        self._note(self.approvals.end_scope(reason))

    def _note(self, event: AnyEvent | None) -> None:
        if event is not None:
            self._scribe.note(event)

    def _last_approved(self) -> str:
        for past in reversed(self.approvals.past):
            if past.state is ApprovalState.APPROVED:
                return past.code_sha256
        return ""


def _failed(evidence: Evidence) -> tuple[str, ...]:
    return tuple(check.name for check in evidence.checks if not check.ok)


def _summary(evidence: Evidence) -> str:
    motion = evidence.motion
    if motion is None:
        return f"no plan: {evidence.plan_missing}"[:200]
    end = "reaches its target" if motion.reached else "MISSES its target"
    return f"{motion.seconds:.1f} s of motion, {motion.tries} tries; {end} in rehearsal"


def _nobody(errand: Errand) -> None:
    """The station has no batch thread yet."""
