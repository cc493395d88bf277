"""A task's reset and verifier as an agent works on them: a copy, read and written in the sandbox alone.

What is measured or applied is taken out of the copy as bytes and put beside the task's own files, so
that nothing an agent leaves in it (a link, a changed simulation) is ever run or followed by the host.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agents.desk import Desk
from agents.git.command import GitRefused
from agents.git.workspace import Workspace, unpack_tar
from agents.tools import calls as t
from agents.tools.tree import Tree, on_thread
from robots.sandbox.spec import SANDBOX_UID
from robots.station.tasks import Task, read_task

EDITED = ("reset.py", "verify.py")
SHOWN = ("task.toml", "scene.xml", "simulation.py")
BASE = "base"

Pair = Mapping[str, bytes]
"""Reset and verifier by file name."""


class Copy(Workspace):
    """The folder in which an agent works on one task."""

    @classmethod
    def of(cls, place: Path, task: Task) -> "Copy":
        """Open the copy at a place; made of the task's files as they are if there is none.

        Raises:
            SandboxError: There could be no sandbox.
        """
        nothing, folder, new = place / "objects", place / "copy", place / "copy.new"
        nothing.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not folder.is_dir():
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir()
            if os.geteuid() == 0:
                os.chown(new, SANDBOX_UID, SANDBOX_UID)
            cls(new, nothing).write(_shown(task))
            new.rename(folder)
        return cls(folder, nothing)

    def read(self) -> dict[str, bytes]:
        """The copy's regular files."""
        found = unpack_tar(self.run('set -eu\ncd "$CLONE"\ntar -c -f - .'))
        return {path.removeprefix("./"): content for path, content in found.items()}

    def pair(self) -> Pair:
        """Reset and verifier as they are in the copy.

        Raises:
            GitRefused: One of them is not there as a regular file.
        """
        found = self.read()
        for name in EDITED:
            if name not in found:
                raise GitRefused("no_file", f"{name} is no regular file of the copy; write it")
        return {name: found[name] for name in EDITED}


class CopyTree(Tree):
    """The file tools, on a copy: all of it may be read, reset and verifier written."""

    async def write_file(self, call: t.WriteFile) -> t.FileText:
        """Write reset or verifier."""
        if call.path not in EDITED:
            raise t.ToolRefused(f"frozen_path: {call.path}; only {' and '.join(EDITED)} are yours")
        await self.put({call.path: call.text.encode()})
        return t.FileText(text=f"{call.path} written")

    @property
    def copy(self) -> Copy:
        """What the tools work on."""
        clone = self._clone
        assert isinstance(clone, Copy)
        return clone

    async def pair(self) -> Pair:
        """Reset and verifier as they are in the copy."""
        return await on_thread(self.copy.pair)


def tree_of(desk: Desk, copy: Copy) -> CopyTree:
    """The file tools of a desk, whose working tree is then the copy."""
    desk.workspace = copy
    return CopyTree(desk)


def present(task: Task) -> Pair:
    """Reset and verifier as the task has them now, its own or its base's."""
    return {name: task.path(name).read_bytes() for name in EDITED}


def sha256_of(pair: Pair) -> str:
    """A hash by which figures of a pair are kept."""
    digest = hashlib.sha256()
    for name in EDITED:
        digest.update(hashlib.sha256(pair[name]).digest())
    return digest.hexdigest()


@contextmanager
def laid_out(task: Task, pair: Pair) -> Generator[Task]:
    """The task with another reset and verifier, in a folder of its own for as long as it is used."""
    with tempfile.TemporaryDirectory() as spare:
        folder = Path(spare) / task.folder.name
        shutil.copytree(task.folder, folder, ignore=shutil.ignore_patterns("__pycache__"))
        put(task, folder, pair)
        yield read_task(folder)


def put(task: Task, folder: Path, pair: Pair) -> list[str]:
    """Write what differs from the task's files into a folder of it; returns the files' names.

    What a variant has from its base and does not change stays the base's.
    """
    changed = [name for name in EDITED if task.path(name).read_bytes() != pair[name]]
    for name in changed:
        new = folder / f"{name}.new"
        new.write_bytes(pair[name])
        new.replace(folder / name)
    return changed


def _shown(task: Task) -> dict[str, bytes]:
    """What the author of a task has before them, without recipes."""
    names = [name for name in (*EDITED, *SHOWN) if task.path(name).is_file()]
    found = {name: task.path(name).read_bytes() for name in names}
    if task.base_folder is not None:
        for path in sorted(task.base_folder.glob("*.py")):
            found[f"{BASE}/{path.name}"] = path.read_bytes()
    return found
