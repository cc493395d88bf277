"""The job that training code runs in: rows of its log, checkpoints, what it may read.

A `train.py` begins with `job = Job.here()`. Outside a job, in a person's own shell, everything lands
in `./out`, so that a recipe is tried as it will run.
"""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

Number = float | int
_ENDLESS = (float("inf"), float("-inf"))


class Job:
    """One training run, seen from inside.

    Args:
        root: Folder with `out`, `data` and `resume`.

    Attributes:
        out: Where it may write.
        data: Folders it may read, in the order of the job's `data`.
        earlier: `out` of the job that this one resumes; there may be none.
    """

    def __init__(self, root: Path) -> None:
        self.out = root / "out"
        (self.out / "checkpoints").mkdir(parents=True, exist_ok=True)
        found = root / "data"
        self.data = (
            sorted(found.iterdir(), key=lambda path: int(path.name)) if found.is_dir() else []
        )
        self.earlier = root / "resume"
        self._log = (self.out / "log.jsonl").open("ab", buffering=0)
        self._began_s = time.monotonic()
        self._first: int | None = None

    @classmethod
    def here(cls) -> "Job":
        """The job of this process."""
        return cls(Path(os.environ.get("ENPIRE_JOB", ".")))

    def progress(self, step: int, steps: int, **figures: Number) -> None:
        """Tell how far training is, with its figures, such as losses by name.

        Args:
            step: Steps done, those of an earlier job that this one resumes included.
            steps: Steps in all.
            figures: Of this moment; drawn as curves by their names.
        """
        if self._first is None:
            self._first = step
        seconds = time.monotonic() - self._began_s
        rate = (step - self._first) / seconds if seconds > 0.0 else 0.0
        row: dict[str, Any] = {"step": step, "steps": steps, "rate_hz": round(rate, 3)}
        if rate > 0.0:
            row["seconds_left"] = round((steps - step) / rate, 1)
        self.write("progress", **row, **figures)

    def write(self, kind: str, **values: Number | str) -> None:
        """Add a row to the log; whole, with one write."""
        # JSON has no word for what is no number; a diverged loss must not hide the row.
        told = {k: None if v != v or v in _ENDLESS else v for k, v in values.items()}
        row = {"kind": kind, "wall_s": round(time.time(), 3), **told}
        self._log.write(json.dumps(row).encode() + b"\n")

    def save(self, name: str, tensors: "Mapping[str, Tensor]", **notes: Number | str) -> Path:
        """Write a checkpoint, whole or not at all, such as `last` or `best`; no pickle.

        Args:
            name: Of the checkpoint; one of this name is replaced.
            tensors: By name.
            notes: Numbers and words kept beside them.
        """
        from safetensors.torch import save_file

        path = self.out / "checkpoints" / f"{name}.safetensors"
        part = path.with_suffix(".part")
        content = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        save_file(content, part, metadata={"notes": json.dumps(notes)})
        part.replace(path)
        return path

    def resume(self, name: str = "last") -> "tuple[dict[str, Tensor], dict[str, Any]] | None":
        """The checkpoint to go on from: this job's own, else of the job that it resumes."""
        for folder in (self.out, self.earlier):
            path = folder / "checkpoints" / f"{name}.safetensors"
            if path.exists():
                return load(path)
        return None


def load(path: Path) -> "tuple[dict[str, Tensor], dict[str, Any]]":
    """Tensors and notes of a checkpoint."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        notes = json.loads((file.metadata() or {}).get("notes", "{}"))
        return {key: file.get_tensor(key) for key in file.keys()}, notes  # noqa: SIM118
