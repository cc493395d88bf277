"""A whole run under kills: it still ends, each episode has one outcome, nothing is done twice."""

import collections
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from robots.wire.processes import identify, read_pid_file, send_signal
from robots.wire.sqlite_journal import read_rows
from tests.enpire_tui.test_cli import run

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

STATIONS = ("s1", "s2")
AGENTS = ("a1", "a2")
MINUTES = 2.0
KILLS = 20


def follower(home: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "enpire_tui.cli", "--autonomous", "--stations", "2"]
    return subprocess.Popen(
        [*command, "--minutes", str(MINUTES), "--seed", "7", "--json", "--keep"],
        env={**os.environ, "ENPIRE_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def workers_of(home: Path) -> list[psutil.Process]:
    """The innermost processes in the sandboxes of all stations."""
    found: list[psutil.Process] = []
    for name in STATIONS:
        identity = read_pid_file(home / "pids" / name)
        if identity is None:
            continue
        try:
            below = psutil.Process(identity.pid).children(recursive=True)
            found += [each for each in below if "child.py" in " ".join(each.cmdline())]
        except psutil.Error:
            continue
    return found


def kill(home: Path, kind: str, rng: random.Random) -> bool:
    """SIGKILL one process of a kind; whether there was one."""
    if kind == "worker":
        workers = workers_of(home)
        if not workers:
            return False
        identity = identify(rng.choice(workers).pid)
    else:
        names = {"station": STATIONS, "agent": AGENTS, "supervisor": ("supervisor",)}[kind]
        identity = read_pid_file(home / "pids" / rng.choice(names))
    return identity is not None and send_signal(identity, signal.SIGKILL)


def last_line(process: subprocess.Popen[str], timeout_s: float) -> dict:
    out, _ = process.communicate(timeout=timeout_s)
    return json.loads(out.splitlines()[-1])


def check(home: Path) -> None:
    """One outcome an episode, one dispatch and one count a batch, one decision an idea."""
    for name in STATIONS:
        rows = [row.event for row in read_rows(home / "journals" / f"{name}.db")]
        kinds = collections.defaultdict(list)
        for event in rows:
            kinds[type(event).__name__].append(event)
        started = [(each.batch_id, each.index) for each in kinds["EpisodeStarted"]]
        finished = [(each.batch_id, each.episode.index) for each in kinds["EpisodeFinished"]]
        assert len(finished) == len(set(finished)), name
        open_now = set(started) - set(finished)
        assert len(open_now) <= 1, name  # The one that runs when the fleet is taken down.
        batches = [each.batch_id for each in kinds["BatchAccepted"]]
        assert len(batches) == len(set(batches)), name
        ended = [each.batch_id for each in kinds["BatchFinished"]]
        assert len(ended) == len(set(ended)), name
    rows = [row.event for row in read_rows(home / "journals" / "supervisor.db")]
    for kind, key in (
        ("BatchDispatched", "batch_id"),
        ("BatchCounted", "batch_id"),
        ("ChampionChanged", "idea_id"),
        ("RunStarted", "run_id"),
    ):
        seen = [getattr(each, key) for each in rows if type(each).__name__ == kind]
        assert len(seen) == len(set(seen)), kind
    assert sum(type(each).__name__ == "RunEnded" for each in rows) == 1
    counted = [each for each in rows if type(each).__name__ == "BatchCounted"]
    assert counted, "nothing was scored"


@pytest.mark.parametrize("kind", ["station", "worker", "agent", "supervisor", "follower"])
def test_twenty_kills_leave_a_run_that_ends(kind, tmp_path):
    home = tmp_path / "h"
    rng = random.Random(kind)
    process = follower(home)
    try:
        until = time.monotonic() + 60
        while not (home / "pids" / AGENTS[-1]).exists():
            assert time.monotonic() < until, "the fleet did not come up"
            assert process.poll() is None, "the follower left"
            time.sleep(0.1)
        killed = 0
        until = time.monotonic() + 60 * MINUTES + 60
        while killed < KILLS:
            assert time.monotonic() < until, f"only {killed} kills"
            time.sleep(rng.uniform(0.5, 6.0) if kind != "worker" else rng.uniform(0.2, 4.0))
            if kind == "follower":
                process.kill()
                process.communicate()
                process = follower(home)
                killed += 1
            else:
                killed += kill(home, kind, rng)
        ended = last_line(process, 60 * MINUTES + 120)
        assert ended["kind"] == "RunEnded"
        assert ended["outcome"] in ("budget", "success")
        check(home)
    finally:
        process.kill()
        process.communicate()
        run("down", home=home)
