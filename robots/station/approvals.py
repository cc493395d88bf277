"""Which approval lets the robot move in setup. Pure: rows of the journal in, decisions out.

An approval is bound to one plan, one set of files and one scene. Whatever it cannot vouch for ends
it, and an end that is no answer leaves the robot where it is. Moments are passed in, on the
station's monotonic clock.
"""

from collections import Counter
from typing import NamedTuple

import msgspec

from robots.wire.approvals import ApprovalCounts, ApprovalState, PastApproval, Scope
from robots.wire.commands import Approve, Reject
from robots.wire.events import (
    AnyEvent,
    ApprovalAsked,
    ApprovalClosed,
    ResetBegan,
    ResetTried,
    ScopeEnded,
)

SCOPE_COUNT = 200
SCOPE_S = 3600.0
WORDS = 2000
PAST = 200
STATION = "station"


class Present(NamedTuple):
    """What is so at the moment of an answer.

    Attributes:
        code_sha256: The task's files as they lie there.
        moved: How the scene differs from the card's, "" if it does not.
        stopped: Why the station may not move at all, "" if it may.
    """

    now_s: float
    code_sha256: str
    moved: str = ""
    stopped: str = ""


class Decision(NamedTuple):
    """What becomes of an answer: a row to be written, a refusal, or both.

    Attributes:
        closes: The approval's end; None where it stands as before.
        refusal: Why the answer is not taken, "" if it is.
    """

    closes: ApprovalClosed | None
    refusal: str = ""


class Open(msgspec.Struct, frozen=True):
    """The approval that waits, and until when."""

    asked: ApprovalAsked
    asked_s: float

    @property
    def until_s(self) -> float:
        """End of its validity."""
        return self.asked_s + self.asked.ttl_s


class _Scope(msgspec.Struct):
    approval_id: str
    scope: Scope
    until_s: float
    used: int = 0


