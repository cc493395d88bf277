"""A daemon's command socket: ROUTER with CURVE behind a gate, drained on its descriptor."""

import fcntl
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import zmq

from robots.wire.clock import Clock
from robots.wire.gate import Gate
from robots.wire.journal import Journal
from robots.wire.keys import Authorized, KeyPair
from robots.wire.reception import Handle, Peer, Reception, Refused
from robots.wire.sockets import DEFAULT_TIMES, Drain, LinkTimes, prepare, receive_parts, serve_curve

__all__ = ["EndpointTaken", "Handle", "Peer", "Refused", "Server"]

HIGH_WATER = 1000


class EndpointTaken(Exception):
    """Another process listens there; this one leaves."""


class Server:
    """Takes commands on one or more endpoints and answers them through `handle`.

    `handle(command, peer)` returns a struct or None, or raises `Refused`. `ReadJournal`,
    `ReadSnapshot`, `TakeLease`, `ReleaseLease` and `Hello` never reach it.

    Attributes:
        gate: For other sockets of the same daemon, such as its telemetry.
    """

    def __init__(
        self,
        name: str,
        endpoints: Sequence[str],
        keypair: KeyPair,
        authorized: Authorized,
        journal: Journal | None,
        clock: Clock,
        handle: Handle,
        *,
        leased: bool = False,
        times: LinkTimes = DEFAULT_TIMES,
    ) -> None:
        self.name = name
        self._reception = Reception(name, clock, handle, journal, leased=leased)
        self._endpoints = tuple(endpoints)
        self._keypair = keypair
        self._authorized = authorized
        self._times = times
        self._locks: list[int] = []
        self._gate: Gate | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._drain: Drain | None = None

    @property
    def reception(self) -> Reception:
        """The checks; its `counts` say what was refused, dropped and repeated."""
        return self._reception

    @property
    def incarnation(self) -> str:
        """Changes with every start."""
        return self.reception.incarnation

    @property
    def counts(self) -> Counter[str]:
        """Refusals, drops and repeats so far, by reason, with the gate's denials."""
        return self.reception.counts + (self._gate.denied if self._gate else Counter())

    @property
    def gate(self) -> Gate:
        assert self._gate is not None, "start the server first"
        return self._gate

    async def start(self) -> None:
        """Listen.

        Raises:
            EndpointTaken: Another process listens on one of the endpoints.
        """
        try:
            self._listen()
        except EndpointTaken:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop listening, cancel what executes."""
        if self._drain is not None:
            self._drain.close()
            self._drain = None
        await self.reception.close()
        if self._socket is not None:
            self._socket.close(linger=0)
            self._socket = None
        if self._gate is not None:
            self._gate.close()
        while self._locks:
            os.close(self._locks.pop())

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _listen(self) -> None:
        for endpoint in self._endpoints:
            self._locks.append(lock_endpoint(endpoint))
        self._gate = Gate(self._authorized)
        self._socket = self._gate.context.socket(zmq.ROUTER)
        prepare(self._socket, self._times, HIGH_WATER)
        # A peer that is gone is an error to count, not a message to drop unseen.
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.setsockopt(zmq.ROUTER_HANDOVER, 0)
        serve_curve(self._socket, self._keypair, self.name)
        for endpoint in self._endpoints:
            bind(self._socket, endpoint)
        self._drain = Drain(self._socket, self._read)

    def _read(self) -> None:
        socket = self._socket
        if socket is None:
            raise zmq.Again
        # Only a frame carries the identity that its connection proved; bytes do not.
        frame = socket.recv(zmq.NOBLOCK, copy=False)
        parts = receive_parts(socket)
        if len(parts) != 1:
            self.reception.counts["malformed"] += 1
            return
        user_id = frame.get("User-Id")
        route = frame.bytes
        identity = self.gate.identify(str(user_id))
        self.reception.receive(parts[0], identity, lambda reply: self._answer(route, reply))

    def _answer(self, route: bytes, reply: bytes) -> None:
        if self._socket is None or self._drain is None:
            return
        try:
            self._socket.send(route, zmq.SNDMORE | zmq.NOBLOCK)
            self._socket.send(reply, zmq.NOBLOCK)
        except zmq.ZMQError:
            self.reception.counts["undeliverable"] += 1
        self._drain.sent()


def lock_endpoint(endpoint: str) -> int:
    """A lock beside a Unix socket; libzmq would take a living daemon's path away unasked.

    Raises:
        EndpointTaken: Another process has it.
    """
    path = (
        f"{endpoint.removeprefix('ipc://')}.lock" if endpoint.startswith("ipc://") else os.devnull
    )
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if path == os.devnull:
        return lock
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise EndpointTaken(f"{endpoint} is served by another process; this one leaves") from error
    return lock


def bind(socket: zmq.Socket[bytes], endpoint: str) -> None:
    """Bind, and keep a Unix socket to its owner.

    Raises:
        EndpointTaken: The address is in use.
    """
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        raise EndpointTaken(f"{endpoint} cannot be bound: {error}") from error
    if endpoint.startswith("ipc://"):
        Path(endpoint.removeprefix("ipc://")).chmod(0o600)
