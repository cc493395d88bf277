"""The recipes that come with a task, packed; one that varies another is completed from it."""

import tomllib
from pathlib import Path

from robots.station import archive
from robots.station.archive import ArchiveRefused
from robots.station.tasks import TaskError, folder_name, load_task
from robots.wire.records import RecipeArchive

ROOT = Path(__file__).parent


def pack(task: str, name: str) -> RecipeArchive:
    """A task's recipe: its folder, and what it lacks from `base` of its `recipe.toml`.

    Args:
        task: Name of a task, path of a task folder, or `gym:<registered id>`.
        name: `baseline`, where a run starts, `reference`, which no agent sees, or a regime that is
            trained, the task's own or else as `regimes/NAME` has it.

    Raises:
        ArchiveRefused: There is none, or it may not travel.
    """
    folder = folder_of(task, name)
    if not folder.is_dir() and (ROOT / "regimes" / name / "recipe.toml").is_file():
        folder = ROOT / "regimes" / name
    packed = archive.pack(folder)
    try:
        base = tomllib.loads(packed.files.get("recipe.toml", b"").decode()).get("base", "")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ArchiveRefused(f"{folder}/recipe.toml: {error}") from None
    if not base:
        return packed
    files = archive.pack(ROOT / base).files | packed.files
    return RecipeArchive(files=files, sha256=archive.sha256(files))


def exists(task: str, name: str) -> bool:
    """Whether a task comes with a recipe of this name, or a regime has it."""
    known = name.isidentifier() and folder_of(task, name).is_dir()
    return known or (ROOT / "regimes" / name / "recipe.toml").is_file()


def folder_of(task: str, name: str) -> Path:
    """Folder of a task's recipe, whether or not it exists: here, else in the task's own folder."""
    here = ROOT / folder_name(task) / name
    if here.is_dir() or task.startswith("gym:"):
        return here
    try:
        return load_task(task).folder / "recipes" / name
    except TaskError:
        return here
