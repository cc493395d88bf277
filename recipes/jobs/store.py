"""A job's folder on its box: one claim, one launch, one process, one exit record.

| file | written by | says |
| --- | --- | --- |
| `job.json` | submit | the spec, whole before the folder has its name |
| `launched.json` | submit | what was asked to start it |
| `process` | runner | which process it is; its creation is the claim to run |
| `out/log.jsonl`, `out/checkpoints/` | training code | rows, tensors |
| `console.txt`, `use.jsonl` | runner | what the program printed; use of the box |
| `cancel` | cancel | that somebody wants it to end |
| `exit.json` | runner | how it ended |
"""

import contextlib
import fcntl
import os
import shutil
import stat
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec

from recipes.jobs.records import ID, Ended, JobRefused, JobSpec, JobState, JobStatus, Use
from robots.station import archive
from robots.wire.processes import is_alive, read_pid_file

T = TypeVar("T")
DATA = ".data"
TAIL_BYTES = 64 << 10
MOST_NAMED = 1000
# What a progress row may hold.
_TOLD = (int, float, str, type(None))
FILES = ("out/log.jsonl", "use.jsonl", "console.txt")


class Store:
    """The jobs of one box, below one folder.

    Args:
        root: The folder; made if it is missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def folder(self, job_id: str) -> Path:
        """A job's folder.

        Raises:
            JobRefused: There is no such job.
        """
        found = self.root / job_id
        if "/" in job_id or not (found / "job.json").exists():
            raise JobRefused(f"job_id: no job {job_id!r} below {self.root}")
        return found

    def claim(self, spec: JobSpec) -> tuple[Path, bool]:
        """A job's folder, and whether this call made it.

        Raises:
            JobRefused: Another job has the id, or what it resumes is not here.
        """
        place = self.root / spec.job_id
        if spec.resume_from:
            self.folder(spec.resume_from)
        for data in spec.data:
            if not Path(data).is_dir():
                raise JobRefused(f"data: no folder {data} on this box")
        content = msgspec.json.encode(spec)
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=self.root))
        try:
            archive.unpack(spec.recipe, new / "recipe")
            (new / "out" / "checkpoints").mkdir(parents=True)
            (new / "job.json").write_bytes(content)
            new.chmod(0o755)
            try:
                # A folder that is not empty cannot be replaced: the first to get here wins.
                new.rename(place)
            except OSError:
                if (place / "job.json").read_bytes() != content:
                    raise JobRefused(
                        f"job_id: {spec.job_id} is another job's; choose a new id"
                    ) from None
                return place, False
        finally:
            shutil.rmtree(new, ignore_errors=True)
        return place, True

    def put(self, name: str, content: IO[bytes]) -> Path:
        """Unpack a tar file as a folder of data that jobs read; one that is there stays as it is.

        Args:
            name: Names its content: two different contents never have one name.
            content: The tar file, read as it comes.

        Raises:
            JobRefused: The name is none, or the file holds what data may not.
        """
        if not ID.fullmatch(name):
            raise JobRefused(f"name: {name!r}; use letters, digits, '-', '_' and '.'")
        place = self.root / DATA / name
        place.parent.mkdir(exist_ok=True)
        if place.is_dir():
            return place
        new = Path(tempfile.mkdtemp(prefix=".new-", dir=place.parent))
        try:
            with tarfile.open(fileobj=content, mode="r|*") as archived:
                archived.extractall(new, filter="data")
            new.chmod(0o755)
            with contextlib.suppress(OSError):
                new.rename(place)
        except tarfile.TarError as error:
            raise JobRefused(f"{name}: {error}") from None
        finally:
            shutil.rmtree(new, ignore_errors=True)
        return place

    def all(self) -> list[str]:
        """Ids of all jobs, oldest first."""
        found = [path.parent for path in self.root.glob("[!.]*/job.json")]
        return [path.name for path in sorted(found, key=lambda path: path.stat().st_ctime_ns)]


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Nobody else launches or cancels this job meanwhile."""
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def line(value: object) -> bytes:
    """A row of a JSON lines file."""
    return msgspec.json.encode(value) + b"\n"


