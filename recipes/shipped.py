"""The recipes that come with a task, packed; one that varies another is completed from it, and so on."""

import tomllib
from pathlib import Path

from robots.station import archive
from robots.station.archive import ArchiveRefused
from robots.station.tasks import TaskError, folder_name, load_task
from robots.wire.records import RecipeArchive

ROOT = Path(__file__).parent


def pack(task: str, name: str) -> RecipeArchive:
    """A task's recipe: its folder, and what it lacks from `base` of its `recipe.toml`, and of that one's.

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
    files, lain = packed.files, [folder]
    while base := _base(lain[-1]):
        lain.append(ROOT / base)
        if lain[-1] in lain[:-1]:
            raise ArchiveRefused(f"{lain[-2]}/recipe.toml: base: {base!r} leads back to itself")
        files = archive.pack(lain[-1]).files | files
    return packed if len(lain) == 1 else RecipeArchive(files=files, sha256=archive.sha256(files))


def pair(task: str) -> dict[str, RecipeArchive | str]:
    """A task's baseline and reference, or why there is none."""
    found: dict[str, RecipeArchive | str] = {}
    for name in ("baseline", "reference"):
        try:
            found[name] = pack(task, name)
        except ArchiveRefused as error:
            found[name] = f"{error}; a task has a {name} recipe"
    return found


def _base(folder: Path) -> str:
    """What a recipe takes the files from that it lacks, "" for nothing."""
    path = folder / "recipe.toml"
    try:
        return str(tomllib.loads(path.read_text()).get("base", "")) if path.is_file() else ""
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ArchiveRefused(f"{path}: {error}") from None


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
