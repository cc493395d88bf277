"""How a client's messages reach one daemon, and how it learns that the connection came or went."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol, cast

import zmq
from zmq.utils.monitor import parse_monitor_message

from robots.wire.keys import KeyPair
from robots.wire.sockets import DEFAULT_TIMES, Drain, LinkTimes, join_curve, prepare, receive_parts

HIGH_WATER = 256

UP = "up"
KEY_REFUSED = "the daemon does not know our key"
KEY_WRONG = "the daemon does not hold the key that was expected, or speaks no CURVE"
GONE = "disconnected"


class Channel(Protocol):
    """A connection to one daemon that comes and goes; opened by the client that uses it."""

    def open(self, on_message: Callable[[bytes], None], on_change: Callable[[str], None]) -> None:
        """Begin to connect, within the running event loop.

        Args:
            on_message: Called with each message.
            on_change: Called with `UP` at each fresh connection, else with why it is down.
        """
        ...

    def send(self, payload: bytes) -> bool:
        """Hand over a message; False, and nothing is kept, if there is no connection now."""
        ...

    def close(self) -> None:
        """Hang up for good."""
        ...


class ZmqChannel:
    """DEALER with CURVE; nothing is queued while the daemon is away."""

    def __init__(
        self,
        endpoint: str,
        server_public_key: bytes,
        keypair: KeyPair,
        times: LinkTimes = DEFAULT_TIMES,
    ) -> None:
        self._endpoint = endpoint
        self._server_public_key = server_public_key
        self._keypair = keypair
        self._times = times
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None
        self._drains: list[Drain] = []
        self._again: asyncio.TimerHandle | None = None

    def open(self, on_message: Callable[[bytes], None], on_change: Callable[[str], None]) -> None:
        self._on_message = on_message
        self._on_change = on_change
        # One context a process: its sockets stay on the thread of the loop that opened them.
        context = cast("zmq.Context[zmq.Socket[bytes]]", zmq.Context.instance())
        socket = context.socket(zmq.DEALER)
        prepare(socket, self._times, HIGH_WATER)
        # SAFETY: a default DEALER keeps commands for a daemon that is down and delivers them all
        # when it comes back.
        socket.setsockopt(zmq.IMMEDIATE, 1)
        join_curve(socket, self._keypair, self._server_public_key)
        events = (
            zmq.Event.HANDSHAKE_SUCCEEDED
            | zmq.Event.DISCONNECTED
            | zmq.Event.HANDSHAKE_FAILED_AUTH
            | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
            | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
        )
        monitor = socket.get_monitor_socket(events)
        self._socket, self._monitor = socket, monitor
        self._drains = [Drain(monitor, self._read_event), Drain(socket, self._read_message)]
        socket.connect(self._endpoint)

    def send(self, payload: bytes) -> bool:
        if self._socket is None:
            return False
        try:
            self._socket.send(payload, zmq.NOBLOCK)
        except zmq.Again:
            return False
        self._drains[1].sent()
        return True

    def close(self) -> None:
        if self._again is not None:
            self._again.cancel()
        for drain in self._drains:
            drain.close()
        self._drains = []
        if self._socket is not None and self._monitor is not None:
            self._socket.disable_monitor()
            self._monitor.close(linger=0)
            self._socket.close(linger=0)
        self._socket = self._monitor = None

    def _read_message(self) -> None:
        if self._socket is None:
            raise zmq.Again
        parts = receive_parts(self._socket)
        if len(parts) == 1:
            self._on_message(parts[0])

    def _read_event(self) -> None:
        if self._monitor is None:
            raise zmq.Again
        event = parse_monitor_message(cast("list[bytes]", receive_parts(self._monitor)))["event"]
        match event:
            case zmq.Event.HANDSHAKE_SUCCEEDED:
                self._on_change(UP)
            case zmq.Event.HANDSHAKE_FAILED_AUTH:
                self._on_change(KEY_REFUSED)
                self._connect_later()
            case zmq.Event.HANDSHAKE_FAILED_PROTOCOL:
                self._on_change(KEY_WRONG)
                self._connect_later()
            case _:
                self._on_change(GONE)

    def _connect_later(self) -> None:
        """Connect again: libzmq gives an endpoint up for good once its handshake was refused."""
        if self._again is None:
            loop = asyncio.get_running_loop()
            self._again = loop.call_later(self._times.retry_most / 1000, self._connect_again)

    def _connect_again(self) -> None:
        self._again = None
        if self._socket is not None:
            with contextlib.suppress(zmq.ZMQError):
                self._socket.disconnect(self._endpoint)
            self._socket.connect(self._endpoint)
