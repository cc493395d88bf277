"""Training code that runs away: the real runner and sandbox, with caps that are reached soon."""

import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from recipes.jobs import store, verbs
from recipes.jobs.records import JobSpec, JobState, JobStatus, Needs
from robots.sandbox import probe
from robots.station import archive
from robots.wire.records import RecipeArchive
from tests.attacks.test_runaway import alive

pytestmark = pytest.mark.skipif(not probe().usable, reason="bubblewrap does not work here")

# The runner as it is, but for constants that a test cannot wait for.
RUNNER = """
import sys
from pathlib import Path
from recipes.jobs import runner
runner.SAMPLE_S, runner.GRACE_S, runner.MOST_PROCESSES = 0.1, 0.5, 48
sys.exit(runner.run(Path(sys.argv[1])))
"""
NEEDS = Needs(cpus=1.0, memory_gib=0.25, minutes=1.0, disk_gib=1 / 64)
# Long enough that it has begun to run away also where everything is slow.
SHORT = Needs(minutes=0.5)
RUNAWAYS = {
    "forks": (
        (
            "import os, time\n"
            "while True:\n"
            "    try:\n"
            "        os.fork()\n"
            "    except OSError:\n"
            "        time.sleep(0.1)\n"
        ),
        SHORT,
        ("cap on processes", "ran longer than its"),
    ),
    "memory": (
        "held = []\nwhile True: held.append(bytearray(b'1') * (1 << 20))\n",
        NEEDS,
        ("memory",),
    ),
    "disk, in one file": (
        "with open('/job/out/big', 'wb') as file:\n    while True: file.write(bytes(1 << 20))\n",
        NEEDS,
        ("cap on file size", "File too large", "exit code 1"),
    ),
    "disk, in many files": (
        (
            "import itertools\n"
            "for n in itertools.count():\n"
            "    with open(f'/job/out/{n}', 'wb') as file: file.write(bytes(1 << 20))\n"
        ),
        NEEDS,
        ("passed its cap on disk",),
    ),
    "disk, in empty files": (
        "import itertools\nfor n in itertools.count(): open(f'/job/out/{n}', 'wb').close()\n",
        NEEDS,
        ("passed its cap on disk",),
    ),
    "output": ("while True: print('x' * 100_000)\n", NEEDS, ("disk", "file size", "exit code")),
    "SIGTERM and its minutes": (
        (
            "import signal, time\n"
            "for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):\n"
            "    signal.signal(each, signal.SIG_IGN)\n"
            "while True: time.sleep(1)\n"
        ),
        SHORT,
        ("ran longer than its",),
    ),
    "what stays behind": ("import os\nos._exit(3)\n", NEEDS, ("ended with exit code 3",)),
}


def run_away(
    folder: Path, train: str, needs: Needs = NEEDS, runner: str = RUNNER
) -> tuple[JobStatus, Path, str]:
    """Have a job carried out to its end: how it stands, its folder, and the mark of its processes."""
    mark = f"runaway-{uuid.uuid4().hex}"
    # A second process in a session of its own, beside what the attack does.
    left = (
        "import subprocess, sys\n"
        f"subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1e4)', '{mark}'],"
        " start_new_session=True)\n"
        # What ends it comes after it has begun to run away.
        "print('begun', flush=True)\n"
    )
    files = {"train.py": (left + train).encode()}
    recipe = RecipeArchive(files=files, sha256=archive.sha256(files))
    spec = JobSpec(job_id="a1-runaway", recipe=recipe, needs=needs)
    place, _ = store.Store(folder / "jobs").claim(spec)
    done = subprocess.run(
        [sys.executable, "-c", runner, str(place)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return verbs.status(place), place, mark


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(name, marks=pytest.mark.long) if needs is SHORT else name
        for name, (_, needs, _) in RUNAWAYS.items()
    ],
)
def test_a_job_that_runs_away_is_ended_with_a_record_and_leaves_nothing(tmp_path, attack) -> None:
    train, needs, words = RUNAWAYS[attack]

    status, place, mark = run_away(tmp_path, train, needs)

    assert status.state is JobState.FAILED
    assert any(each in status.detail for each in words), status.detail
    assert (place / "console.txt").read_bytes().startswith(b"begun")
    gone(mark)


@pytest.mark.timeout(240)
def test_a_job_leaves_room_on_the_disk_for_everybody(tmp_path) -> None:
    unlinked = (
        "import os, time\n"
        "file = open('/job/out/x', 'wb')\n"
        "os.unlink('/job/out/x')\n"
        "while True: time.sleep(1)\n"
    )
    # As on a disk that is full, by whatever nobody can see any more.
    full = RUNNER.replace("0.5, 48", "0.5, 48; runner.FREE_BYTES = 1 << 60")

    status, _, mark = run_away(tmp_path, unlinked, runner=full)

    assert status.state is JobState.FAILED
    assert "the disk of its box has less than" in status.detail
    gone(mark)


def gone(mark: str) -> None:
    """Wait until no process has the mark; a test's own time-out says that one stayed."""
    while alive(mark):
        time.sleep(0.05)
