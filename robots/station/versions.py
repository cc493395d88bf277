"""Copies of a task's text files as a person approved them, and what differs since."""

import difflib
from pathlib import Path

import msgspec

from robots.station.children import printable
from robots.station.seeds import write_durably
from robots.station.tasks import Task

FILE_BYTES = 200_000
DIFF_LETTERS = 60_000
KEPT = 20
FIRST = ("reset.py", "verify.py")
"""Shown whole where no version was approved before."""


class Versions:
    """Approved versions of one station's task, a file each.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, task: Task, code_sha256: str) -> None:
        """Keep a task's text files, as they are now, under their hash; the oldest go."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(self._path(code_sha256), msgspec.json.encode(_texts(task)))
        known = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in known[:-KEPT]:
            path.unlink()

    def diff(self, task: Task, base_sha256: str) -> tuple[str, str]:
        """What differs between a version and the files now.

        Args:
            task: The task.
            base_sha256: The approved version, "" for none.

        Returns:
            A unified diff, bounded, without what a terminal would obey; and the version it is
            against, "" if there is none or it is no longer kept.
        """
        now = _texts(task)
        before = self._read(base_sha256)
        if before is None:
            before, base_sha256 = {}, ""
            now = {name: now[name] for name in FIRST if name in now}
        parts: list[str] = []
        for name in sorted({*before, *now}):
            old, new = before.get(name, ""), now.get(name, "")
            parts += difflib.unified_diff(
                old.splitlines(), new.splitlines(), f"approved/{name}", f"now/{name}", lineterm=""
            )
        text = "\n".join(printable(line.expandtabs(4)) for line in parts)
        if len(text) > DIFF_LETTERS:
            text = f"{text[:DIFF_LETTERS]}\n... {len(text) - DIFF_LETTERS} more letters"
        return text, base_sha256

    def _read(self, sha256: str) -> dict[str, str] | None:
        if not sha256:
            return None
        try:
            return msgspec.json.decode(self._path(sha256).read_bytes(), type=dict[str, str])
        except (OSError, msgspec.DecodeError):
            return None

    def _path(self, sha256: str) -> Path:
        return self._folder / f"{sha256}.json"


def _texts(task: Task) -> dict[str, str]:
    """Content of the task's own text files by name; another file is its hash."""
    found: dict[str, str] = {}
    for name, sha256 in task.files().items():
        path = task.path(name)
        try:
            content = path.read_bytes() if not path.is_symlink() else b"link"
            fits = len(content) <= FILE_BYTES
            found[name] = content.decode() if fits else f"{len(content)} bytes, {sha256}"
        except FileNotFoundError:
            # A base's: it is named with its package, and is its own package's to show.
            found[name] = sha256
        except (OSError, UnicodeDecodeError):
            found[name] = f"not text, {sha256}"
    # What a variant takes over from its base, where it matters most.
    for name in FIRST:
        if name not in found and task.path(name).is_file():
            found[name] = task.path(name).read_text(errors="replace")
    return found
