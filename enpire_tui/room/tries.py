"""What a station's journal tells of tries in setup and of the approvals they wait for: a pure fold."""

import dataclasses
from collections import deque
from dataclasses import field
from typing import NamedTuple

from robots.wire import events as ev
from robots.wire.approvals import ApprovalState, ResetResult, Sighting, TryKind

KEPT = 6
_STATES = {
    ApprovalState.APPROVED: "good",
    ApprovalState.REJECTED: "warn",
    ApprovalState.EXPIRED: "warn",
    ApprovalState.VOID: "warn",
}


class Pending(NamedTuple):
    """An approval that waits for a person; it expires by itself at `until_wall_s`."""

    asked: ev.ApprovalAsked
    wall_s: float

    @property
    def until_wall_s(self) -> float:
        return self.wall_s + self.asked.ttl_s


@dataclasses.dataclass
class Tries:
    """Tries of one station.

    Attributes:
        open: Id of the try that is open, "" if none is.
        closed: Approvals that ended, the latest last.
        told: Tone and words of what happened last, oldest first.
    """

    open: str = ""
    pending: Pending | None = None
    closed: deque[ev.ApprovalClosed] = field(
        default_factory=lambda: deque[ev.ApprovalClosed](maxlen=KEPT)
    )
    told: deque[tuple[str, str]] = field(
        default_factory=lambda: deque[tuple[str, str]](maxlen=KEPT)
    )

    def apply(self, event: ev.AnyEvent, wall_s: float) -> None:
        """Folds one row of the station's journal."""
        match event:
            case ev.TryAsked(try_id=try_id):
                self.open = try_id
                self.told.clear()
            case ev.TryFinished():
                self.open = ""
            case ev.ApprovalAsked():
                self.pending = Pending(event, wall_s)
            case ev.ApprovalClosed():
                self.pending = None
                self.closed.append(event)
            case _:
                pass
        words = told(event)
        if words is not None:
            self.told.append(words)


def person(name: str) -> str:
    """An operator for people: the label behind the key, where there is one."""
    return name.partition("/")[2] or name


def told(event: ev.AnyEvent) -> tuple[str, str] | None:
    """Tone and words of a row about a try; None for others."""
    match event:
        case ev.TryAsked(kind=kind, count=count, by=by):
            many = f" {count} times" if count > 1 else ""
            what = f"to try its reset{many}" if kind is TryKind.RESET else "its verifier"
            return "note", f"{person(by)} asked {what}"
        case ev.ApprovalAsked(number=number, summary=summary, failed=failed):
            failing = f"; failed: {', '.join(failed)}" if failed else ""
            return "bold warn", f"asks to approve reset {number}: {summary}{failing}".rstrip(": ")
        case ev.ApprovalClosed(state=state, by=by, reason=reason, scope=scope):
            scoped = f", {scope.count} resets in {scope.seconds / 60:g} min" if scope else ""
            why = f": {reason}" if reason else ""
            return _STATES.get(state, ""), f"{state.value} by {person(by)}{scoped}{why}"
        case ev.ScopeEnded(reason=reason):
            return "note", f"the scoped approval ended: {reason}"
        case ev.ResetBegan(number=number, scoped=scoped):
            return "dim", f"reset {number} began{' under the scoped approval' if scoped else ''}"
        case ev.ResetTried(result=result):
            return _result(result)
        case ev.VerifierTried(sight=sight):
            return ("bad" if sight.failed else "note"), f"the verifier says {seen(sight)}"
        case ev.TryFinished(reached=reached, resets=resets, detail=detail):
            counted = f": {reached} of {resets} resets reached" if resets else ""
            return "dim", f"try ended{counted} {detail}".rstrip()
        case _:
            return None


def _result(result: ResetResult) -> tuple[str, str]:
    tone = "good" if result.outcome == "reached" else "warn"
    text = f"reset {result.number} {result.outcome}"
    if result.tries:
        tried = "try" if result.tries == 1 else "tries"
        text += f" in {result.tries} {tried}, {result.robot_s:.1f} s"
    if result.detail:
        text += f": {result.detail}"
    if result.sight is not None:
        text += f"; the verifier says {seen(result.sight)}"
    return tone, text


def seen(sight: Sighting) -> str:
    """What a verifier said, in words."""
    if sight.failed:
        return f"nothing: {sight.failed}"
    score = f" {sight.score:.3f}" if sight.score is not None else ""
    gate = f" (not asked in a run: {sight.gate})" if sight.gate else ""
    return f"{'success' if sight.success else 'no success'}{score}, {sight.latency_ms:.0f} ms{gate}"
