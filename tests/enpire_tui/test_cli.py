"""The real command line in processes of its own."""

import fcntl
import json
import os
import subprocess
import sys

import pytest

from robots.wire.endpoints import socket_path


def run(
    *arguments: str, home=None, timeout_s: float = 60.0, stdin: str = ""
) -> subprocess.CompletedProcess:
    environment = {**os.environ}
    environment.pop("ENPIRE_HOME", None)
    if home is not None:
        environment["ENPIRE_HOME"] = str(home)
    return subprocess.run(
        [sys.executable, "-m", "enpire_tui.cli", *arguments],
        capture_output=True,
        text=True,
        input=stdin,
        env=environment,
        timeout=timeout_s,
        check=False,
    )


@pytest.mark.parametrize(
    "arguments", [("--help",), ("evaluate", "--help"), ("review", "--help"), ("up", "--help")]
)
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys\nfrom enpire_tui.cli import main\n"
        f"try:\n    main({list(arguments)!r})\nexcept SystemExit as error:\n"
        "    assert error.code == 0\n"
        "heavy = {'numpy', 'zmq', 'msgspec', 'rich', 'textual', 'mujoco', 'asyncssh', 'asyncio'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_headless_imports_no_textual():
    code = (
        "import sys, enpire_tui.headless, enpire_tui.commands, enpire_tui.supervisor.daemon\n"
        "assert not {'textual', 'rich', 'mujoco', 'asyncssh'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_a_terminal_the_room_is_not_even_imported():
    code = (
        "import sys\nfrom enpire_tui import cli\n"
        "chosen = cli._command(cli.build_parser().parse_args(['--autonomous', '--room']))\n"
        "assert chosen is sys.modules['enpire_tui.commands'].autonomous\n"
        "assert not {'textual', 'rich', 'enpire_tui.room'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, stdin=subprocess.DEVNULL, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_unknown_option_is_a_usage_error():
    assert run("--autonomos").returncode == 2
    assert run("--autonomous", "--minutes", "-3").returncode == 2


def test_a_broken_fleet_file_starts_nothing(tmp_path):
    path = tmp_path / "lab.toml"
    path.write_text('name = "lab"\n[[station]]\nname = "s1"\nspeed = 3\n')
    done = run("--autonomous", "--fleet", str(path), home=tmp_path / "home")
    assert done.returncode == 2
    assert f"{path}: station 's1': speed" in done.stderr
    assert not (tmp_path / "home").exists()


def test_an_unknown_task_starts_nothing_and_names_the_known(tmp_path):
    done = run("up", "--task", "juggling", home=tmp_path / "home")
    assert done.returncode == 2
    assert "juggling" in done.stderr
    assert "push_t" in done.stderr
    assert not (tmp_path / "home" / "keeper.json").exists()


def test_a_taken_socket_is_named_and_nothing_is_started(tmp_path):
    home = tmp_path / "home"
    path = socket_path(home, "s1", "cmd")
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        done = run("up", "--stations", "1", "--home", str(home))
    finally:
        os.close(lock)
    assert done.returncode == 2
    assert str(path) in done.stderr
    assert "taken" in done.stderr
    assert not (home / "keeper.json").exists()


def test_stations_belong_to_the_demo_fleet(tmp_path):
    path = tmp_path / "lab.toml"
    path.write_text('[[station]]\nname = "s1"\n')
    done = run("up", "--fleet", str(path), "--stations", "2", home=tmp_path / "home")
    assert done.returncode == 2
    assert "--stations" in done.stderr


def test_status_and_down_without_a_fleet_say_so(tmp_path):
    status = run("status", "--json", home=tmp_path)
    assert status.returncode == 0
    assert json.loads(status.stdout.splitlines()[-1])["up"] is False
    down = run("--home", str(tmp_path / "x"), "down", "--json")
    assert down.returncode == 0
    assert json.loads(down.stdout.splitlines()[-1])["home"] == str(tmp_path / "x")
    hold = run("hold", home=tmp_path)
    assert hold.returncode == 1
    assert "no fleet runs" in hold.stderr


def test_errors_are_also_told_as_json(tmp_path):
    done = run("watch", "--json", home=tmp_path)
    assert done.returncode == 1
    assert json.loads(done.stdout.splitlines()[-1])["kind"] == "Failed"


def test_doctor_looks_at_everything_a_fleet_needs(tmp_path):
    done = run("doctor", "--json", home=tmp_path)
    found = json.loads(done.stdout.splitlines()[-1])
    names = {each["name"] for each in found["findings"]}
    assert {"python", "sandbox", "rendering", "git", "sshd", "disk"} <= names
    assert done.returncode == (0 if found["fit"] else 1)


def test_evaluate_names_what_it_cannot_find(tmp_path):
    done = run("evaluate", "0123abc", "--episodes", "1", home=tmp_path)
    assert done.returncode == 2
    assert "0123abc" in done.stderr
