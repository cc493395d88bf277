"""A folder of an agent's own, outside Git: what its answers only name, oldest pruned first."""

import contextlib
from pathlib import Path


class Shelf:
    """Files by name.

    Args:
        folder: Holds them only; made on first use.
        quota_bytes: Size of all together.
    """

    def __init__(self, folder: Path, quota_bytes: int) -> None:
        self._folder = folder
        self._quota_bytes = quota_bytes

    def put(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all; it is never the one that makes room."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / name
        new = path.with_suffix(".new")
        new.write_bytes(content)
        new.replace(path)
        kept = [(each, each.stat()) for each in self._folder.iterdir() if each.suffix != ".new"]
        size = sum(stat.st_size for _, stat in kept)
        for each, stat in sorted(kept, key=lambda item: item[1].st_mtime_ns):
            if size <= self._quota_bytes or each == path:
                return
            with contextlib.suppress(FileNotFoundError):
                each.unlink()
            size -= stat.st_size

    def get(self, name: str) -> bytes | None:
        """A file's content; None if it is no longer there."""
        # SAFETY: a name comes from a model; it names a file of this folder and nothing else.
        if name != Path(name).name or name in ("", ".", ".."):
            return None
        try:
            return (self._folder / name).read_bytes()
        except OSError:
            return None
