"""Ed25519 signatures on records that outlive a connection: ledger records, grants, manifests."""

import os
from collections.abc import Collection
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from robots.wire import codec
from robots.wire.records import Signed

T = TypeVar("T", bound=msgspec.Struct)

SECRET_BYTES = 32


class SignatureRefused(Exception):
    """A record that is not signed by a trusted key, or not what it was signed as."""


class SigningKey:
    """A private key; its file has mode 0600 and holds the 32 secret bytes."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public: bytes = key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> "SigningKey":
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> "SigningKey":
        """Read a key.

        Raises:
            OSError: There is no such file.
            ValueError: The file is not a key.
        """
        secret = path.read_bytes()
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"{path}: {len(secret)} bytes, a signing key has {SECRET_BYTES}")
        return cls(Ed25519PrivateKey.from_private_bytes(secret))

    @classmethod
    def load_or_create(cls, path: Path) -> "SigningKey":
        """Read a key, or make and save one if there is none."""
        try:
            return cls.load(path)
        except FileNotFoundError:
            key = cls.generate()
            key.save(path)
            return key

    def save(self, path: Path) -> None:
        """Write the key; an existing file is never overwritten.

        Raises:
            FileExistsError: There is a file already.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(self._key.private_bytes_raw())

    def sign(self, record: msgspec.Struct) -> Signed:
        """Sign a record as what it is: the type's name is part of what is signed."""
        body = codec.encode(record)
        signature = self._key.sign(_message(type(record), body))
        return Signed(body=body, signature=signature, key=self.public)


def verify(signed: Signed, kind: type[T], trusted: Collection[bytes]) -> T:
    """The record of type `kind` inside, if one of the `trusted` public keys signed it as such.

    Raises:
        SignatureRefused: Unknown key, wrong signature, or another type of record.
    """
    if signed.key not in trusted:
        raise SignatureRefused(f"{kind.__name__} signed by unknown key {signed.key.hex()[:16]}")
    try:
        key = Ed25519PublicKey.from_public_bytes(signed.key)
        key.verify(signed.signature, _message(kind, signed.body))
    except (InvalidSignature, ValueError) as error:
        raise SignatureRefused(f"signature does not fit this {kind.__name__}") from error
    try:
        return codec.decode(signed.body, kind)
    except codec.DecodeError as error:
        raise SignatureRefused(f"signed bytes are not a {kind.__name__}: {error}") from error


def _message(kind: type[msgspec.Struct], body: bytes) -> bytes:
    return b"enpire-signed:" + kind.__name__.encode() + b"\0" + body
