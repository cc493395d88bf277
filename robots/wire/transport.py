"""The transport seam: daemons are given one, and ask it for their server and their clients."""

from collections import Counter
from pathlib import Path
from typing import Protocol

from robots.wire.client import Client
from robots.wire.clock import Clock
from robots.wire.endpoints import command_endpoint
from robots.wire.journal import Journal
from robots.wire.keys import load_authorized, load_keypair, load_public
from robots.wire.reception import Handle, Reception
from robots.wire.server import Server


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
