"""Exchanges with providers in a folder: recorded as they pass, played back without any provider.

One file an exchange, named by the hash of the request: its path and its body with the keys in
order. Headers, and with them keys, are no part of it. An equal request has one answer, the last
whole one that was no error, so that playing back is deterministic.
"""

import hashlib
from pathlib import Path

import msgspec

from robots.wire.records import Frozen


class Exchange(Frozen):
    """A request and its whole answer, as text.

    Attributes:
        path: Of the request.
        content_type: Of the answer: JSON, or a stream of events.
    """

    path: str
    request: str
    status: int
    content_type: str
    answer: str


def name_of(path: str, body: bytes) -> str:
    """The hash that an exchange is known by; equal for bodies that say the same."""
    return hashlib.sha256(path.encode() + b"\n" + _ordered(body)).hexdigest()


class Exchanges:
    """A folder of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(
        self, path: str, body: bytes, status: int, content_type: str, answer: bytes, key: str
    ) -> None:
        """Write an exchange; whatever in it reads like the host's key is taken out."""

        def told(content: bytes) -> str:
            return content.replace(key.encode(), b"[key]").decode(errors="replace")

        exchange = Exchange(
            path=path,
            request=told(_ordered(body)),
            status=status,
            content_type=content_type,
            answer=told(answer),
        )
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = self._place(path, body)
        part = place.with_suffix(".part")
        part.write_bytes(msgspec.json.format(msgspec.json.encode(exchange), indent=1))
        part.replace(place)

    def find(self, path: str, body: bytes) -> Exchange | None:
        """The recorded exchange of a request, None if it was never recorded."""
        place = self._place(path, body)
        if not place.is_file():
            return None
        return msgspec.json.decode(place.read_bytes(), type=Exchange)

    def _place(self, path: str, body: bytes) -> Path:
        return self.folder / f"{name_of(path, body)}.json"


def _ordered(body: bytes) -> bytes:
    try:
        return msgspec.json.encode(msgspec.json.decode(body), order="sorted")
    except msgspec.DecodeError:
        return body
