"""Scenes whose judgement is known.

The bench keeps some of those that it scored a verifier on, and a station has its verifier judge
them again from time to time.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from robots.station.labels import SIMULATOR, Snapshot, packed, unpacked
from robots.station.seeds import write_durably
from robots.station.tasks import Task
from robots.wire.records import Frozen


class Known(NamedTuple):
    """A scene and what it is."""

    scene: Snapshot
    success: bool


class KnownNote(Frozen):
    """What stands beside a known scene on disk; `label_source` tells it from a person's label."""

    manifest_sha256: str
    success: bool
    label_source: str = SIMULATOR


def keep_known(environments: Path, task: Task, sha256: str, scenes: Sequence[Known]) -> None:
    """Put these scenes in the place of those that were kept of the task before."""
    folder = _folder(environments, task)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in folder.glob("*.npz"):
        path.unlink()
    for number, (scene, success) in enumerate(scenes):
        note = KnownNote(manifest_sha256=sha256, success=success)
        content = packed(scene, msgspec.json.encode(note))
        write_durably(folder / f"{number:02d}.npz", content)


def known_scenes(environments: Path, task: Task, sha256: str) -> list[Known]:
    """What the bench kept of a task with these files; none of other files."""
    found: list[Known] = []
    for path in sorted(_folder(environments, task).glob("*.npz")):
        scene, content = unpacked(path.read_bytes())
        note = msgspec.json.decode(content, type=KnownNote)
        if note.manifest_sha256 == sha256:
            found.append(Known(scene, note.success))
    return found


def _folder(environments: Path, task: Task) -> Path:
    return environments / task.spec.name / "known"
