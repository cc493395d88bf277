"""ZeroMQ sockets with every default that matters set on purpose, drained on their descriptors.

A socket is read by `loop.add_reader` on its descriptor and emptied at each wake-up: awaiting each
message with `zmq.asyncio` costs twice the processor time. Sockets never cross threads.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import zmq

from robots.wire.keys import KeyPair

MESSAGE_BYTES = 4 << 20  # What is looked at; a recipe (1 MiB) and a journal page fit.
FRAME_BYTES = 8 << 20  # What libzmq reads at all before it hangs up on the sender.
DRAIN_AT_ONCE = 256  # Messages read before other callbacks of the loop get their turn.


@dataclass(frozen=True, slots=True)
class LinkTimes:
    """How fast a broken connection is noticed and tried again, in milliseconds.

    Attributes:
        heartbeat: Interval of ZMTP pings; without them a half-open link is never found.
        silence: Longest silence after a ping before the connection is given up.
        handshake: Longest CURVE handshake.
        retry: First pause before connecting again, doubled up to `retry_most`.
    """

    heartbeat: int = 500
    silence: int = 1500
    handshake: int = 5000
    retry: int = 50
    retry_most: int = 1000


DEFAULT_TIMES = LinkTimes()


def prepare(socket: zmq.Socket[bytes], times: LinkTimes, high_water: int) -> None:
    """Options of every socket.

    Args:
        socket: Not yet bound or connected.
        times: How fast it notices a broken connection.
        high_water: Messages kept a peer, each way.
    """
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, high_water)
    socket.setsockopt(zmq.RCVHWM, high_water)
    socket.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES)
    socket.setsockopt(zmq.BACKLOG, 256)
    socket.setsockopt(zmq.HANDSHAKE_IVL, times.handshake)
    socket.setsockopt(zmq.HEARTBEAT_IVL, times.heartbeat)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, times.silence)
    socket.setsockopt(zmq.HEARTBEAT_TTL, times.silence)
    socket.setsockopt(zmq.RECONNECT_IVL, times.retry)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, times.retry_most)


def serve_curve(socket: zmq.Socket[bytes], keys: KeyPair, domain: str) -> None:
    """Make a socket a CURVE server that lets nobody in without a ZAP handler's word."""
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
    socket.setsockopt_string(zmq.ZAP_DOMAIN, domain)
    # SAFETY: without this, a missing ZAP handler means that every key is let in.
    socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)


def join_curve(socket: zmq.Socket[bytes], keys: KeyPair, server_public: bytes) -> None:
    """Make a socket a CURVE client of one server's key; applies to the connects that follow."""
    socket.setsockopt(zmq.CURVE_SERVERKEY, server_public)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
    socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)


class Drain:
    """Reads a socket on the running event loop whenever it is readable.

    `read` takes one message with NOBLOCK and raises `zmq.Again` when there is none.
    """

    def __init__(self, socket: zmq.Socket[bytes], read: Callable[[], None]) -> None:
        self._socket = socket
        self._read = read
        self._loop = asyncio.get_running_loop()
        self._fd = cast("int", socket.getsockopt(zmq.FD))
        self._scheduled = False
        self._loop.add_reader(self._fd, self._ready)
        self._schedule()

    def sent(self) -> None:
        """After each send: it may have swallowed the descriptor's edge for what arrived."""
        if self._more():
            self._schedule()

    def close(self) -> None:
        """Stop reading; before the socket is closed."""
        self._loop.remove_reader(self._fd)
        self._scheduled = True

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._again)

    def _again(self) -> None:
        if not self._socket.closed:
            self._scheduled = False
            self._ready()

    def _ready(self) -> None:
        try:
            self._read()
            # Asking costs one system call, a read in vain two: ask after the first message, as
            # replies come singly, and read to the end of a burst without asking.
            if self._socket.closed or not self._more():
                return
            for _ in range(DRAIN_AT_ONCE):
                self._read()
                if self._socket.closed:
                    return
        except zmq.Again:
            return
        self._schedule()

    def _more(self) -> bool:
        return bool(cast("int", self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)


def receive_parts(socket: zmq.Socket[bytes]) -> Sequence[bytes]:
    """All parts of one message, without waiting.

    Raises:
        zmq.Again: There is none.
    """
    return socket.recv_multipart(zmq.NOBLOCK)
