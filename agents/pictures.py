"""Pictures in answers of tools: kept as files, so that journals and transcripts hold hashes only.

A message that is journalled has a picture as a part of its own kind, by its hash; what a provider
wants in its place is put in when the message is sent, and never kept.
"""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from agents.shelf import Shelf
from robots.wire.records import Frozen

PICTURE = "enpire_picture"
PNG = "image/png"
QUOTA_BYTES = 64 << 20
GONE = "[a picture that is no longer kept]"

Part = dict[str, Any]


class Picture(Frozen):
    """A picture in the album.

    Attributes:
        sha256: Of its file, which is a PNG.
    """

    sha256: str
    width: int
    height: int
    size_bytes: int

    def told(self) -> str:
        """It in words, for models and transcripts."""
        size = f"{self.width}x{self.height}, {self.size_bytes / 1000:.0f} kB"
        return f"{size}, sha256 {self.sha256[:12]}"


class Answer(NamedTuple):
    """What a tool says, in words and pictures."""

    text: str
    pictures: tuple[Picture, ...] = ()


class Album:
    """The pictures of one agent.

    Args:
        folder: Holds them only; made on first use.
        quota_bytes: Size of all together.
    """

    def __init__(self, folder: Path, quota_bytes: int = QUOTA_BYTES) -> None:
        self._shelf = Shelf(folder, quota_bytes)

    def keep(self, png: bytes, width: int, height: int) -> Picture:
        """Write a picture, once for its content."""
        sha256 = hashlib.sha256(png).hexdigest()
        self._shelf.put(f"{sha256}.png", png)
        return Picture(sha256=sha256, width=width, height=height, size_bytes=len(png))

    def read(self, sha256: str) -> bytes | None:
        """A picture's file; None if it is no longer kept."""
        return self._shelf.get(f"{sha256}.png")


def part(picture: Picture) -> Part:
    """A picture as a part of a journalled message."""
    return {"type": PICTURE, "sha256": picture.sha256}


def in_place(
    content: str | list[Part],
    album: Album,
    of_png: Callable[[str], Part],
    of_words: Callable[[str], Part],
) -> str | list[Part]:
    """The same content with a provider's own parts in the place of pictures.

    Args:
        content: Of an answer of a tool; words alone have no parts.
        album: Where the pictures are.
        of_png: The provider's part for a PNG in base64.
        of_words: Its part for words, where a picture is gone.
    """
    if isinstance(content, str):
        return content
    found: list[Part] = []
    for each in content:
        if each.get("type") != PICTURE:
            found.append(each)
            continue
        png = album.read(str(each["sha256"]))
        found.append(of_words(GONE) if png is None else of_png(base64_of(png)))
    return found


def base64_of(content: bytes) -> str:
    """Bytes in base64, as text."""
    return base64.b64encode(content).decode()
