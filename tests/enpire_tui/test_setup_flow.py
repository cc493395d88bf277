"""Setup over real processes: supervisor and station daemons, an operator, and an agent that listens."""

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys

import pytest

from enpire_tui import cli
from enpire_tui.control import Control
from enpire_tui.run_spec import write_spec
from robots.wire import commands as c
from robots.wire import events as ev
from robots.wire import keys
from robots.wire.approvals import ApprovalAnswer, ApprovalCard, TryState
from robots.wire.client import Refused
from robots.wire.clock import SystemClock
from robots.wire.records import Mode, Role
from robots.wire.signing import SigningKey
from robots.wire.transport import ZmqTransport
from tests.enpire_tui.fakes import spec_of
from tests.robots.station.scripted import REACH
from tests.robots.wire.memory import MemoryJournal

WAIT_S = 40.0


class Fleet:
    """A home with a supervisor and a station as processes, and an agent in this one."""

    def __init__(self, home) -> None:
        self.home = home
        self.folder = home / "reach"
        shutil.copytree(REACH, self.folder, ignore=shutil.ignore_patterns("__pycache__"))
        roles = {"supervisor": Role.SUPERVISOR, "operator": Role.OPERATOR, "viewer": Role.VIEWER}
        keys.provision(home, {**roles, "s1": None, "a1": Role.AGENT})
        (home / "journals").mkdir()
        grants = SigningKey.load_or_create(home / "keys" / "supervisor.sign")
        write_spec(home, spec_of(1, keys={"s1": SigningKey.generate()}))
        (home / "stations" / "s1").mkdir(parents=True)
        (home / "stations" / "s1" / "station.toml").write_text(
            f'task = "{self.folder}"\ngrant_keys = ["{grants.public.hex()}"]\n'
        )
        self.heard: list[str] = []
        self.transport = ZmqTransport(home, SystemClock())
        self.processes: list[subprocess.Popen] = []

    async def listen(self, command, peer):
        assert isinstance(command, c.MessageAgent)
        self.heard.append(f"{peer.role.value}: {command.text}")

    def start(self) -> None:
        with (self.home / "log").open("ab") as log:
            for module, *options in (
                ("enpire_tui.supervisor",),
                ("robots.station.cli", "--name", "s1"),
            ):
                argv = [sys.executable, "-m", module, "--home", str(self.home), *options]
                self.processes.append(subprocess.Popen(argv, stdout=log, stderr=log))

    async def rows(self, until) -> list:
        found = []
        client = self.transport.client("viewer", "s1")
        try:
            async with asyncio.timeout(WAIT_S):
                async for row in client.follow(0):
                    found.append(row.event)
                    if isinstance(row.event, until):
                        return found
        finally:
            client.close()
        raise AssertionError("the journal ended")

    async def card(self) -> ApprovalCard:
        await self.rows(ev.ApprovalAsked)
        client = self.transport.client("viewer", "s1")
        try:
            return await client.call(c.GetApproval(), ApprovalCard, WAIT_S)
        finally:
            client.close()

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(10)


@pytest.fixture
async def fleet(tmp_path):
    made = Fleet(tmp_path)
    agent = made.transport.server("a1", MemoryJournal(SystemClock()), made.listen)
    await agent.start()
    made.start()
    try:
        yield made
    finally:
        made.close()
        await agent.close()


def approve(card: ApprovalCard) -> c.Approve:
    return c.Approve(
        approval_id=card.approval_id,
        plan_sha256=card.plan_sha256,
        scene_version=card.scene_version,
    )


