"""Training jobs on a real one-node Slurm: submitted once, followed, cancelled, killed."""

import asyncio
import signal
import tempfile
from pathlib import Path

import msgspec
import pytest

from recipes.jobs.box import Box, LocalShell
from recipes.jobs.records import JobRefused, JobState, Launched, Needs
from robots.wire.processes import read_pid_file, send_signal
from tests.recipes.slurm_cluster import Cluster, missing
from tests.recipes.test_jobs import ended, running, spec

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(missing()), reason=missing()),
]


@pytest.fixture(scope="module")
def cluster():
    made = Cluster(Path(tempfile.mkdtemp(prefix="slurm-")) / "c")
    made.folder.parent.chmod(0o755)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def box(cluster, tmp_path, monkeypatch) -> Box:
    monkeypatch.setenv("SLURM_CONF", str(cluster.config))
    return Box("cluster", LocalShell(), tmp_path / "jobs", launcher="slurm")


async def test_a_job_runs_under_slurm_and_no_line_is_lost(box) -> None:
    await box.submit(spec("j1", "30", "0.05"))
    rows = [row async for _, row in box.follow("j1", every_s=0.2)]

    assert [row["step"] for row in rows[:-1]] == list(range(1, 31))
    assert rows[-1].state is JobState.SUCCEEDED


async def test_ten_submissions_are_one_slurm_job(box, cluster, tmp_path) -> None:
    wanted = spec("j1", "40", "0.05")
    await asyncio.gather(*(box.submit(wanted) for _ in range(10)))
    known = cluster.answer("squeue", "--noheader", "--format=%i", "--name=enpire-j1").split()
    handle = msgspec.json.decode((tmp_path / "jobs/j1/launched.json").read_bytes(), type=Launched)

    assert known == [handle.handle]
    assert (await ended(box, "j1")).state is JobState.SUCCEEDED
    assert (await box.read("j1", "out/log.jsonl")).count(b"\n") == 40


async def test_a_waiting_job_is_queued_and_can_be_cancelled(box) -> None:
    all_cores = Needs(cpus=2.0, memory_gib=0.5, minutes=2.0)
    await box.submit(spec("j1", "1000", "0.05", needs=all_cores))
    await running(box, "j1")
    waiting = await box.submit(spec("j2", "1", "0", needs=all_cores))
    await box.cancel("j2")
    second = await ended(box, "j2")
    await box.cancel("j1")
    first = await ended(box, "j1")

    assert waiting.state is JobState.QUEUED
    assert second.state is JobState.CANCELLED
    assert (first.state, first.detail) == (JobState.CANCELLED, "cancelled")


async def test_a_killed_runner_is_lost(box, tmp_path) -> None:
    await box.submit(spec("j1", "1000", "0.05"))
    await running(box, "j1")
    send_signal(read_pid_file(tmp_path / "jobs/j1/process"), signal.SIGKILL)

    assert (await ended(box, "j1")).state is JobState.LOST


async def test_what_slurm_refuses_is_said_in_its_words(box) -> None:
    with pytest.raises(JobRefused, match="sbatch"):
        await box.submit(spec("j1", "1", needs=Needs(gpus=1, memory_gib=0.5)))
