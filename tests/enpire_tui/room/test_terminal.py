"""The room in a real terminal, from an empty machine to a killed screen: tmux holds the terminal."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from enpire_tui import lifecycle
from tests.enpire_tui.test_cli import run

pytestmark = [
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed"),
    pytest.mark.timeout(240),
]
WAIT_S = 90.0


class Terminal:
    """A terminal of 100 by 30 with one command in it."""

    def __init__(self, folder: Path, home: Path) -> None:
        self._folder = folder
        self._tmux = ["tmux"]
        self._starts = 0
        self._home = home
        self._config = folder / "config"

    def start(self, *arguments: str) -> None:
        # A server of its own each time: one that is ending takes no new session.
        self._starts += 1
        socket = str(self._folder / f"tmux{self._starts}")
        self._tmux = ["tmux", "-S", socket, "-f", os.devnull]
        command = f"{sys.executable} -m enpire_tui.cli {' '.join(arguments)}; echo left $?; read x"
        environment = {
            "ENPIRE_HOME": str(self._home),
            "TERM": "xterm-256color",
            "XDG_CONFIG_HOME": str(self._config),
            "SSH_CONNECTION": "",
            "SSH_TTY": "",
        }
        given = [word for key, value in environment.items() for word in ("-e", f"{key}={value}")]
        self._run("new-session", "-d", "-s", "room", "-x", "100", "-y", "30", *given, command)

    def keys(self, *keys: str) -> None:
        self._run("send-keys", "-t", "room", *keys)

    def text(self) -> str:
        return self._run("capture-pane", "-p", "-t", "room")

    def wait(self, *parts: str) -> str:
        until = time.monotonic() + WAIT_S
        while True:
            shown = self.text()
            if all(part in shown for part in parts):
                return shown
            assert time.monotonic() < until, f"{parts} did not appear:\n{shown}"
            time.sleep(0.05)

    def pid(self) -> int:
        """The room's process."""
        shell = int(self._run("list-panes", "-t", "room", "-F", "#{pane_pid}"))
        children = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        return int(children[0]) if children else shell

    def end(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, check=False, timeout=20)

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._tmux, *arguments], capture_output=True, text=True, check=False, timeout=20
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def terminal(tmp_path):
    made = Terminal(tmp_path, tmp_path / "home")
    yield made
    made.end()
    run("down", home=tmp_path / "home")


def test_one_command_starts_the_fleet_and_neither_q_nor_a_kill_ends_it(terminal, tmp_path):
    home = tmp_path / "home"
    terminal.start("--autonomous", "--room", "--stations", "1", "--minutes", "5")
    # The first screen is there before the fleet is.
    terminal.wait("1 station, push_t", "Leaving ends nothing")
    terminal.wait("AUTO", "RUNNING", "▶ 1/1")
    terminal.keys("Enter")
    terminal.wait("Robot s1", "Training", "Agent a1", "a1 is a search agent")
    terminal.keys("q")
    shown = terminal.wait("left 0")
    assert "the fleet goes on" in shown
    assert lifecycle.running(home)
    terminal.end()

    terminal.start()
    terminal.wait("AUTO", "s1")
    os.kill(terminal.pid(), signal.SIGKILL)
    terminal.wait("left 137")
    assert lifecycle.running(home)
    terminal.end()

    terminal.start()
    terminal.wait("AUTO", "s1")
    terminal.keys("!")
    terminal.wait("HELD", "1 needs you")
    terminal.keys("q")
    terminal.wait("left 0")


def test_without_a_terminal_the_overview_is_printed_as_before(tmp_path):
    done = run(home=tmp_path / "home")
    assert "no fleet runs here" in done.stdout
    assert "enpire-tui --autonomous" in done.stdout
