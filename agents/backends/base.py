"""The interface of a backend, and how one is found by name.

A new backend is one file and an entry point in the group `enpire.backends`:

    [project.entry-points."enpire.backends"]
    mine = "my_package.backend:MyBackend"
"""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Protocol, cast

from agents.tools.toolbox import Toolbox

GROUP = "enpire.backends"


class BackendMissing(LookupError):
    """No backend of this name; the message lists those there are."""


class Backend(Protocol):
    """What proposes changes through the tools.

    Attributes:
        name: As in the entry point.
        label: Shown wherever its words are shown, such as "search agent, not a language model".
    """

    name: str
    label: str

    async def turn(self, tools: Toolbox) -> None:
        """Work until there is nothing to do, or a tool answers PAUSED, STOPPED or run_ended.

        Called again after a pause, for another run, and after a restart of the daemon at any
        point. What it needs to go on it keeps with `tools.desk.record_backend` before it acts;
        tools answer a repeated call without repeating what it did.

        Raises:
            ToolRefused: A tool did not act and this turn ends.
        """
        ...


def load_backend(name: str, agent: str, seed: int) -> Backend:
    """The backend of a name, for one agent.

    Args:
        name: In the entry point group, or "search".
        agent: The agent's name.
        seed: Of the backend's own generator.

    Raises:
        BackendMissing: There is none of this name.
    """
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name in found:
        factory = cast("Callable[[str, int], Backend]", found[name].load())
        return factory(agent, seed)
    if name == "search":
        from agents.backends.search import SearchBackend

        return SearchBackend(agent, seed)
    raise BackendMissing(
        f"there is no backend {name!r}; installed are {', '.join(sorted({*found, 'search'}))}"
    )
