"""A box as its clients see it: submit, follow, cancel and fetch, over a shell that may break.

A broken shell makes a job UNKNOWN, never done: what the box told last stands beside it, and the next
call that goes through says how it is. Nothing here is kept in memory that the box does not keep.
"""

import asyncio
import contextlib
import hashlib
import io
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from recipes.jobs import verbs
from recipes.jobs.launchers import RAY
from recipes.jobs.records import JobRefused, JobSpec, JobState, JobStatus
from recipes.jobs.store import DATA, Store

T = TypeVar("T")
REFUSED = 2
CALL_S = 120.0
FOLLOW_S = 0.5
CHUNK_BYTES = 1 << 20


class ShellBroken(Exception):
    """The box cannot be reached, or the link broke meanwhile: what was asked may have happened."""


class Shell(Protocol):
    """Runs programs on a box."""

    async def run(self, argv: Sequence[str], stdin: bytes = b"") -> tuple[int, bytes, str]:
        """Exit code, stdout and stderr of a program.

        Raises:
            ShellBroken: It is not known how it ended.
        """
        ...

    def close(self) -> None:
        """Hang up; what runs on the box goes on."""
        ...


class LocalShell:
    """This machine."""

    def close(self) -> None:
        """There is nothing to hang up."""

    async def run(self, argv: Sequence[str], stdin: bytes = b"") -> tuple[int, bytes, str]:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            told, words = await asyncio.wait_for(process.communicate(stdin), CALL_S)
        except TimeoutError:
            raise ShellBroken(f"{argv[0]}: no answer within {CALL_S:g} s") from None
        finally:
            # Late, or nobody waits any more; what it began for a job goes on by itself.
            if process.returncode is None:
                process.kill()
                await process.communicate()
        assert process.returncode is not None
        return process.returncode, told, words.decode("utf-8", "replace")


class Box:
    """Jobs of one box.

    Args:
        name: As people call it.
        shell: How it is reached.
        root: Folder of its jobs there.
        python: An interpreter there that has this package.
        launcher: process, slurm or ray.
        ray: Address of Ray's dashboard, seen from the box.
    """

    def __init__(
        self,
        name: str,
        shell: Shell,
        root: str | Path,
        python: str = sys.executable,
        launcher: str = "process",
        ray: str = "",
    ) -> None:
        self.name = name
        self._shell = shell
        self._root = str(root)
        self._python = python
        self._options = ["--launcher", launcher, *(["--ray", ray] if ray else [])]
        self._last: dict[str, JobStatus] = {}

    async def submit(self, spec: JobSpec) -> JobStatus:
        """Start a job; the same spec again is answered with how it stands.

        Raises:
            JobRefused: Said by the box, with the reason.
            ShellBroken: It may have been started: submit it again, under the same id.
        """
        content = msgspec.msgpack.encode(spec)
        return self._keep(await self._ask(JobStatus, "submit", stdin=content))

    async def status(self, job_id: str) -> JobStatus:
        """How a job stands; UNKNOWN, with what was known last, while the box cannot be reached.

        Raises:
            JobRefused: The box does not know it.
        """
        try:
            return self._keep(await self._status(job_id))
        except ShellBroken as error:
            last = self._last.get(job_id, JobStatus(job_id=job_id, state=JobState.UNKNOWN))
            detail = f"{error}; last known: {last.state.value}"
            return msgspec.structs.replace(last, state=JobState.UNKNOWN, detail=detail)

    async def _status(self, job_id: str) -> JobStatus:
        return await self._ask(JobStatus, "status", job_id)

    async def all(self) -> list[JobStatus]:
        """Every job of the box, oldest first.

        Raises:
            ShellBroken: It cannot be reached.
        """
        return [self._keep(each) for each in await self._ask(list[JobStatus], "list")]

    async def cancel(self, job_id: str) -> JobStatus:
        """Have a job ended; it first gets time to write a checkpoint.

        Raises:
            JobRefused: The box does not know it.
            ShellBroken: It may have been told.
        """
        return self._keep(await self._ask(JobStatus, "cancel", job_id))

    async def put(self, folder: Path) -> str:
        """Copy a folder of data to the box, unless it has it; returns where it lies there.

        Raises:
            JobRefused: The box does not take it.
            ShellBroken: It may be there: put it again.
        """
        content, sha256 = await asyncio.to_thread(_packed, folder)
        return await self._ask(str, "put", f"{folder.name[:40]}-{sha256[:16]}", stdin=content)

    def data(self, name: str) -> str:
        """Where data that was put there lies, by the name of its folder."""
        return f"{self._root}/{DATA}/{name}"

    async def read(self, job_id: str, file: str, offset: int = 0) -> bytes:
        """Bytes of a job's file from an offset on, at most a MiB; b"" at its end.

        Raises:
            JobRefused: The job or file may not be read.
            ShellBroken: The box cannot be reached.
        """
        return await self._call("read", job_id, file, str(offset), str(CHUNK_BYTES))

    async def fetch(self, job_id: str, file: str, to: Path) -> int:
        """Copy a file of a job here, whole or not at all; returns its size in bytes."""
        part = to.with_name(to.name + ".part")
        size = 0
        with part.open("wb") as copy:
            while content := await self.read(job_id, file, size):
                copy.write(content)
                size += len(content)
        part.replace(to)
        return size

    async def follow(
        self, job_id: str, offset: int = 0, every_s: float = FOLLOW_S
    ) -> AsyncIterator[tuple[int, dict[str, Any] | JobStatus]]:
        """Rows of a job's log from a byte offset on, each with the offset behind it, then its end.

        A broken link is waited out, and told once as an UNKNOWN status; whoever comes back later
        begins at the last offset and misses no row. The last item is the status of the ended job.
        """
        rest, unknown = b"", False
        while True:
            status = await self.status(job_id)
            if status.state is JobState.UNKNOWN:
                if not unknown:
                    yield offset, status
                unknown = True
                await asyncio.sleep(every_s)
                continue
            if unknown:
                yield offset, status
            unknown = False
            with contextlib.suppress(ShellBroken):
                while content := await self.read(job_id, "out/log.jsonl", offset + len(rest)):
                    *lines, rest = (rest + content).split(b"\n")
                    for line in lines:
                        offset += len(line) + 1
                        for row in rows(line):
                            yield offset, row
                if status.state.ended:
                    yield offset, status
                    return
            await asyncio.sleep(every_s)

    def close(self) -> None:
        """Hang up; jobs go on, and the next question makes a connection again."""
        self._shell.close()

    def _keep(self, status: JobStatus) -> JobStatus:
        self._last[status.job_id] = status
        return status

    async def _ask(self, kind: type[T], *words: str, stdin: bytes = b"") -> T:
        told = await self._call(*words, stdin=stdin)
        try:
            return msgspec.json.decode(told, type=kind)
        except msgspec.DecodeError as error:
            raise ShellBroken(f"{self.name}: answered {told[:200]!r}: {error}") from None

    async def _call(self, verb: str, *words: str, stdin: bytes = b"") -> bytes:
        argv = [self._python, "-m", "recipes.jobs", verb, self._root, *words, *self._options]
        code, told, words_said = await self._shell.run(argv, stdin)
        if code == REFUSED:
            raise JobRefused(f"{self.name}: {words_said.strip()}")
        if code != 0:
            raise ShellBroken(f"{self.name}: {verb} ended with {code}: {words_said.strip()[-500:]}")
        return told


