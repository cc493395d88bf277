"""The control room on 64 stations: `python -m benchmarks.control_room [--seconds S] [--starts N]`.

A pty of 160 by 50 holds the room; a light process over the real wire holds 64 stations that publish
telemetry at 10 Hz and journal an episode every two seconds. Prints one JSON object: figures, the
same of Textual's DataTable on the same rows, targets with their verdicts, and the raw rows. The
figures are of this machine as loaded as it was (`load`): a busy one makes stalls and keys late.
"""

import argparse
import fcntl
import json
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.control_room_processes import STATIONS, spec
from enpire_tui.room.themes import THEMES
from enpire_tui.run_spec import write_spec
from robots.wire.keys import provision
from robots.wire.records import Role

Row = dict[str, Any]

COLUMNS, LINES = 160, 50
SETTLE_S = 4.0
KEY_EVERY_S = 0.35
START_S = 60.0
DOWN = b"\x1b[B"
PROCESSES = [sys.executable, "-m", "benchmarks.control_room_processes"]


class Terminal:
    """A process in a pty; what it writes is counted."""

    def __init__(self, *command: str, remote: bool = False) -> None:
        self.began_s = time.monotonic()
        # `None` for the child is never seen: it becomes the process.
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
            os.environ.pop("SSH_CONNECTION", None)
            os.environ.pop("SSH_TTY", None)
            if remote:
                os.environ["SSH_CONNECTION"] = "a terminal at the other end of SSH"
            os.execv(sys.executable, command)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.written = 0

    def read(self, until_s: float, marker: bytes = b"") -> float | None:
        """Reads until then, or until the marker came: seconds on the clock when it did."""
        seen = b""
        while (left_s := until_s - time.monotonic()) > 0:
            if not select.select([self._fd], [], [], left_s)[0]:
                break
            try:
                chunk = os.read(self._fd, 1 << 16)
            except OSError:
                return None
            self.written += len(chunk)
            if marker:
                seen = (seen + chunk)[-(1 << 17) :]
                if marker in seen:
                    return time.monotonic()
        return None

    def press(self, key: bytes) -> None:
        os.write(self._fd, key)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def close(self) -> None:
        """Reads what is left and waits for the end."""
        self.read(time.monotonic() + 5.0, b"\x1b[?1049l")
        os.close(self._fd)
        until_s = time.monotonic() + 10.0
        while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > until_s:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.05)


