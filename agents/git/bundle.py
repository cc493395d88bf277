"""The gate between a clone and the origin: what comes out of a sandbox is checked, then pushed.

A bundle is unpacked into a quarantine of its own, beside the daemon's bare repository, where Git's
own checks and the rules of `agents.git.rules` run over it. Only then are its objects moved in, its
branch set and pushed, from this repository, which no agent can write.
"""

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Collection, Generator, Mapping
from pathlib import Path
from typing import NamedTuple

from agents.git import rules
from agents.git.command import Git, GitFailed, GitRefused
from agents.git.repository import configure, initialise, read_archive, read_ideas, tree_of
from agents.git.trailers import parse_trailers
from robots.wire.records import Idea, RecipeArchive

SIGNATURE = b"# v2 git bundle\n"
ORIGIN_MAIN = "refs/origin/heads/main"
HEADER_LIMIT_BYTES = 64 * 1024

_CONFIGURATION = {
    "gc.auto": "0",
    "fetch.fsckObjects": "true",
    "transfer.fsckObjects": "true",
    "remote.origin.fetch": "+refs/heads/*:refs/origin/heads/*",
}


class BundleHeader(NamedTuple):
    """What a bundle says of itself, and where its pack begins."""

    prerequisites: tuple[str, ...]
    heads: dict[str, str]
    pack_offset: int


def read_header(bundle: bytes) -> BundleHeader:
    """Read the text part of a version 2 bundle.

    Raises:
        GitRefused: It is none, or its header does not end.
    """
    if not bundle.startswith(SIGNATURE):
        raise GitRefused("not_a_bundle", f"it begins with {bundle[:16]!r}")
    prerequisites: list[str] = []
    heads: dict[str, str] = {}
    at = len(SIGNATURE)
    while True:
        end = bundle.find(b"\n", at, at + HEADER_LIMIT_BYTES)
        if end < 0:
            raise GitRefused("not_a_bundle", "its header does not end")
        line = bundle[at:end].decode(errors="replace")
        at = end + 1
        if not line:
            return BundleHeader(tuple(prerequisites), heads, at)
        if line.startswith("-"):
            prerequisites.append(line[1:41])
        else:
            object_id, _, ref = line.partition(" ")
            heads[ref] = object_id


