"""A recipe folder by value: packed, hashed, unpacked, with its paths checked."""

import hashlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from robots.wire.records import RecipeArchive

MAX_BYTES = 1 << 20
MAX_FILES = 200
_SKIPPED = {"__pycache__", ".git", ".pytest_cache", ".ruff_cache"}


class ArchiveRefused(ValueError):
    """A recipe that may not travel; the message names the file and the rule."""


def pack(folder: Path) -> RecipeArchive:
    """Read a recipe folder.

    Raises:
        ArchiveRefused: A link, a special file, a bad name, or more than 1 MiB or 200 files.
    """
    if not folder.is_dir():
        raise ArchiveRefused(f"{folder}: not a folder")
    files: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if _SKIPPED & set(name.parts):
            continue
        if path.is_symlink():
            raise ArchiveRefused(f"{path}: links are not packed, only regular files")
        if path.is_dir():
            continue
        if not path.is_file():
            raise ArchiveRefused(f"{path}: not a regular file")
        files[name.as_posix()] = path.read_bytes()
    archive = RecipeArchive(files=files, sha256=sha256(files))
    check(archive)
    return archive


def sha256(files: Mapping[str, bytes]) -> str:
    """Hash over the sorted (path, content) pairs, each with its length."""
    digest = hashlib.sha256()
    for name in sorted(files):
        for part in (name.encode(), files[name]):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.hexdigest()


def check(archive: RecipeArchive) -> None:
    """Refuse an archive that lies about its hash, escapes its folder or is too large.

    Raises:
        ArchiveRefused: Names the file and the rule.
    """
    size = sum(len(content) for content in archive.files.values())
    if size > MAX_BYTES:
        raise ArchiveRefused(f"{size} bytes; a recipe has at most {MAX_BYTES}")
    if len(archive.files) > MAX_FILES:
        raise ArchiveRefused(f"{len(archive.files)} files; a recipe has at most {MAX_FILES}")
    for name in archive.files:
        path = PurePosixPath(name)
        if (
            not name
            or path.is_absolute()
            or ".." in path.parts
            or path.as_posix() != name
            or not name.isprintable()
            or "\\" in name
        ):
            raise ArchiveRefused(f"{name!r}: a name in a recipe is a plain relative path")
    if sha256(archive.files) != archive.sha256:
        raise ArchiveRefused("the archive's hash is not that of its files")


def unpack(archive: RecipeArchive, folder: Path) -> None:
    """Write an archive's files below an empty or new folder.

    Raises:
        ArchiveRefused: The archive is not sound, or the folder not empty.
    """
    check(archive)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ArchiveRefused(f"{folder}: not empty")
    # Read by a sandbox under another uid, whatever this process's umask.
    folder.chmod(0o755)
    for name, content in archive.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for parent in path.relative_to(folder).parents:
            (folder / parent).chmod(0o755)
        path.write_bytes(content)
        path.chmod(0o644)
