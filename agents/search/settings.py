"""`[train]` of a recipe that learns: what a search may change of it. Read as data, written as text edits.

A recipe declares under `[ranges]` which settings may move, and how far: `low` and `high`, with
`scale = "log"` for rates and `integer = true` for counts, or `choices`. What is not declared stays as
it is, since training code alone knows what its other settings mean.
"""

import contextlib
import json
import re
import tomllib
from collections.abc import Mapping
from typing import cast

from agents.search.knobs import RECIPE_FILE, Knob, KnobRefused

TRAIN_FILE = "train.py"
# What training leaves beside its code; without it the recipe cannot be played.
WEIGHTS_FILE = "weights.npz"
# Share of a range that one change moves a setting by: a factor of four over two decades.
STEP = 0.3


def learns(files: Mapping[str, bytes]) -> bool:
    """Whether a recipe has training code."""
    return TRAIN_FILE in files


def alternatives(files: Mapping[str, bytes]) -> dict[str, tuple[object, ...]]:
    """What each declared setting may be changed to: the other choices, or a step down and one up.

    One that learns online has none: its training needs an actor beside it, which a job of an
    agent has not.

    Raises:
        KnobRefused: `[train]` or `[ranges]` cannot be read; says which key.
    """
    table = _table(files)
    ranges, train = _part(table, "ranges"), _part(table, "train")
    if not learns(files) or "online" in table:
        return {}
    found: dict[str, tuple[object, ...]] = {}
    for name, declared in ranges.items():
        if name not in train or not isinstance(declared, dict):
            raise KnobRefused(
                f"{RECIPE_FILE}: [ranges]: {name} is no table of a setting in [train]"
            )
        found[name] = _alternatives(name, train[name], cast("dict[str, object]", declared))
    return found


def steps_of(knob: Knob) -> tuple[float | int, ...]:
    """A knob's or setting's value one step lower and one higher, within its range."""
    here = knob.to_unit(cast("float", knob.value))
    moved = (knob.from_unit(here - STEP), knob.from_unit(here + STEP))
    return tuple(value for value in dict.fromkeys(moved) if value != knob.value)


def change(files: Mapping[str, bytes], name: str, value: object) -> dict[str, bytes]:
    """The recipe with another value of a setting, and without what was learned under the old one.

    Raises:
        KnobRefused: The setting does not stand on a line of its own in `[train]`.
    """
    lines = files[RECIPE_FILE].decode().splitlines(keepends=True)
    inside, pattern = False, re.compile(rf"(\s*{re.escape(name)}\s*=\s*)(.*?)([ \t]*(?:#.*)?\n?)")
    for at, line in enumerate(lines):
        if line.startswith("["):
            inside = line.strip() == "[train]"
        elif inside and (match := pattern.fullmatch(line)):
            lines[at] = f"{match[1]}{json.dumps(value)}{match[3]}"
    changed = {**files, RECIPE_FILE: "".join(lines).encode()}
    with contextlib.suppress(KnobRefused):
        if _part(_table(changed), "train").get(name) == value:
            return {name: content for name, content in changed.items() if name != WEIGHTS_FILE}
    raise KnobRefused(f"{RECIPE_FILE}: [train]: {name} has no line of its own to be changed")


def _alternatives(name: str, value: object, declared: dict[str, object]) -> tuple[object, ...]:
    choices = declared.get("choices")
    if isinstance(choices, list):
        return tuple(each for each in cast("list[object]", choices) if each != value)
    low, high = declared.get("low"), declared.get("high")
    numbers = (value, low, high)
    if any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers):
        raise KnobRefused(
            f"{RECIPE_FILE}: [ranges]: {name} needs `low` and `high`, or `choices`; it has {declared}"
        )
    first, last = cast("float", low), cast("float", high)
    log = declared.get("scale") == "log"
    if first >= last or (log and first <= 0):
        raise KnobRefused(f"{RECIPE_FILE}: [ranges]: {name}: {first} to {last} is no range")
    return steps_of(
        Knob(
            name=name,
            value=cast("float", value),
            low=first,
            high=last,
            log=log,
            integer=declared.get("integer") is True,
        )
    )


def _table(files: Mapping[str, bytes]) -> dict[str, object]:
    try:
        return tomllib.loads(files.get(RECIPE_FILE, b"").decode(errors="replace"))
    except tomllib.TOMLDecodeError as error:
        raise KnobRefused(f"{RECIPE_FILE}: {error}") from error


def _part(table: dict[str, object], name: str) -> dict[str, object]:
    found = table.get(name, {})
    if not isinstance(found, dict):
        raise KnobRefused(f"{RECIPE_FILE}: `{name}` is {found!r}, not a table")
    return cast("dict[str, object]", found)
