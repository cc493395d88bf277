"""What arXiv answered, kept in a folder: a fleet asks once, and later runs not at all."""

import hashlib
from pathlib import Path

import msgspec

from robots.wire.records import Frozen

MOST_KEPT = 2_000


class Kept(Frozen):
    """An answer.

    Attributes:
        name: What was asked.
        fetched_s: When, in Unix seconds.
    """

    name: str
    fetched_s: float
    content: str


class Shelf:
    """A folder of answers, each in a file named by the hash of what was asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, name: str) -> Kept | None:
        """The answer to what was asked, however old; None where there is none."""
        try:
            kept = msgspec.json.decode(self._place(name).read_bytes(), type=Kept)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        return kept if kept.name == name else None

    def keep(self, kept: Kept) -> None:
        """Write an answer; of more than `MOST_KEPT` the oldest go."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = self._place(kept.name)
        part = place.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(kept))
        part.replace(place)
        found = list(self._folder.glob("*.json"))
        if len(found) > MOST_KEPT:
            found.sort(key=lambda each: each.stat().st_mtime_ns)
            for each in found[:-MOST_KEPT]:
                each.unlink(missing_ok=True)

    def forget(self, name: str) -> None:
        """Throw an answer away."""
        self._place(name).unlink(missing_ok=True)

    def _place(self, name: str) -> Path:
        return self._folder / f"{hashlib.sha256(name.encode()).hexdigest()}.json"
