"""An agent's settings, from `<home>/agents/<name>/agent.toml`.

station = "s1"
backend = "search"
seed = 7
origin = ""                 # default: <home>/runs/<run>/origin.git
max_ideas = 0               # 0: no limit
robot_minutes = 0.0
job_minutes = 0.0
sandboxed = true
literature = ""             # a folder of texts; default: <home>/literature
sees = true                 # whether the model is shown pictures; default: its backend's
box = "local"               # where its training jobs run: <home>/boxes/<box>.json
"""

import tomllib
from pathlib import Path

import msgspec

from robots.wire.records import Frozen


class SettingsRefused(ValueError):
    """The file cannot be used; the message names file, key and remedy."""


class AgentSettings(Frozen):
    """What one agent daemon is told.

    Attributes:
        station: The agent's own station.
        backend: Name in the entry point group `enpire.backends`.
        program: For the backend "acp", which command-line agent: claude-code, codex...
        model: For a backend of language models, "" for its default.
        seed: Of the backend's own generator.
        supervisor: Name of the fleet's supervisor, whose endpoint and key lie in the home.
        origin: Path or SSH address of the run's repository; "" for its place in the home.
        max_ideas: Most ideas of a run, 0 for no limit.
        robot_minutes: Most minutes of its own station for exploration, 0 for no limit.
        job_minutes: Most minutes of its training jobs together, 0 for no limit.
        literature: Folder of papers as text, "" for its place in the home.
        sees: Whether its model is shown pictures; None for what is usual with the backend.
        box: Where its training jobs run, "local" for this machine.
        sandboxed: False only where the operator has said `--unsandboxed`.
    """

    station: str
    backend: str = "search"
    program: str = ""
    model: str = ""
    seed: int = 0
    supervisor: str = "supervisor"
    origin: str = ""
    max_ideas: int = 0
    robot_minutes: float = 0.0
    job_minutes: float = 0.0
    sandboxed: bool = True
    literature: str = ""
    sees: bool | None = None
    box: str = "local"


def load_settings(home: Path, name: str) -> AgentSettings:
    """Read an agent's file.

    Raises:
        SettingsRefused: It is missing, not TOML, or a key has a wrong type.
    """
    path = home / "agents" / name / "agent.toml"
    try:
        return msgspec.convert(tomllib.loads(path.read_text()), AgentSettings)
    except FileNotFoundError as error:
        raise SettingsRefused(f"{path} is missing; `enpire-tui up` writes it.") from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SettingsRefused(f"{path}: {error}. Correct it and start the agent again.") from error
