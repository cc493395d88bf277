"""Where a fleet's things lie: one folder a fleet, and the files in it."""

import os
from pathlib import Path

from enpire_tui.fleet import Fleet, agent_name
from enpire_tui.run_spec import RunSpec
from robots.wire.records import Role

ENVIRONMENT = "ENPIRE_HOME"

SUPERVISOR, GATEWAY, OPERATOR, VIEWER = "supervisor", "gateway", "operator", "viewer"
# Marks a run whose end somebody was told; the next `--autonomous` begins another.
REPORTED = "reported"


def home_of(fleet_name: str, given: Path | None = None) -> Path:
    """Folder of a fleet: `--home`, else $ENPIRE_HOME, else below the user's data folder."""
    if given is not None:
        return given.expanduser().absolute()
    if os.environ.get(ENVIRONMENT):
        return Path(os.environ[ENVIRONMENT]).expanduser().absolute()
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return data.expanduser().absolute() / "enpire" / fleet_name


def run_folder(home: Path, run_id: str) -> Path:
    """Where a run keeps its repository, its record and, once it is over, its journals."""
    return home / "runs" / run_id


def origin_of(home: Path, run_id: str) -> Path:
    """The run's bare research repository."""
    return run_folder(home, run_id) / "origin.git"


def environments(home: Path) -> Path:
    """Where the findings about tasks and their signed manifests are kept."""
    return home / "environments"


def ended(home: Path, spec: RunSpec) -> bool:
    """Whether the run of a home is over; its record is written last."""
    return (run_folder(home, spec.run_id) / "record.json").exists()


def reported(home: Path, spec: RunSpec) -> bool:
    """Whether somebody was told that the run of a home is over."""
    return (run_folder(home, spec.run_id) / REPORTED).exists()


def agents_of(fleet: Fleet) -> dict[str, str]:
    """Station to agent, for the stations that have one."""
    return {
        each.name: agent_name(each.name)
        for each in fleet.station
        if fleet.backend_of(each) != "none"
    }


def needs_gateway(fleet: Fleet) -> bool:
    """Whether an agent of the fleet speaks to a model provider."""
    return any(fleet.backend_of(each) not in ("search", "none") for each in fleet.station)


def daemons_of(fleet: Fleet) -> tuple[str, ...]:
    """Every daemon that answers commands, in the order in which they are started."""
    gateway = (GATEWAY,) if needs_gateway(fleet) else ()
    stations = tuple(each.name for each in fleet.station)
    return (SUPERVISOR, *gateway, *stations, *agents_of(fleet).values())


def roles_of(fleet: Fleet) -> dict[str, Role | None]:
    """Role of every key of the fleet; None for a daemon that only listens."""
    roles: dict[str, Role | None] = {
        SUPERVISOR: Role.SUPERVISOR,
        OPERATOR: Role.OPERATOR,
        VIEWER: Role.VIEWER,
    }
    if needs_gateway(fleet):
        roles[GATEWAY] = None
    roles.update({each.name: None for each in fleet.station})
    roles.update({f"link-{name}": None for name in fleet.hosts})
    roles.update(dict.fromkeys(agents_of(fleet).values(), Role.AGENT))
    return roles
