"""Commands that run away, as a model gives them to its agent: real daemon, tools and sandboxes."""

import asyncio
import os
import uuid
from pathlib import Path

import msgspec
import pytest

from agents.git import workspace
from tests.agents.providers import Turn
from tests.agents.test_daemon import Fleet
from tests.agents.test_models import backend, lines, worker

MARK = f"runaway-{uuid.uuid4().hex}"
END = Turn("", (("finish", {"summary": "Fast mode is right; speed is next."}),))

RUNAWAYS = {
    "memory": (
        f"python3 -c 'held = []\nwhile True: held.append(bytearray(1 << 20))' {MARK}",
        ("exit code 137", "memory cap"),
    ),
    "forks": (
        f"python3 -c 'import os, time\nwhile True:\n    os.fork() or time.sleep(1e4)' {MARK}",
        ("Resource temporarily unavailable", "cap on processes"),
    ),
    "processor": (
        f"python3 -c 'while True: pass' {MARK}",
        ("exit code 137", "exit code 152", "processor time"),
    ),
    "output": ("yes", ("exit code 153", "cap on file size", "exit code 1")),
    "signals": (
        f"trap '' TERM INT HUP; python3 -c 'import time; time.sleep(1e4)' {MARK}",
        ("did not answer within",),
    ),
    "stays behind": (
        f"setsid python3 -c 'import time; time.sleep(1e4)' {MARK} >/dev/null 2>&1 & echo left",
        ("left",),
    ),
}


def alive(mark: str) -> list[int]:
    """Host pids whose command line holds the mark."""
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


async def told(fleet: Fleet, host, command: str) -> str:
    """What the agent's journal holds as the result of one command of its model."""
    look = Turn("I look.", (("shell", {"command": command}),))
    at = await host(worker([look, END]))
    await fleet.start(backend("anthropic", at))
    await fleet.until(lambda: any("tool: finish" in line for line in lines(fleet)))
    first = next(n for n, line in enumerate(lines(fleet)) if line.startswith("tool: shell"))
    return lines(fleet)[first + 1]


@pytest.mark.parametrize("attack", RUNAWAYS)
async def test_a_runaway_command_is_ended_and_on_record(fleet, host, monkeypatch, attack) -> None:
    command, words = RUNAWAYS[attack]
    monkeypatch.setattr(workspace, "TIMEOUT_S", 4.0)
    limits = msgspec.structs.replace(workspace._LIMITS, cpu_s=1, memory_bytes=96 << 20)
    monkeypatch.setattr(workspace, "_LIMITS", limits)

    said = await told(fleet, host, command)

    assert said.startswith("result: ")
    assert any(each in said for each in words), said
    assert len(said) < 2_000
    async with asyncio.timeout(20):
        while alive(MARK):  # noqa: ASYNC110 - processes of a sandbox tell nobody of their end.
            await asyncio.sleep(0.05)


async def test_a_command_cannot_raise_its_own_limits(fleet, host) -> None:
    said = await told(
        fleet,
        host,
        "ulimit -t unlimited; ulimit -f unlimited; ulimit -n 100000; "
        "ls /sys/fs/cgroup; nice -n -10 true; ulimit -t; ulimit -n",
    )

    assert "ulimit" in said
    assert "/sys/fs/cgroup" in said
    assert "cannot set niceness" in said
    # What holds afterwards is what held before.
    assert str(workspace._LIMITS.cpu_s) in said.split()
    assert str(workspace._LIMITS.open_files) in said.split()
