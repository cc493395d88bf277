"""Operator library of the search agent: tested code primitives, put into a recipe with libcst.

A primitive is one TOML file: a hypothesis, the methods of `class Policy` it replaces or adds, the
failure tags that make it likely, its code and the knobs it brings. The code is general knowledge of
planar pushing; nothing here was tuned on the task, and each knob starts at a plain middle value.
"""

import re
import textwrap
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import cast

import libcst as cst
import msgspec

Value = float | int | str | bool


@dataclass(frozen=True)
class PrimitiveKnob:
    """One number or switch a primitive brings, as `recipe.toml` writes it."""

    value: Value
    low: float | None = None
    high: float | None = None
    scale: str = "linear"
    integer: bool = False
    choices: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Primitive:
    """A tested change to a policy: what it should bring, and the code that does it."""

    name: str
    hypothesis: str
    replaces: tuple[str, ...]
    """Methods of `class Policy`, in the order of `code`."""
    tags: tuple[str, ...]
    """Failure tags of the station that make this primitive worth trying."""
    code: str
    knobs: dict[str, PrimitiveKnob]


@cache
def load() -> tuple[Primitive, ...]:
    """All primitives, sorted by name.

    Raises:
        ValueError: a file's `replaces` and the methods in its code differ.
    """
    found = [
        _read(entry)
        for folder in files(__name__).iterdir()
        if folder.is_dir()
        for entry in folder.iterdir()
        if entry.name.endswith(".toml")
    ]
    return tuple(sorted(found, key=lambda primitive: primitive.name))


def _read(entry: Traversable) -> Primitive:
    table = tomllib.loads(entry.read_text(encoding="utf-8"))
    knobs = {
        name: msgspec.convert(knob, PrimitiveKnob)
        for name, knob in cast("dict[str, object]", table.get("knobs", {})).items()
    }
    primitive = Primitive(
        name=table["name"],
        hypothesis=table["hypothesis"],
        replaces=tuple(table["replaces"]),
        tags=tuple(table["tags"]),
        code=textwrap.dedent(table["code"]).strip() + "\n",
        knobs=knobs,
    )
    defined = tuple(_methods(_parse(primitive.code).body))
    if defined != primitive.replaces:
        raise ValueError(
            f"{entry.name}: `replaces` names {primitive.replaces}, its code defines {defined}"
        )
    return primitive


def conflicts(one: Primitive, other: Primitive) -> bool:
    """Whether both replace a method in common, so that a policy can carry only one of them."""
    return bool(set(one.replaces) & set(other.replaces))


def insert(source: str, primitive: Primitive) -> str:
    """Source of a policy with the primitive's methods in its `class Policy`.

    Methods of the same name are replaced where they stand, new ones are appended to the class.

    Raises:
        ValueError: the source has no `class Policy`.
    """
    return _exchange(source, _methods(_parse(primitive.code).body))


def remove(source: str, primitive: Primitive, original: str) -> str:
    """Source with the primitive's methods put back to what `original` has.

    Args:
        source: policy that carries the primitive.
        primitive: what to take out.
        original: policy whose methods return; those it lacks are deleted.

    Raises:
        ValueError: either source has no `class Policy`.
    """
    theirs = _methods(_policy_class(original).body.body)
    return _exchange(source, {name: theirs.get(name) for name in primitive.replaces})


def carries(source: str, primitive: Primitive) -> bool:
    """Whether all the primitive's methods stand in the policy exactly as it wrote them."""
    present = _methods(_policy_class(source).body.body)
    wanted = _methods(_parse(primitive.code).body)
    return all(name in present and _same(present[name], node) for name, node in wanted.items())


def insert_knobs(recipe: str, primitive: Primitive) -> str:
    """Text of a `recipe.toml` with the primitive's knobs; those already there keep their value."""
    present = tomllib.loads(recipe).get("knobs", {})
    parts = [recipe.rstrip() + "\n"]
    for name, knob in primitive.knobs.items():
        if name not in present:
            parts.append(f"\n[knobs.{name}]\n{_knob_text(knob)}")
    return "".join(parts)


def remove_knobs(recipe: str, primitive: Primitive) -> str:
    """Text of a `recipe.toml` without the tables of the primitive's knobs."""
    for name in primitive.knobs:
        pattern = rf"\n*^\[knobs\.{re.escape(name)}\][ \t]*\n(?:(?!\[|#).*\n?)*"
        recipe = re.sub(pattern, "\n", recipe, flags=re.MULTILINE)
    return recipe.rstrip() + "\n"


def _knob_text(knob: PrimitiveKnob) -> str:
    lines = [f"value = {_toml(knob.value)}"]
    if knob.choices:
        lines.append(f"choices = [{', '.join(_toml(choice) for choice in knob.choices)}]")
    else:
        ends = {"low": knob.low, "high": knob.high}
        for key, end in ends.items():
            assert end is not None
            lines.append(f"{key} = {_toml(round(end) if knob.integer else end)}")
    if knob.scale != "linear":
        lines.append(f'scale = "{knob.scale}"')
    if knob.integer:
        lines.append("integer = true")
    return "\n".join(lines) + "\n"


def _toml(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else repr(value)


@lru_cache(maxsize=128)
def _parse(source: str) -> cst.Module:
    """Trees are immutable, so that one parse serves every question about a source."""
    return cst.parse_module(source)


def _methods(body: Sequence[cst.CSTNode]) -> dict[str, cst.FunctionDef]:
    return {node.name.value: node for node in body if isinstance(node, cst.FunctionDef)}


def _policy_class(source: str) -> cst.ClassDef:
    for node in _parse(source).body:
        if isinstance(node, cst.ClassDef) and node.name.value == "Policy":
            return node
    raise ValueError("the policy's source has no `class Policy` at its top level")


def _same(one: cst.FunctionDef, other: cst.FunctionDef) -> bool:
    bare = [node.with_changes(leading_lines=()) for node in (one, other)]
    return bare[0].deep_equals(bare[1])


def _exchange(source: str, methods: Mapping[str, cst.FunctionDef | None]) -> str:
    """Policy with these methods in its class; None deletes one."""
    policy = _policy_class(source)
    module = _parse(source)
    changed = _with_methods(policy, methods)
    # Only the class is exchanged: visiting the whole tree costs ten times as much.
    body = [changed if node is policy else node for node in module.body]
    return module.with_changes(body=body).code


def _with_methods(
    policy: cst.ClassDef, methods: Mapping[str, cst.FunctionDef | None]
) -> cst.ClassDef:
    left = dict(methods)
    body: list[cst.BaseStatement | cst.BaseSmallStatement] = []
    for node in policy.body.body:
        if not (isinstance(node, cst.FunctionDef) and node.name.value in left):
            body.append(node)
            continue
        new = left.pop(node.name.value)
        if new is not None:
            body.append(new.with_changes(leading_lines=node.leading_lines))
    blank = [cst.EmptyLine(indent=False)]
    body += [new.with_changes(leading_lines=blank) for new in left.values() if new is not None]
    return policy.with_changes(body=policy.body.with_changes(body=body))
