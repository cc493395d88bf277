"""Daemons of one process without sockets, on virtual time, through the wire's own checks."""

import asyncio
import contextlib
import heapq
import itertools
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping
from typing import Self, TypeVar

import msgspec

from robots.wire import codec
from robots.wire.channel import GONE, KEY_REFUSED, UP
from robots.wire.client import Client
from robots.wire.clock import Clock
from robots.wire.events import AnyEvent
from robots.wire.journal import Journal, Unsubscribe
from robots.wire.keys import Identity, KeyPair
from robots.wire.reception import Handle, Reception
from robots.wire.records import Role
from robots.wire.rows import PAGE_BYTES, RawRow, Row, cut_page, decode_row
from robots.wire.server import EndpointTaken

T = TypeVar("T")

# Rounds of the event loop without which virtual time does not advance: longer than any chain of
# callbacks between a message and the wait that follows it.
SETTLE_ROUNDS = 40


class VirtualClock:
    """Time that jumps to the next wake-up as soon as nothing else is left to do.

    It advances when every task of its event loop waits. Work outside the loop (threads,
    processes) is invisible to it: wrap it in `hold`.
    """

    def __init__(self, wall_s: float = 1_700_000_000.0) -> None:
        self._now_s = 0.0
        self._wall_s = wall_s
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._holds = 0
        self._pumping = False

    def monotonic(self) -> float:
        return self._now_s

    def wall(self) -> float:
        return self._wall_s + self._now_s

    def jump_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back, as NTP or a person would."""
        self._wall_s += seconds

    @contextlib.contextmanager
    def hold(self) -> Generator[None]:
        """Stop time while work goes on outside the event loop."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            self._start_pump()

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now_s + seconds, next(self._order), woken))
        self._start_pump()
        await woken

    async def wait_for(self, awaitable: Awaitable[T], timeout_s: float) -> T:
        waited = asyncio.ensure_future(awaitable)
        timer = asyncio.ensure_future(self.sleep(timeout_s))
        try:
            await asyncio.wait({waited, timer}, return_when=asyncio.FIRST_COMPLETED)
            if not waited.done():
                raise TimeoutError
            return waited.result()
        finally:
            timer.cancel()
            waited.cancel()

    def _start_pump(self) -> None:
        if not self._pumping and self._holds == 0 and self._sleepers:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump, SETTLE_ROUNDS)

    def _pump(self, rounds: int) -> None:
        if self._holds:
            self._pumping = False
            return
        if rounds:
            asyncio.get_running_loop().call_soon(self._pump, rounds - 1)
            return
        self._pumping = False
        while self._sleepers:
            at_s, _, woken = heapq.heappop(self._sleepers)
            if woken.done():
                continue
            # One sleeper at a time, so that equal wake-ups keep the order they were asked in.
            self._now_s = max(self._now_s, at_s)
            woken.set_result(None)
            break
        self._start_pump()


