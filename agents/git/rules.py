"""What may stand in the research repository: pure checks over a tree's entries.

The pre-receive hook of the origin carries a copy of this file (standard library only), so that the
daemon that checks a bundle and the origin that admits a push read the same rules.
"""

from typing import NamedTuple

WRITABLE = ("recipe/", "notes/")
MAX_FILES = 64
# The weights of a network on numpy are one file: three layers of 256 take 700 kB.
MAX_FILE_BYTES = 896 * 1024
MAX_TREE_BYTES = 1024 * 1024
MAX_INPUT_BYTES = 4 * 1024 * 1024
MAX_NEW_COMMITS = 50
REGULAR = ("100644", "100755")


class Entry(NamedTuple):
    """One line of `git ls-tree -r -l -z`: mode, object id, size in bytes, path."""

    mode: str
    object_id: str
    size: int
    path: str


def parse_tree(listing: bytes) -> list[Entry]:
    """Entries of `git ls-tree -r -l -z` output."""
    entries: list[Entry] = []
    for line in listing.split(b"\0"):
        if line:
            meta, _, path = line.partition(b"\t")
            mode, _kind, object_id, size = meta.decode().split()
            count = int(size) if size != "-" else 0
            entries.append(Entry(mode, object_id, count, path.decode(errors="replace")))
    return entries


def is_writable(path: str) -> bool:
    """Whether an agent may change this path; everything else is frozen."""
    return path.startswith(WRITABLE)


def tree_refusal(entries: list[Entry], frozen: list[Entry]) -> str:
    """Why a tree is refused, "" if it is not.

    Args:
        entries: The tree of the commit in question.
        frozen: The tree of the run's baseline, whose unwritable part must stand as it is.

    Returns:
        A named reason and what was found, such as "frozen_path: TASK.md".
    """
    kept = {entry for entry in frozen if not is_writable(entry.path)}
    found = {entry for entry in entries if not is_writable(entry.path)}
    for entry in sorted(kept ^ found):
        return f"frozen_path: {entry.path}"
    for entry in entries:
        if entry.mode not in REGULAR:
            return f"not_a_file: {entry.path} has mode {entry.mode}"
        if any(part.lower().startswith(".git") for part in entry.path.split("/")):
            return f"git_path: {entry.path}"
        if not entry.path.isprintable():
            return f"unprintable_path: {entry.path!r}"
        if entry.size > MAX_FILE_BYTES:
            return f"oversize: {entry.path} has {entry.size} bytes, {MAX_FILE_BYTES} are allowed"
    if len(entries) > MAX_FILES:
        return f"oversize: {len(entries)} files, {MAX_FILES} are allowed"
    total = sum(entry.size for entry in entries)
    if total > MAX_TREE_BYTES:
        return f"oversize: {total} bytes, {MAX_TREE_BYTES} are allowed"
    return ""


def ref_refusal(ref: str, station: str) -> str:
    """Why a station may not write a ref, "" if it may."""
    if not station or "/" in station:
        return "foreign_ref: the push names no station"
    own = (f"refs/heads/{station}/", f"refs/tags/{station}/")
    if ref.startswith(own) or ref == f"refs/notes/enpire/{station}":
        return ""
    return f"foreign_ref: {ref} does not belong to station {station}"
