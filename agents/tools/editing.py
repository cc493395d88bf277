"""Tools for the working tree's files, and a shell in its sandbox, with their arguments."""

from typing import Annotated

import msgspec

from agents.tools import calls as t
from agents.tools.answers import from_line
from agents.tools.surface import RESULTS, Surface, Unchecked
from robots.wire.records import Frozen

Text = Annotated[str, msgspec.Meta(max_length=200_000)]
Line = Annotated[int, msgspec.Meta(ge=1)]


class Nothing(Frozen):
    """No arguments."""


class Place(Frozen):
    """A file of the working tree, such as recipe/policy.py, or of cut answers, from a line on."""

    path: str
    from_line: Line = 1


class Written(Frozen):
    """A file below recipe/ or notes/ and the whole of its text."""

    path: str
    text: Text


class Edited(Frozen):
    """A file, a passage that is in it exactly once, and what shall stand there instead."""

    path: str
    old: Text
    new: Text


class Command(Frozen):
    """A shell command, run in the sandbox of the working tree; no network."""

    command: Annotated[str, msgspec.Meta(max_length=20_000)]


async def list_files(at: Surface, _: Nothing, __: str) -> str:
    """Sizes and names, one a line."""
    found = await at.tools.tree.list_files()
    return "\n".join(f"{size:>8} {path}" for path, size in found.sizes.items())


async def read_file(at: Surface, given: Place, _: str) -> str:
    """A file's lines, or those of an answer that was cut."""
    if given.path.startswith(RESULTS):
        content = at.desk.results.get(given.path.removeprefix(RESULTS))
        if content is None:
            raise t.ToolRefused(f"no_file: {given.path} is not there, or was pruned; call again")
        return from_line(content.decode(errors="replace"), given.from_line)
    return from_line(await at.tools.tree.whole(given.path), given.from_line)


async def write_file(at: Surface, given: Written, _: str) -> str:
    """What became of the file."""
    return (await at.tools.tree.write_file(t.WriteFile(path=given.path, text=given.text))).text


async def edit_file(at: Surface, given: Edited, _: str) -> str:
    """What became of the file; a passage that is not there exactly once changes nothing."""
    text = await at.tools.tree.whole(given.path)
    found = text.count(given.old)
    if found != 1 or not given.old:
        raise Unchecked(f"edit_file: `old` is {found} times in {given.path}; give it once, exactly")
    changed = text.replace(given.old, given.new)
    return (await at.tools.tree.write_file(t.WriteFile(path=given.path, text=changed))).text


async def shell(at: Surface, given: Command, _: str) -> str:
    """What the command printed, and its exit code if it is not 0."""
    return await at.tools.tree.shell(given.command)