class MemoryJournal:
    """A journal without a disk; every append is a commit."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows: list[RawRow] = []
        self._snapshot: tuple[bytes, int] | None = None
        self._subscribers: list[Callable[[int], None]] = []
        self.journal_id = secrets.token_hex(8)

    @property
    def last_seq(self) -> int:
        return len(self._rows)

    @property
    def committed_seq(self) -> int:
        return len(self._rows)

    def append(self, event: AnyEvent, *, durable: bool) -> int:
        del durable
        body = msgspec.Raw(codec.encode(event))
        seq = len(self._rows) + 1
        self._rows.append(RawRow(seq, self._clock.wall(), type(event).__name__, body))
        for callback in tuple(self._subscribers):
            callback(seq)
        return seq

    def rows(self, after_seq: int = 0, limit: int = 1000) -> list[Row]:
        return [decode_row(row) for row in self._rows[after_seq : after_seq + limit]]

    def raw_rows(self, after_seq: int, limit: int, max_bytes: int = PAGE_BYTES) -> list[RawRow]:
        return cut_page(self._rows[after_seq : after_seq + limit], max_bytes)

    def subscribe(self, callback: Callable[[int], None]) -> Unsubscribe:
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def flush(self) -> None:
        """Nothing is ever pending."""

    def snapshot(self, state: bytes, seq: int) -> None:
        self._snapshot = (state, seq)

    def load_snapshot(self) -> tuple[bytes, int] | None:
        return self._snapshot

    def close(self) -> None:
        self._subscribers.clear()


class MemoryTransport:
    """Daemons of one process; a message takes one round of the event loop.

    Args:
        clock: For deadlines.
        roles: Who is let in, and as what.
    """

    def __init__(self, clock: Clock, roles: Mapping[str, Role]) -> None:
        self._clock = clock
        self._peers = {name: Identity(name, role) for name, role in roles.items()}
        self._servers: dict[str, Reception] = {}
        self._channels: list[MemoryChannel] = []
        self._cut: set[frozenset[str]] = set()

    def server(
        self, name: str, journal: Journal | None, handle: Handle, *, leased: bool = False
    ) -> "MemoryServer":
        reception = Reception(name, self._clock, handle, journal, leased=leased)
        return MemoryServer(self, reception)

    def client(self, me: str, to: str) -> Client:
        channel = MemoryChannel(self, me, to)
        keys = KeyPair(public=b"", secret=b"")
        return Client(f"memory://{to}", b"", keys, self._clock, channel=channel)

    def cut(self, one: str, other: str) -> None:
        """Break what joins two daemons; messages under way are lost."""
        self._cut.add(frozenset({one, other}))
        self._settle()

    def mend(self, one: str, other: str) -> None:
        """Join them again."""
        self._cut.discard(frozenset({one, other}))
        self._settle()

    def attach(self, channel: "MemoryChannel") -> None:
        """A client's channel asks to be joined."""
        self._channels.append(channel)
        self._settle()

    def detach(self, channel: "MemoryChannel") -> None:
        """A client's channel is closed."""
        if channel in self._channels:
            self._channels.remove(channel)

    def serve(self, reception: Reception) -> None:
        """A server starts to listen.

        Raises:
            EndpointTaken: One of this name listens already.
        """
        if reception.name in self._servers:
            raise EndpointTaken(f"memory://{reception.name} is served already")
        self._servers[reception.name] = reception
        self._settle()

    def leave(self, reception: Reception) -> None:
        """A server stops listening."""
        if self._servers.get(reception.name) is reception:
            del self._servers[reception.name]
            self._settle()

    def joined(self, me: str, to: str) -> Reception | None:
        """The server that `me` reaches under the name `to` now."""
        if me not in self._peers or frozenset({me, to}) in self._cut:
            return None
        return self._servers.get(to)

    def identity(self, me: str) -> Identity | None:
        """Who `me` is to the servers."""
        return self._peers.get(me)

    def _settle(self) -> None:
        for channel in tuple(self._channels):
            channel.settle()


class MemoryServer:
    """See `Serving`."""

    def __init__(self, transport: MemoryTransport, reception: Reception) -> None:
        self._transport = transport
        self._reception = reception

    @property
    def reception(self) -> Reception:
        return self._reception

    @property
    def incarnation(self) -> str:
        return self.reception.incarnation

    @property
    def counts(self) -> Counter[str]:
        return self.reception.counts

    async def start(self) -> None:
        self._transport.serve(self.reception)

    async def close(self) -> None:
        self._transport.leave(self.reception)
        await self.reception.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class MemoryChannel:
    """A client's way to a server of the same process; see `Channel`."""

    def __init__(self, transport: MemoryTransport, me: str, to: str) -> None:
        self._transport = transport
        self._me = me
        self._to = to
        self._server: Reception | None = None
        self._connection = 0  # Grows with each connection; what was sent on an older one is lost.

    def open(self, on_message: Callable[[bytes], None], on_change: Callable[[str], None]) -> None:
        self._on_message = on_message
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._transport.attach(self)
        if self._transport.identity(self._me) is None:
            self._loop.call_soon(on_change, KEY_REFUSED)

    def send(self, payload: bytes) -> bool:
        if self._server is None:
            return False
        self._loop.call_soon(self._deliver, self._server, self._connection, payload)
        return True

    def close(self) -> None:
        self._server = None
        self._connection += 1
        self._transport.detach(self)

    def settle(self) -> None:
        """Notice that the server came, went, or is another one now."""
        server = self._transport.joined(self._me, self._to)
        if server is self._server:
            return
        self._connection += 1
        if self._server is not None:
            self._loop.call_soon(self._on_change, GONE)
        self._server = server
        if server is not None:
            self._loop.call_soon(self._on_change, UP)

    def _deliver(self, server: Reception, connection: int, payload: bytes) -> None:
        if connection != self._connection:
            return
        identity = self._transport.identity(self._me)
        server.receive(payload, identity, lambda reply: self._answer(connection, reply))

    def _answer(self, connection: int, reply: bytes) -> None:
        self._loop.call_soon(self._return, connection, reply)

    def _return(self, connection: int, reply: bytes) -> None:
        if connection == self._connection:
            self._on_message(reply)
