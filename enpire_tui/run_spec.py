"""What one run is asked to be: written beside the fleet by `up`, read by the supervisor."""

from pathlib import Path

import msgspec

from enpire_tui.supervisor.budgets import Budget
from robots.wire.records import Frozen, RecipeArchive

FILE = "run.json"


class RunSpec(Frozen):
    """One run, before it starts.

    Attributes:
        stations: Names of its stations.
        agents: Names of its agents.
        agent_of: Station to agent; a station without an agent is missing.
        trusted: Station to public key (32 bytes) that signs its ledger.
        people: Public keys (32 bytes) of those who may sign a policy file.
        unsandboxed: Whether a station runs without a sandbox, which every screen then shows.
    """

    run_id: str
    task: str
    seed: int
    backend: str
    stations: tuple[str, ...]
    agents: tuple[str, ...]
    agent_of: dict[str, str]
    trusted: dict[str, bytes]
    budget: Budget
    baseline_commit: str
    baseline: RecipeArchive
    simulated: bool
    unsandboxed: bool = False
    gateway: bool = False
    people: tuple[bytes, ...] = ()


def read_spec(home: Path) -> RunSpec:
    """The run of a home.

    Raises:
        FileNotFoundError: `up` has not been run there.
        msgspec.ValidationError: The file is not what `up` writes.
    """
    return msgspec.json.decode((home / FILE).read_bytes(), type=RunSpec)


def write_spec(home: Path, spec: RunSpec) -> None:
    """Writes the run's file whole or not at all."""
    new = home / f"{FILE}.new"
    new.write_bytes(msgspec.json.format(msgspec.json.encode(spec), indent=1))
    new.replace(home / FILE)
