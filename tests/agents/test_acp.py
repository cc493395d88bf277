"""Conformance of the backend of command-line agents: a program in the sandbox, driven over ACP.

Daemon, tools, MCP, Git, sandbox and gateway are the real ones; the program is one of the tests' own
and speaks the real protocols, the model behind it is a stand-in.
"""

# ruff: noqa: F811 - fixtures that are imported.
import asyncio
import json
import sys
import threading
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("acp", reason="not installed: pip install 'enpire-tui[llm]'")
pytest.importorskip("anthropic", reason="not installed: pip install 'enpire-tui[llm]'")

from acp import schema

from agents.backends.acp import AcpBackend, permitted
from agents.backends.base import BackendMissing, load_backend
from agents.programs.process import Folders, _runner, started
from agents.programs.table import Program, program_named
from agents.settings import AgentSettings
from robots.sandbox import Bind, probe
from robots.wire import commands as c
from robots.wire.events import IdeaCommitted
from tests.agents.test_models import (
    KEY,
    WORK,
    decided,
    host,  # noqa: F401 - a fixture.
    lines,
    waits,
    worker,
)

pytestmark = pytest.mark.skipif(not probe().usable, reason="bubblewrap does not work here")


@pytest.fixture
def program(tmp_path: Path) -> Program:
    text = Path(__file__).with_name("acp_agent.py").read_text()
    script = tmp_path / "parrot-acp"
    script.write_text(f"#!{sys.executable}\n{text}")
    script.chmod(0o755)
    return Program(
        label="a parrot",
        command=str(script),
        provider="anthropic",
        install="it is here",
        environment={"ANTHROPIC_BASE_URL": "{gateway}", "ANTHROPIC_API_KEY": "of-the-gateway"},
    )


async def test_a_program_edits_explores_hands_in_and_finishes(fleet, host, program) -> None:
    at = await host(worker(WORK))
    await fleet.start(AcpBackend("a1", program, at.socket))
    await fleet.until(lambda: waits(fleet))

    assert decided(fleet) == ["adopted"]
    commit = fleet.events(IdeaCommitted)[0].commit
    recipe = fleet.supervisor.repository.archive(commit).files["recipe.toml"]
    assert b'value = "fast"' in recipe
    assert fleet.station.started == {"a1-1/x0": 1}
    told = lines(fleet)
    assert "agent: I look first." in told
    assert any(line.startswith("result: a1-1/x0:") for line in told)
    assert any("a1-1 adopted" in line for line in told)
    assert at.metered() == at.provider.sent
    assert len(at.events) == len(at.provider.requests)
    assert set(at.provider.keys) == {KEY}


async def test_a_program_that_is_cancelled_while_it_starts_is_ended(
    tmp_path, program, monkeypatch
) -> None:
    begun, go, closed = threading.Event(), threading.Event(), threading.Event()

    class Begun:
        def close(self) -> None:
            closed.set()

    def slow(*_: object, **__: object) -> Begun:
        begun.set()
        go.wait()
        return Begun()

    folders = Folders(*(tmp_path / name for name in Folders._fields))
    for folder in folders:
        folder.mkdir()

    async def run() -> None:
        async with started(program, folders):
            pass

    monkeypatch.setattr("agents.programs.process.start", slow)
    running = asyncio.create_task(run())
    assert await asyncio.to_thread(begun.wait, 60.0), running
    running.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert closed.is_set()


