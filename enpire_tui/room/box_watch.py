"""Asks the boxes how their jobs stand, each at its own pace, beside the event loop. No Textual here.

Jobs keep no journal that could be followed: their boxes are asked. One that somebody looks at is
asked every second or, where answers take long, less often; otherwise every few seconds. A box that
cannot be reached makes its jobs UNKNOWN, and tells why.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from enpire_tui.fleet import FleetError
from enpire_tui.room.training import JobDetail, Jobs, JobSeen
from recipes.jobs.records import JobRefused, JobState, JobStatus, Use
from robots.wire.clock import Clock

if TYPE_CHECKING:
    # Brings SSH along, which the first paint does not wait for.
    from recipes.jobs.box import Box

SEEN_S, UNSEEN_S = 1.0, 5.0
# A box spends at most this part of its time on answering us.
SHARE = 1.0 / 3.0
CONSOLE_BYTES = 16 << 10


class BoxWatch:
    """See the module.

    Args:
        boxes: Opens the boxes, by name; called once, in a thread.
        clock: Time.
    """

    def __init__(self, boxes: Callable[[], Mapping[str, "Box"]], clock: Clock) -> None:
        self._open = boxes
        self._clock = clock
        self._boxes: Mapping[str, Box] = {}
        self._known: dict[str, list[JobStatus]] = {}
        self._faults: dict[str, str] = {}
        self._detail: JobDetail | None = None
        self._watched = False
        self._wake: dict[str, asyncio.Event] = {}

    async def run(self) -> None:
        """Ask until cancelled."""
        try:
            self._boxes = await asyncio.to_thread(self._open)
        except FleetError as error:
            self._faults["fleet"] = str(error)
            return
        self._wake = {name: asyncio.Event() for name in self._boxes}
        async with asyncio.TaskGroup() as tasks:
            for name, box in self._boxes.items():
                tasks.create_task(self._ask_for_ever(name, box))

    def jobs(self) -> Jobs:
        """What is known now."""
        known = [(box, self._known.get(box, [])) for box in self._boxes]
        seen = [JobSeen(box, each) for box, found in known for each in found]
        asked = bool(self._boxes) and self._boxes.keys() <= {*self._known, *self._faults}
        return Jobs(tuple(seen), dict(self._faults), self._detail, asked)

    def look(self, job: JobSeen | None) -> None:
        """Whose curves and log are read from now on."""
        back, self._watched = not self._watched, True
        if job is None:
            return
        same = self._detail is not None and self._detail.key == job.key
        if not same:
            self._detail = JobDetail(job.box, job.status.job_id)
        if job.box in self._wake and (back or not same):
            self._wake[job.box].set()

    def look_away(self) -> None:
        """Nobody looks any more."""
        self._watched = False

    async def cancel(self, box: str, job_id: str) -> str:
        """Have a job ended; how it stands then.

        Raises:
            JobRefused: The box does not know it.
            ShellBroken: It may have been told.
        """
        status = await self._boxes[box].cancel(job_id)
        self._wake[box].set()
        return status.state.value

    async def _ask_for_ever(self, name: str, box: "Box") -> None:
        while True:
            # Before the question: who wakes it during one is heard after it.
            self._wake[name].clear()
            began_s = self._clock.monotonic()
            await self._ask(name, box)
            took_s = self._clock.monotonic() - began_s
            every_s = SEEN_S if self._watched else UNSEEN_S
            pause_s = max(every_s, took_s / SHARE)
            try:
                await self._clock.wait_for(self._wake[name].wait(), pause_s)
            except TimeoutError:
                continue

    async def _ask(self, name: str, box: "Box") -> None:
        from recipes.jobs.box import ShellBroken

        try:
            self._known[name] = await box.all()
            self._faults.pop(name, None)
            detail = self._detail
            if self._watched and detail is not None and detail.box == name:
                try:
                    await self._read(box, detail)
                except JobRefused as refused:
                    # One job's affair: its box has just told of all.
                    self._faults[name] = str(refused)
        except (ShellBroken, JobRefused) as error:
            self._faults[name] = str(error)
            self._known[name] = [_unknown(each) for each in self._known.get(name, [])]

    async def _read(self, box: "Box", detail: JobDetail) -> None:
        """Read on in the log and what was printed, a piece of each a time."""
        from recipes.jobs.box import rows

        known = next(
            (each for each in self._known[detail.box] if each.job_id == detail.job_id), None
        )
        if known is None:
            return
        newest = known.use.wall_s if known.use is not None else 0.0
        if not detail.uses or newest > detail.uses[-1].wall_s:
            content = await box.read(detail.job_id, "use.jsonl", detail.use_offset)
            detail.use_offset += _whole(content)
            for row in rows(content[: _whole(content)]):
                detail.take_use(msgspec.convert(row, Use))
        if known.log_bytes > detail.log_offset:
            content = await box.read(detail.job_id, "out/log.jsonl", detail.log_offset)
            detail.log_offset += _whole(content)
            for row in rows(content[: _whole(content)]):
                detail.take_row(row)
        if known.console_bytes > detail.console_offset:
            start = max(detail.console_offset, known.console_bytes - CONSOLE_BYTES)
            content = await box.read(detail.job_id, "console.txt", start)
            detail.console_offset = start + len(content)
            detail.take_console(content.decode("utf-8", "replace"))


def _whole(content: bytes) -> int:
    """Bytes of the lines that are there to their end; a line longer than an answer is passed over."""
    from recipes.jobs.box import CHUNK_BYTES

    whole = content.rfind(b"\n") + 1
    return whole or (len(content) if len(content) >= CHUNK_BYTES else 0)


def _unknown(status: JobStatus) -> JobStatus:
    """What is not reached may have gone on; what had ended has."""
    if status.state.ended or status.state is JobState.UNKNOWN:
        return status
    return msgspec.structs.replace(
        status, state=JobState.UNKNOWN, detail=f"last known: {status.state.value}"
    )


def boxes_of(home: Path) -> dict[str, "Box"]:
    """The boxes of a fleet that is up, and this machine."""
    from enpire_tui.boxes import LOCAL, box_of
    from enpire_tui.fleet import demo_fleet, read_fleet

    written = home / "fleet.toml"
    fleet = read_fleet(written) if written.exists() else demo_fleet()
    return {name: box_of(fleet, name, home) for name in sorted({LOCAL, *fleet.boxes})}
