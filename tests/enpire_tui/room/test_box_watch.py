"""The room's look at boxes, one of them behind a real sshd whose network is cut."""

import asyncio

import pytest

from enpire_tui.boxes import box_of
from enpire_tui.fleet import FleetError
from enpire_tui.room.box_watch import BoxWatch
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


async def test_a_fleet_file_that_cannot_be_read_is_told_and_ends_nothing():
    def broken():
        raise FleetError("fleet.toml: boxes.gpu: no such host")

    watch = BoxWatch(broken, SystemClock())
    await watch.run()
    assert watch.jobs().faults == {"fleet": "fleet.toml: boxes.gpu: no such host"}
