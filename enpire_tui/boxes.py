"""The boxes of a fleet file, as training jobs reach them: this machine, or one SSH connection a host."""

from pathlib import Path

from enpire_tui.fleet import BoxEntry, Fleet, FleetError
from enpire_tui.hosts import host_spec
from recipes.jobs.box import Box
from recipes.jobs.far import BoxSpec, write_box

LAUNCHERS = {"local": "process", "ssh": "process", "slurm": "slurm", "ray": "ray"}
LOCAL = "local"


def box_of(fleet: Fleet, name: str, home: Path) -> Box:
    """A box by its name in the fleet file; `local` needs no entry.

    Args:
        fleet: With `[boxes.NAME]` and the `[hosts.NAME]` that they name.
        name: Of the box.
        home: The fleet's folder here, where jobs of this machine lie.

    Raises:
        FleetError: There is no such box.
    """
    return _spec(fleet, name, home).open()


def write_agents_box(fleet: Fleet, home: Path) -> None:
    """Writes what the agents of this home read of the box that they train on."""
    write_box(home, _spec(fleet, fleet.agent.box, home))


def _spec(fleet: Fleet, name: str, home: Path) -> BoxSpec:
    entry = fleet.boxes.get(name, BoxEntry() if name == LOCAL else None)
    if entry is None:
        known = ", ".join(sorted({*fleet.boxes, LOCAL}))
        raise FleetError(f"boxes.{name}: no such box; known are {known}")
    launcher = LAUNCHERS[entry.kind]
    if not entry.host:
        root = str(home / "jobs")
        return BoxSpec(name=name, root=root, launcher=launcher, ray=entry.ray)
    host = host_spec(fleet, entry.host)
    return BoxSpec(name=name, root=f"{host.home}/jobs", launcher=launcher, ray=entry.ray, host=host)
