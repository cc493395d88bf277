"""Writes the small TOML files that a fleet's home is made of; the standard library only reads."""

import json
from collections.abc import Mapping

Value = str | int | float | bool | list["Value"] | Mapping[str, "Value"]


def to_toml(table: Mapping[str, Value], prefix: str = "") -> str:
    """TOML text of a table: its plain keys first, then its sub-tables and arrays of tables."""
    plain: list[str] = []
    nested: list[str] = []
    for key, value in table.items():
        name = f"{prefix}{_key(key)}"
        if isinstance(value, Mapping):
            nested.append(f"\n[{name}]\n{to_toml(value, f'{name}.')}")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for each in value:
                assert isinstance(each, Mapping), f"{name}: tables and values in one array"
                nested.append(f"\n[[{name}]]\n{to_toml(each, f'{name}.')}")
        else:
            plain.append(f"{_key(key)} = {_value(value)}\n")
    return "".join(plain + nested)


def _key(key: str) -> str:
    bare = key.replace("-", "").replace("_", "").isalnum() and key.isascii()
    return key if bare else json.dumps(key)


def _value(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            # JSON's escapes are all valid in a TOML basic string, once DEL is not left bare.
            return json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f")
        case int() | float():
            return repr(value)
        case list():
            return f"[{', '.join(_value(each) for each in value)}]"
        case _:
            raise TypeError(f"no plain TOML value: {value!r}")
