"""What a box is asked about its jobs, as functions: `python -m recipes.jobs` answers with them."""

import re
from pathlib import Path

from recipes.jobs import store
from recipes.jobs.launchers import RAY, launcher
from recipes.jobs.records import JobRefused, JobSpec, JobStatus, Launched
from recipes.jobs.store import Store

_RESULT = re.compile(r"out/(checkpoints/[\w.-]+\.safetensors|policy/[\w.-]+)")


def submit(jobs: Store, spec: JobSpec, kind: str, ray: str = RAY) -> JobStatus:
    """Have a job started, once, however often this is called with one spec.

    Raises:
        JobRefused: Another job has its id, or it cannot be started.
    """
    starter = launcher(kind, ray)
    folder, _ = jobs.claim(spec)
    with store.locked(folder):
        # Whoever claimed it may have died before it was launched.
        if not (folder / "launched.json").exists():
            store.write(folder / "launched.json", starter.launch(folder, spec))
    return status(folder, ray)


def status(folder: Path, ray: str = RAY) -> JobStatus:
    """Where a job stands."""
    launched = store.read(folder / "launched.json", Launched)
    if launched is None or (folder / "exit.json").exists():
        return store.status(folder, None)
    return store.status(folder, launcher(launched.launcher, ray).queued(launched))


def cancel(folder: Path, ray: str = RAY) -> JobStatus:
    """Have a job ended; one that has ended stays as it is."""
    with store.locked(folder):
        (folder / "cancel").touch()
        launched = store.read(folder / "launched.json", Launched)
        if launched is not None and not (folder / "exit.json").exists():
            launcher(launched.launcher, ray).cancel(folder, launched)
    return status(folder, ray)


def read(folder: Path, name: str, offset: int, limit: int) -> bytes:
    """Bytes of a job's file from an offset on; b"" at its end, and where it is not there yet.

    Raises:
        JobRefused: It may not be read.
    """
    if name not in store.FILES and not _RESULT.fullmatch(name):
        raise JobRefused(
            f"file: {name!r}; readable are {', '.join(store.FILES)} and what lies in checkpoints and policy"
        )
    file = store.opened(folder, name)
    if file is None:
        return b""
    with file:
        file.seek(offset)
        return file.read(limit)
