"""Training jobs as the boxes tell them: where each stands, and of the chosen one curves and log. Pure."""

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

from enpire_tui.room.text import clean
from recipes.jobs.records import JobState, JobStatus, Use

POINTS_KEPT = 2000
# Characters kept of a line that is still being written.
LINE_KEPT = 1 << 14
# A figure beyond this is no figure of a training, and would not fit an axis.
LARGEST = 1e100
USES_KEPT = 600
CONSOLE_KEPT = 400
# Of a progress row, what is no figure of the training.
NO_FIGURES = frozenset({"kind", "wall_s", "step", "steps", "rate_hz", "seconds_left"})
# By what those who look for a job's worst or busiest state are led.
_ORDER = {
    JobState.RUNNING: 0,
    JobState.QUEUED: 1,
    JobState.UNKNOWN: 2,
}


class JobSeen(NamedTuple):
    """A job on its box."""

    box: str
    status: JobStatus

    @property
    def key(self) -> str:
        """Names it among the jobs of all boxes."""
        return f"{self.box}/{self.status.job_id}"

    @property
    def share(self) -> float | None:
        """How much of it is done, in [0, 1]; None if it does not say."""
        step, steps = self.number("step"), self.number("steps")
        return step / steps if step is not None and steps else None

    def number(self, name: str) -> float | None:
        """A figure of its last progress row."""
        return figure(self.status.progress.get(name))


def figure(value: object) -> float | None:
    """A number as training code told it, None for what cannot be drawn; the code may tell anything."""
    return float(value) if isinstance(value, int | float) and abs(value) < LARGEST else None


class Curve:
    """A figure over the steps, thinned so that it stays small: every `stride`-th point is kept."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []
        self._stride = 1
        self._count = 0

    def add(self, step: float, value: float) -> None:
        """Take in a point."""
        if self._count % self._stride == 0:
            self.points.append((step, value))
            if len(self.points) >= POINTS_KEPT:
                self.points = self.points[::2]
                self._stride *= 2
        self._count += 1


class JobDetail:
    """What is read of the job that a person looks at.

    Attributes:
        curves: By name, in the order in which they were met.
        uses: Use of its box, oldest first.
        console: Last lines of what it printed.
        log_offset, use_offset, console_offset: How far its files were read, in bytes.
    """

    def __init__(self, box: str, job_id: str) -> None:
        self.box = box
        self.job_id = job_id
        self.curves: dict[str, Curve] = {}
        self.uses: deque[Use] = deque(maxlen=USES_KEPT)
        self.console: deque[str] = deque(maxlen=CONSOLE_KEPT)
        self.log_offset = self.use_offset = self.console_offset = 0
        self._open = ""

    @property
    def key(self) -> str:
        """Names the job among those of all boxes."""
        return f"{self.box}/{self.job_id}"

    def take_row(self, row: Mapping[str, Any]) -> None:
        """Take in a row of its log."""
        step = figure(row.get("step"))
        if row.get("kind") != "progress" or step is None:
            return
        for name, told in row.items():
            value = figure(told)
            if name not in NO_FIGURES and value is not None:
                self.curves.setdefault(clean(name), Curve()).add(step, value)

    def take_use(self, use: Use) -> None:
        """Take in a sample of its box."""
        self.uses.append(use)

    def take_console(self, text: str) -> None:
        """Take in more of what it printed; of a line that was rewritten, as bars are, the last is kept."""
        *whole, self._open = (self._open + text).split("\n")
        self.console += [line.rstrip("\r").rpartition("\r")[2] for line in whole]
        done = self._open.rstrip("\r")
        self._open = self._open[done.rfind("\r") + 1 :][-LINE_KEPT:]

    @property
    def tail(self) -> list[str]:
        """Last lines, the one that is being written included."""
        rest = self._open.rstrip("\r").rpartition("\r")[2]
        return [*self.console, *([rest] if rest else [])]


class Jobs(NamedTuple):
    """All jobs of all boxes at one moment.

    Attributes:
        faults: Why a box tells nothing now, by box.
        detail: Of the job that a person looks at.
        asked: Whether every box was asked at least once.
    """

    seen: tuple[JobSeen, ...] = ()
    faults: Mapping[str, str] = {}
    detail: JobDetail | None = None
    asked: bool = False

    def find(self, key: str) -> JobSeen | None:
        """A job by its key."""
        return next((each for each in self.seen if each.key == key), None)

    @property
    def ordered(self) -> list[JobSeen]:
        """Those that work or wait first, then the ended; the newest of each box first."""
        newest = enumerate(self.seen)
        return [
            each
            for _, each in sorted(
                newest, key=lambda pair: (_ORDER.get(pair[1].status.state, 9), -pair[0])
            )
        ]

    @property
    def open(self) -> list[JobSeen]:
        """Jobs that have not ended."""
        return [each for each in self.ordered if not each.status.state.ended]
