"""Policy files: a person's signed permission for an unattended fleet to move."""

import getpass
from pathlib import Path

import msgspec

from enpire_tui.fleet import Fleet, FleetError
from robots.wire.clock import Clock
from robots.wire.records import PolicyFile, Signed
from robots.wire.signing import SigningKey


def sign(fleet: Fleet, key_path: Path, hours: float, clock: Clock) -> tuple[Signed, PolicyFile]:
    """Signs a permission for this fleet's task, stations and minutes.

    Args:
        fleet: What may move, and for how long.
        key_path: The person's signing key; made if there is none.
        hours: From now until the permission is void.
        clock: For the expiry.

    Raises:
        FleetError: The key cannot be used.
    """
    key, person = signer(fleet, key_path)
    policy = PolicyFile(
        person=person,
        task=fleet.task,
        stations=tuple(each.name for each in fleet.station),
        minutes=fleet.minutes,
        not_after_wall_s=clock.wall() + hours * 3600.0,
    )
    return key.sign(policy), policy


def signer(fleet: Fleet, key_path: Path) -> tuple[SigningKey, str]:
    """A person's key and name; the key is made if there is none.

    Raises:
        FleetError: The key cannot be used, or is nobody's of this fleet.
    """
    try:
        key = SigningKey.load_or_create(key_path)
    except (OSError, ValueError) as error:
        raise FleetError(f"--key: {key_path}: {error}") from None
    known = set(fleet.people.values())
    if key.public.hex() not in known:
        raise FleetError(
            f"--key: its public half is not in the fleet file; add under [people]: "
            f'{getpass.getuser()} = "{key.public.hex()}"'
        )
    return key, next(name for name, each in fleet.people.items() if each == key.public.hex())


def write(path: Path, signed: Signed) -> None:
    """Writes a policy file, as `--policy` reads it."""
    path.write_bytes(msgspec.json.encode(signed) + b"\n")


def read(path: Path) -> Signed:
    """Reads a policy file.

    Raises:
        FleetError: It is missing or no policy file.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Signed)
    except (OSError, msgspec.DecodeError) as error:
        raise FleetError(f"--policy: {path}: {error}; `enpire-tui permit` makes one") from None
