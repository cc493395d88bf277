"""Sealed seeds: HMAC of a counter under the station's secret, never shown and never repeated."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

_BLOCK = 256


def load_secret(path: Path) -> bytes:
    """The station's 32 secret bytes, made on first use (mode 0600)."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, secrets.token_bytes(32))
    secret = path.read_bytes()
    if len(secret) != 32:
        raise ValueError(f"{path}: a station's secret has 32 bytes, this file {len(secret)}")
    return secret


class SealedSeeds:
    """Seeds that a policy's author can neither know nor meet again.

    The counter is written ahead in blocks: what a kill leaves unused of a block is skipped, which
    costs numbers and no disk access an episode.

    Args:
        secret: The station's secret.
        path: File of the counter.
    """

    def __init__(self, secret: bytes, path: Path) -> None:
        self._secret = secret
        self._path = path
        self._next = int(path.read_text()) if path.exists() else 0
        self._reserved = self._next

    def draw(self) -> int:
        """The next seed, in [0, 2**63)."""
        if self._next >= self._reserved:
            self._reserved = self._next + _BLOCK
            write_durably(self._path, str(self._reserved).encode())
        counter = self._next
        self._next += 1
        return sealed(self._secret, counter)


class RandomSeeds:
    """Seeds for scoring in process: random, kept nowhere."""

    def draw(self) -> int:
        """A seed in [0, 2**63)."""
        return secrets.randbits(63)


def sealed(secret: bytes, counter: int) -> int:
    """Seed number `counter` under a secret."""
    digest = hmac.digest(secret, b"enpire-seed:" + str(counter).encode(), hashlib.sha256)
    return int.from_bytes(digest[:8], "big") >> 1


def write_durably(path: Path, content: bytes) -> None:
    """Replace a file's content so that a crash leaves the old or the new, on disk; mode 0600."""
    part = path.with_name(path.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
