"""Tasks: frozen folders of scene, rules, reset and verifier, found by entry point.

A task folder holds `task.toml` (rates, limits, observation, action, cameras, criterion),
`simulation.py` (the world's hooks, trusted), `reset.py` and `verify.py` (run in sandboxed
children). A variant names another task's package as its base and holds what differs. The manifest
hash over all of it stands in every ledger record.
"""

import hashlib
import importlib.metadata
import importlib.util
import math
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from robots import world
from robots.safety.limits import ActionLimits
from robots.station.cameras import CameraSpec, read_camera

# MuJoCo ships no type information.
MjModel = Any
MjData = Any

Observation = dict[str, NDArray[Any]]
BUILT_IN = Path(__file__).resolve().parents[1] / "tasks"
ENTRY_POINTS = "enpire.tasks"


class TaskError(ValueError):
    """A task that cannot be found or read; the message names file, key and remedy."""


class ObservationSpec(msgspec.Struct, frozen=True):
    """One key of the observation."""

    key: str
    shape: tuple[int, ...]
    unit: str = ""


class TaskSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What `task.toml` says, checked.

    Attributes:
        verify_period_s: When a negative verdict is first asked again while the tool stays
            retracted; later ones are asked at growing waits.
        debounce_frames: Verdicts in a row, one a policy step, that make a success.
        tube: Half-width of the tube about an approved plan, by number of the action; () for a
            share of its range.
        approval_tool: Site or body whose path an approval shows, "" for one named tool or hand.
    """

    name: str
    description: str = ""
    control_hz: float = 100.0
    policy_hz: float = 30.0
    episode_limit_s: float = 60.0
    reset_limit_s: float = 60.0
    observation: tuple[ObservationSpec, ...] = ()
    action_name: str = "action"
    action_unit: str = ""
    limits: ActionLimits
    debounce_frames: int = 3
    verify_period_s: float = 0.5
    cameras: tuple[CameraSpec, ...] = ()
    tube: tuple[float, ...] = ()
    approval_tool: str = ""

    @property
    def tick_s(self) -> float:
        """Period of the control loop."""
        return 1.0 / self.control_hz

    @property
    def period_s(self) -> float:
        """Period of the policy."""
        return 1.0 / self.policy_hz

    def tick_of(self, step: int) -> int:
        """Control tick on which a policy step falls."""
        return round(step * self.control_hz / self.policy_hz)


class Simulation(Protocol):
    """The hooks of a task's `simulation.py`; see `docs/add-a-task.md`."""

    def place(self, model: MjModel, data: MjData, rng: np.random.Generator) -> None: ...
    def randomise(self, model: MjModel, data: MjData, rng: np.random.Generator) -> None: ...
    def reset_target(self, rng: np.random.Generator) -> NDArray[np.float64]: ...
    def observe(self, model: MjModel, data: MjData, rng: np.random.Generator) -> Observation: ...
    def apply(self, model: MjModel, data: MjData, action: NDArray[np.float64]) -> None: ...
    def retracted(self, observation: Observation) -> bool: ...
    def audit(self, model: MjModel, data: MjData) -> dict[str, float]: ...
    def reset_reached(self, observation: Observation, target: NDArray[np.float64]) -> bool: ...
    def evidence(self, history: Sequence[Observation]) -> dict[str, float]: ...
    def failure_tags(self, history: Sequence[Observation]) -> list[str]: ...


