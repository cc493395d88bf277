"""What a job is, where it stands, and what its box tells of it; frozen structs, JSON on disk."""

import enum
import re
from collections.abc import Mapping

from robots.wire.records import Frozen, RecipeArchive

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class JobRefused(ValueError):
    """A job that may not be submitted; the message names the field and the rule."""


class JobState(enum.Enum):
    """Where a job stands. UNKNOWN is said by a client that cannot reach the box, never by the box."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    UNKNOWN = "unknown"

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self in _ENDED


_ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.LOST)


class Needs(Frozen):
    """What a job takes of its box.

    Attributes:
        processes: Of one program, started by torchrun when there are several.
        minutes: Wall clock after which it is ended as failed.
        disk_gib: What it may write, all its files together; beyond, it is ended as failed.
    """

    cpus: float = 2.0
    memory_gib: float = 8.0
    gpus: int = 0
    processes: int = 1
    minutes: float = 24 * 60.0
    disk_gib: float = 64.0


class JobSpec(Frozen):
    """One training run.

    Attributes:
        job_id: Chosen by the client: a second submission of one id is the first.
        recipe: Its folder by value; `entry` is run in it.
        arguments: Given to `entry`.
        data: Folders on the box that it reads, such as datasets; seen as `/job/data/0`, ...
        resume_from: Id of an earlier job on the box whose `out` it reads, "" for none.
        unsandboxed: Only where a person said so.
    """

    job_id: str
    recipe: RecipeArchive
    entry: str = "train.py"
    arguments: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    resume_from: str = ""
    needs: Needs = Needs()
    unsandboxed: bool = False

    def __post_init__(self) -> None:
        for name in (self.job_id, self.resume_from or "none"):
            if not ID.fullmatch(name):
                raise JobRefused(
                    f"job_id: {name!r}; use 1 to 64 letters, digits, '-', '_' and '.', "
                    "the first a letter or digit"
                )
        if self.entry not in self.recipe.files:
            raise JobRefused(
                f"entry: the recipe has no {self.entry}; its files are "
                f"{', '.join(sorted(self.recipe.files))}"
            )


class Launched(Frozen):
    """Written once a job was handed to whatever starts it.

    Attributes:
        handle: What that knows it by: a Slurm job number, a Ray submission id, "" for a process.
    """

    launcher: str
    handle: str = ""


class Ended(Frozen):
    """The exit record, written by the job's runner as its last act."""

    state: JobState
    code: int | None
    reason: str
    wall_s: float


class Use(Frozen):
    """Use of the box, sampled while the job runs.

    Attributes:
        wall_s: Unix seconds.
        cpus: Processors' worth of work since the sample before.
        memory_bytes: Resident, of all the job's processes.
        gpus: Per GPU: share of time in use (0 to 1) and bytes of its memory in use.
    """

    wall_s: float
    cpus: float
    memory_bytes: int = 0
    gpus: tuple[tuple[float, int], ...] = ()


class JobStatus(Frozen):
    """What the box tells of a job.

    Attributes:
        seconds: Since it began to run, or how long it ran.
        progress: The last progress row of its log, as the training code wrote it.
        recipe: Regime that its recipe names, "" if none.
        log_bytes: Size of its log.
        console_bytes: Size of what it printed.
        checkpoints: Names of the files in its `out/checkpoints`, newest last; the last thousand.
        policy: Names of the files in its `out/policy`: what the recipe lacks to be played.
    """

    job_id: str
    state: JobState
    detail: str = ""
    seconds: float = 0.0
    progress: Mapping[str, float | int | str | None] = {}
    recipe: str = ""
    log_bytes: int = 0
    console_bytes: int = 0
    use: Use | None = None
    checkpoints: tuple[str, ...] = ()
    policy: tuple[str, ...] = ()
