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

from agents.search.credit import Arm
from agents.search.knobs import RECIPE_FILE, Knob, KnobRefused, Value, read_knobs

TRAIN_FILE = "train.py"
# What training leaves beside its code; without it the recipe cannot be played.
WEIGHTS_FILE = "weights.npz"
# Share of a range that one change moves a setting or knob by: a factor of four over two decades.
STEP = 0.3
UP, DOWN = "up", "down"

IMITATE = "imitate:successes"
TRAIN_GAIN = 0.1
IMITATE_GAIN = 0.04
MOVE_GAIN = 0.03
TRIAL_MINUTES = 8.0
IMITATE_MINUTES = 16.0


def learns(files: Mapping[str, bytes]) -> bool:
    """Whether a recipe has training code."""
    return TRAIN_FILE in files


def retraining_arms(files: Mapping[str, bytes]) -> list[Arm]:
    """Arms that train a recipe again: `train:SETTING=CHANGE`, or on own successes as well.

    A change is `up`, `down` or a choice in JSON: what it was worth on one champion says something
    of the next.

    Raises:
        KnobRefused: `[train]` or `[ranges]` cannot be read; says which key.
    """
    found = alternatives(files)
    arms = [
        Arm(name=f"train:{name}={word}", prior_gain=TRAIN_GAIN, minutes=TRIAL_MINUTES)
        for name, values in found.items()
        for word in values
    ]
    if found:
        arms.append(Arm(name=IMITATE, prior_gain=IMITATE_GAIN, minutes=IMITATE_MINUTES))
    return arms


def moving_arms(files: Mapping[str, bytes]) -> list[Arm]:
    """Arms that move one numeric knob of a learned recipe, without training it again."""
    if not learns(files):
        return []
    return [
        Arm(name=f"move:{knob.name}={word}", prior_gain=MOVE_GAIN, minutes=TRIAL_MINUTES)
        for knob in read_knobs(files).values()
        if knob.numeric
        for word in _steps(knob)
    ]


def moved(files: Mapping[str, bytes], target: str) -> dict[str, Value]:
    """The knob value that `move:TARGET` means on a recipe.

    Raises:
        KnobRefused: It does not fit this recipe (any more).
    """
    name, _, word = target.partition("=")
    knob = read_knobs(files).get(name)
    steps = _steps(knob) if knob is not None and knob.numeric else {}
    if word not in steps:
        raise KnobRefused(f"{RECIPE_FILE}: knob {name} cannot be moved {word}")
    return {name: steps[word]}


def retrained(files: Mapping[str, bytes], target: str) -> dict[str, bytes]:
    """The recipe that `train:TARGET` would train: another setting, and nothing learned yet.

    Raises:
        KnobRefused: It does not fit this recipe (any more).
    """
    name, _, word = target.partition("=")
    values = alternatives(files).get(name, {})
    if word not in values:
        raise KnobRefused(f"{RECIPE_FILE}: [train]: {name} cannot be changed to {word}")
    return change(files, name, values[word])


def alternatives(files: Mapping[str, bytes]) -> dict[str, dict[str, object]]:
    """What each declared setting may be changed to, by word: a step up or down, or other choices.

    One that learns online has none: its training needs an actor beside it, which a job of an
    agent has not.

    Raises:
        KnobRefused: `[train]` or `[ranges]` cannot be read; says which key.
    """
    if not learns(files):
        return {}
    table = _table(files)
    ranges, train = _part(table, "ranges"), _part(table, "train")
    if "online" in table:
        return {}
    found: dict[str, dict[str, object]] = {}
    for name, declared in ranges.items():
        if name not in train or not isinstance(declared, dict):
            raise KnobRefused(
                f"{RECIPE_FILE}: [ranges]: {name} is no table of a setting in [train]"
            )
        found[name] = _alternatives(name, train[name], cast("dict[str, object]", declared))
    return found


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
    changed = untrained({**files, RECIPE_FILE: "".join(lines).encode()})
    with contextlib.suppress(KnobRefused):
        if value_of(changed, name) == value:
            return changed
    raise KnobRefused(f"{RECIPE_FILE}: [train]: {name} has no line of its own to be changed")


def value_of(files: Mapping[str, bytes], name: str) -> object:
    """A setting of `[train]`, None where there is none of this name."""
    return _part(_table(files), "train").get(name)


def untrained(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The recipe without what it has learned."""
    return {name: content for name, content in files.items() if name != WEIGHTS_FILE}


def _steps(knob: Knob) -> dict[str, float | int]:
    """A value one step lower and one higher, within the range, by their words."""
    here = knob.to_unit(cast("float", knob.value))
    values = {DOWN: knob.from_unit(here - STEP), UP: knob.from_unit(here + STEP)}
    return {word: value for word, value in values.items() if value != knob.value}


def _alternatives(name: str, value: object, declared: dict[str, object]) -> dict[str, object]:
    choices = declared.get("choices")
    if isinstance(choices, list):
        others = [each for each in cast("list[object]", choices) if each != value]
        return {json.dumps(each): each for each in others}
    low, high = declared.get("low"), declared.get("high")
    if any(isinstance(n, bool) or not isinstance(n, int | float) for n in (value, low, high)):
        raise KnobRefused(
            f"{RECIPE_FILE}: [ranges]: {name} needs `low` and `high`, or `choices`; it has {declared}"
        )
    first, last = cast("float", low), cast("float", high)
    log = declared.get("scale") == "log"
    if first >= last or (log and first <= 0):
        raise KnobRefused(f"{RECIPE_FILE}: [ranges]: {name}: {first} to {last} is no range")
    knob = Knob(
        name=name,
        value=cast("float", value),
        low=first,
        high=last,
        log=log,
        integer=declared.get("integer") is True,
    )
    return dict(_steps(knob))


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
