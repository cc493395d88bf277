"""Tools on the working tree: files, peers' recipes, adoption by Git."""

import asyncio
from collections.abc import Callable, Collection
from typing import ParamSpec, TypeVar

from agents.desk import Desk
from agents.git.bundle import Gate
from agents.git.command import GitFailed, GitRefused
from agents.git.rules import is_writable
from agents.git.workspace import Workspace
from agents.tools import calls as t
from agents.view import BASELINE
from robots.sandbox import SandboxError

P = ParamSpec("P")
T = TypeVar("T")


class Tree:
    """The agent's clone and the recipes of its peers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def list_files(self) -> t.FileList:
        files = await self._read()
        return t.FileList(sizes={path: len(content) for path, content in sorted(files.items())})

    async def read_file(self, call: t.ReadFile) -> t.FileText:
        text, cut = t.cut_text(await self.whole(call.path))
        return t.FileText(text=text, cut=cut)

    async def whole(self, path: str) -> str:
        """A file's whole text."""
        files = await self._read()
        if path not in files:
            raise t.ToolRefused(f"no_file: {path}; there are {', '.join(sorted(files))}")
        return files[path].decode(errors="replace")

    async def shell(self, command: str) -> str:
        """What a command in the working tree's sandbox printed, and how it ended."""
        return await on_thread(self._clone.shell, command)

    async def recipe(self) -> dict[str, bytes]:
        """The working tree's recipe folder."""
        files = await self._read()
        return {p.removeprefix("recipe/"): c for p, c in files.items() if p.startswith("recipe/")}

    async def put(self, files: dict[str, bytes]) -> None:
        """Files into the working tree, as they are."""
        await on_thread(self._clone.write, files)

    async def write_file(self, call: t.WriteFile) -> t.FileText:
        if not is_writable(call.path) or ".." in call.path.split("/"):
            raise t.ToolRefused(f"frozen_path: {call.path}; only recipe/ and notes/ may be changed")
        await on_thread(self._clone.write, {call.path: call.text.encode()})
        return t.FileText(text=f"{call.path} written")

    async def start_from(self, call: t.StartFrom) -> t.Text:
        commit = self.commit_of(call.idea_id)
        await self.have(commit)
        await on_thread(self._clone.checkout, commit)
        return t.Text(text=f"working tree at {commit[:10]}")

    async def adopt(self, call: t.Adopt) -> t.Recipe:
        """Apply a peer's change to a commit; Git decides whether it fits."""
        commit = self.commit_of(call.idea_id)
        await self.have(commit)
        await self.have(call.base)
        files = await on_thread(self._clone.cherry_pick, call.base, commit)
        return t.Recipe(files=files)

    async def read_recipe(self, call: t.ReadRecipe) -> t.Recipe:
        await self.have(call.commit)
        archive = await on_thread(self._gate.archive, call.commit)
        return t.Recipe(files=archive.files)

    async def diff(self, base: str, commit: str) -> str:
        """The change between two commits as text."""
        await self.have(base)
        await self.have(commit)
        return await on_thread(self._gate.diff, base, commit)

    async def try_merge(self, base: str, idea_id: str) -> str:
        """Files in which an idea's commit and another conflict, "" if they merge."""
        commit = self.commit_of(idea_id)
        await self.have(base)
        await self.have(commit)
        return await on_thread(self._gate.conflicts, base, commit)

    async def shared(self, path: str, known: Collection[str]) -> dict[str, bytes]:
        """A file that ideas of the run carry, newest state of the origin, by commit."""
        await on_thread(self._gate.refresh)
        return await on_thread(self._gate.shared, path, known)

    async def have(self, commit: str) -> None:
        """Fetch from the origin if a commit is not here yet."""
        if not await on_thread(self._gate.has, commit):
            await on_thread(self._gate.refresh)
            if not await on_thread(self._gate.has, commit):
                raise t.ToolRefused(f"unknown_commit: {commit[:12]} is not in the origin")

    def commit_of(self, idea_id: str) -> str:
        """The commit of an idea; "" is the champion."""
        run = self._desk.run
        if idea_id in {"", run.champion.idea_id if run.champion else BASELINE}:
            if run.champion is None:
                raise t.ToolRefused("no_run: there is no run")
            return run.champion.commit
        standing = run.ideas.get(idea_id)
        if standing is None or not standing.idea.commit:
            raise t.ToolRefused(f"unknown_idea: {idea_id} has no commit in this run")
        return standing.idea.commit

    @property
    def _gate(self) -> Gate:
        if self._desk.gate is None:
            raise t.ToolRefused("no_run: there is no repository yet")
        return self._desk.gate

    @property
    def _clone(self) -> Workspace:
        if self._desk.workspace is None:
            raise t.ToolRefused("no_run: there is no clone yet")
        return self._desk.workspace

    async def _read(self) -> dict[str, bytes]:
        return await on_thread(self._clone.read)


async def on_thread(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Run a blocking call of Git on a worker thread; its refusals become the tool's."""
    try:
        return await asyncio.to_thread(function, *arguments, **named)
    except GitRefused as refused:
        raise t.ToolRefused(f"{refused.reason}: {refused.detail}") from refused
    except (GitFailed, SandboxError) as failed:
        raise t.ToolRefused(f"git_failed: {failed}") from failed
