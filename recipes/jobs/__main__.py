"""What a box is told about jobs: `python -m recipes.jobs VERB ROOT ...`, from its own shell or by SSH.

Answers are JSON on stdout; a refusal goes to stderr with exit code 2. Verbs: submit (spec on stdin),
status JOB, list, read JOB FILE OFFSET LIMIT (raw bytes), cancel JOB, put NAME (a tar file on stdin;
the folder where it now lies comes back), and run FOLDER, the runner.
"""

import argparse
import re
import sys
from pathlib import Path

import msgspec

from recipes.jobs import runner, store
from recipes.jobs.launchers import RAY, launcher
from recipes.jobs.records import JobRefused, JobSpec, JobStatus, Launched
from recipes.jobs.store import Store

REFUSED = 2
_RESULT = re.compile(r"out/(checkpoints/[\w.-]+\.safetensors|policy/[\w.-]+)")


def main() -> int:
    """Carry out one verb."""
    options = _parser().parse_args()
    if options.verb == "run":
        return runner.run(options.root)
    jobs = Store(options.root.expanduser().absolute())
    try:
        match options.verb:
            case "submit":
                spec = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=JobSpec)
                _say(submit(jobs, spec, options.launcher, options.ray))
            case "status":
                _say(status(jobs.folder(options.job), options.ray))
            case "list":
                _say([status(jobs.folder(name), options.ray) for name in jobs.all()])
            case "put":
                _say(str(jobs.put(options.job, sys.stdin.buffer)))
            case "cancel":
                _say(cancel(jobs.folder(options.job), options.ray))
            case _:
                _read(jobs.folder(options.job), options.file, options.offset, options.limit)
    except (JobRefused, msgspec.DecodeError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    return 0


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


def _read(folder: Path, name: str, offset: int, limit: int) -> None:
    path = folder / name
    if name not in store.FILES and not _RESULT.fullmatch(name):
        raise JobRefused(
            f"file: {name!r}; readable are {', '.join(store.FILES)} and what lies in checkpoints and policy"
        )
    # SAFETY: the training code writes these, and a link of its making leads anywhere.
    if path.is_symlink() or not path.resolve().is_relative_to(folder.resolve()):
        raise JobRefused(f"file: {name!r} is a link")
    if not path.exists():
        return
    with path.open("rb") as file:
        file.seek(offset)
        sys.stdout.buffer.write(file.read(limit))


def _say(value: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m recipes.jobs", description=__doc__)
    parser.add_argument(
        "verb", choices=("submit", "status", "list", "read", "cancel", "put", "run")
    )
    parser.add_argument("root", type=Path, help="folder of this box's jobs; for run, the job's")
    parser.add_argument("job", nargs="?", default="")
    parser.add_argument("file", nargs="?", default="")
    parser.add_argument("offset", nargs="?", type=int, default=0)
    parser.add_argument("limit", nargs="?", type=int, default=1 << 20)
    parser.add_argument("--launcher", default="process", help="process, slurm or ray")
    parser.add_argument("--ray", default=RAY, help="address of Ray's dashboard")
    return parser


if __name__ == "__main__":
    sys.exit(main())
