"""A station's clone: written by its agent, used by Git and anyone else only inside the sandbox.

The host never runs a program in it: a key of its configuration (`core.fsmonitor`, a filter), a hook
or a link in place of `.git` is then nothing but a file of the agent's own. Objects come in through
the gate's object store, mounted read-only; a commit goes out as a bundle on standard output.
"""

import io
import os
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from agents.git import rules
from agents.git.command import NOBODY_MAIL, NOBODY_NAME, GitFailed, GitRefused, dated
from robots.sandbox import (
    Bind,
    Limits,
    Mount,
    SandboxError,
    SandboxSpec,
    Symlink,
    python_mounts,
    start,
)
from robots.sandbox.spec import MIB, SANDBOX_UID

CLONE = "/git/clone"
OBJECTS = "/git/objects"
PROGRAMS = "/git/bin"
TIMEOUT_S = 60.0
CONFLICT_EXIT = 9

_LIMITS = Limits(
    memory_bytes=512 * MIB, processes=64, cpu_s=30, file_bytes=8 * MIB, scratch_bytes=16 * MIB
)

_PREPARE = """
set -eu
cd "$CLONE"
rm -f .git/index.lock .git/HEAD.lock
"""

_CREATE = """
set -eu
cd "$CLONE"
git init -q
mkdir -p .git/objects/info .git/info
echo "$OBJECTS" > .git/objects/info/alternates
git checkout -q -f --detach "$BASE"
"""

_START_FROM = 'git checkout -q -f --detach "$BASE"\ngit clean -q -f -d -x\n'
_UNPACK = "tar -x -f -\n"

_COMMIT = """
git add -A -- recipe notes 2>/dev/null || git add -A -- recipe
tree=$(git write-tree)
commit=$(printf '%s' "$MESSAGE" | git commit-tree "$tree" -p "$BASE")
git update-ref "$BRANCH" "$commit"
git bundle create -q - "^$BASE" "$BRANCH"
"""

_CHERRY_PICK = """
if ! git cherry-pick --no-commit "$PEER" >/dev/null 2>&1; then
    git diff --name-only --diff-filter=U
    exit 9
fi
tar -c -f - recipe
"""


class Workspace:
    """One clone. Calls are serialised; each runs in a fresh sandbox.

    Args:
        folder: The clone on the host.
        objects: The object store of the station's gate, mounted read-only.
        sandboxed: False runs without walls, where the operator has said so.
    """

    def __init__(self, folder: Path, objects: Path, *, sandboxed: bool = True) -> None:
        self.folder = folder
        self._objects = objects
        self._sandboxed = sandboxed
        self._lock = threading.Lock()

    @classmethod
    def open(cls, folder: Path, objects: Path, base: str, *, sandboxed: bool = True) -> "Workspace":
        """Open the clone, created at commit `base` if there is none that works."""
        workspace = cls(folder, objects, sandboxed=sandboxed)
        if not folder.is_dir() or workspace.broken():
            workspace.recreate(base)
        return workspace

    def broken(self) -> bool:
        """Whether Git, inside, does not take the folder for a working clone."""
        try:
            self.run(_PREPARE + "git rev-parse -q --verify HEAD >/dev/null")
        except (GitFailed, SandboxError):
            return True
        return False

    def recreate(self, base: str) -> None:
        """Throw the clone away and make it anew: the remedy for any damage inside it."""
        if self.folder.is_symlink() or self.folder.is_file():
            self.folder.unlink()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        if os.geteuid() == 0:
            os.chown(self.folder, SANDBOX_UID, SANDBOX_UID)
        self.run(_CREATE, {"BASE": base})

    def commit(
        self,
        base: str,
        branch: str,
        message: str,
        wall_s: float,
        files: Mapping[str, bytes] | None = None,
        notes: Mapping[str, bytes] | None = None,
    ) -> bytes:
        """Commit a change of `base` on a branch and bring it out as a bundle.

        Args:
            base: Commit that is changed.
            branch: Full ref that will name the commit.
            message: Commit message, with its trailers.
            wall_s: Date of the commit; an equal change with an equal date is the same commit.
            files: The recipe folder, whole, by path relative to it; None commits the clone's
                working tree as it stands, whatever is checked out or was committed inside.
            notes: Files of the notes folder, by path relative to it, beside `files`.

        Returns:
            A bundle with the one commit of `branch`.
        """
        script = _PREPARE
        stdin = b""
        if files is not None:
            script += _START_FROM + "rm -rf recipe\n" + _UNPACK
            packed = {f"recipe/{path}": content for path, content in files.items()}
            packed |= {f"notes/{path}": content for path, content in (notes or {}).items()}
            stdin = pack_tar(packed)
        variables = {"BASE": base, "BRANCH": branch, "MESSAGE": message, **dated(wall_s)}
        return self.run(script + _COMMIT, variables, stdin)

    def cherry_pick(self, base: str, peer: str) -> dict[str, bytes]:
        """The recipe of `base` with a peer's change applied by Git.

        Raises:
            GitRefused: "conflict", naming the files; the clone is back at `base`.
        """
        try:
            tar = self.run(_PREPARE + _START_FROM + _CHERRY_PICK, {"BASE": base, "PEER": peer})
        except ScriptFailed as failed:
            if failed.code != CONFLICT_EXIT:
                raise
            self.run(_PREPARE + _START_FROM, {"BASE": base})
            where = " ".join(failed.output.decode(errors="replace").split())[:300]
            raise GitRefused("conflict", f"{peer[:10]} on {base[:10]}: {where}") from failed
        files = unpack_tar(tar)
        return {
            path.removeprefix("recipe/"): content
            for path, content in files.items()
            if path.startswith("recipe/")
        }

    def checkout(self, base: str) -> None:
        """Put the working tree to a commit, dropping what was not committed."""
        self.run(_PREPARE + _START_FROM, {"BASE": base})

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write files of the working tree, by path relative to the clone."""
        self.run(_PREPARE + _UNPACK, stdin=pack_tar(files))

    def read(self) -> dict[str, bytes]:
        """The working tree's regular files that an agent may change."""
        script = 'set -eu\ncd "$CLONE"\ntar -c -f - recipe $(test -d notes && echo notes)'
        return unpack_tar(self.run(script))

    def shell(self, command: str) -> str:
        """What a command in the clone printed, errors among it, and its exit code if it is not 0."""
        script = 'set -u\ncd "$CLONE"\n(sh -c "$COMMAND") 2>&1 || echo "[exit code $?]"'
        return self.run(script, {"COMMAND": command}).decode(errors="replace")

    def run(
        self, script: str, variables: Mapping[str, str] | None = None, stdin: bytes = b""
    ) -> bytes:
        """Run a shell script inside and return its output.

        Raises:
            ScriptFailed: It did not end with 0.
            GitFailed: It did not end in time.
            SandboxError: There could be no sandbox.
        """
        environment = self._environment(variables or {})
        spec = SandboxSpec(
            mounts=(
                *tool_mounts(),
                Bind(self._objects, OBJECTS),
                Bind(self.folder, CLONE, writable=True),
            ),
            environment=environment,
            limits=_LIMITS,
            directory=CLONE,
        )
        with self._lock, _Memory(stdin) as given, _Memory(b"") as told:
            sandbox = start(
                spec,
                ["/usr/bin/sh", "-c", script],
                sandboxed=self._sandboxed,
                stdin=given.descriptor,
                stdout=told.descriptor,
            )
            with sandbox:
                ended = sandbox.wait(TIMEOUT_S)
            if ended is None:
                raise GitFailed(f"the workspace did not answer within {TIMEOUT_S:.0f} s")
            output = told.content()
        if ended.code != 0:
            words = f"{ended.detail}: {sandbox.output().strip()[-600:]}"
            raise ScriptFailed(ended.code or 0, output, words)
        return output

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        inside = self._sandboxed
        return {
            "HOME": "/tmp",  # noqa: S108 - the sandbox's own.
            # The system's `python3` is mounted without its library; ours comes first.
            "PATH": f"{PROGRAMS}:/usr/bin:/bin",
            "LC_ALL": "C",
            "TZ": "UTC",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_AUTHOR_NAME": NOBODY_NAME,
            "GIT_AUTHOR_EMAIL": NOBODY_MAIL,
            "GIT_COMMITTER_NAME": NOBODY_NAME,
            "GIT_COMMITTER_EMAIL": NOBODY_MAIL,
            "CLONE": CLONE if inside else str(self.folder),
            "OBJECTS": OBJECTS if inside else str(self._objects),
            **variables,
        }


