"""A real fleet of one station, through the real command line."""

import json
import signal
import time

import pytest

from robots.wire.endpoints import runtime_dir
from robots.wire.processes import is_alive, read_pid_file, send_signal
from tests.enpire_tui.test_cli import run


def last(done) -> dict:
    assert done.stdout, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def home(tmp_path):
    yield tmp_path / "home"
    run("down", home=tmp_path / "home")


def test_up_finds_a_running_fleet_and_down_ends_all_of_it(home):
    first = run("up", "--stations", "1", "--json", home=home)
    assert first.returncode == 0, first.stderr
    assert last(first)["started"] is True
    second = last(run("up", "--stations", "1", "--json", home=home))
    assert second["started"] is False
    assert second["run"] == last(first)["run"]
    status = last(run("status", "--json", home=home))
    assert {each["name"] for each in status["daemons"]} == {"supervisor", "s1", "a1"}
    assert status["run"]["state"] == "SETUP"
    identities = [read_pid_file(path) for path in (home / "pids").iterdir()]
    assert run("down", home=home).returncode == 0
    assert not any(is_alive(each) for each in identities if each is not None)
    assert not list(runtime_dir(home).iterdir()), "sockets were left behind"
    runtime_dir(home).rmdir()


def test_a_daemon_that_cannot_start_takes_everything_down_and_says_why(home):
    run("up", "--stations", "1", home=home)
    run("down", home=home)
    # A folder where the station's journal should be: the station cannot start.
    for path in (home / "journals").glob("s1.db*"):
        path.unlink()
    (home / "journals" / "s1.db").mkdir()
    done = run("up", "--stations", "1", "--json", home=home, timeout_s=110)
    assert done.returncode == 1
    assert "s1" in last(done)["error"]
    assert last(run("status", "--json", home=home))["up"] is False


def test_a_run_ends_by_its_budget_is_reported_and_leaves_nothing_running(home):
    done = run("--autonomous", "--stations", "1", "--minutes", "0.1", "--json", home=home)
    assert done.returncode == 3, done.stderr
    ended = last(done)
    assert ended["kind"] == "RunEnded"
    assert ended["outcome"] == "budget"
    assert set(ended["confirm"]) == {"success", "failure", "void"}
    assert set(ended["mtu"]) == {"uncached", "total"}
    status = last(run("status", "--json", home=home))
    assert status["up"] is False
    record = json.loads((home / "runs" / status["last_run"] / "record.json").read_text())
    assert record["ended"]["outcome"] == "budget"
    assert record["machine"]["cpus"] >= 1


def test_a_killed_supervisor_comes_back_with_the_same_run(home):
    run("up", "--stations", "1", home=home)
    before = last(run("status", "--json", home=home))["run"]["run_id"]
    identity = read_pid_file(home / "pids" / "supervisor")
    send_signal(identity, signal.SIGKILL)
    until = time.monotonic() + 30
    while True:
        status = last(run("status", "--json", home=home))
        if status["run"] is not None and status["run"]["run_id"] == before:
            break
        assert time.monotonic() < until