class Approvals:
    """Approvals as the journal tells them.

    Attributes:
        pending: The one that waits for a person, None if none does.
        asked: How many there ever were; numbers the next.
        past: Those that ended, oldest first, the last 200.
    """

    def __init__(self) -> None:
        self.pending: Open | None = None
        self.asked = 0
        self.past: list[PastApproval] = []
        self._ended: dict[str, tuple[ApprovalAsked, ApprovalClosed]] = {}
        self._counts: dict[str, Counter[str]] = {}
        self._scope: _Scope | None = None

    def apply(self, event: AnyEvent, wall_s: float, now_s: float) -> None:
        """Take a journal row into account, at a moment of the station's clock."""
        match event:
            case ApprovalAsked():
                self.asked += 1
                self.pending = Open(event, now_s)
            case ApprovalClosed():
                self._closed(event, wall_s, now_s)
            case ScopeEnded():
                self._scope = None
            case ResetBegan():
                if self._scope is not None and self._scope.approval_id == event.approval_id:
                    self._scope.used += 1
            case ResetTried(result=result) if result.tries:
                self._moved(result.approval_id, result.outcome)
            case _:
                pass

    def closed(self, approval_id: str) -> ApprovalClosed | None:
        """How an approval ended, None if it did not or is unknown."""
        found = self._ended.get(approval_id)
        return found[1] if found is not None else None

    def approve(self, command: Approve, person: str, present: Present) -> Decision:
        """Decide on a yes."""
        known = self._answered(command.approval_id, ApprovalState.APPROVED)
        if known is not None:
            return known
        pending = self.pending
        assert pending is not None
        asked = pending.asked
        if present.now_s >= pending.until_s:
            return self._end(ApprovalState.EXPIRED, "nobody answered in time", "expired")
        if asked.code_sha256 != present.code_sha256:
            return self._end(ApprovalState.VOID, "the task's files have changed", "stale")
        if present.moved:
            return self._end(ApprovalState.VOID, f"the scene has changed: {present.moved}", "stale")
        reason = _objection(command, asked, present)
        if reason:
            return Decision(None, reason)
        return Decision(
            ApprovalClosed(
                approval_id=asked.approval_id,
                state=ApprovalState.APPROVED,
                by=person,
                scope=command.scope,
            )
        )

    def reject(self, command: Reject, person: str) -> Decision:
        """Decide on a no: it is always taken, once."""
        known = self._answered(command.approval_id, ApprovalState.REJECTED)
        if known is not None:
            return known
        return Decision(
            ApprovalClosed(
                approval_id=command.approval_id,
                state=ApprovalState.REJECTED,
                by=person,
                reason=command.words[:WORDS],
            )
        )

    def expired(self, now_s: float) -> ApprovalClosed | None:
        """The end of an approval that nobody answered in time, if that is due."""
        if self.pending is None or now_s < self.pending.until_s:
            return None
        return self._end(ApprovalState.EXPIRED, "nobody answered in time", "").closes

    def void(self, reason: str) -> ApprovalClosed | None:
        """The end of the approval that waits, for a cause of the station's own."""
        if self.pending is None:
            return None
        return self._end(ApprovalState.VOID, reason, "").closes

    def scope_over(self, now_s: float, code_sha256: str | None = None) -> ScopeEnded | None:
        """The end of the scope in force, if it covers nothing further.

        Args:
            now_s: The moment.
            code_sha256: The files that are about to run, None if none are.
        """
        found = self._scope
        if found is None:
            return None
        reason = ""
        if now_s >= found.until_s:
            reason = f"its {found.scope.seconds:g} s have passed"
        elif found.used >= found.scope.count:
            reason = f"its {found.scope.count} resets are used up"
        elif code_sha256 not in (None, found.scope.code_sha256):
            reason = "the task's files have changed"
        return ScopeEnded(approval_id=found.approval_id, reason=reason) if reason else None

    def end_scope(self, reason: str) -> ScopeEnded | None:
        """The end of the scope in force for a cause of the station's own."""
        found = self._scope
        return None if found is None else ScopeEnded(approval_id=found.approval_id, reason=reason)

    def covering(self) -> str:
        """The approval whose scope covers the next reset, "" if none; ask `scope_over` before."""
        return self._scope.approval_id if self._scope is not None else ""

    def counts(self, code_sha256: str = "") -> ApprovalCounts:
        """What was answered and came of it, of one set of files or ("") of all."""
        found: Counter[str] = Counter()
        for sha256, counter in self._counts.items():
            if not code_sha256 or sha256 == code_sha256:
                found.update(counter)
        return ApprovalCounts(**{field: found[field] for field in ApprovalCounts.__struct_fields__})

    # --- the fold ---------------------------------------------------------------------------

    def _closed(self, event: ApprovalClosed, wall_s: float, now_s: float) -> None:
        if self.pending is None or self.pending.asked.approval_id != event.approval_id:
            return
        asked, self.pending = self.pending.asked, None
        self._ended[event.approval_id] = (asked, event)
        self._count(asked.code_sha256, event.state.value)
        self.past.append(
            PastApproval(
                approval_id=event.approval_id,
                code_sha256=asked.code_sha256,
                state=event.state,
                by=event.by,
                reason=event.reason,
                wall_s=wall_s,
            )
        )
        del self.past[:-PAST]
        if event.scope is not None:
            until_s = now_s + event.scope.seconds
            self._scope = _Scope(event.approval_id, event.scope, until_s)

    def _moved(self, approval_id: str, outcome: str) -> None:
        reached = int(outcome == "reached")
        found = self._ended.get(approval_id)
        if found is not None:
            self._count(found[0].code_sha256, "resets")
            self._count(found[0].code_sha256, "reached", reached)
        for index, past in enumerate(self.past):
            if past.approval_id == approval_id:
                self.past[index] = msgspec.structs.replace(
                    past, outcome=outcome, resets=past.resets + 1, reached=past.reached + reached
                )

    def _count(self, code_sha256: str, field: str, by: int = 1) -> None:
        self._counts.setdefault(code_sha256, Counter())[field] += by

    # --- decisions --------------------------------------------------------------------------

    def _answered(self, approval_id: str, wanted: ApprovalState) -> Decision | None:
        """The decision where the approval ended already, or never was; None if it waits."""
        closed = self.closed(approval_id)
        if closed is not None:
            if closed.state is wanted:
                return Decision(None)
            words = f"{closed.state.value} by {closed.by}"
            return Decision(None, f"answered: {words}: {closed.reason}".removesuffix(": "))
        if self.pending is None or self.pending.asked.approval_id != approval_id:
            return Decision(None, f"unknown_approval: {approval_id}")
        return None

    def _end(self, state: ApprovalState, reason: str, rule: str) -> Decision:
        assert self.pending is not None
        asked = self.pending.asked
        closes = ApprovalClosed(
            approval_id=asked.approval_id, state=state, by=STATION, reason=reason
        )
        return Decision(closes, f"{rule}: {reason}")


def _objection(command: Approve, asked: ApprovalAsked, present: Present) -> str:
    """Why this yes is not taken, though the approval still waits for another; "" if it is."""
    if command.plan_sha256 != asked.plan_sha256:
        return "stale: this answer is to another plan; look at the card again"
    if command.scene_version != asked.scene_version:
        return "stale: this answer is to another scene; look at the card again"
    if asked.failed:
        return f"check: {', '.join(asked.failed)} failed; reject it and correct the reset"
    if present.stopped:
        return f"held: {present.stopped}; release the station first"
    scope = command.scope
    if scope is None:
        return ""
    if not 1 <= scope.count <= SCOPE_COUNT or not 0.0 < scope.seconds <= SCOPE_S:
        return f"invalid: a scope covers 1 to {SCOPE_COUNT} resets, and at most {SCOPE_S:.0f} s"
    if scope.code_sha256 != asked.code_sha256:
        return "stale: the scope is for other files than the card's"
    return ""
