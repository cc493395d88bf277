"""Datasets that a recipe names: what its training reads, by name in its box's store, never by path.

`data = ["demonstrations-0123456789abcdef"]` in `recipe.toml`. A name tells its content
(`Box.put`), so that a commit says what its weights were learned from; and whoever may write a
recipe reads by it nothing but datasets.
"""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence

from recipes.jobs.records import ID, JobRefused

RECIPE_FILE = "recipe.toml"
_LINE = re.compile(r"data\s*=")


def named(files: Mapping[str, bytes]) -> tuple[str, ...]:
    """Names of the datasets of a recipe, () for none.

    Raises:
        JobRefused: `data` is no list of names.
    """
    try:
        found = tomllib.loads(files.get(RECIPE_FILE, b"").decode()).get("data", [])
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise JobRefused(f"{RECIPE_FILE}: {error}") from None
    # SAFETY: a name is one part of a path; "..", "/" and hidden names are none.
    if not isinstance(found, list) or not all(
        isinstance(each, str) and ID.fullmatch(each) for each in found
    ):
        raise JobRefused(f"{RECIPE_FILE}: data: {found!r}; list names of datasets on the box")
    return tuple(found)


def naming(files: Mapping[str, bytes], names: Sequence[str]) -> dict[str, bytes]:
    """The recipe with other datasets named; only that line of its file differs."""
    lines = files[RECIPE_FILE].decode().splitlines(keepends=True)
    first = next((at for at, line in enumerate(lines) if line.startswith("[")), len(lines))
    top = [line for line in lines[:first] if not _LINE.match(line)]
    at = next((at for at, line in enumerate(top) if line.startswith("regime")), -1) + 1
    top.insert(at, f"data = {json.dumps(list(names))}\n")
    return {**files, RECIPE_FILE: "".join([*top, *lines[first:]]).encode()}
