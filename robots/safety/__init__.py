"""What a robot may do, decided outside any policy's reach: a software stop, no rated safety function.

Everything here is pure: no clock, no socket, no driver. The station asks and acts.
"""

import hashlib
from pathlib import Path

import msgspec

from robots.safety.limits import ActionLimits


def safety_sha256(limits: ActionLimits) -> str:
    """Hash of the safety code in force and of a task's action limits.

    It stands in every ledger record, so that two scores under different guards can be told apart.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(msgspec.msgpack.encode(limits))
    return digest.hexdigest()
