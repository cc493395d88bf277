"""The transport seam: daemons are given one, and ask it for their server and their clients.

`ZmqTransport` is the real one. `MemoryTransport` joins daemons of one process without sockets,
through the same checks, for tests on virtual time; connections can be cut and mended.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, Self

from robots.wire.channel import GONE, KEY_REFUSED, UP
from robots.wire.client import Client
from robots.wire.clock import Clock
from robots.wire.endpoints import command_endpoint
from robots.wire.journal import Journal
from robots.wire.keys import Identity, KeyPair, load_authorized, load_keypair, load_public
from robots.wire.reception import Handle, Reception
from robots.wire.records import Role
from robots.wire.server import EndpointTaken, Server


class Serving(Protocol):
    """A daemon's command server, whatever carries it."""

    @property
    def incarnation(self) -> str: ...

    @property
    def counts(self) -> Counter[str]: ...

    @property
    def reception(self) -> Reception:
        """The checks, with the control lease where one is kept."""
        ...

    async def start(self) -> None:
        """Listen.

        Raises:
            EndpointTaken: A daemon of this name listens already.
        """
        ...

    async def close(self) -> None: ...


class Transport(Protocol):
    """Makes servers and clients by the daemons' names."""

    def server(
        self, name: str, journal: Journal | None, handle: Handle, *, leased: bool = False
    ) -> Serving:
        """The server of daemon `name`, not yet started."""
        ...

    def client(self, me: str, to: str) -> Client:
        """A connection of `me` (whose key gives the role) to daemon `to`."""
        ...


class ZmqTransport:
    """Unix sockets below one home, with the keys in it."""

    def __init__(self, home: Path, clock: Clock) -> None:
        self._home = home
        self._clock = clock

    def server(
        self, name: str, journal: Journal | None, handle: Handle, *, leased: bool = False
    ) -> Server:
        return Server(
            name,
            [command_endpoint(self._home, name)],
            load_keypair(self._home, name),
            load_authorized(self._home),
            journal,
            self._clock,
            handle,
            leased=leased,
        )

    def client(self, me: str, to: str) -> Client:
        endpoint = command_endpoint(self._home, to)
        keys = load_keypair(self._home, me)
        return Client(endpoint, load_public(self._home, to), keys, self._clock)


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
