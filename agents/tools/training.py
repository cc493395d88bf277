"""Tools for training: a job of a recipe on the agents' box, its end, and data for it."""

import asyncio
import contextlib
import hashlib
import tempfile
from functools import cached_property
from pathlib import Path

import msgspec

from agents.desk import Desk
from agents.git.rules import MAX_FILE_BYTES
from agents.literature import plain
from agents.tools import calls as t
from agents.tools.tree import Tree
from recipes import data
from recipes.jobs.box import Box, LocalShell, ShellBroken
from recipes.jobs.records import JobRefused, JobSpec, JobState, JobStatus, Needs
from robots.dataset.export import export, state_names
from robots.dataset.writer import DatasetWriter
from robots.station.archive import sha256
from robots.station.recording import batch_of
from robots.station.tasks import TaskSpec, load_task
from robots.wire import codec
from robots.wire.records import RecipeArchive

LOOK_S = 1.0
LOCAL = "local"
CONSOLE_BYTES, CONSOLE_LINES = 4 * 1024, 20
# Records of the jobs that were handed in, by their ids.
JOB = "job/"


class Training:
    """Jobs of one agent; the box keeps them, and knows each by its id."""

    def __init__(self, desk: Desk, tree: Tree) -> None:
        self._desk = desk
        self._tree = tree

    @cached_property
    def _box(self) -> Box:
        """Where jobs run, as the fleet file says.

        Raises:
            JobRefused: Its description cannot be read.
        """
        home, name = self._desk.home, self._desk.settings.box
        if name == LOCAL:
            return Box(name, LocalShell(), home / "jobs")
        # The import brings an SSH client.
        from recipes.jobs.far import read_box

        return read_box(home, name).open()

    def close(self) -> None:
        """Hang up; jobs go on."""
        if "_box" in vars(self):
            self._box.close()

    def job_of(self, call_id: str) -> str:
        """The id of the job that a call submits, however often it is made."""
        digest = hashlib.sha256(f"{self._desk.run.run_id}/{call_id}".encode()).hexdigest()
        return f"{self._desk.name}-{digest[:12]}"

    async def known(self, job_id: str) -> JobStatus | None:
        """How a job stands; None where the box has none of this id."""
        try:
            return await self._box.status(job_id)
        except JobRefused:
            return None

    async def submit(
        self,
        job_id: str,
        arguments: tuple[str, ...],
        minutes: float,
        files: dict[str, bytes] | None = None,
    ) -> JobStatus:
        """Have `train.py` of a recipe run; a job that the box knows is answered.

        Args:
            job_id: The job's.
            arguments: Of `train.py`.
            minutes: Its limit; less where less is left to this agent.
            files: The recipe; None takes the working tree.

        Raises:
            ToolRefused: The box does not take it, or no training minutes are left.
        """
        known = await self.known(job_id)
        if known is not None and known.state not in (JobState.UNKNOWN, JobState.QUEUED):
            return known
        record = self._desk.log.records.get(f"{JOB}{job_id}")
        try:
            if record is None:
                spec = await self._spec(job_id, arguments, minutes, files)
                self._desk.record_backend(f"{JOB}{job_id}", codec.encode(spec))
            else:
                # A kill may have come before the job was started: the very same is handed in again.
                spec = codec.decode(record, JobSpec)
            return await self._box.submit(spec)
        except JobRefused as error:
            raise t.ToolRefused(f"job: {error}") from None
        except ShellBroken as error:
            # The link broke before the box said whether it took the job.
            words = f"job: {error}; it may have been taken: wait_job {job_id} before another train"
            raise t.ToolRefused(words) from None

    async def _spec(
        self,
        job_id: str,
        arguments: tuple[str, ...],
        minutes: float,
        files: dict[str, bytes] | None,
    ) -> JobSpec:
        left = await self.minutes_left()
        if left is not None and left <= 0.0:
            raise t.ToolRefused(
                f"budget: {self._desk.settings.job_minutes:g} training minutes are used"
            )
        found = await self._tree.recipe() if files is None else files
        return JobSpec(
            job_id=job_id,
            recipe=RecipeArchive(files=found, sha256=sha256(found)),
            arguments=arguments,
            data=tuple(self._box.data(name) for name in data.named(found)),
            needs=Needs(minutes=minutes if left is None else min(minutes, left)),
            unsandboxed=not self._desk.settings.sandboxed,
        )

    async def minutes_left(self) -> float | None:
        """Training minutes that this agent may still spend, None without a limit.

        A job that runs counts with all it may take.
        """
        limit = self._desk.settings.job_minutes
        if not limit:
            return None
        used = 0.0
        for key, record in self._desk.log.records.items():
            if key.startswith(JOB):
                status = await self.known(key.removeprefix(JOB))
                ended = status is not None and status.state.ended
                asked = codec.decode(record, JobSpec).needs.minutes
                used += status.seconds / 60.0 if status and ended else asked
        return limit - used

    async def train(self, call: t.Train) -> t.Trained:
        """Have a recipe trained as the job of an idea, and wait for its end.

        Raises:
            ToolRefused: It was not trained; the job is ended where nobody needs it any more.
        """
        desk, job_id = self._desk, self.job_of(call.idea_id)
        desk.call(job_id, "train", f"a job of {call.idea_id}")
        status = await self.submit(job_id, (), call.minutes, call.files)
        while not status.state.ended:
            desk.check_stopped()
            if desk.run.ended or desk.run.is_succeeded(call.base):
                with contextlib.suppress(JobRefused, ShellBroken):
                    await self._box.cancel(job_id)
                ended = "run_ended" if desk.run.ended else "succeeded"
                raise t.ToolRefused(f"{ended}: nobody needs what {job_id} would train")
            status = await self.wait(job_id, LOOK_S)
        if status.state is not JobState.SUCCEEDED:
            told = (await self.console(job_id)).splitlines()[-1:]
            raise t.ToolRefused(f"job: {status_text(status)} {' '.join(told)}")
        found, large = await self._trained(status)
        if large:
            raise t.ToolRefused(f"oversize: {'; '.join(large)}")
        return t.Trained(files=call.files | found, seconds=status.seconds)

    async def gather(self, call: t.Gather) -> t.Gathered:
        """Successes of an idea's recorded explorations as a dataset on the box.

        Raises:
            ToolRefused: There is none, or the station keeps its recordings on another machine.
        """
        desk = self._desk
        folder = desk.home / "stations" / desk.settings.station / "recordings"
        key = f"gathered/{call.idea_id}"
        if key in desk.log.records:
            return codec.decode(desk.log.records[key], t.Gathered)
        if not folder.is_dir():
            raise t.ToolRefused(f"no_recordings: {folder} is not on this machine")
        batches = {f"{call.idea_id}/x{number}" for number in call.numbers}
        with tempfile.TemporaryDirectory() as place:
            made = Path(place) / f"{call.idea_id}-successes"
            spec = load_task(desk.run.task).spec
            won = await asyncio.to_thread(_successes, folder, batches, made, spec)
            if not won:
                raise t.ToolRefused(f"no_success: none in {len(batches)} explored batches")
            try:
                found = t.Gathered(name=Path(await self._box.put(made)).name, episodes=won)
            except (JobRefused, ShellBroken) as error:
                raise t.ToolRefused(f"job: {error}") from None
        desk.record_backend(key, codec.encode(found))
        return found

    async def wait(self, job_id: str, timeout_s: float) -> JobStatus:
        """Wait until a job has ended, at most so long.

        Raises:
            ToolRefused: The box has no such job, or refuses us.
        """
        deadline_s = self._desk.clock.monotonic() + timeout_s
        while True:
            try:
                status = await self._box.status(job_id)
            except JobRefused as error:
                raise t.ToolRefused(f"no_job: {error}; `train` says the id") from None
            late = self._desk.clock.monotonic() >= deadline_s
            if status.state.ended or late or self._desk.stop.is_set():
                return status
            await self._desk.wait_until(lambda: False, LOOK_S)

    async def console(self, job_id: str) -> str:
        """The end of what a job's code printed; how it comes along is in its status."""
        told, known = b"", await self.known(job_id)
        # A program may print without end.
        offset = max(0, known.console_bytes - CONSOLE_BYTES) if known is not None else 0
        try:
            while len(told) < CONSOLE_BYTES:
                part = await self._box.read(job_id, "console.txt", offset + len(told))
                if not part:
                    break
                told += part
        except (JobRefused, ShellBroken) as error:
            return f"(its console cannot be read: {error})"
        return "\n".join(
            plain(told[-CONSOLE_BYTES:].decode(errors="replace")).splitlines()[-CONSOLE_LINES:]
        )

    async def take(self, status: JobStatus) -> list[str]:
        """Put what a job trained into the working tree's recipe; returns what became of each file.

        Raises:
            ToolRefused: The link to the box broke meanwhile.
        """
        found, told = await self._trained(status)
        for name, content in found.items():
            await self._tree.put({f"recipe/{name}": content})
            told.append(f"recipe/{name} is in the working tree")
        return told

    async def _trained(self, status: JobStatus) -> tuple[dict[str, bytes], list[str]]:
        """Files that a job wrote for its policy, by name, and words on those that are too large.

        Raises:
            ToolRefused: The link to the box broke meanwhile.
        """
        found: dict[str, bytes] = {}
        told: list[str] = []
        with tempfile.TemporaryDirectory() as folder:
            for name in status.policy:
                path = Path(folder) / name
                try:
                    size = await self._box.fetch(status.job_id, f"out/policy/{name}", path)
                except (JobRefused, ShellBroken) as error:
                    words = f"job: {name} was not fetched: {error}; wait_job {status.job_id} again"
                    raise t.ToolRefused(words) from None
                if size > MAX_FILE_BYTES:
                    told.append(
                        f"{name} is {size} bytes; a recipe's file may have {MAX_FILE_BYTES}"
                    )
                    continue
                found[name] = await asyncio.to_thread(path.read_bytes)
        return found, told


def _successes(folder: Path, batches: set[str], to: Path, spec: TaskSpec) -> int:
    """Successful episodes of some batches as a dataset; returns how many there are. Blocking."""
    own = [path for path in sorted(folder.glob("*.npz")) if batch_of(path) in batches]
    names = {"observation.state": state_names(spec)}
    writer = DatasetWriter(to, spec.policy_hz, spec.name, names)
    return export(own, writer, spec, failures=False)


def status_text(status: JobStatus) -> str:
    """A job in a line."""
    progress = msgspec.json.encode(status.progress).decode() if status.progress else ""
    words = f"{status.job_id}: {status.state.value}, {status.seconds:.0f} s"
    return " ".join(filter(None, (words, status.detail, progress)))