def write(path: Path, value: object) -> None:
    """A JSON file, whole or not at all."""
    new = path.with_name(path.name + ".new")
    with new.open("wb") as file:
        file.write(line(value))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def read(path: Path, kind: type[T]) -> T | None:
    """What a JSON file says, None where there is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None


def opened(folder: Path, name: str) -> IO[bytes] | None:
    """A job's file for reading, None where there is none yet.

    Raises:
        JobRefused: It is no plain file of the job's own.
    """
    refused = JobRefused(f"file: {name!r} is a link, or no file of the job {folder.name}")
    # SAFETY: the training code may put a link or a pipe there, at any moment: what was opened is
    # judged, not what its path leads to before or after.
    try:
        number = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError:
        raise refused from None
    file = os.fdopen(number, "rb")
    lies = Path(f"/proc/self/fd/{number}").readlink()
    if stat.S_ISREG(os.fstat(number).st_mode) and lies.is_relative_to(folder.resolve()):
        return file
    file.close()
    raise refused


def last_row(folder: Path, name: str, kind: str = "") -> dict[str, Any]:
    """The last whole JSON line of a job's file, {} if there is none or it may not be read.

    Args:
        folder: The job's.
        name: Of the file.
        kind: Only a line whose `kind` this is.
    """
    try:
        file = opened(folder, name)
    except JobRefused:
        return {}
    if file is None:
        return {}
    with file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        lines = file.read().split(b"\n")[:-1]
    for line in reversed(lines):
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            row: Any = msgspec.json.decode(line)
            if isinstance(row, dict) and (not kind or row.get("kind") == kind):
                return row
    return {}


def status(folder: Path, queued: str | None) -> JobStatus:
    """Where a job stands, from what lies in its folder.

    Args:
        folder: The job's.
        queued: What its queue says of it: "queued", "running", "gone"; None where there is no queue
            and its process is one of this machine.
    """
    began_s = _began_s(folder)
    state, detail = _standing(folder, queued)
    # Read last: a runner writes it before it goes.
    ended = read(folder / "exit.json", Ended)
    if ended is not None:
        state, detail = ended.state, ended.reason
    now_s = time.time() if ended is None else ended.wall_s
    row = last_row(folder, "use.jsonl")
    log = folder / "out" / "log.jsonl"
    told = last_row(folder, "out/log.jsonl", "progress")
    return JobStatus(
        job_id=folder.name,
        state=state,
        detail=detail,
        seconds=0.0 if began_s is None else max(0.0, now_s - began_s),
        progress={key: value for key, value in told.items() if isinstance(value, _TOLD)},
        recipe=_regime(folder / "recipe" / "recipe.toml"),
        log_bytes=_size(log),
        console_bytes=_size(folder / "console.txt"),
        use=msgspec.convert(row, Use) if row else None,
        checkpoints=_files(folder / "out" / "checkpoints", "*.safetensors"),
        policy=_files(folder / "out" / "policy", "*"),
    )


def _standing(folder: Path, queued: str | None) -> tuple[JobState, str]:
    process = read_pid_file(folder / "process")
    if queued is None:
        if process is None:
            return JobState.QUEUED, ""
        if is_alive(process):
            return JobState.RUNNING, ""
        return JobState.LOST, f"process {process.pid} is gone and left no exit record"
    if queued == "gone" and process is None and (folder / "cancel").exists():
        return JobState.CANCELLED, "cancelled before it began"
    if queued == "gone":
        return JobState.LOST, "its queue does not know it any more, and it left no exit record"
    return (JobState.RUNNING if process and queued == "running" else JobState.QUEUED), queued


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _regime(path: Path) -> str:
    try:
        told = tomllib.loads(path.read_text()).get("regime", "")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return ""
    return told if isinstance(told, str) else ""


def _began_s(folder: Path) -> float | None:
    try:
        return (folder / "process").stat().st_mtime
    except OSError:
        return None


def _files(folder: Path, pattern: str) -> tuple[str, ...]:
    found = [path for path in folder.glob(pattern) if path.is_file() and not path.is_symlink()]
    named = [path.name for path in sorted(found, key=lambda path: path.stat().st_mtime_ns)]
    return tuple(named[-MOST_NAMED:])