def test_a_node_outside_usr_comes_into_view_with_its_script(tmp_path, monkeypatch) -> None:
    node, script = tmp_path / "bin" / "node", tmp_path / "tool"
    node.parent.mkdir()
    for path, text in ((node, "#!/bin/sh\n"), (script, "#!/usr/bin/env node\n")):
        path.write_text(text)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{node.parent}:/usr/bin:/bin")
    assert _runner(script) == (["/enpire/runner/node"], [Bind(node, "/enpire/runner/node")])
    script.write_text("#!/usr/bin/env python3\n")
    assert _runner(script) == (["python3"], [])


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_restart_goes_on_and_repeats_nothing(fleet, host, program) -> None:
    at = await host(worker(WORK))
    for place in ("tool: open_idea", "tool: explore", "tool: submit", "tool: wait"):
        await fleet.start(AcpBackend("a1", program, at.socket))
        await fleet.until(lambda place=place: any(each.startswith(place) for each in lines(fleet)))
        await fleet.stop()
    await fleet.start(AcpBackend("a1", program, at.socket))
    await fleet.until(lambda: waits(fleet))

    assert decided(fleet) == ["adopted"]
    assert fleet.station.started == {"a1-1/x0": 1}
    assert fleet.supervisor.queued == {"a1-1": 1}
    assert len(fleet.events(IdeaCommitted)) == 1
    told = json.dumps(at.provider.requests)
    assert "Your call explore(" in told or "Your call open_idea(" in told


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_program_that_keeps_no_sessions_begins_anew_from_the_state(
    fleet, host, program
) -> None:
    forgets = msgspec.structs.replace(
        program, environment={**program.environment, "SESSIONS_LOAD": "0"}
    )
    at = await host(worker(WORK))
    await fleet.start(AcpBackend("a1", forgets, at.socket))
    await fleet.until(lambda: any(each.startswith("result: a1-1 is") for each in lines(fleet)))
    await fleet.stop()
    before = len(at.provider.requests)
    await fleet.start(AcpBackend("a1", forgets, at.socket))
    await fleet.until(lambda: waits(fleet))
    first = json.dumps(at.provider.requests[before]["messages"])

    assert "Your idea a1-1 is open" in first
    assert fleet.supervisor.queued == {"a1-1": 1}


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_pause_cancels_the_prompt_and_the_session_goes_on_after_it(
    fleet, host, program
) -> None:
    at = await host(worker(WORK))
    await fleet.start(AcpBackend("a1", program, at.socket))
    await fleet.until(lambda: any("tool: edit_file" in line for line in lines(fleet)))
    await fleet.person.request(c.PauseAgent(reason="lunch"), 5)
    asked = len(at.provider.requests)
    await asyncio.sleep(0.3)
    # One answer may have been under way.
    assert len(at.provider.requests) <= asked + 1
    await fleet.person.request(c.ResumeAgent(), 5)
    await fleet.until(lambda: waits(fleet))

    assert decided(fleet) == ["adopted"]
    assert fleet.station.started == {"a1-1/x0": 1}


async def test_a_persons_words_come_with_the_next_answer(fleet, host, program) -> None:
    at = await host(worker(WORK))
    await fleet.start(AcpBackend("a1", program, at.socket))
    await fleet.until(lambda: any("tool: open_idea" in line for line in lines(fleet)))
    await fleet.person.request(c.MessageAgent(text="mind the left gripper"), 5)
    await fleet.until(lambda: waits(fleet))

    assert "mind the left gripper" in json.dumps(at.provider.requests)


async def test_a_spent_budget_ends_the_turn(fleet, host, program) -> None:
    at = await host(worker(WORK), budget=400)
    await fleet.start(AcpBackend("a1", program, at.socket))
    await fleet.until(lambda: any("has spent its" in line for line in lines(fleet)))
    asked = len(at.provider.requests)
    await asyncio.sleep(0.3)

    assert len(at.provider.requests) == asked
    assert at.metered() == at.provider.sent


def choice(kind: str) -> schema.PermissionOption:
    return schema.PermissionOption(option_id=kind, name=kind, kind=kind)


def test_permission_is_given_once_to_what_stays_inside_the_walls() -> None:
    options = [choice("allow_always"), choice("reject_once"), choice("allow_once")]

    assert permitted("execute", options).kind == "allow_once"
    assert permitted("fetch", options).kind == "reject_once"
    assert permitted("edit", options[:2]).kind == "allow_always"
    assert permitted("fetch", options[:1]) is None


def test_a_program_that_is_not_known_or_not_installed_says_what_to_do(
    tmp_path, monkeypatch
) -> None:
    with pytest.raises(BackendMissing, match="one of claude-code, codex, kimi, opencode"):
        load_backend(AgentSettings(station="s1", backend="acp", program="cat"), "a1", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendMissing, match="npm install"):
        load_backend(AgentSettings(station="s1", backend="acp", program="codex"), "a1", tmp_path)


def test_a_model_is_named_only_where_one_is_set() -> None:
    claude = program_named("claude-code")

    assert claude.named("opus").environment["ANTHROPIC_MODEL"] == "opus"
    assert "ANTHROPIC_MODEL" not in claude.named("").environment
