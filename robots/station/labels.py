"""Scenes that someone judged: what the verifier would have seen, who judged it, and how.

Only ever added to: a label that was a slip is withdrawn by a second file beside it. Half of the
scenes are held out, to score verifiers on. Which half a scene falls into is a keyed hash of its
content, so that nobody who writes a verifier can steer or foresee it, and the two lie in folders of
their own, so that the shown half can be given away alone.
"""

import hashlib
import hmac
import io
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from robots.station.cameras import Images
from robots.station.seeds import load_secret, write_durably
from robots.station.tasks import Observation, Task
from robots.wire.records import Frozen
from robots.wire.station_replies import LabelCounts

ENVIRONMENTS = "environments"
"""Folder of a fleet's home for what is known of its tasks."""

SHOWN, HELD_OUT = "shown", "held_out"
PERSON, SIMULATOR = "person", "simulator"
"""Label sources. A verifier's verdict is no label: it never enters the store."""

_IMAGE, _SENSED = "image.", "proprioception."


class Snapshot(NamedTuple):
    """What a verifier is given: images by camera, and the observation."""

    images: Images
    proprioception: Observation


class Label(Frozen):
    """One judgement.

    Attributes:
        label_source: `person`, or `simulator` where the world's truth was taken.
        by: The person's name; "" from a simulator.
        entered: `room` or `script`.
        station: Where the scene was; `bench` for one made for the purpose.
        manifest_sha256: Of the task's files at that time.
        kind: What was drawn, where it was: `positive`, `near_miss` or `negative`.
    """

    label_id: str
    task: str
    success: bool
    label_source: str
    by: str
    entered: str
    station: str
    wall_s: float
    manifest_sha256: str
    held_out: bool
    kind: str = ""


class Withdrawal(Frozen):
    """Why a label is none any more."""

    by: str
    wall_s: float


class Labels:
    """The labels of one task.

    Args:
        environments: The folder of a fleet's environments, which also keeps the secret of the rule.
        task: The task.
    """

    def __init__(self, environments: Path, task: Task) -> None:
        self._secret = environments / "labels.secret"
        self._task = task
        self.folder = environments / task.spec.name / "labels"

    def keep(self, snapshot: Snapshot, **fields: Any) -> Label:  # noqa: ANN401
        """Add a label.

        Args:
            snapshot: What was judged.
            fields: Of the `Label`, but for what follows from the scene and the task.
        """
        label_id = f"{int(fields['wall_s'] * 1000):013d}-{fields['station']}-{secrets.token_hex(3)}"
        held_out = falls_into_test(load_secret(self._secret), snapshot)
        label = Label(
            label_id=label_id,
            task=self._task.spec.name,
            manifest_sha256=self._task.manifest_sha256(),
            held_out=held_out,
            **fields,
        )
        folder = self.folder / (HELD_OUT if held_out else SHOWN)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(folder / f"{label_id}.npz", packed(snapshot, msgspec.json.encode(label)))
        return label

    def withdraw(self, label_id: str, by: str, wall_s: float) -> None:
        """Take a label back; its file stays, with the withdrawal beside it.

        Raises:
            KeyError: There is no such label.
        """
        path = next(self.folder.glob(f"*/{label_id}.npz"), None)
        if path is None or _withdrawn(path):
            raise KeyError(label_id)
        word = msgspec.json.encode(Withdrawal(by=by, wall_s=wall_s))
        write_durably(path.with_suffix(".withdrawn"), word)

    def last(self, station: str) -> Label | None:
        """A station's latest label that stands."""
        newest_first = sorted(self._paths(), key=lambda path: path.stem, reverse=True)
        labels = (read_label(path)[0] for path in newest_first if f"-{station}-" in path.stem)
        return next((label for label in labels if label.station == station), None)

    def counts(self) -> LabelCounts:
        """How many labels stand."""
        return count([read_label(path)[0] for path in self._paths()])

    def held_out(self) -> Iterator[tuple[Label, Snapshot]]:
        """The labels to score on, oldest first; one scene at a time is in memory."""
        for path in sorted(self._paths()):
            if path.parent.name == HELD_OUT:
                label, snapshot = read_label(path, images=True)
                yield label, snapshot

    def _paths(self) -> list[Path]:
        return [path for path in self.folder.glob("*/*.npz") if not _withdrawn(path)]


def count(labels: Sequence[Label]) -> LabelCounts:
    """Labels by verdict and share."""
    held_out = [label.success for label in labels if label.held_out]
    return LabelCounts(
        success=sum(label.success for label in labels),
        failure=sum(not label.success for label in labels),
        held_out_success=sum(held_out),
        held_out_failure=len(held_out) - sum(held_out),
    )


def falls_into_test(secret: bytes, snapshot: Snapshot) -> bool:
    """Whether a scene is held out: by its content alone, so that a copy falls where it fell."""
    digest = hashlib.sha256()
    for arrays in snapshot:
        for name in sorted(arrays):
            digest.update(name.encode() + b"\0" + np.ascontiguousarray(arrays[name]).tobytes())
    return bool(hmac.digest(secret, b"enpire-label:" + digest.digest(), hashlib.sha256)[0] & 1)


def read_label(path: Path, *, images: bool = False) -> tuple[Label, Snapshot]:
    """Read a label back, with its scene where asked; no pickle."""
    snapshot, label = unpacked(path.read_bytes(), images=images)
    return msgspec.json.decode(label, type=Label), snapshot


def packed(snapshot: Snapshot, label: bytes = b"") -> bytes:
    """A scene, and what is said of it, as the content of an npz file."""
    columns: dict[str, NDArray[Any]] = {
        "label": np.frombuffer(label, dtype=np.uint8),
        **{_IMAGE + name: image for name, image in snapshot.images.items()},
        **{_SENSED + name: values for name, values in snapshot.proprioception.items()},
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **columns)  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()


def unpacked(content: bytes, *, images: bool = True) -> tuple[Snapshot, bytes]:
    """The inverse of `packed`, without the scene if that is not asked for; no pickle."""
    with np.load(io.BytesIO(content), allow_pickle=False) as columns:
        label = bytes(columns["label"])
        arrays = {name: columns[name] for name in columns.files} if images else {}

    def named(prefix: str) -> dict[str, NDArray[Any]]:
        return {
            name.removeprefix(prefix): value
            for name, value in arrays.items()
            if name.startswith(prefix)
        }

    return Snapshot(named(_IMAGE), named(_SENSED)), label


def _withdrawn(path: Path) -> bool:
    return path.with_suffix(".withdrawn").exists()
