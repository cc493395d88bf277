"""Knobs of a `recipe.toml`: read as numbers in a unit cube, written back as text edits.

Edits touch the value's line only, so that comments and order survive and a diff says one thing.
"""

import math
import re
import tomllib
from collections.abc import Mapping
from typing import cast

from robots.wire.records import Frozen

RECIPE_FILE = "recipe.toml"
Value = float | int | str | bool


class KnobRefused(ValueError):
    """A recipe's knobs cannot be read or set; the message names file, knob and value."""


class Knob(Frozen):
    """One knob: a number with a range, or a choice; its tags name failures it has to do with."""

    name: str
    value: Value
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    integer: bool = False
    choices: tuple[Value, ...] = ()
    tags: tuple[str, ...] = ()

    @property
    def numeric(self) -> bool:
        """Whether it has a range to move in."""
        return not self.choices and self.high > self.low

    def to_unit(self, value: Value) -> float:
        """Position of a value in the range, 0 to 1."""
        number = min(max(float(value), self.low), self.high)
        if self.log:
            return math.log(number / self.low) / math.log(self.high / self.low)
        return (number - self.low) / (self.high - self.low)

    def from_unit(self, share: float) -> float | int:
        """Value at a position of the range, to four digits."""
        share = min(max(share, 0.0), 1.0)
        if self.log:
            number = self.low * math.exp(share * math.log(self.high / self.low))
        else:
            number = self.low + share * (self.high - self.low)
        if self.integer:
            return round(number)
        return min(max(float(f"{number:.4g}"), self.low), self.high)


def read_knobs(files: Mapping[str, bytes]) -> dict[str, Knob]:
    """Knobs of a recipe by name, in the order of the file.

    Raises:
        KnobRefused: The file is no TOML, or a knob has neither range nor choices.
    """
    text = files.get(RECIPE_FILE, b"").decode(errors="replace")
    try:
        table = tomllib.loads(text).get("knobs", {})
    except tomllib.TOMLDecodeError as error:
        raise KnobRefused(f"{RECIPE_FILE}: {error}") from error
    if not isinstance(table, dict):
        raise KnobRefused(f"{RECIPE_FILE}: `knobs` is {table!r}, not tables")
    return {
        name: _read_knob(name, fields) for name, fields in cast("dict[str, object]", table).items()
    }


def set_knobs(files: Mapping[str, bytes], values: Mapping[str, Value]) -> dict[str, bytes]:
    """The recipe with other values of some knobs.

    Raises:
        KnobRefused: A knob is not there.
    """
    text = files[RECIPE_FILE].decode()
    for name, value in values.items():
        pattern = (
            rf"(^\[knobs\.{re.escape(name)}\][^\[]*?^value[ \t]*=[ \t]*)([^#\n]*?)([ \t]*(?:#.*)?)$"
        )
        written = _toml(value)
        text, count = re.subn(
            pattern,
            lambda match, written=written: f"{match[1]}{written}{match[3]}",
            text,
            count=1,
            flags=re.MULTILINE,
        )
        if not count:
            raise KnobRefused(f"{RECIPE_FILE} has no knob {name!r} with a value line")
    return {**files, RECIPE_FILE: text.encode()}


def _read_knob(name: str, fields: object) -> Knob:
    if not isinstance(fields, dict):
        raise KnobRefused(f"{RECIPE_FILE}: knob {name} is {fields!r}, not a table")
    table = cast("dict[str, object]", fields)
    value = table.get("value")
    choices: object = table.get("choices", ())
    if not isinstance(value, float | int | str | bool):
        raise KnobRefused(f"{RECIPE_FILE}: knob {name} has the value {value!r}")
    if isinstance(choices, list | tuple) and choices:
        return Knob(name=name, value=value, choices=tuple(cast("list[Value]", choices)))
    low, high = table.get("low"), table.get("high")
    if isinstance(value, bool | str) or not _is_number(low) or not _is_number(high):
        return Knob(name=name, value=value)
    return Knob(
        name=name,
        value=value,
        low=float(cast("float", low)),
        high=float(cast("float", high)),
        log=table.get("scale") == "log" and float(cast("float", low)) > 0,
        integer=table.get("integer") is True,
        tags=_tags(table.get("tags")),
    )


def _tags(found: object) -> tuple[str, ...]:
    items = cast("list[object]", found) if isinstance(found, list) else []
    return tuple(item for item in items if isinstance(item, str))


def _is_number(value: object) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)


def _toml(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, int):
        return str(value)
    return repr(float(value))
