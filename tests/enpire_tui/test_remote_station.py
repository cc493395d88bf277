"""A fleet with one station behind a real sshd, through the real command line."""

import getpass
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from robots.wire import events as ev
from robots.wire.processes import identify, is_alive, read_pid_file, send_signal
from robots.wire.records import Purpose
from robots.wire.sqlite_journal import read_rows
from tests.enpire_tui.test_cli import run
from tests.enpire_tui.test_link import SSHD, Sshd

pytestmark = pytest.mark.skipif(SSHD is None, reason="sshd is not installed")

FLEET = """
name = "two"
task = "push_t"

[budget]
time = "{time}"

[[station]]
name = "s1"

[[station]]
name = "s2"
host = "far"

[hosts.far]
address = "127.0.0.1"
port = {port}
user = "{user}"
key = "{folder}/client_key"
known_hosts = "{folder}/known_hosts"
python = "{python}"
home = "{remote}"
"""


@pytest.fixture
def far(tmp_path):
    folder = tmp_path / "ssh"
    folder.mkdir()
    server = Sshd(folder)
    server.start()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{server.port} {server.host_key}\n")
    path = tmp_path / "two.toml"

    def fleet(time: str = "10 s") -> str:
        path.write_text(
            FLEET.format(
                time=time,
                port=server.port,
                user=getpass.getuser(),
                folder=folder,
                python=sys.executable,
                remote=tmp_path / "remote",
            )
        )
        return str(path)

    fleet.server = server
    yield fleet, tmp_path
    run("--fleet", str(path), "down", home=tmp_path / "home")
    server.stop()


def last(done) -> dict:
    assert done.stdout, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_remote_station_joins_the_run_and_goes_down_with_the_fleet(far):
    fleet, folder = far
    done = run("--autonomous", "--keep", "--json", "--fleet", fleet(), home=folder / "home")
    assert done.returncode == 3, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    online = {line["station"] for line in lines if line.get("state") == "ONLINE"}
    assert online == {"s1", "s2"}
    status = last(run("--fleet", fleet(), "status", "--json", home=folder / "home"))
    remote = next(each for each in status["run"]["stations"] if each["station"] == "s2")
    assert remote["busy"] > 0.0
    keeper = read_pid_file(folder / "remote" / "pids" / "keeper")
    station = read_pid_file(folder / "remote" / "pids" / "s2")
    assert is_alive(keeper)
    assert is_alive(station)
    # The far host holds its own station's keys and nobody else's.
    assert {each.name for each in (folder / "remote" / "keys").iterdir()} == {
        "authorized.toml",
        "s2.key",
        "s2.pub",
        "s2.sign",
        "s2.sign.pub",
    }
    assert run("--fleet", fleet(), "down", home=folder / "home").returncode == 0
    assert not is_alive(keeper)
    assert not is_alive(station)


def test_an_unknown_host_key_starts_nothing(far):
    fleet, folder = far
    path = fleet()
    (folder / "ssh" / "known_hosts").write_text("")
    done = run("up", "--fleet", path, "--json", home=folder / "home")
    assert done.returncode == 1
    assert "unknown and is refused" in last(done)["error"]
    assert last(run("--fleet", path, "status", "--json", home=folder / "home"))["up"] is False
    assert not (folder / "remote").exists()


CUT_S = 20.0


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_link_cut_for_twenty_seconds_loses_nothing(far):
    fleet, folder = far
    command = [sys.executable, "-m", "enpire_tui.cli", "--autonomous", "--json", "--keep"]
    process = subprocess.Popen(
        [*command, "--fleet", fleet("100 s")],
        env={**os.environ, "ENPIRE_HOME": str(folder / "home")},
        stdout=subprocess.PIPE,
        text=True,
    )
    remote, supervisor = folder / "remote/journals/s2.db", folder / "home/journals/supervisor.db"

    def events(path, kind):
        rows = read_rows(path) if path.exists() else ()
        return [row.event for row in rows if isinstance(row.event, kind)]

    def wait_until(condition, timeout_s):
        until = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < until
            time.sleep(0.2)

    try:
        wait_until(lambda: events(remote, ev.EpisodeFinished), 90)
        before = len(events(remote, ev.EpisodeFinished))
        sessions = fleet.server.sessions()
        fleet.server.stop()
        for pid in sessions:
            send_signal(identify(pid), signal.SIGKILL)
        time.sleep(CUT_S)  # The length of the cut is what is tested.
        during = len(events(remote, ev.EpisodeFinished))
        assert during > before, "the station stood still while its link was down"
        fleet.server.start()
        out, _ = process.communicate(timeout=240)
        assert json.loads(out.splitlines()[-1])["kind"] == "RunEnded"
    finally:
        process.kill()
        process.communicate()
    states = [each.state for each in events(supervisor, ev.StationSeen) if each.station == "s2"]
    assert states.count("ONLINE") >= 2, states
    ended = events(remote, ev.BatchFinished)
    sealed = [each.batch_id for each in ended if each.purpose is not Purpose.EXPLORE]
    counted = [e.batch_id for e in events(supervisor, ev.BatchCounted) if e.station == "s2"]
    assert len(counted) == len(set(counted))
    # A batch that nobody waits for any more is withdrawn; its record may come all the same.
    moot = {
        each.batch_id
        for each in events(supervisor, ev.BatchWithdrawn)
        if each.reason.startswith(("the candidate is", "the confirm ended"))
    }
    # The last one may end together with the run.
    assert set(sealed[:-1]) <= {*counted, *moot}
    finished = [(e.batch_id, e.episode.index) for e in events(remote, ev.EpisodeFinished)]
    assert len(finished) == len(set(finished))
