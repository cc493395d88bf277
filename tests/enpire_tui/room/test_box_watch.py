"""The room's look at boxes, one of them behind a real sshd whose network is cut."""

import asyncio
import contextlib

import pytest

from enpire_tui.boxes import box_of
from enpire_tui.fleet import FleetError
from enpire_tui.room.box_watch import BoxWatch
from enpire_tui.room.training import JobSeen
from recipes.jobs.box import LocalBox
from recipes.jobs.records import JobState
from robots.wire.clock import SystemClock
from tests.enpire_tui.test_boxes import far
from tests.enpire_tui.test_link import SSHD
from tests.recipes.test_jobs import spec

__all__ = ["far"]


async def until(test, seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not test():  # noqa: ASYNC110 - the watch tells nobody
            await asyncio.sleep(0.05)


@pytest.mark.long
@pytest.mark.skipif(SSHD is None, reason="sshd is not installed")
async def test_a_box_behind_ssh_is_followed_over_a_cut_and_the_job_is_cancelled(far, tmp_path):
    fleet, _, proxy, _ = far
    boxes = {name: box_of(fleet, name, tmp_path / "near") for name in ("big", "local")}
    await boxes["big"].submit(spec("j1", "5000", "0.02"))
    watch = BoxWatch(lambda: boxes, SystemClock())
    watching = asyncio.create_task(watch.run())
    try:
        await until(lambda: watch.jobs().find("big/j1"))
        watch.look(watch.jobs().find("big/j1"))
        await until(lambda: watch.jobs().detail.curves)
        await proxy.cut()
        await until(lambda: watch.jobs().find("big/j1").status.state is JobState.UNKNOWN)
        assert set(watch.jobs().faults) == {"big"}
        read = len(watch.jobs().detail.curves["loss"].points)
        await proxy.mend()
        await until(lambda: not watch.jobs().faults)
        await until(lambda: len(watch.jobs().detail.curves["loss"].points) > read)
        steps = [step for step, _ in watch.jobs().detail.curves["loss"].points]
        assert steps == list(range(1, len(steps) + 1)), "no row is lost or drawn twice"
        assert await watch.cancel("big", "j1") in ("running", "cancelled")
        await until(lambda: watch.jobs().find("big/j1").status.state is JobState.CANCELLED)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


ODD = """
import os
from pathlib import Path
log = Path(os.environ["ENPIRE_JOB"]) / "out" / "log.jsonl"
"""
LOGS = {
    "a link": ODD + "log.symlink_to('/etc/hosts')",
    "a deep line": ODD + "log.write_text('[' * 60_000 + chr(10))",
    "a huge number": ODD
    + 'log.write_text(\'{"kind": "progress", "step": 1, "loss": \' + \'9\' * 400 + \'}\' + chr(10))',
    "an endless line": ODD + "log.write_text('x' * (3 << 20) + chr(10) + '{}' + chr(10))",
}


class Asked(LocalBox):
    """A box that counts how often it was asked for all its jobs."""

    asked = 0

    async def all(self):
        found = await super().all()
        self.asked += 1
        return found


@contextlib.asynccontextmanager
async def watched(box, clock):
    watch = BoxWatch(lambda: {"here": box}, clock)
    watching = asyncio.create_task(watch.run())
    try:
        yield watch
        assert not watching.done()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


@pytest.mark.parametrize("log", LOGS)
async def test_nothing_that_a_job_writes_ends_the_watch_or_hides_its_neighbours(log, tmp_path):
    box = Asked("here", tmp_path / "jobs")
    await box.submit(spec("odd", train=LOGS[log]))
    await box.submit(spec("sound", "600", "0.1"))
    async with watched(box, SystemClock()) as watch:
        await until(lambda: watch.jobs().find("here/odd") is not None)
        watch.look(watch.jobs().find("here/odd"))
        await until(lambda: watch.jobs().find("here/odd").status.state.ended)
        size = watch.jobs().find("here/odd").status.log_bytes
        if log == "a link":
            await until(lambda: "link" in watch.jobs().faults.get("here", ""))
        else:
            await until(lambda: watch.jobs().detail.log_offset == size)
        last = box.asked
        await until(lambda: box.asked > last + 1)
        assert watch.jobs().find("here/sound").status.state is JobState.RUNNING
        await watch.cancel("here", "sound")


class NoTime(SystemClock):
    """No time passes: what waits is woken, or waits."""

    async def wait_for(self, awaitable, timeout_s):
        del timeout_s
        return await awaitable


async def test_who_wakes_it_during_a_question_or_comes_back_has_it_asked_again(tmp_path):
    class Slow(Asked):
        gate = asyncio.Event()

        async def all(self):
            await self.gate.wait()
            return await super().all()

    box = Slow("here", tmp_path / "jobs")
    job = JobSeen("here", await box.submit(spec("j1", "1", "0.01")))
    async with watched(box, NoTime()) as watch:
        await until(lambda: "here" in watch._wake)
        watch.look(job)
        box.gate.set()
        await until(lambda: box.asked == 2, 10.0)
        watch.look_away()
        watch.look(job)
        await until(lambda: box.asked == 3, 10.0)


async def test_a_fleet_file_that_cannot_be_read_is_told_and_ends_nothing():
    def broken():
        raise FleetError("fleet.toml: boxes.gpu: no such host")

    watch = BoxWatch(broken, SystemClock())
    await watch.run()
    assert watch.jobs().faults == {"fleet": "fleet.toml: boxes.gpu: no such host"}
