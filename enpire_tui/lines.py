"""Structs as JSON lines for scripts: every field there, also where it has its default."""

import enum
import json
import sys
from collections.abc import Sequence
from typing import cast

import msgspec

from robots.wire.records import RecipeArchive


def plain(value: object) -> object:
    """A struct as JSON-ready values; code travels by its hash, bytes as hexadecimal."""
    match value:
        case RecipeArchive():
            return value.sha256
        case msgspec.Struct():
            return {each: plain(getattr(value, each)) for each in value.__struct_fields__}
        case enum.Enum():
            return value.value
        case bytes():
            return value.hex()
        case dict():
            table = cast("dict[object, object]", value)
            return {str(key): plain(each) for key, each in table.items()}
        case list() | tuple():
            return [plain(each) for each in cast("Sequence[object]", value)]
        case _:
            return value


def line(kind: str, value: msgspec.Struct | None = None, **more: object) -> str:
    """One line: its kind first, then the struct's fields, then `more`."""
    table: dict[str, object] = {"kind": kind}
    if value is not None:
        table.update({each: plain(getattr(value, each)) for each in value.__struct_fields__})
    table.update({key: plain(each) for key, each in more.items()})
    return json.dumps(table)


def say(kind: str, value: msgspec.Struct | None = None, **more: object) -> None:
    """Writes one line to standard output, at once."""
    sys.stdout.write(line(kind, value, **more) + "\n")
    sys.stdout.flush()
