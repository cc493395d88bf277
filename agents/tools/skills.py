"""The tool that tells of `robots.skills`: what a policy may import, and how each skill is written."""

import inspect
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import msgspec

from agents.tools.answers import from_line
from agents.tools.surface import Surface, Unchecked
from robots import skills as library
from robots.wire.records import Frozen

HEAD = (
    "A policy may import these from robots.skills. Scripts are generators (`yield from hand.move(...)`); "
    "metres, radians, newtons; pixels are (column, row). Ask for one by name to read it."
)


class Skill(Frozen):
    """A skill, such as "Hand.grasp" or "segment", from a line of its code on; "" for all names."""

    name: str = ""
    from_line: Annotated[int, msgspec.Meta(ge=1)] = 1


async def skills(_: Surface, given: Skill, __: str) -> str:
    """All skills in a line each, or one as it is written."""
    found = dict(known())
    if not given.name:
        return "\n".join([HEAD, *(f"{name}{told(it)}" for name, it in found.items())])
    if given.name not in found:
        raise Unchecked(f'skills: there is no {given.name!r}; name "" lists what there is')
    return from_line(inspect.getsource(found[given.name]), given.from_line)


def known() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Skills by name, in the library's order; what a class can do follows it."""
    for name in library.__all__:
        it: Any = getattr(library, name)
        if inspect.isfunction(it):
            yield name, it
        # Aliases of types and constants are no skills.
        elif inspect.isclass(it) and it.__module__.startswith(library.__name__):
            yield name, it
            for method, own in vars(it).items():
                if inspect.isfunction(own) and not method.startswith("_"):
                    yield f"{name}.{method}", own


def told(it: Callable[..., Any]) -> str:
    """Parameters by name, those that may be left out with `=`, and what it does."""
    does = (inspect.getdoc(it) or "").partition("\n")[0]
    if inspect.isclass(it):
        return f": {does}"
    given = [
        name if each.default is inspect.Parameter.empty else f"{name}="
        for name, each in inspect.signature(it).parameters.items()
        if name != "self"
    ]
    return f"({', '.join(given)}): {does}"
