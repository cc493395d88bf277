"""Approving from a card: what is bound to what was seen, and when a key does not count. Pure."""

from typing import NamedTuple

from enpire_tui.room.moment import Lease
from robots.wire import commands as c
from robots.wire.approvals import ApprovalCard, ApprovalState, Scope

# Keys typed ahead of a card do not answer it.
SETTLE_S = 0.3
# The station is asked again every second; after this long its evidence is old.
FRESH_S = 5.0


class Shown(NamedTuple):
    """A card as it stands on the screen.

    Attributes:
        got_s: When the station told it last, monotonic seconds.
        since_s: When this very evidence was painted first; negative infinity's opposite, infinity,
            before that.
        answering: Whether an answer to it is on its way.
    """

    card: ApprovalCard
    got_s: float
    since_s: float = float("inf")
    answering: bool = False

    def left_s(self, now_s: float) -> float:
        """Seconds until it expires."""
        return max(0.0, self.card.left_s - (now_s - self.got_s))


def same_evidence(one: ApprovalCard, other: ApprovalCard) -> bool:
    """Whether a person who saw one has seen the other."""
    return _evidence(one) == _evidence(other)


def _evidence(card: ApprovalCard) -> tuple[object, ...]:
    return (
        card.approval_id,
        card.plan_sha256,
        card.code_sha256,
        card.scene_version,
        card.checks,
        card.plan,
        card.image,
        card.diff,
        card.refusal,
    )


def early(shown: Shown, now_s: float) -> bool:
    """Whether a key pressed now may have been meant for something else."""
    return now_s - shown.since_s < SETTLE_S


def closed(shown: Shown | None) -> str:
    """Why a card cannot be answered at all, "" if it can."""
    if shown is None:
        return "no card is there yet"
    if shown.card.state is not ApprovalState.PENDING:
        return f"it is {shown.card.state.value} already"
    return "an answer is on its way" if shown.answering else ""


def controls(lease: Lease) -> str:
    """Why a person who answers must take control first, "" if they have it."""
    if lease.mine:
        return ""
    return f"{lease.who or 'nobody'} holds the control lease (C takes it)"


def objection(shown: Shown | None, lease: Lease, now_s: float, *, simulated: bool = True) -> str:
    """Why a card cannot be approved, "" if it can.

    Args:
        shown: The card.
        lease: Who commands.
        now_s: Monotonic seconds.
        simulated: Whether every driver is: where each robot has a copy of its world to rehearse
            in, a plan that is missing is one that failed.
    """
    reason = closed(shown) or controls(lease)
    if reason or shown is None:
        return reason
    card = shown.card
    failed = [check.name for check in card.checks if not check.ok]
    if failed:
        return f"failed: {', '.join(failed)}"
    if simulated and card.plan is None:
        return f"there is no plan: {card.plan_missing or 'the station told none'}"
    if card.refusal:
        return card.refusal
    if shown.left_s(now_s) <= 0.0:
        return "it has expired"
    old_s = now_s - shown.got_s
    if old_s > FRESH_S:
        return f"the evidence is {old_s:.0f} s old, the station does not answer"
    return ""


def approval(shown: Shown, count: int = 1, minutes: float = 0.0) -> c.Approve:
    """Approves what was painted, and nothing else; more than one reset is bound to the code."""
    card = shown.card
    scope = Scope(count=count, seconds=60.0 * minutes, code_sha256=card.code_sha256)
    return c.Approve(
        approval_id=card.approval_id,
        plan_sha256=card.plan_sha256,
        scene_version=card.scene_version,
        scope=scope if minutes > 0.0 else None,
    )
