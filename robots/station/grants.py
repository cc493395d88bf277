"""Motion grants: which are accepted, and until when they hold. Pure."""

from collections.abc import Collection

from robots.wire.records import MotionGrant, Signed
from robots.wire.signing import SignatureRefused, verify

TTL_LIMIT_S = 900.0
"""A grant lasts minutes; a longer one would outlive whoever should be able to let it lapse."""


class GrantRefused(Exception):
    """A grant that gives this station no right to move; says by which rule."""


def accept(
    signed: Signed, *, station: str, trusted: Collection[bytes], last_serial: int
) -> MotionGrant:
    """Check a grant.

    Args:
        signed: As it came.
        station: This station's name.
        trusted: Public keys of those who may grant.
        last_serial: Serial of the last accepted grant; an older or repeated one is a replay.

    Raises:
        GrantRefused: Unknown signer, another station's, a replay, or too long.
    """
    try:
        grant = verify(signed, MotionGrant, trusted)
    except SignatureRefused as error:
        raise GrantRefused(str(error)) from error
    if grant.station != station:
        raise GrantRefused(f"the grant is for {grant.station}, this is {station}")
    if grant.serial <= last_serial:
        raise GrantRefused(f"serial {grant.serial} is not above {last_serial}: a replay")
    if not 0.0 < grant.ttl_s <= TTL_LIMIT_S:
        raise GrantRefused(f"ttl_s must be in (0, {TTL_LIMIT_S:.0f}], got {grant.ttl_s}")
    return grant