async def test_an_operator_with_the_lease_approves_and_the_robot_moves(fleet):
    async with Control(fleet.home) as control, control.lease() as epoch:
        await control.ask(c.TryReset(station="s1"), TryState, epoch)
        card = await fleet.card()

        # Another one is fenced off, and the answer of a late epoch too.
        other = fleet.transport.client("operator", "supervisor")
        with pytest.raises(Refused, match="lease: take the control lease first"):
            await other.request(approve(card), WAIT_S)
        with pytest.raises(Refused, match="lease: epoch 0 is late"):
            await other.request(approve(card), WAIT_S, lease_epoch=0)
        with pytest.raises(Refused, match="lease: held by operator"):
            await other.request(c.TakeLease(label="bob"), WAIT_S)
        other.close()

        answer = await control.ask(approve(card), ApprovalAnswer, epoch)
        assert answer.by == "operator"
        rows = await fleet.rows(ev.TryFinished)

    # Nobody but the supervisor granted it, for this one motion, in setup.
    grants = [row for row in rows if isinstance(row, ev.GrantReceived)]
    assert {grant.mode for grant in grants} == {Mode.SETUP}
    kinds = [type(row).__name__ for row in rows]
    assert kinds.index("ApprovalClosed") < kinds.index("ResetBegan") < kinds.index("GrantReceived")
    assert rows[-1].reached == 1


async def test_a_rejections_words_reach_the_stations_agent_as_the_operators(fleet):
    async with Control(fleet.home) as control, control.lease() as epoch:
        await control.ask(c.TryReset(station="s1"), TryState, epoch)
        card = await fleet.card()
        words = c.Reject(approval_id=card.approval_id, words="stay left of the tray")
        answer = await control.ask(words, ApprovalAnswer, epoch)
        again = await control.ask(words, ApprovalAnswer, epoch)
        rows = await fleet.rows(ev.TryFinished)

    assert (answer.note, again.state, again.repeated) == ("", answer.state, True)
    said = "supervisor: [operator operator, who rejected s1/a1] stay left of the tray"
    assert fleet.heard == [said]
    assert not any(isinstance(row, ev.ResetBegan) for row in rows)


async def test_a_script_tries_at_the_command_line(fleet, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("enpire_tui.lifecycle.running", lambda home: True)
    home = ["--home", str(fleet.home), "--json"]
    tried = ["environment", "try", str(fleet.folder), "--station", "s1", *home]
    pictures = ["-o", str(tmp_path / "pictures")]

    def run(*arguments: str) -> list[dict]:
        code = cli.main([*tried, *arguments])
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [code, *lines]

    code, *lines = await asyncio.to_thread(run, "--count", "3", "--approve", *pictures)
    assert code == cli.DONE
    assert [line["kind"] for line in lines].count("ApprovalCard") == 1
    assert (lines[-1]["kind"], lines[-1]["reached"], lines[-1]["passed"]) == (
        "TryFinished",
        3,
        True,
    )

    code, *lines = await asyncio.to_thread(run, "--reject", "not like this")
    assert code == cli.UNSUCCESSFUL
    assert [line["reason"] for line in lines if line["kind"] == "ApprovalClosed"] == [
        "not like this"
    ]

    code, *lines = await asyncio.to_thread(run, "--verify")
    assert code == cli.DONE
    assert [line["sight"]["failed"] for line in lines if line["kind"] == "VerifierTried"] == [""]

    tried[2] = "push_t"
    code, *lines = await asyncio.to_thread(run, "--verify")
    assert (code, "the task of s1 is" in lines[-1]["error"]) == (cli.ERROR, True)

    # The lease was given back each time.
    async with Control(fleet.home) as control:
        assert (await control.status()).lease.holder == ""


def test_a_path_is_drawn_inside_the_picture():
    import numpy as np

    from enpire_tui.trying import GREEN, draw_path

    image = np.zeros((20, 30, 3), np.uint8)
    draw_path(image, ((2.0, 10.0), (40.0, 10.0), (40.0, -5.0)))
    assert tuple(image[10, 2]) == tuple(int(value) for value in GREEN)
    assert image[10:12, 2:].any(axis=2).all()
    assert not image[:10].any()
    assert not image[12:].any()
    with contextlib.suppress(IndexError):
        draw_path(image, ())