class LocalBox(Box):
    """Jobs of this machine; looking at them often takes no process a question."""

    def __init__(
        self, name: str, root: str | Path, launcher: str = "process", ray: str = ""
    ) -> None:
        super().__init__(name, LocalShell(), root, launcher=launcher, ray=ray)
        self._ray = ray or RAY

    async def all(self) -> list[JobStatus]:
        return [self._keep(each) for each in await self._here(self._all)]

    async def _status(self, job_id: str) -> JobStatus:
        def look() -> JobStatus:
            return verbs.status(Store(Path(self._root)).folder(job_id), self._ray)

        return await self._here(look)

    def _all(self) -> list[JobStatus]:
        root = Path(self._root)
        if not root.is_dir():
            return []
        jobs = Store(root)
        return [verbs.status(jobs.folder(name), self._ray) for name in jobs.all()]

    async def read(self, job_id: str, file: str, offset: int = 0) -> bytes:
        def look() -> bytes:
            folder = Store(Path(self._root)).folder(job_id)
            return verbs.read(folder, file, offset, CHUNK_BYTES)

        return await self._here(look)

    async def _here(self, look: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(look)
        except (OSError, msgspec.MsgspecError, subprocess.SubprocessError) as error:
            raise ShellBroken(f"{self.name}: {error}") from None


def _packed(folder: Path) -> tuple[bytes, str]:
    """A folder as a tar file, the same bytes for the same content, and its hash."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archived:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
                entry.size, entry.mode = path.stat().st_size, 0o644
                with path.open("rb") as file:
                    archived.addfile(entry, file)
    return buffer.getvalue(), hashlib.sha256(buffer.getvalue()).hexdigest()


def rows(content: bytes) -> list[dict[str, Any]]:
    """Rows of a log, whole lines; a line that is none is left out, which is its writer's affair."""
    found: list[dict[str, Any]] = []
    for line in content.split(b"\n"):
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            row: Any = msgspec.json.decode(line)
            if isinstance(row, dict):
                found.append(row)
    return found
