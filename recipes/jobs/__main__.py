"""What a box is told about jobs: `python -m recipes.jobs VERB ROOT ...`, from its own shell or by SSH.

Answers are JSON on stdout; a refusal goes to stderr with exit code 2. Verbs: submit (spec on stdin),
status JOB, list, read JOB FILE OFFSET LIMIT (raw bytes), cancel JOB, put NAME (a tar file on stdin;
the folder where it now lies comes back), and run FOLDER, the runner.
"""

import argparse
import sys
from pathlib import Path

import msgspec

from recipes.jobs import runner
from recipes.jobs.launchers import RAY
from recipes.jobs.records import JobRefused, JobSpec
from recipes.jobs.store import Store
from recipes.jobs.verbs import cancel, read, status, submit

REFUSED = 2


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
                folder = jobs.folder(options.job)
                content = read(folder, options.file, options.offset, options.limit)
                sys.stdout.buffer.write(content)
    except (JobRefused, msgspec.DecodeError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED
    except OSError as error:
        # What was asked for may have happened: whoever asked does not know, and asks again.
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


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