class ScriptFailed(GitFailed):
    """A script inside the sandbox failed; `output` is what it had said."""

    def __init__(self, code: int, output: bytes, words: str) -> None:
        super().__init__(words)
        self.code = code
        self.output = output


class _Memory:
    """A file in memory, passed as a standard stream: no pipe to fill, and a cap on its size."""

    def __init__(self, content: bytes) -> None:
        self.descriptor = os.memfd_create("stream", os.MFD_CLOEXEC)
        os.pwrite(self.descriptor, content, 0)

    def content(self) -> bytes:
        size = min(os.fstat(self.descriptor).st_size, 2 * rules.MAX_INPUT_BYTES)
        return os.pread(self.descriptor, size, 0)

    def __enter__(self) -> "_Memory":
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self.descriptor)


@cache
def tool_mounts() -> tuple[Mount, ...]:
    """Git, a shell and the usual tools, with their libraries; nothing of anyone's data."""
    told = subprocess.run(
        ["git", "--exec-path"], capture_output=True, text=True, timeout=10, check=True
    )
    core = Path(told.stdout.strip()).resolve()
    python = python_mounts(())
    ours = Symlink(python.executable, f"{PROGRAMS}/python3")
    top = Path("/bin")
    shells: Mount = Symlink(str(top.readlink()), "/bin") if top.is_symlink() else Bind(top, "/bin")
    system = Bind(Path("/usr/bin"), "/usr/bin")
    # The interpreter comes last: `/usr/bin` would hide one that lies there by another name.
    return (system, shells, Bind(core, str(core)), *python.mounts, ours)


def pack_tar(files: Mapping[str, bytes]) -> bytes:
    """A tar of regular files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path, content in sorted(files.items()):
            member = tarfile.TarInfo(path)
            member.size = len(content)
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def unpack_tar(tar: bytes) -> dict[str, bytes]:
    """Regular files of a tar that an agent may have made; anything else in it is left out.

    Raises:
        GitRefused: It is no tar, or too large.
    """
    files: dict[str, bytes] = {}
    total = 0
    try:
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                if content is None:
                    continue
                total += member.size
                if total > rules.MAX_TREE_BYTES or len(files) >= 4 * rules.MAX_FILES:
                    raise GitRefused("oversize", "the working tree is too large")
                files[member.name] = content.read()
    except (tarfile.TarError, EOFError) as error:
        raise GitRefused("unreadable", f"the working tree could not be read: {error}") from error
    return files
