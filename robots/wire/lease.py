"""The control lease: which operator may command the fleet. Pure; losing it never stops a robot.

There is one lease. Its epoch grows with every change of holder, so that a holder who wakes late
is refused by number, not by a clock.
"""

from dataclasses import dataclass

LEASE_TTL_S = 30.0


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease as the supervisor holds it.

    Attributes:
        holder: Name of the operator's key, "" before the first.
        epoch: Grows with every change of holder; 0 before the first.
        until_s: End of validity on the keeper's monotonic clock.
    """

    holder: str = ""
    epoch: int = 0
    until_s: float = 0.0


def take(lease: Lease, who: str, now_s: float, *, force: bool = False) -> Lease | None:
    """The lease after `who` asked for it; None if another holds it and `force` is not given."""
    if lease.holder == who and now_s < lease.until_s:
        return Lease(holder=who, epoch=lease.epoch, until_s=now_s + LEASE_TTL_S)
    if now_s < lease.until_s and lease.holder and not force:
        return None
    return Lease(holder=who, epoch=lease.epoch + 1, until_s=now_s + LEASE_TTL_S)


def objection(lease: Lease, who: str, epoch: int | None, now_s: float) -> str:
    """Why this operator's command is refused, "" if it is not."""
    if epoch is None:
        return "lease: take the control lease first"
    if epoch != lease.epoch or who != lease.holder:
        return f"lease: epoch {epoch} is late, {lease.holder or 'nobody'} holds {lease.epoch}"
    if now_s >= lease.until_s:
        return f"lease: epoch {epoch} ran out, take it again"
    return ""
