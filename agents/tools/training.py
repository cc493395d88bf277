"""Tools for training: a job of the working tree's recipe on this machine's box, and its end."""

import hashlib

import msgspec

from agents.desk import Desk
from agents.git.rules import MAX_FILE_BYTES
from agents.literature import plain
from agents.tools import calls as t
from agents.tools.tree import Tree
from recipes.jobs.box import Box, LocalShell, ShellBroken
from recipes.jobs.records import JobRefused, JobSpec, JobState, JobStatus, Needs
from robots.station.archive import sha256
from robots.wire.records import RecipeArchive

LOOK_S = 1.0
CONSOLE_BYTES, CONSOLE_LINES = 4 * 1024, 20


class Training:
    """Jobs of one agent; the box keeps them, and knows each by its id."""

    def __init__(self, desk: Desk, tree: Tree) -> None:
        self._desk = desk
        self._tree = tree
        self._box = Box("local", LocalShell(), desk.home / "jobs")

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

    async def submit(self, job_id: str, arguments: tuple[str, ...], minutes: float) -> JobStatus:
        """Have `train.py` of the working tree run; a job that the box knows is answered.

        Raises:
            ToolRefused: The box does not take it.
        """
        known = await self.known(job_id)
        if known is not None and known.state is not JobState.UNKNOWN:
            return known
        found = await self._tree.recipe()
        try:
            spec = JobSpec(
                job_id=job_id,
                recipe=RecipeArchive(files=found, sha256=sha256(found)),
                arguments=arguments,
                needs=Needs(minutes=minutes),
                unsandboxed=not self._desk.settings.sandboxed,
            )
            return await self._box.submit(spec)
        except (JobRefused, ShellBroken) as error:
            raise t.ToolRefused(f"job: {error}") from None

    async def wait(self, job_id: str, timeout_s: float) -> JobStatus:
        """Wait until a job has ended, at most so long.

        Raises:
            ToolRefused: The box has no such job.
        """
        deadline_s = self._desk.clock.monotonic() + timeout_s
        while True:
            status = await self.known(job_id)
            if status is None:
                raise t.ToolRefused(f"no_job: {job_id}; `train` says the id")
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
        """Put what a job trained into the working tree's recipe; returns what became of each file."""
        told: list[str] = []
        for name in status.policy:
            content = b""
            while len(content) <= MAX_FILE_BYTES:
                part = await self._box.read(status.job_id, f"out/policy/{name}", len(content))
                if not part:
                    break
                content += part
            if len(content) > MAX_FILE_BYTES:
                told.append(f"{name} is too large; a recipe's file may have {MAX_FILE_BYTES} bytes")
                continue
            await self._tree.put({f"recipe/{name}": content})
            told.append(f"recipe/{name} is in the working tree")
        return told


def status_text(status: JobStatus) -> str:
    """A job in a line."""
    progress = msgspec.json.encode(status.progress).decode() if status.progress else ""
    words = f"{status.job_id}: {status.state.value}, {status.seconds:.0f} s"
    return " ".join(filter(None, (words, status.detail, progress)))