class Task(msgspec.Struct, frozen=True):
    """A task folder and what it says, or a registered environment.

    Attributes:
        folder: `Path()` of a registered environment about which nothing more is known.
        identity: What a registered environment is known by; "" of a task folder.
        options: Of a registered environment.
        base: Package of the task that this one varies, "" for none.
        base_folder: Where that lies; it has the files that `folder` lacks.
        uses: Packages that reset and verifier import, and where they lie.
    """

    folder: Path
    spec: TaskSpec
    identity: str = ""
    options: dict[str, float | int | str | bool] = {}
    base: str = ""
    base_folder: Path | None = None
    uses: dict[str, Path] = {}

    @property
    def packages(self) -> dict[str, Path]:
        """What reset and verifier may import beside the standard library and numpy."""
        base = {} if self.base_folder is None else {self.base: self.base_folder}
        return base | self.uses

    def path(self, name: str) -> Path:
        """Where one of the task's files lies: in its folder, else in its base's."""
        own = self.folder / name
        return own if self.base_folder is None or own.exists() else self.base_folder / name

    def files(self) -> dict[str, str]:
        """SHA-256 of every file by name; follows no link out of it.

        A package's are named `package:name`: all of a base's, the modules of one that is used, and
        those of `robots.world`, which simulations are built from.
        """
        places = [] if self.folder == Path() else [("", self.folder, "**/*")]
        places += [(f"{self.base}:", self.base_folder, "**/*")] if self.base_folder else []
        places += [(f"{name}:", folder, "*.py") for name, folder in self.uses.items()]
        if self.path("simulation.py").exists():
            places += [("robots.world:", Path(world.__file__).parent, "*.py")]
        found: dict[str, str] = {}
        for prefix, folder, pattern in places:
            for path in sorted(folder.glob(pattern)):
                if "__pycache__" in path.parts or path.is_dir():
                    continue
                content = path.read_bytes() if not path.is_symlink() else b"link"
                name = prefix + path.relative_to(folder).as_posix()
                found[name] = hashlib.sha256(content).hexdigest()
        return found

    def manifest_sha256(self) -> str:
        """Hash over identity and `files`: two tasks with one hash are one environment."""
        digest = hashlib.sha256(self.identity.encode())
        for name, sha256 in self.files().items():
            digest.update(name.encode() + b"\0" + bytes.fromhex(sha256))
        return digest.hexdigest()

    def simulation(self, model: MjModel, station_seed: int) -> Simulation:
        """The task's world hooks, with one station's fixed draw.

        Raises:
            TaskError: There are none.
        """
        path = self.path("simulation.py")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise TaskError(f"{path}: {error}; a simulated task needs it") from None
        module = ModuleType(f"enpire_task_{self.spec.name}")
        # A base's hooks, too, find the figures of the folder that is played.
        module.__file__ = str(self.folder / path.name)
        # SAFETY: compiled from what the manifest hashes, never from a cache beside it; a base's
        # modules are imported like the station's own.
        exec(compile(content, str(path), "exec"), module.__dict__)  # noqa: S102
        return cast("Simulation", module.Simulation(model, station_seed))


def load_task(name: str, options: dict[str, float | int | str | bool] | None = None) -> Task:
    """Find a task.

    Args:
        name: Of a task, the path of its folder, or `gym:<registered id>`.
        options: Of a registered environment; a task folder takes none.

    Raises:
        TaskError: There is no such task, or its `task.toml` is wrong.
    """
    if name.startswith("gym:"):
        from robots.drivers.gymnasium import gym_task

        return gym_task(name, options or {})
    if options:
        raise TaskError(f"{name}: task options are for gym: tasks, got {', '.join(options)}")
    return read_task(find_folder(name))


def find_folder(name: str) -> Path:
    """Folder of a task by name or path, whatever it holds.

    Raises:
        TaskError: There is no such task.
    """
    known = task_folders()
    if "/" in name and Path(name).is_dir():
        return Path(name)
    if name not in known:
        raise TaskError(
            f"unknown task {name!r}; known are {', '.join(sorted(known))}, and gym:<registered id>"
        )
    return known[name]


def folder_name(task: str) -> str:
    """Name of the folders that belong to a task: `gym_pusht_pusht_v0` of `gym:gym_pusht/PushT-v0`."""
    return re.sub(r"[/:.-]", "_", task.removeprefix("gym:").lower())


def task_folders() -> dict[str, Path]:
    """Every task that can be found: built in, or by entry point `enpire.tasks` (a package)."""
    found = {path.parent.name: path.parent for path in sorted(BUILT_IN.glob("*/task.toml"))}
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        folder = _package(entry.value)
        if folder is not None:
            found[entry.name] = folder
    return found


def read_task(folder: Path) -> Task:
    """Read and check a task folder.

    Raises:
        TaskError: With file and key.
    """
    content = task_tables(folder)
    try:
        spec = _Reader(content).spec()
        uses = _used(content.get("uses", []))
    except (KeyError, TypeError, ValueError) as error:
        detail = f"missing key {error}" if isinstance(error, KeyError) else str(error)
        raise TaskError(f"{folder / 'task.toml'}: {detail}") from None
    base = str(content.get("base", ""))
    base_folder = _task_package(base) if base else None
    return Task(folder.resolve(), spec, base=base, base_folder=base_folder, uses=uses)


