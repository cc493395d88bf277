"""Links that break, daemons that die, keys that are not known: nothing late, nothing lost."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import zmq

from robots.wire import codec, envelopes
from robots.wire import commands as c
from robots.wire.channel import GONE, KEY_REFUSED, KEY_WRONG
from robots.wire.client import Client, Refused, Unreachable
from robots.wire.clock import SystemClock
from robots.wire.endpoints import command_endpoint
from robots.wire.events import EpisodeStarted
from robots.wire.journal import JournalReplaced
from robots.wire.keys import KeyPair, load_keypair, load_public, provision
from robots.wire.records import Role
from robots.wire.sockets import FRAME_BYTES, LinkTimes, serve_curve
from robots.wire.transport import ZmqTransport
from tests.robots.wire.memory import MemoryJournal

DAEMON = Path(__file__).with_name("daemon.py")


def started(number: int) -> EpisodeStarted:
    return EpisodeStarted(batch_id="b", index=number, number=number)


class Daemon:
    """The test daemon as a real process."""

    def __init__(self, home: Path, rows: int = 0) -> None:
        self.output = home / f"daemon-{len(list(home.glob('daemon-*')))}.out"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(DAEMON), str(home), str(rows)], stdout=output, stderr=output
            )

    @property
    def executed(self) -> list[str]:
        return [line for line in self.output.read_text().splitlines() if line != "UP"]

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@pytest.fixture
def daemon(home):
    running: list[Daemon] = []

    def start(rows: int = 0) -> Daemon:
        running.append(Daemon(home, rows))
        return running[-1]

    yield start
    for one in running:
        one.kill()


async def test_an_unknown_key_is_refused_and_counted(zmq_net, until) -> None:
    server = await zmq_net.serve()
    raw = zmq_net.raw("nobody", keys=KeyPair.generate())

    assert await asyncio.wait_for(raw.changes.get(), 10) == KEY_REFUSED
    assert not raw.channel.send(b"x")
    await until(lambda: server.counts["unknown_key"] >= 1)


async def test_a_key_that_is_let_in_later_comes_in(zmq_net, until) -> None:
    server = await zmq_net.serve()
    keys = zmq_net.home / "keys"
    pair = KeyPair.generate()
    raw = zmq_net.raw("nobody", keys=pair)
    assert await asyncio.wait_for(raw.changes.get(), 10) == KEY_REFUSED

    text = f'\n[[peer]]\nname = "late"\nrole = "viewer"\npublic = "{pair.public.decode()}"\n'
    with (keys / "authorized.toml").open("a") as file:
        file.write(text)

    await raw.up()
    assert (await raw.welcome()).role is Role.VIEWER
    assert server.counts["unknown_key"] >= 1


async def test_a_plain_socket_is_refused(zmq_net) -> None:
    await zmq_net.serve()
    context = zmq.Context()
    plain = context.socket(zmq.DEALER)
    plain.linger = 0
    plain.connect(command_endpoint(zmq_net.home, "s1"))
    plain.send(b"hello")

    assert await asyncio.to_thread(plain.poll, 300) == 0
    plain.close()
    context.term()


async def test_without_a_gate_nobody_comes_in(home) -> None:
    # A ZAP handler that is missing must mean nobody, not everybody.
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.linger = 0
    serve_curve(router, load_keypair(home, "s1"), "s1")
    endpoint = command_endpoint(home, "s1")
    router.bind(endpoint)
    keys = load_keypair(home, "supervisor")
    client = Client(endpoint, load_public(home, "s1"), keys, SystemClock())

    with pytest.raises(Unreachable):
        await client.hello(0.5)
    client.close()
    router.close()
    context.term()


async def test_a_huge_frame_ends_its_senders_connection(zmq_net) -> None:
    await zmq_net.serve()
    raw = zmq_net.raw("supervisor")
    await raw.up()

    raw.channel.send(b"\0" * (FRAME_BYTES + 1))

    assert await asyncio.wait_for(raw.changes.get(), 10) == GONE
    await raw.up()
    assert (await raw.welcome()).name == "s1"


async def test_a_daemon_with_another_key_is_not_talked_to(zmq_net) -> None:
    await zmq_net.serve()
    home = zmq_net.home
    client = Client(
        command_endpoint(home, "s1"),
        load_public(home, "s2"),
        load_keypair(home, "agent"),
        SystemClock(),
    )

    with pytest.raises(Unreachable, match=f"nobody answers \\(({KEY_WRONG}|disconnected)"):
        await client.request(c.GetStatus(), 1)
    client.close()


async def test_a_key_taken_off_the_list_is_refused_at_once(zmq_net, until) -> None:
    server = await zmq_net.serve()
    agent = zmq_net.client("agent")
    await agent.request(c.GetStatus(), 10)

    provision(zmq_net.home, {"s1": None, "viewer": Role.VIEWER})
    await zmq_net.client("viewer").request(c.GetStatus(), 10)  # A handshake: the list is re-read.

    with pytest.raises(Unreachable):
        await agent.request(c.GetStatus(), 0.5)
    assert server.counts["unknown_key"] >= 1


async def test_a_default_dealer_would_deliver_what_was_queued(home) -> None:
    # What the options guard against, shown on the same sockets without them.
    context = zmq.Context()
    endpoint = f"ipc://{home}/plain"
    dealer = context.socket(zmq.DEALER)
    dealer.linger = 0
    dealer.connect(endpoint)
    for _ in range(50):
        dealer.send(b"move")
    router = context.socket(zmq.ROUTER)
    router.linger = 0
    router.bind(endpoint)

    got = 0
    while await asyncio.to_thread(router.poll, 2000 if got < 50 else 0):
        router.recv_multipart()
        got += 1

    assert got == 50
    dealer.close()
    router.close()
    context.term()


async def test_commands_sent_while_the_daemon_is_down_are_never_executed(net) -> None:
    server = await net.serve()
    client = net.client("supervisor")
    raw = net.raw("supervisor")
    await raw.up()
    welcome = await raw.welcome()
    await client.request(c.GetStatus(), 10)
    await server.close()
    while await asyncio.wait_for(raw.changes.get(), 10) == "up":
        pass

    late = envelopes.Request(
        request_id="late",
        incarnation=welcome.incarnation,
        deadline_s=welcome.monotonic_s + 300,
        command=c.PauseAgent(),
    )
    assert not raw.channel.send(codec.encode(late))
    sent = [client.request(c.PauseAgent(), 0.3) for _ in range(50)]
    outcomes = await asyncio.gather(*sent, return_exceptions=True)
    await net.serve()
    after = net.client("supervisor")
    await after.request(c.ResumeAgent(), 20)
    await client.request(c.ResumeAgent(), 20)

    assert all(isinstance(outcome, Unreachable) for outcome in outcomes)
    assert net.executed == [c.GetStatus(), c.ResumeAgent(), c.ResumeAgent()]


async def test_commands_to_a_frozen_daemon_are_refused_when_it_wakes(
    zmq_net, daemon, until
) -> None:
    station = daemon()
    raw = zmq_net.raw("supervisor")
    await raw.up()
    welcome = await raw.welcome()
    station.process.send_signal(signal.SIGSTOP)
    for n in range(20):
        move = envelopes.Request(
            request_id=f"r{n}",
            incarnation=welcome.incarnation,
            deadline_s=zmq_net.clock.monotonic() + 0.2,
            command=c.PauseAgent(),
        )
        raw.channel.send(codec.encode(move))
    deadline_s = zmq_net.clock.monotonic() + 0.3
    await until(lambda: zmq_net.clock.monotonic() > deadline_s)
    station.process.send_signal(signal.SIGCONT)
    replies = [await asyncio.wait_for(raw.replies.get(), 10) for _ in range(20)]
    await zmq_net.client("supervisor").request(c.ResumeAgent(), 10)

    assert {reply.reason for reply in replies} == {"deadline"}
    await until(lambda: station.executed == ["ResumeAgent"])


async def test_a_command_whose_daemon_restarts_under_it_is_told_so(net, until) -> None:
    first = await net.serve()
    client = net.client("supervisor")
    await client.hello(10)
    net.gate.clear()
    waiting = asyncio.create_task(client.request(c.PauseAgent(), 500))
    with net.still():
        await until(lambda: first.reception._executing)
    await first.close()
    await net.serve()

    with pytest.raises(Unreachable, match="restarted while PauseAgent ran"):
        await waiting
    net.gate.set()
    assert net.executed == []


async def test_a_command_whose_link_broke_executes_once_and_is_answered(memory_net, until) -> None:
    server = await memory_net.serve()
    client = memory_net.client("supervisor")
    await client.hello(10)
    memory_net.gate.clear()
    waiting = asyncio.create_task(client.request(c.PauseAgent(), 60))
    with memory_net.still():
        await until(lambda: server.reception._tasks)

    memory_net.transport.cut("supervisor", "s1")
    await memory_net.clock.sleep(5)
    memory_net.gate.set()
    await memory_net.clock.sleep(5)
    memory_net.transport.mend("supervisor", "s1")

    assert await waiting
    assert memory_net.executed == [c.PauseAgent()]
    assert server.counts["repeated"] == 1


@pytest.mark.parametrize("jump_s", [300, -300])
async def test_a_wall_clock_that_jumps_fires_no_time_out_and_misses_none(
    memory_net, jump_s: float
) -> None:
    await memory_net.serve()
    client = memory_net.client("supervisor")
    await client.hello(10)
    memory_net.clock.jump_wall(jump_s)

    await client.request(c.GetStatus(), 1)
    memory_net.gate.clear()
    began_s = memory_net.clock.monotonic()
    with pytest.raises(Unreachable):
        await client.request(c.GetStatus(), 2)

    assert memory_net.clock.monotonic() - began_s == pytest.approx(2)


async def test_a_follower_sees_rows_as_they_come(net) -> None:
    await net.serve()
    net.journal.append(started(1), durable=True)
    seen: list[int] = []

    async with asyncio.timeout(20):
        async for row in net.client("viewer").follow():
            seen.append(row.event.number)
            if len(seen) == 5:
                break
            net.journal.append(started(len(seen) + 1), durable=True)

    assert seen == [1, 2, 3, 4, 5]


async def test_a_follower_sees_every_row_once_over_cut_links(memory_net) -> None:
    await memory_net.serve()
    seen: list[int] = []
    rows = 400

    async def follow() -> None:
        async for row in memory_net.client("viewer").follow(limit=7):
            seen.append(row.seq)
            if row.seq == rows:
                return

    async def write() -> None:
        for n in range(1, rows + 1):
            memory_net.journal.append(started(n), durable=True)
            await memory_net.clock.sleep(0.01)

    async def break_it() -> None:
        for _ in range(50):
            memory_net.transport.cut("viewer", "s1")
            await memory_net.clock.sleep(0.03)
            memory_net.transport.mend("viewer", "s1")
            await memory_net.clock.sleep(0.04)

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        for work in (follow, write, break_it):
            tasks.create_task(work())

    assert seen == list(range(1, rows + 1))


async def test_a_follower_sees_every_row_once_over_killed_daemons(home, daemon) -> None:
    rows = 1500
    seen: list[int] = []
    numbers: list[int] = []
    client = ZmqTransport(home, SystemClock()).client("viewer", "s1")
    station = daemon(rows)

    async with asyncio.timeout(60):
        async for row in client.follow():
            seen.append(row.seq)
            numbers.append(row.event.number)
            if len(seen) in (100, 300, 301, 900):
                station.kill()
                station = daemon(rows)
            if row.event.number == rows:
                break

    assert seen == list(range(1, len(seen) + 1))
    assert numbers == list(range(1, rows + 1))
    client.close()


async def test_a_replaced_journal_is_told_to_its_follower(net) -> None:
    server = await net.serve()
    client = net.client("viewer")
    for n in range(3):
        net.journal.append(started(n), durable=True)
    seen = []

    with pytest.raises(JournalReplaced):  # noqa: PT012 - the loop is what raises
        async for row in client.follow():
            seen.append(row.seq)
            if row.seq == 3:
                await server.close()
                net.journal = MemoryJournal(net.clock)
                net.journal.append(started(9), durable=True)
                await net.serve()

    assert seen == [1, 2, 3]


async def test_a_snapshot_is_read_over_the_wire(net) -> None:
    await net.serve()
    client = net.client("viewer")
    assert (await client.call(c.ReadSnapshot(), envelopes.Snapshot, 10)).seq == 0
    net.journal.append(started(1), durable=True)
    net.journal.snapshot(b"state", 1)

    found = await client.call(c.ReadSnapshot(), envelopes.Snapshot, 10)

    assert (found.seq, found.state, found.journal_id) == (1, b"state", net.journal.journal_id)


async def test_a_peer_that_reads_no_journal_is_refused_by_follow(memory_net) -> None:
    async def handle(command, peer) -> None:
        return None

    server = memory_net.transport.server("s2", None, handle)
    await server.start()

    with pytest.raises(Refused, match="no_journal"):
        await anext(memory_net.client("viewer", "s2").follow())
    await server.close()


async def test_heartbeats_find_a_half_open_link(home, daemon, until) -> None:
    station = daemon()
    times = LinkTimes(heartbeat=100, silence=300)
    keys, public = load_keypair(home, "viewer"), load_public(home, "s1")
    client = Client(command_endpoint(home, "s1"), public, keys, SystemClock(), times=times)
    await client.hello(10)

    station.process.send_signal(signal.SIGSTOP)
    await until(lambda: not client.connected, timeout_s=10)
    station.process.send_signal(signal.SIGCONT)

    assert (await client.hello(20)).name == "s1"
    client.close()


async def test_memory_stays_flat_under_garbage(zmq_net, until) -> None:
    import psutil

    server = await zmq_net.serve()
    raw = zmq_net.raw("supervisor")
    await raw.up()
    sent = 0

    async def garbage(messages: int) -> None:
        nonlocal sent
        for _ in range(messages):
            await until(lambda: raw.channel.send(os.urandom(20_000)))
            sent += 1
        await until(lambda: server.counts["malformed"] == sent)

    await garbage(500)
    before = psutil.Process().memory_info().rss
    await garbage(2000)

    assert psutil.Process().memory_info().rss - before < 20 << 20
    assert server.reception._remembered == {}
