"""Fingerprints of changes: what makes two ideas the same trial, so that none is run twice.

Only what a change makes of the files that it changes counts. Numeric knobs are compared by their position in
their range, in fortieths, so that 0.501 repeats 0.500; code is compared as Python itself would print
it, without comments. The same change of another base is another trial.
"""

import ast
import contextlib
import hashlib
import math
import tomllib
from collections.abc import Mapping
from typing import cast

STEPS_PER_RANGE = 40
RECIPE_FILE = "recipe.toml"


def fingerprint(base: Mapping[str, bytes], changed: Mapping[str, bytes], base_id: str) -> str:
    """Hash of a normalised change.

    Args:
        base: Files of the recipe that is changed.
        changed: Files of the recipe after the change.
        base_id: Commit or idea of `base`.

    Returns:
        Sixteen hexadecimal digits; "" if nothing changed.
    """
    parts: list[str] = []
    for path in sorted({*base, *changed}):
        lines = _normalised(path, changed.get(path))
        if lines != _normalised(path, base.get(path)):
            parts += [path, *(["gone"] if lines is None else lines)]
    return claim_fingerprint(base_id, *parts) if parts else ""


def claim_fingerprint(*parts: str) -> str:
    """Hash of what is claimed before there is a change to hash."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _normalised(path: str, content: bytes | None) -> list[str] | None:
    if content is None:
        return None
    text = content.decode(errors="replace")
    if path == RECIPE_FILE:
        return _knob_lines(text)
    if path.endswith(".py"):
        return _code_lines(text)
    return [line.strip() for line in text.splitlines() if line.strip()]


def _code_lines(text: str) -> list[str]:
    """Lines of code as Python itself would print them; comments and layout do not count."""
    with contextlib.suppress(SyntaxError, ValueError, RecursionError):
        return ast.unparse(ast.parse(text)).splitlines()
    return [line.strip() for line in text.splitlines() if line.strip()]


def _knob_lines(text: str) -> list[str]:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return [line.strip() for line in text.splitlines() if line.strip()]
    knobs = table.get("knobs", {})
    rest = {key: value for key, value in table.items() if key != "knobs"}
    lines = [f"recipe {rest!r}"]
    if isinstance(knobs, dict):
        for name, knob in sorted(cast("dict[str, object]", knobs).items()):
            lines.append(f"{name}={_position(knob)}")
    return lines


def _position(knob: object) -> str:
    """A knob's value, as fortieths of its range where it has one."""
    if not isinstance(knob, dict):
        return repr(knob)
    fields = cast("dict[str, object]", knob)
    value, low, high = fields.get("value"), fields.get("low"), fields.get("high")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return repr(value)
    if not isinstance(low, int | float) or not isinstance(high, int | float) or high <= low:
        return repr(value)
    if fields.get("scale") == "log" and low > 0 and value > 0:
        share = math.log(value / low) / math.log(high / low)
    else:
        share = (value - low) / (high - low)
    return f"{round(share * STEPS_PER_RANGE)}/{STEPS_PER_RANGE}"