@contextmanager
def fleet(home: Path) -> Iterator[None]:
    """64 stations for as long as it is measured."""
    names = spec().stations
    roles: dict[str, Role | None] = dict.fromkeys(names)
    provision(home, {**roles, "supervisor": Role.SUPERVISOR, "operator": Role.OPERATOR})
    write_spec(home, spec())
    process = subprocess.Popen([*PROCESSES, "fleet", home], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", "the stations did not come up"
        yield
    finally:
        process.terminate()
        process.wait(20)


def cursor_marker() -> bytes:
    """What stands in the output when the cursor's row is painted."""
    colour = THEMES[0].variables["tone-cursor"]
    return f"48;2;{int(colour[1:3], 16)};{int(colour[3:5], 16)};{int(colour[5:7], 16)}".encode()


def long_session(home: Path) -> Row:
    """What the room holds in memory while it folds a long session."""
    report = home / "session.json"
    subprocess.run([*PROCESSES, "session", home, report], check=True, timeout=300)
    return json.loads(report.read_text())


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else 0.0


def steady(role: str, home: Path, seconds: float, marker: bytes, *, remote: bool = False) -> Row:
    """A role while nobody touches it, and then its answers to keys."""
    report = home / f"{role}.json"
    terminal = Terminal(*PROCESSES, role, str(home), str(report), remote=remote)
    terminal.read(time.monotonic() + SETTLE_S)
    terminal.signal(signal.SIGUSR1)
    terminal.written, began_s = 0, time.monotonic()
    terminal.read(began_s + seconds)
    rate = terminal.written / (time.monotonic() - began_s)
    terminal.signal(signal.SIGTERM)
    terminal.close()
    told: Row = json.loads(report.read_text())
    return {
        "cpu": told["cpu"],
        "stall_p99_ms": 1e3 * quantile(told["late_s"], 0.99),
        "stall_max_ms": 1e3 * max(told["late_s"]),
        "bytes_per_s": rate,
        "keys_s": keys(role, home, marker, remote=remote),
        "wall_s": told["wall_s"],
    }


def keys(role: str, home: Path, marker: bytes, count: int = 40, *, remote: bool) -> list[float]:
    """Seconds from a key to the first output that shows the cursor at another row."""
    terminal = Terminal(*PROCESSES, role, str(home), str(home / "keys.json"), remote=remote)
    terminal.read(time.monotonic() + SETTLE_S)
    found: list[float] = []
    for _ in range(count):
        terminal.read(time.monotonic() + KEY_EVERY_S)
        pressed_s = time.monotonic()
        terminal.press(DOWN)
        seen_s = terminal.read(pressed_s + 2.0, marker)
        if seen_s is not None:
            found.append(seen_s - pressed_s)
    terminal.signal(signal.SIGTERM)
    terminal.close()
    return found


# The room as the command line opens it, at the moment when it looks for a fleet.
ROOM = """
from enpire_tui.room.entrance import Launch
from enpire_tui.room.app import RoomApp
import time
RoomApp(Launch(lambda: time.sleep(60))).run()
"""
BARE = """
from textual.app import App
from textual.widgets import Static
class BareApp(App):
    def compose(self):
        yield Static("enpire")
BareApp().run()
"""


def first_paint(code: str) -> float:
    """Seconds from the start of a process to its first words on the screen."""
    terminal = Terminal(sys.executable, "-c", code)
    seen_s = terminal.read(terminal.began_s + START_S, b"enpire")
    assert seen_s is not None, "nothing was painted"
    terminal.signal(signal.SIGKILL)
    terminal.close()
    return seen_s - terminal.began_s


def at_most(value: float, limit: float) -> Row:
    return {"value": value, "at_most": limit, "met": value <= limit}


def figures(row: Row) -> Row:
    return {
        "cpu_share": row["cpu"],
        "stall_p99_ms": row["stall_p99_ms"],
        "kilobytes_per_s": row["bytes_per_s"] / 1e3,
        "key_p95_ms": 1e3 * quantile(row["keys_s"], 0.95),
        "key_median_ms": 1e3 * statistics.median(row["keys_s"] or [0.0]),
        "keys_seen": len(row["keys_s"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.control_room", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each steady measurement")
    parser.add_argument("--starts", type=int, default=5, help="first paints of each kind")
    options = parser.parse_args()
    load = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="enp-") as folder, fleet(Path(folder)):
        home = Path(folder)
        room = steady("room", home, options.seconds, cursor_marker())
        remote = steady("room", home, options.seconds, cursor_marker(), remote=True)
        table = steady("table", home, options.seconds, b"48;2;")
        session = long_session(home)
        starts = [(first_paint(ROOM), first_paint(BARE)) for _ in range(options.starts)]
    ours, peer = figures(room), figures(table)
    ratio = statistics.median(one for one, _ in starts) / statistics.median(
        two for _, two in starts
    )
    ours["first_paint_ratio"] = ratio
    ours["remote_kilobytes_per_s"] = remote["bytes_per_s"] / 1e3
    held = session["resident_bytes"]
    ours["session_growth_mb"] = (held[-1] - held[len(held) // 2]) / 1e6
    ours["first_paint_s"] = statistics.median(one for one, _ in starts)
    targets = {
        "cpu_share": at_most(ours["cpu_share"], 0.15),
        "stall_p99_ms": at_most(ours["stall_p99_ms"], 25.0),
        "kilobytes_per_s": at_most(ours["kilobytes_per_s"], 25.0),
        "remote_kilobytes_per_s": at_most(ours["remote_kilobytes_per_s"], 10.0),
        # Flat: what the second half of the session adds to what the first one filled.
        "session_growth_mb": at_most(ours["session_growth_mb"], 1.0),
        "key_p95_ms": at_most(ours["key_p95_ms"], 30.0),
        "first_paint_ratio": at_most(ratio, 1.5),
    }
    result: Row = {
        "benchmark": "control_room",
        "stations": STATIONS,
        "cpus": os.cpu_count(),
        "load": load,
        "figures": ours,
        "peers": {"data_table": peer},
        "targets": targets,
        "met": all(target["met"] for target in targets.values()),
        "rows": {
            "room": room,
            "room_over_ssh": remote,
            "session": session,
            "data_table": table,
            "first_paint_s": starts,
        },
    }
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