def task_tables(folder: Path) -> dict[str, Any]:
    """What `task.toml` of a folder says; of a variant, laid key by key over its base's.

    Raises:
        TaskError: With file and key.
    """
    path = folder / "task.toml"
    try:
        own = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise TaskError(f"{path}: missing; a task folder has one") from None
    except tomllib.TOMLDecodeError as error:
        raise TaskError(f"{path}: {error}") from None
    if "base" not in own:
        return own
    base = _task_package(own["base"])
    if base is None:
        raise TaskError(f"{path}: base: {own['base']!r} is no package with a task.toml")
    tables = task_tables(base)
    if "base" in tables:
        raise TaskError(f"{path}: base: {own['base']!r} varies another task; name that one")
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(tables.get(key), dict)
        tables[key] = {**tables[key], **value} if both else value
    return tables


def _task_package(name: object) -> Path | None:
    """Folder of an importable package that is a task, None where there is none."""
    folder = _package(name)
    return folder if folder is not None and (folder / "task.toml").exists() else None


def _used(names: object) -> dict[str, Path]:
    """Folders of the packages under `uses`.

    Raises:
        TypeError, ValueError: It is no list; one of them is no package.
    """
    if not isinstance(names, list):
        raise TypeError(f"uses: must be a list of packages, got {names!r}")
    found: dict[str, Path] = {}
    for name in cast("list[object]", names):
        folder = _package(name)
        if folder is None or not (folder / "__init__.py").exists():
            raise ValueError(f"uses: {name!r} is no importable package; try robots.skills")
        found[cast("str", name)] = folder
    return found


def _package(name: object) -> Path | None:
    """Folder of an importable package, None where there is none."""
    try:
        spec = importlib.util.find_spec(name) if isinstance(name, str) else None
    except (ImportError, ValueError):
        return None
    places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    return next((place.resolve() for place in places), None)


class _Reader:
    """Turns the tables of `task.toml` into a `TaskSpec`."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    def positive(self, table: str, key: str, default: float) -> float:
        value = self.content.get(table, {}).get(key, self.content.get(key, default))
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ValueError(f"{table}.{key}: must be a positive number, got {value!r}")
        return float(value)

    def limits(self) -> ActionLimits:
        action = self.content["action"]
        shape = tuple(int(size) for size in action["shape"])
        size = math.prod(shape)

        def numbers(*keys: str) -> tuple[float, ...]:
            value = next((action[key] for key in keys if key in action), None)
            if value is None:
                return ()
            if isinstance(value, int | float):
                return (float(value),) * size
            return tuple(float(item) for item in value)

        return ActionLimits(
            shape=shape,
            low=numbers("low"),
            high=numbers("high"),
            max_velocity=numbers("max_velocity", "max_velocity_m_s"),
            max_step=numbers("max_step", "max_step_m"),
        )

    def spec(self) -> TaskSpec:
        content, action = self.content, self.content["action"]
        success = content.get("success", {})
        if not isinstance(content["name"], str):
            raise TypeError(f"name: must be a word, got {content['name']!r}")
        if not content["name"].replace("-", "_").isidentifier():
            raise ValueError(f"name: must be letters, digits, - and _, got {content['name']!r}")
        return TaskSpec(
            name=content["name"],
            description=str(content.get("description", "")),
            control_hz=self.positive("rates", "control_hz", 100.0),
            policy_hz=self.positive("rates", "policy_hz", 30.0),
            episode_limit_s=self.positive("limits", "episode_limit_s", 60.0),
            reset_limit_s=self.positive("limits", "reset_limit_s", 60.0),
            observation=tuple(
                ObservationSpec(key, tuple(table["shape"]), str(table.get("unit", "")))
                for key, table in content["observation"].items()
            ),
            action_name=str(action.get("name", "action")),
            action_unit=str(action.get("unit", "")),
            limits=self.limits(),
            debounce_frames=int(success.get("debounce_frames", 3)),
            verify_period_s=float(success.get("verify_period_s", 0.5)),
            cameras=tuple(read_camera(table) for table in content.get("cameras", [])),
            tube=self.tube(math.prod(action["shape"])),
            approval_tool=str(content.get("approval", {}).get("tool", "")),
        )

    def tube(self, size: int) -> tuple[float, ...]:
        value = self.content.get("approval", {}).get("tube", ())
        numbers = (value,) * size if isinstance(value, int | float) else tuple(value)
        if numbers and (len(numbers) != size or not all(number > 0 for number in numbers)):
            raise ValueError(f"approval.tube: must be {size} positive numbers, got {value!r}")
        return tuple(float(number) for number in numbers)
