"""CURVE key pairs, and which public key has which role.

`<home>/keys/NAME.key` (0600) holds both halves, `NAME.pub` the public one, `authorized.toml` the
list of peers. Keys are Z85 text, 40 characters, as ZeroMQ prints them.
"""

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import zmq

from robots.wire.records import Role

AUTHORIZED = "authorized.toml"
Z85_CHARACTERS = 40


class KeyFileError(Exception):
    """A key file that is missing or not what it should be; says which and what to do."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A CURVE key pair, both halves Z85 text as bytes."""

    public: bytes
    secret: bytes

    @classmethod
    def generate(cls) -> "KeyPair":
        public, secret = zmq.curve_keypair()
        return cls(public=public, secret=secret)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a public key belongs to, and what it may do."""

    name: str
    role: Role


class Authorized:
    """Public keys that are let in. Read from a file, it is read again when the file changes."""

    def __init__(self, peers: Mapping[bytes, Identity], path: Path | None = None) -> None:
        self._peers = dict(peers)
        self._path = path
        self._stamp = _stamp(path) if path else (0, 0)

    @classmethod
    def load(cls, path: Path) -> "Authorized":
        """Read `authorized.toml`.

        Raises:
            KeyFileError: It is missing or malformed.
        """
        return cls(_read_authorized(path), path)

    def find(self, public: bytes) -> Identity | None:
        """Whose key this is, None if nobody's."""
        return self._peers.get(public)

    def refresh(self) -> None:
        """Read the file again if it changed; a broken file changes nothing."""
        if self._path is None or _stamp(self._path) == self._stamp:
            return
        self._stamp = _stamp(self._path)
        try:
            self._peers = _read_authorized(self._path)
        except KeyFileError:
            return


def load_keypair(home: Path, name: str) -> KeyPair:
    """Key pair of a daemon or a person.

    Raises:
        KeyFileError: There is none, or its file is not a key.
    """
    path = home / "keys" / f"{name}.key"
    try:
        table = tomllib.loads(path.read_text())
        pair = KeyPair(public=table["public"].encode(), secret=table["secret"].encode())
    except FileNotFoundError as error:
        raise KeyFileError(f"{path} is missing; `enpire-tui up` makes the keys") from error
    except (tomllib.TOMLDecodeError, KeyError, AttributeError) as error:
        raise KeyFileError(
            f"{path} is not a key file ({error}); remove it, make keys again"
        ) from error
    if zmq.curve_public(pair.secret) != pair.public:
        raise KeyFileError(f"{path}: the public key does not belong to the secret one")
    return pair


def load_public(home: Path, name: str) -> bytes:
    """Public key of a daemon.

    Raises:
        KeyFileError: There is none, or its file is not a key.
    """
    path = home / "keys" / f"{name}.pub"
    try:
        public = path.read_text().strip().encode()
    except FileNotFoundError as error:
        raise KeyFileError(f"{path} is missing; `enpire-tui up` makes the keys") from error
    if len(public) != Z85_CHARACTERS:
        raise KeyFileError(f"{path}: {len(public)} characters, a public key has {Z85_CHARACTERS}")
    return public


def load_authorized(home: Path) -> Authorized:
    """Peers that this home's daemons let in."""
    return Authorized.load(home / "keys" / AUTHORIZED)


def provision(home: Path, roles: Mapping[str, Role | None]) -> None:
    """Make what keys are missing and write `authorized.toml`.

    Args:
        home: The fleet's home.
        roles: Name to role; None for a daemon that only listens and is let in nowhere. Existing
            keys are kept; peers not named are let in no more.
    """
    folder = home / "keys"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    admitted: list[tuple[str, Role, bytes]] = []
    for name, role in roles.items():
        path = folder / f"{name}.key"
        if not path.exists():
            pair = KeyPair.generate()
            text = f'public = "{pair.public.decode()}"\nsecret = "{pair.secret.decode()}"\n'
            _write(path, text, 0o600)
        public = load_keypair(home, name).public
        _write(folder / f"{name}.pub", public.decode() + "\n", 0o644)
        if role is not None:
            admitted.append((name, role, public))
    _write(folder / AUTHORIZED, _authorized_text(admitted), 0o600)


def _authorized_text(admitted: Iterable[tuple[str, Role, bytes]]) -> str:
    tables = [
        f'[[peer]]\nname = "{name}"\nrole = "{role.value}"\npublic = "{public.decode()}"\n'
        for name, role, public in admitted
    ]
    return "# Who is let in, and as what.\n" + "\n".join(tables)


def _read_authorized(path: Path) -> dict[bytes, Identity]:
    try:
        table = tomllib.loads(path.read_text())
        return {
            peer["public"].encode(): Identity(name=peer["name"], role=Role(peer["role"]))
            for peer in table.get("peer", [])
        }
    except FileNotFoundError as error:
        raise KeyFileError(f"{path} is missing; `enpire-tui up` writes it") from error
    except (tomllib.TOMLDecodeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise KeyFileError(f"{path} does not list peers as it should: {error}") from error


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_ino)


def _write(path: Path, text: str, mode: int) -> None:
    new = path.with_name(path.name + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
