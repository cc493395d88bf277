"""Training jobs through the jobs REST API of a real Ray head, where Ray is installed.

Ray lies in our own environment, on the PATH, or in `.venv-ray`, which `make ray-env` builds.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from recipes.jobs.box import Box, LocalShell
from recipes.jobs.records import JobRefused, JobState
from tests.recipes.test_jobs import ended, running, spec

APART = Path(__file__).resolve().parents[2] / ".venv-ray" / "bin"
PLACES = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}:{APART}"
RAY = shutil.which("ray", path=PLACES)

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(420),
    pytest.mark.skipif(RAY is None, reason="ray is not installed: run `make ray-env`"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def head():
    """Address of a head node's dashboard, and the node's process."""
    dashboard = free_port()
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    quiet = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "TMPDIR": folder}
    # It gives up on its dashboard after a minute, which on busy cores is too soon.
    quiet.setdefault("RAY_DASHBOARD_STARTUP_TIMEOUT_S", "240")
    process = subprocess.Popen(
        [
            RAY, "start", "--head", "--block", "--num-cpus=2", f"--port={free_port()}",
            "--node-ip-address=127.0.0.1", "--include-dashboard=true", "--dashboard-host=127.0.0.1",
            f"--dashboard-port={dashboard}", f"--temp-dir={folder}", "--object-store-memory=80000000",
        ],
        env=quiet, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{dashboard}", process
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def box(head, tmp_path) -> Box:
    address, process = head
    made = Box("ray", LocalShell(), tmp_path / "jobs", launcher="ray", ray=address)
    async with asyncio.timeout(240):
        while True:
            try:
                await made.submit(spec("hello", "1", "0"))
                break
            except JobRefused:
                assert process.poll() is None, "the head node ended; `ray start --head` says why"
                await asyncio.sleep(1.0)
    await ended(made, "hello")
    return made


async def test_a_job_runs_under_ray_once_and_no_line_is_lost(box) -> None:
    wanted = spec("j1", "30", "0.05")
    await asyncio.gather(*(box.submit(wanted) for _ in range(10)))
    rows = [row async for _, row in box.follow("j1", every_s=0.2)]

    assert [row["step"] for row in rows[:-1]] == list(range(1, 31))
    assert rows[-1].state is JobState.SUCCEEDED


async def test_a_job_under_ray_is_cancelled(box) -> None:
    await box.submit(spec("j2", "1000", "0.05"))
    await running(box, "j2")
    await box.cancel("j2")
    status = await ended(box, "j2")

    assert (status.state, status.detail) == (JobState.CANCELLED, "cancelled")
