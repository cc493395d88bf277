"""The interface of a backend, and how one is found by name.

A new backend is one file and an entry point in the group `enpire.backends`:

    [project.entry-points."enpire.backends"]
    mine = "my_package.backend:MyBackend"
"""

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, cast

from agents.settings import AgentSettings
from agents.tools.toolbox import Toolbox
from robots.wire.endpoints import socket_path

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


BUILT_IN = ("search", "anthropic", "openai", "acp")


def load_backend(settings: AgentSettings, agent: str, home: Path) -> Backend:
    """The backend of one agent.

    Args:
        settings: The agent's; names it, in the entry point group or built in.
        agent: The agent's name.
        home: The fleet's folder; the gateway's socket of this agent is its.

    Raises:
        BackendMissing: There is none of this name, or what it needs is not installed.
    """
    name = settings.backend
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name in found:
        factory = cast("Callable[[str, int], Backend]", found[name].load())
        return factory(agent, settings.seed)
    if name == "search":
        from agents.backends.search import SearchBackend

        return SearchBackend(agent, settings.seed)
    if name not in BUILT_IN:
        known = ", ".join(sorted({*found, *BUILT_IN}))
        raise BackendMissing(f"there is no backend {name!r}; installed are {known}")
    try:
        gateway = socket_path(home, agent, "api")
        if name == "acp":
            return _of_a_program(settings, agent, gateway)
        return _of_a_model(name, settings.model, gateway)
    except ImportError as error:
        raise BackendMissing(
            f"backend {name!r} needs {error.name}: pip install 'enpire-tui[llm]'"
        ) from None


def _of_a_model(name: str, model: str, socket: Path) -> Backend:
    from agents.backends.model import ModelBackend

    if name == "anthropic":
        from agents.backends.anthropic import AnthropicProvider

        return ModelBackend(AnthropicProvider(model, socket))
    from agents.backends.openai import OpenAIProvider

    return ModelBackend(OpenAIProvider(model, socket))


def _of_a_program(settings: AgentSettings, agent: str, socket: Path) -> Backend:
    from agents.backends.acp import AcpBackend
    from agents.programs.table import ProgramMissing, program_named

    try:
        program = program_named(settings.program).named(settings.model)
        program.found()
    except ProgramMissing as missing:
        raise BackendMissing(str(missing)) from None
    return AcpBackend(agent, program, socket, sandboxed=settings.sandboxed)
