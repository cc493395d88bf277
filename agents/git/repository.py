"""The bare `origin` of a run: created with the baseline, written by pushes that its hook admits.

`refs/heads/main` is the baseline and never moves. A station writes `refs/heads/<station>/<idea>`
(one branch an idea, kept whatever becomes of it), `refs/tags/<station>/...` and its own notes ref.
"""

import io
import shutil
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

from agents.git import pre_receive, rules
from agents.git.command import Git, GitFailed, GitRefused, dated
from agents.git.trailers import idea_of
from robots.wire.records import Idea, RecipeArchive

RECIPE_FOLDER = "recipe"
MAIN = "refs/heads/main"

# A fixed date makes the baseline commit of equal files the same commit on every machine.
BASELINE_WALL_S = 1_700_000_000.0

_CONFIGURATION = {
    "core.logAllRefUpdates": "true",
    "gc.auto": "0",
    "receive.autogc": "false",
    "receive.denyDeletes": "true",
    "receive.denyNonFastForwards": "true",
    "receive.fsckObjects": "true",
    "receive.maxInputSize": str(rules.MAX_INPUT_BYTES),
    "transfer.fsckObjects": "true",
    "uploadpack.allowAnySHA1InWant": "true",
}


def configure(git: Git, values: Mapping[str, str]) -> None:
    """Append settings to the configuration of a repository that was just created."""
    lines: list[str] = []
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        group, _, subject = section.partition(".")
        heading = f'[{group} "{subject}"]' if subject else f"[{group}]"
        lines.append(f"{heading}\n\t{name} = {value}\n")
    with (git.folder / "config").open("a") as config:
        config.writelines(lines)


def initialise(folder: Path) -> Git:
    """Create an empty bare repository without template files."""
    folder.mkdir(parents=True, exist_ok=True)
    git = Git(folder)
    git.run("init", "--quiet", "--bare", "--template=", "--initial-branch=main", str(folder))
    return git


class Repository:
    """The research repository of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git = Git(folder)

    @classmethod
    def create(
        cls,
        folder: Path,
        recipe: Mapping[str, bytes],
        frozen: Mapping[str, bytes] | None = None,
    ) -> "Repository":
        """Create the origin with the baseline commit; one that exists is opened as it is.

        Args:
            folder: Where the bare repository will lie.
            recipe: Files of the baseline recipe, by path relative to the recipe folder.
            frozen: Files that agents may read and never change (the task's description), by path.

        Raises:
            GitRefused: The files break the repository's own rules.
        """
        if (folder / "hooks" / "pre-receive").exists():
            return cls(folder)
        building = folder.with_name(f"{folder.name}.building")
        shutil.rmtree(building, ignore_errors=True)
        git = initialise(building)
        configure(git, _CONFIGURATION)
        files = {f"{RECIPE_FOLDER}/{path}": content for path, content in recipe.items()}
        files.update(frozen or {})
        git.run("fast-import", "--quiet", stdin=_import_stream(files))
        refusal = rules.tree_refusal(tree_of(git, MAIN), tree_of(git, MAIN))
        if refusal:
            raise GitRefused("baseline_refused", refusal)
        _install_hook(building)
        # The rename comes last, so that a repository that exists is whole.
        shutil.rmtree(folder, ignore_errors=True)
        building.rename(folder)
        return cls(folder)

    @property
    def baseline(self) -> str:
        """Commit of the baseline."""
        commit = self.git.commit_of(MAIN)
        if commit is None:
            raise GitFailed(f"{self.folder} has no baseline")
        return commit

    def archive(self, commit: str) -> RecipeArchive:
        """The recipe folder as it stands at a commit."""
        return read_archive(self.git, commit)

    def ideas(self) -> dict[str, Idea]:
        """Every idea that was ever pushed, by id, from the commits' trailers alone."""
        return read_ideas(self.git, "--branches")


def tree_of(git: Git, commit: str) -> list[rules.Entry]:
    """The whole tree of a commit."""
    return rules.parse_tree(git.run("ls-tree", "-r", "-l", "-z", commit))


def read_files(git: Git, commit: str, folder: str = RECIPE_FOLDER) -> dict[str, bytes]:
    """Contents of the regular files below a folder at a commit, by path relative to it."""
    tar = git.run("archive", "--format=tar", f"{commit}:{folder}")
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is not None:
                files[member.name] = content.read()
    return files


def read_archive(git: Git, commit: str) -> RecipeArchive:
    """The recipe folder of a commit by value."""
    from robots.station.archive import sha256

    files = read_files(git, commit)
    return RecipeArchive(files=files, sha256=sha256(files))


def read_ideas(git: Git, refs: str) -> dict[str, Idea]:
    """The idea tree as the commit messages tell it, of the branches that `refs` selects."""
    listing = git.run("log", refs, "--format=%H%x00%B%x00%x00", "--no-show-signature")
    ideas: dict[str, Idea] = {}
    for block in listing.decode(errors="replace").split("\0\0\n"):
        commit, _, message = block.strip("\n").partition("\0")
        idea = idea_of(commit, message) if commit else None
        if idea is not None:
            # The log is newest first: an idea of several commits is known by its last.
            ideas.setdefault(idea.idea_id, idea)
    return ideas


def _import_stream(files: Mapping[str, bytes]) -> bytes:
    """A fast-import stream with one commit of the given files on `main`."""
    date = dated(BASELINE_WALL_S)["GIT_COMMITTER_DATE"]
    message = b"baseline\n"
    stream = io.BytesIO()
    stream.write(f"commit {MAIN}\ncommitter enpire <enpire@localhost> {date}\n".encode())
    stream.write(b"data %d\n%s\n" % (len(message), message))
    for path, content in sorted(files.items()):
        stream.write(b"M 100644 inline %s\n" % path.encode())
        stream.write(b"data %d\n%s\n" % (len(content), content))
    stream.write(b"done\n")
    return stream.getvalue()


def _install_hook(folder: Path) -> None:
    """Copy the hook and its rules into the repository, run by this interpreter, isolated."""
    hooks = folder / "hooks"
    hooks.mkdir(exist_ok=True)
    (hooks / "rules.py").write_bytes(Path(rules.__file__).read_bytes())
    body = Path(pre_receive.__file__).read_text()
    hook = hooks / "pre-receive"
    hook.write_text(f"#!{sys.executable} -IS\n{body}")
    hook.chmod(0o755)
