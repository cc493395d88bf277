"""A key of a provider, looked for everywhere: it is in its file and in the gateway's requests."""

import json
import socket
from pathlib import Path

import pytest

from tests.agents import test_models
from tests.agents.providers import Turn
from tests.agents.test_models import WORK, backend, lines, waiting, worker

CANARY = "sk-canary-0123456789abcdef0123456789"
# Asked inside the sandbox: all environments and files that a command of the agent can read.
SEARCH = (
    "cat /proc/[0-9]*/environ | tr '\\0' '\\n' | grep -c 'sk-[c]anary'; "
    "grep -rls 'sk-[c]anary' /tmp /git /etc /run /dev/shm; env | sort"
)


def holding(folder: Path, what: bytes) -> list[str]:
    """Files below a folder that hold some bytes."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return sorted(path.name for path in files if what in path.read_bytes())


async def test_a_key_is_nowhere_but_in_its_file(fleet, host, monkeypatch, tmp_path, caplog) -> None:
    caplog.set_level("DEBUG")
    monkeypatch.setattr(test_models, "KEY", CANARY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", CANARY)
    turns = [WORK[0], Turn("I look for keys.", (("shell", {"command": SEARCH}),)), *WORK[1:]]
    at = await host(worker(turns))
    await fleet.start(backend("anthropic", at))
    await waiting(fleet)

    assert set(at.provider.keys) == {CANARY}
    told = [line for line in lines(fleet) if "CLONE=/git/clone" in line]
    assert [line.split()[:2] for line in told] == [["result:", "0"]]
    assert "canary" not in told[0]
    assert CANARY not in json.dumps(at.provider.requests)
    rows = [row.event for row in fleet.journal.rows(0, 100_000)]
    assert CANARY not in repr([rows, at.events])
    assert CANARY not in caplog.text
    # The whole home: journals, clone, repositories. The file is the gateway's own.
    assert holding(tmp_path, CANARY.encode()) == ["key"]


@pytest.mark.parametrize("address", [("1.1.1.1", 443), ("2606:4700:4700::1111", 443)])
def test_no_test_reaches_beyond_this_machine(address) -> None:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as made:
        made.settimeout(1)
        with pytest.raises(PermissionError, match="beyond this machine"):
            made.connect(address)
        with pytest.raises(PermissionError, match="beyond this machine"):
            made.connect_ex(address)
    with socket.socket() as made, pytest.raises(ConnectionRefusedError):
        made.connect(("127.0.0.1", 1))
