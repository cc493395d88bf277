"""Two daemons' worth of wire: real ZeroMQ with CURVE, and the memory transport on virtual time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from robots.wire import codec, envelopes
from robots.wire import commands as c
from robots.wire.channel import UP, Channel, ZmqChannel
from robots.wire.clock import Clock, SystemClock
from robots.wire.endpoints import command_endpoint
from robots.wire.keys import KeyPair, load_keypair, load_public, provision
from robots.wire.records import Role
from robots.wire.transport import Serving, Transport, ZmqTransport
from tests.robots.wire.memory import MemoryChannel, MemoryJournal, MemoryTransport, VirtualClock

PEOPLE = {
    "viewer": Role.VIEWER,
    "operator": Role.OPERATOR,
    "other": Role.OPERATOR,
    "agent": Role.AGENT,
    "supervisor": Role.SUPERVISOR,
}


class Raw:
    """A peer that sends bytes of its own making."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.replies: asyncio.Queue[envelopes.Reply] = asyncio.Queue()
        self.changes: asyncio.Queue[str] = asyncio.Queue()
        channel.open(
            lambda b: self.replies.put_nowait(codec.decode_reply(b)), self.changes.put_nowait
        )

    async def up(self) -> None:
        while await asyncio.wait_for(self.changes.get(), 10) != UP:
            pass

    async def ask(self, request: envelopes.Request) -> envelopes.Reply:
        assert self.channel.send(codec.encode(request))
        return await asyncio.wait_for(self.replies.get(), 10)

    async def welcome(self) -> envelopes.Welcome:
        hello = envelopes.Request(
            request_id="hello", incarnation="", deadline_s=0, command=c.Hello()
        )
        return codec.decode((await self.ask(hello)).body, envelopes.Welcome)


class Net:
    """A transport with its clock, the same for both kinds."""

    def __init__(self, transport: Transport, clock: Clock, home: Path | None) -> None:
        self.transport = transport
        self.clock = clock
        self.home = home
        self.journal = MemoryJournal(clock)
        self.executed: list[c.AnyCommand] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.stack = contextlib.AsyncExitStack()

    def still(self) -> contextlib.AbstractContextManager[None]:
        """Virtual time waits for what the test waits for in real time."""
        if isinstance(self.clock, VirtualClock):
            return self.clock.hold()
        return contextlib.nullcontext()

    async def handle(self, command: c.AnyCommand, peer) -> envelopes.LeaseTaken:
        await self.gate.wait()
        self.executed.append(command)
        return envelopes.LeaseTaken(epoch=len(self.executed), ttl_s=1)

    async def serve(self, name: str = "s1", *, leased: bool = False) -> Serving:
        server = self.transport.server(name, self.journal, self.handle, leased=leased)
        await server.start()
        self.stack.push_async_callback(server.close)
        return server

    def client(self, me: str, to: str = "s1"):
        client = self.transport.client(me, to)
        self.stack.callback(client.close)
        return client

    def raw(self, me: str, to: str = "s1", keys: KeyPair | None = None) -> Raw:
        if self.home is None:
            channel: Channel = MemoryChannel(self.transport, me, to)
        else:
            public = load_public(self.home, to)
            keys = keys or load_keypair(self.home, me)
            channel = ZmqChannel(command_endpoint(self.home, to), public, keys)
        raw = Raw(channel)
        self.stack.callback(channel.close)
        return raw


@pytest.fixture
def home(tmp_path: Path) -> Path:
    provision(tmp_path, {"s1": None, "s2": None, **PEOPLE})
    return tmp_path


@pytest.fixture
async def zmq_net(home: Path) -> AsyncIterator[Net]:
    clock = SystemClock()
    net = Net(ZmqTransport(home, clock), clock, home)
    async with net.stack:
        yield net


@pytest.fixture
async def memory_net() -> AsyncIterator[Net]:
    clock = VirtualClock()
    net = Net(MemoryTransport(clock, PEOPLE), clock, None)
    async with net.stack:
        yield net


@pytest.fixture(params=["zmq", "memory"])
def net(request: pytest.FixtureRequest) -> Net:
    return request.getfixturevalue(f"{request.param}_net")


@pytest.fixture
def until():
    """Wait for a condition, with a deadline."""

    async def wait(condition, timeout_s: float = 20.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 - conditions of many kinds
                await asyncio.sleep(0.005)

    return wait
