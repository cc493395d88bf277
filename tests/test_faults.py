"""A whole run under kills: it still ends, each episode has one outcome, nothing is done twice."""

import collections
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from robots.wire.endpoints import runtime_dir
from robots.wire.processes import identify, read_pid_file, send_signal
from robots.wire.sqlite_journal import read_rows
from tests.agents.test_metering import ANTHROPIC_STREAM, ANTHROPIC_USAGE
from tests.enpire_tui.test_cli import run

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

STATIONS = ("s1", "s2")
AGENTS = ("a1", "a2")
KILLS = 20
# The keeper waits up to 10 s before it starts a process again that ends so often: where a kind has
# one process only, twenty kills take longer.
MINUTES = 2.0
MINUTES_OF_ONE = 4.0
ONE = ("robot", "gateway", "supervisor")

# A fleet whose second station is in real time, with its simulated robot in a process of its own.
REAL_TIME = """
name = "mixed"
[[station]]
name = "s1"
[[station]]
name = "s2"
clock = "realtime"
"""

# A fleet whose agents speak to a model provider: here a search that asks one before each idea.
METERED = """
name = "metered"
[agent]
backend = "asking"
[[station]]
name = "s1"
[[station]]
name = "s2"
"""
SLICES = """
[providers.anthropic]
base_url = "http://127.0.0.1:{port}"
key_file = "{key}"
[agents.a1]
budget_tokens = 100000000
[agents.a2]
budget_tokens = 100000000
"""
BACKEND = """
import asyncio, os
import aiohttp
from agents.backends.search import SearchBackend

class Asking(SearchBackend):
    name = "asking"

    async def turn(self, tools):
        asking = asyncio.create_task(self._ask())
        try:
            await super().turn(tools)
        finally:
            asking.cancel()

    async def _ask(self):
        socket = os.path.join(os.environ["GATEWAY_SOCKETS"], f"{self._agent}.api")
        while True:
            try:
                connector = aiohttp.UnixConnector(socket)
                async with aiohttp.ClientSession(connector=connector) as session:
                    body = {"model": "m", "stream": True}
                    async with session.post("http://gateway/v1/messages", json=body) as answer:
                        await answer.read()
            except (aiohttp.ClientError, OSError):
                pass
            await asyncio.sleep(0.05)
"""


class Provider(BaseHTTPRequestHandler):
    """A model provider that streams one answer, whatever it is asked."""

    served = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        type(self).served += 1
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        self.wfile.write(ANTHROPIC_STREAM)

    def log_message(self, *arguments: object) -> None:
        """Quiet."""


@pytest.fixture
def provider():
    Provider.served = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def follower(
    home: Path, minutes: float, fleet: Path | None = None, **environment: str
) -> subprocess.Popen[str]:
    stations = ["--stations", "2"] if fleet is None else ["--fleet", str(fleet)]
    command = [sys.executable, "-m", "enpire_tui.cli", "--autonomous", *stations]
    return subprocess.Popen(
        [*command, "--minutes", str(minutes), "--seed", "7", "--json", "--keep"],
        env={**os.environ, "ENPIRE_HOME": str(home), **environment},
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
        names = {"station": STATIONS, "agent": AGENTS, "robot": ("robot-s2",)}.get(kind, (kind,))
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


def metered_run(home: Path, folder: Path, port: int) -> tuple[Path, dict[str, str]]:
    """A fleet behind a gateway: its file, and what its processes find in their environment."""
    site = folder / "site"
    info = site / "asking-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: asking\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[enpire.backends]\nasking = asking:Asking\n")
    (site / "asking.py").write_text(BACKEND)
    (folder / "key").write_text("sk-of-the-host")
    (home / "gateway").mkdir(parents=True)
    text = SLICES.format(port=port, key=folder / "key")
    (home / "gateway" / "gateway.toml").write_text(text)
    path = folder / "metered.toml"
    path.write_text(METERED)
    packages = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    return path, {"PYTHONPATH": packages, "GATEWAY_SOCKETS": str(runtime_dir(home))}


KINDS = ["station", "robot", "worker", "agent", "gateway", "supervisor", "follower"]


@pytest.mark.parametrize("kind", KINDS)
def test_twenty_kills_leave_a_run_that_ends(kind, tmp_path, provider):
    home = tmp_path / "h"
    rng = random.Random(kind)
    fleet, environment = None, {}
    minutes = MINUTES_OF_ONE if kind in ONE else MINUTES
    if kind == "robot":
        fleet = tmp_path / "mixed.toml"
        fleet.write_text(REAL_TIME)
    elif kind == "gateway":
        fleet, environment = metered_run(home, tmp_path, provider)
    process = follower(home, minutes, fleet, **environment)
    try:
        until = time.monotonic() + 60
        while not (home / "pids" / AGENTS[-1]).exists():
            assert time.monotonic() < until, "the fleet did not come up"
            assert process.poll() is None, "the follower left"
            time.sleep(0.1)
        killed = 0
        while killed < KILLS:
            assert process.poll() is None, f"the run was over after {killed} kills"
            time.sleep(rng.uniform(0.5, 6.0) if kind != "worker" else rng.uniform(0.2, 4.0))
            if kind == "follower":
                process.kill()
                process.communicate()
                process = follower(home, minutes)
                killed += 1
            else:
                killed += kill(home, kind, rng)
        ended = last_line(process, 60 * minutes + 120)
        assert ended["kind"] == "RunEnded"
        assert ended["outcome"] in ("budget", "success")
        check(home)
        if kind == "gateway":
            check_meter(home)
    finally:
        process.kill()
        process.communicate()
        run("down", home=home)


def check_meter(home: Path) -> None:
    """What was answered is metered, each request once; a kill loses no more than what it cut."""
    rows = [row.event for row in read_rows(home / "journals" / "gateway.db")]
    starts = sum(type(each).__name__ == "DaemonStarted" for each in rows)
    # A kill may come before the row of a start.
    assert KILLS // 2 <= starts <= KILLS + 1
    metered = [each for each in rows if type(each).__name__ == "TokensMetered"]
    whole = [each for each in metered if each.output == ANTHROPIC_USAGE.output]
    assert len(whole) > KILLS
    # Two agents ask, one request each at a time.
    assert Provider.served - 2 * KILLS - 2 <= len(metered) <= Provider.served