class Gate:
    """A station's own bare repository, between its agent's clone and the run's origin."""

    def __init__(self, folder: Path, origin: str, station: str) -> None:
        self.folder = folder
        self.origin = origin
        self.station = station
        self.git = Git(folder)
        self._lock = threading.RLock()
        self._frozen: list[rules.Entry] | None = None

    @classmethod
    def open(cls, folder: Path, origin: str, station: str) -> "Gate":
        """Open the gate, created if need be, with what the origin has now.

        Args:
            folder: The bare repository of the station's daemon.
            origin: Path or SSH address of the run's origin.
            station: Whose refs are written.
        """
        gate = cls(folder, origin, station)
        if not (folder / "ready").exists():
            shutil.rmtree(folder, ignore_errors=True)
            git = initialise(folder)
            configure(git, {"remote.origin.url": origin, **_CONFIGURATION})
            (folder / "ready").touch()
        gate.sweep()
        gate.refresh()
        return gate

    def sweep(self) -> None:
        """Remove what a killed daemon left: quarantines, and locks that nothing holds any more."""
        for left in self.folder.glob("quarantine-*"):
            shutil.rmtree(left, ignore_errors=True)
        for lock in [*self.folder.glob("*.lock"), *self.folder.glob("refs/**/*.lock")]:
            lock.unlink(missing_ok=True)

    def refresh(self) -> None:
        """Fetch every branch, tag and note of the origin under `refs/origin/`."""
        with self._lock:
            self.git.run(
                "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance",
                "origin", "+refs/heads/*:refs/origin/heads/*", "+refs/tags/*:refs/origin/tags/*",
                "+refs/notes/enpire/*:refs/origin/notes/*",
            )  # fmt: skip

    @property
    def baseline(self) -> str:
        """Commit of the run's baseline."""
        commit = self.git.commit_of(ORIGIN_MAIN)
        if commit is None:
            raise GitFailed(f"{self.folder} has not fetched a baseline from {self.origin}")
        return commit

    def has(self, commit: str) -> bool:
        """Whether a commit is here."""
        return self.git.commit_of(commit) is not None

    def branch(self, idea_id: str) -> str:
        """The one branch of an idea of this station."""
        return f"refs/heads/{self.station}/{idea_id}"

    def archive(self, commit: str) -> RecipeArchive:
        """The recipe folder at a commit."""
        return read_archive(self.git, commit)

    def ideas(self) -> dict[str, Idea]:
        """Every idea of the run, as fetched, from the commits' trailers alone."""
        return read_ideas(self.git, "--glob=refs/origin/heads/*")

    def shared(self, path: str, known: Collection[str] = ()) -> dict[str, bytes]:
        """A file of that path in every fetched idea that has one, by commit.

        Args:
            path: Within the repository, such as "notes/survey.json".
            known: Commits that are left out.
        """
        listing = self.git.line("for-each-ref", "--format=%(objectname)", "refs/origin/heads")
        commits = sorted(set(listing.split()) - set(known))
        found: dict[str, bytes] = {}
        asked = "".join(f"{commit}:{path}\n" for commit in commits).encode()
        answer = self.git.run("cat-file", "--batch", stdin=asked) if commits else b""
        at = 0
        for commit in commits:
            head, _, _ = answer[at:].partition(b"\n")
            at += len(head) + 1
            if head.endswith(b"missing"):
                continue
            size = int(head.rsplit(b" ", 1)[1])
            found[commit] = answer[at : at + size]
            at += size + 1
        return found

    def conflicts(self, one: str, other: str) -> str:
        """What stands against a merge of two commits, "" if nothing; no tree is touched.

        Raises:
            GitFailed: Git cannot tell, such as for an unknown commit.
        """
        done = self.git.attempt("merge-tree", "--write-tree", "--name-only", one, other)
        if done.returncode == 0:
            return ""
        # Without a tree's id it is no conflict: Git does not know a commit, for one.
        if done.returncode != 1 or not done.stdout:
            raise GitFailed(f"git merge-tree ended with {done.returncode}: {done.stderr[-300:]!r}")
        # The tree's id, the conflicted files, an empty line, then Git's own words.
        files = done.stdout.decode(errors="replace").split("\n\n")[0].splitlines()[1:]
        return f"conflict in {', '.join(files)}"

    def diff(self, base: str, commit: str) -> str:
        """The change from one commit to another, as text, without external drivers."""
        arguments = ("diff-tree", "-p", "--no-color", "--no-ext-diff", "--no-textconv", "-U2")
        return self.git.run(*arguments, base, commit, "--", "recipe").decode(errors="replace")

    def admit(self, bundle: bytes, idea_id: str) -> str:
        """Check a bundle in quarantine and take its one commit in as the idea's branch.

        Returns:
            The commit's id.

        Raises:
            GitRefused: It breaks a rule; nothing of it was kept.
        """
        if len(bundle) > rules.MAX_INPUT_BYTES:
            raise GitRefused("oversize", f"a bundle of {len(bundle)} bytes")
        branch = self.branch(idea_id)
        header = read_header(bundle)
        if set(header.heads) != {branch}:
            raise GitRefused("foreign_ref", f"a bundle of {sorted(header.heads)}, not of {branch}")
        commit = header.heads[branch]
        with self._lock, self._quarantine() as (objects, variables):
            self._index(bundle[header.pack_offset :], variables)
            self._check(commit, idea_id, variables)
            self._move_in(objects)
            self.git.run("update-ref", branch, commit)
        return commit

    def push(self, *refs: str) -> None:
        """Push refs of this station; what the origin has already is left as it is.

        Raises:
            GitRefused: The origin's hook or its own checks refused the push.
        """
        with self._lock:
            done = self.git.attempt(
                "push", "--quiet", "--no-verify", "origin", *(f"{ref}:{ref}" for ref in refs),
                extra={"ENPIRE_STATION": self.station},
            )  # fmt: skip
        if done.returncode != 0:
            words = done.stderr.decode(errors="replace")
            _, _, refusal = words.partition("enpire refused: ")
            if refusal:
                reason, _, detail = refusal.splitlines()[0].partition(": ")
                raise GitRefused(reason, detail.strip())
            if "rejected" in words or "fsck" in words:
                raise GitRefused("rejected", words.strip()[-300:])
            raise GitFailed(f"git push to {self.origin}: {words.strip()[-500:]}")

    @contextlib.contextmanager
    def _quarantine(self) -> Generator[tuple[Path, Mapping[str, str]]]:
        """An object store of its own that can see the gate's objects, gone afterwards."""
        folder = Path(tempfile.mkdtemp(prefix="quarantine-", dir=self.folder))
        objects = folder / "objects"
        (objects / "pack").mkdir(parents=True)
        try:
            yield (
                objects,
                {
                    "GIT_OBJECT_DIRECTORY": str(objects),
                    "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self.folder / "objects"),
                },
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _index(self, pack: bytes, variables: Mapping[str, str]) -> None:
        """Unpack with Git's own object checks (fsck), within the input limit."""
        limit = f"--max-input-size={rules.MAX_INPUT_BYTES}"
        arguments = ("index-pack", "--stdin", "--fix-thin", "--strict", limit)
        done = self.git.attempt(*arguments, stdin=pack, extra=variables)
        if done.returncode != 0:
            words = done.stderr.decode(errors="replace").strip()
            raise GitRefused("corrupt_object", words[-300:])

    def _check(self, commit: str, idea_id: str, variables: Mapping[str, str]) -> None:
        """Connectivity, number of commits, the tree's rules, and whose idea it says it is."""
        limit = f"--max-count={rules.MAX_NEW_COMMITS + 1}"
        walk = self.git.attempt(
            "rev-list", "--objects", commit, "--not", "--all", extra=variables
        )  # fmt: skip
        if walk.returncode != 0:
            words = walk.stderr.decode(errors="replace").strip()
            raise GitRefused("missing_object", words[-300:])
        count = self.git.run("rev-list", limit, commit, "--not", "--all", extra=variables)
        commits = len(count.splitlines())
        if commits > rules.MAX_NEW_COMMITS:
            raise GitRefused("oversize", f"over {rules.MAX_NEW_COMMITS} new commits")
        if self._frozen is None:
            self._frozen = tree_of(self.git, self.baseline)
        listing = self.git.run("ls-tree", "-r", "-l", "-z", commit, extra=variables)
        refusal = rules.tree_refusal(rules.parse_tree(listing), self._frozen)
        if refusal:
            reason, _, detail = refusal.partition(": ")
            raise GitRefused(reason, detail)
        message = self.git.run("log", "-1", "--format=%B", commit, extra=variables)
        claimed = parse_trailers(message.decode(errors="replace")).get("Idea", "")
        if claimed != idea_id:
            raise GitRefused("foreign_idea", f"the commit says {claimed!r}, not {idea_id!r}")

    def _move_in(self, objects: Path) -> None:
        """Move a checked pack into the gate; its index comes last, and makes it visible."""
        packs = self.folder / "objects" / "pack"
        packs.mkdir(exist_ok=True)
        found = sorted((objects / "pack").glob("pack-*"), key=lambda path: path.suffix == ".idx")
        for path in found:
            path.rename(packs / path.name)
