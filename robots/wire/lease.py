"""The control lease: which operator may command the fleet. Pure; losing it never stops a robot.

There is one lease. Its epoch grows with every change of holder, so that a holder who wakes late
is refused by number, not by a clock. A holder is a key, and where several people use one key, a
label behind it: `operator/anna@lab1`.
"""

from dataclasses import dataclass

LEASE_TTL_S = 30.0


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease as the supervisor holds it.

    Attributes:
        holder: The operator's key with its label, "" for nobody.
        epoch: Grows with every change of holder; 0 before the first.
        until_s: End of validity on the keeper's monotonic clock.
    """

    holder: str = ""
    epoch: int = 0
    until_s: float = 0.0


def name_of(key: str, label: str) -> str:
    """A holder's name; a label's unprintable characters are dropped, and what is beyond 64."""
    shown = "".join(letter for letter in label if letter.isprintable())[:64]
    return f"{key}/{shown}" if shown else key


def take(lease: Lease, who: str, now_s: float, *, force: bool = False) -> Lease | None:
    """The lease after `who` asked for it; None if another holds it and `force` is not given."""
    if lease.holder == who and now_s < lease.until_s:
        return Lease(holder=who, epoch=lease.epoch, until_s=now_s + LEASE_TTL_S)
    if now_s < lease.until_s and lease.holder and not force:
        return None
    return Lease(holder=who, epoch=lease.epoch + 1, until_s=now_s + LEASE_TTL_S)


def ended(lease: Lease) -> Lease:
    """The lease once nobody holds it; its epoch is not used again."""
    return Lease(epoch=lease.epoch)


def objection(lease: Lease, key: str, epoch: int | None, now_s: float) -> str:
    """Why this operator's command is refused, "" if it is not.

    Args:
        lease: As it stands.
        key: Name of the sender's key.
        epoch: What the command carries.
        now_s: On the keeper's monotonic clock.
    """
    if epoch is None:
        return "lease: take the control lease first"
    if epoch != lease.epoch or key != lease.holder.partition("/")[0]:
        return f"lease: epoch {epoch} is late, {lease.holder or 'nobody'} holds {lease.epoch}"
    if now_s >= lease.until_s:
        return f"lease: epoch {epoch} ran out, take it again"
    return ""
