"""What starts a job's runner on its box: a process of its own, Slurm, or Ray's jobs REST API.

Each starts the same program, `python -m recipes.jobs run FOLDER`, whose claim on the folder makes a
second start harmless.
"""

import json
import math
import os
import shlex
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Protocol

from recipes.jobs.records import JobRefused, JobSpec, Launched
from robots.wire.processes import read_pid_file, send_signal

COMMAND_S = 60.0
RAY = "http://127.0.0.1:8265"
_WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "RESIZING", "SUSPENDED")
_WORKING = ("RUNNING", "COMPLETING", "STAGE_OUT")


class Launcher(Protocol):
    """Starts and ends runners."""

    def launch(self, folder: Path, spec: JobSpec) -> Launched:
        """Have the runner started; comes back at once."""
        ...

    def queued(self, launched: Launched) -> str | None:
        """queued, running or gone; None where the process itself tells.

        Raises:
            ConnectionError: The queue does not answer: nothing is known.
        """
        ...

    def cancel(self, folder: Path, launched: Launched) -> None:
        """Have the runner told to end."""
        ...


def launcher(name: str, address: str = RAY) -> Launcher:
    """A launcher by its name: process, slurm or ray.

    Raises:
        JobRefused: There is none of this name.
    """
    match name:
        case "process":
            return ProcessLauncher()
        case "slurm":
            return SlurmLauncher()
        case "ray":
            return RayLauncher(address)
        case _:
            raise JobRefused(f"launcher: {name!r}; known are process, slurm, ray")


def _runner(folder: Path) -> list[str]:
    return [sys.executable, "-m", "recipes.jobs", "run", str(folder)]


class ProcessLauncher:
    """A process in a session of its own: it outlives whoever submitted it."""

    def launch(self, folder: Path, spec: JobSpec) -> Launched:
        del spec
        with (folder / "runner.txt").open("ab") as log:
            subprocess.Popen(
                _runner(folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        return Launched(launcher="process")

    def queued(self, launched: Launched) -> str | None:
        del launched
        return None

    def cancel(self, folder: Path, launched: Launched) -> None:
        del launched
        process = read_pid_file(folder / "process")
        if process is not None:
            send_signal(process, signal.SIGTERM)


class SlurmLauncher:
    """Slurm by its command line, on a login node; scheduling over many boxes is Slurm's."""

    def launch(self, folder: Path, spec: JobSpec) -> Launched:
        needs = spec.needs
        told = [
            "sbatch",
            "--parsable",
            f"--job-name=enpire-{spec.job_id}",
            f"--output={folder / 'runner.txt'}",
            f"--cpus-per-task={math.ceil(needs.cpus)}",
            f"--mem={math.ceil(needs.memory_gib * 1024)}M",
            # The runner keeps the limit; Slurm's is a little later, so that there is a record.
            f"--time={math.ceil(needs.minutes) + 2}",
            "--signal=TERM@30",
            "--no-requeue",
        ]
        told += [f"--gpus={needs.gpus}"] if needs.gpus else []
        # With exec the signals of scancel reach the runner itself.
        script = f"#!/bin/sh\nexec {shlex.join(_runner(folder))}\n"
        answer = _command(told, script)
        return Launched(launcher="slurm", handle=answer.strip().partition(";")[0])

    def queued(self, launched: Launched) -> str | None:
        told = ["squeue", "--noheader", "--format=%T", f"--jobs={launched.handle}"]
        done = subprocess.run(told, capture_output=True, text=True, timeout=COMMAND_S, check=False)
        if done.returncode != 0 and "Invalid job id" not in done.stderr:
            raise ConnectionError(f"{shlex.join(told)}: {done.stderr.strip()}")
        word = done.stdout.strip()
        if word in _WAITING:
            return "queued"
        return "running" if word in _WORKING else "gone"

    def cancel(self, folder: Path, launched: Launched) -> None:
        del folder
        if self.queued(launched) == "queued":
            _command(["scancel", launched.handle])
        else:
            # --full: the batch script's own process too, which is the runner.
            _command(["scancel", "--full", "--signal=TERM", launched.handle])


class RayLauncher:
    """Ray's jobs REST API on a head node whose files this box sees.

    Args:
        address: Of Ray's dashboard, which serves it.
    """

    def __init__(self, address: str = RAY) -> None:
        self._address = address.rstrip("/")

    def launch(self, folder: Path, spec: JobSpec) -> Launched:
        wanted = {
            "submission_id": spec.job_id,
            "entrypoint": f"exec {shlex.join(_runner(folder))}",
            "entrypoint_num_cpus": spec.needs.cpus,
            "entrypoint_num_gpus": spec.needs.gpus,
            "entrypoint_memory": int(spec.needs.memory_gib * (1 << 30)),
            "runtime_env": {},
        }
        try:
            self._ask("POST", "/api/jobs/", wanted)
        except (JobRefused, ConnectionError):
            # Ray takes an id once (by a 500, in some versions): then the first submission stands.
            self._ask("GET", f"/api/jobs/{spec.job_id}")
        return Launched(launcher="ray", handle=spec.job_id)

    def queued(self, launched: Launched) -> str | None:
        word = str(self._ask("GET", f"/api/jobs/{launched.handle}").get("status", ""))
        return {"PENDING": "queued", "RUNNING": "running"}.get(word, "gone")

    def cancel(self, folder: Path, launched: Launched) -> None:
        del folder
        self._ask("POST", f"/api/jobs/{launched.handle}/stop", {})

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - the operator's own address.
            self._address + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=COMMAND_S) as answer:  # noqa: S310
                found: Any = json.load(answer)
        except urllib.error.HTTPError as error:
            words = error.read(2000).decode("utf-8", "replace")
            refused = ConnectionError if error.code >= 500 else JobRefused
            raise refused(f"{request.full_url}: {error.code}: {words}") from None
        except (OSError, ValueError) as error:
            told = f"{request.full_url}: {error}; is Ray's dashboard there?"
            raise ConnectionError(told) from None
        return found if isinstance(found, dict) else {}


def _command(argv: list[str], text: str | None = None) -> str:
    try:
        done = subprocess.run(
            argv,
            input=text,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise JobRefused(f"{argv[0]} is not on this box; is it a Slurm login node?") from None
    if done.returncode != 0:
        raise JobRefused(f"{shlex.join(argv)}: {done.stderr.strip()}")
    return done.stdout
