"""What is known here of a registered environment beyond its registration: a folder of its own.

`environment.toml` holds default options, units and the extra that brings the package;
`evidence.py` (trusted, optional) says from observations alone how an episode ended. The folder lies
below `robots/tasks`, or is a package registered as `enpire.tasks` under `folder_name` of the task.
An environment without one is a task all the same.
"""

import hashlib
import importlib.metadata
import importlib.util
import tomllib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Protocol, cast

import msgspec

from robots.station.tasks import BUILT_IN, ENTRY_POINTS, Observation, Task, TaskError, folder_name

FILE = "environment.toml"
HOOKS = "evidence.py"

Option = float | int | str | bool


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Words for an action or a key of the observation."""

    unit: str = ""
    name: str = ""


class Notes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `environment.toml` says.

    Attributes:
        extra: Of this distribution, which brings the environment's package.
        options: Defaults of a task's options.
        observation: By key; a space without keys is `observation`.
    """

    description: str = ""
    extra: str = ""
    options: dict[str, Option] = {}
    action: Part = Part()
    observation: dict[str, Part] = {}


class Hooks(Protocol):
    """What `evidence.py` defines, as a task's `simulation.py` does."""

    def evidence(self, history: Sequence[Observation]) -> dict[str, float]: ...
    def failure_tags(self, history: Sequence[Observation]) -> list[str]: ...


def notes_folder(task: str) -> Path:
    """Folder of an environment's notes, `Path()` where there is none."""
    name = folder_name(task)
    if (BUILT_IN / name / FILE).is_file():
        return BUILT_IN / name
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS, name=name):
        spec = importlib.util.find_spec(entry.value)
        if spec is not None and spec.submodule_search_locations:
            return Path(next(iter(spec.submodule_search_locations)))
    return Path()


def read_notes(folder: Path) -> Notes:
    """Read and check a folder's notes; empty ones of `Path()`.

    Raises:
        TaskError: With file and key.
    """
    if folder == Path():
        return Notes()
    path = folder / FILE
    try:
        return msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Notes)
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise TaskError(f"{path}: {error}") from None


def hooks_of(task: Task) -> Hooks | None:
    """The environment's own evidence, None where there is none."""
    path = task.folder / HOOKS
    if task.folder == Path() or not path.is_file():
        return None
    content = path.read_bytes()
    module = ModuleType(f"enpire_environment_{hashlib.sha256(content).hexdigest()[:16]}")
    module.__file__ = str(path)
    # SAFETY: compiled from what the manifest hashes, never from a cache beside it.
    exec(compile(content, str(path), "exec"), module.__dict__)  # noqa: S102
    return cast("Hooks", module)
