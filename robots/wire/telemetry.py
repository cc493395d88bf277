"""Telemetry: the latest value only. Decisions and evidence travel in journals, never here.

A publisher sends its latest value at a low rate, and at full rate while somebody watches this
very station. ZMQ_CONFLATE is not used: it keeps one message each way, so that of several
subscriptions all but the last are lost. A message is one frame: a mode byte, the name padded to
24 bytes, a running number, and the msgpack body, which is decoded only when it is looked at.
"""

import asyncio
import os
import struct
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

import msgspec
import zmq

from robots.wire import codec
from robots.wire.clock import Clock
from robots.wire.gate import Gate
from robots.wire.keys import KeyPair
from robots.wire.server import bind, lock_endpoint
from robots.wire.sockets import (
    Drain,
    LinkTimes,
    join_curve,
    prepare,
    receive_parts,
    serve_curve,
)

T = TypeVar("T", bound=msgspec.Struct)

NAME_BYTES = 24
NUMBER = struct.Struct("<Q")
KEY = slice(1, 1 + NAME_BYTES)
BODY_AT = 1 + NAME_BYTES + NUMBER.size
COALESCED, FULL = b"c", b"f"

RATE_HZ = 10.0
# A peer that reads slowly gets old values from whatever is buffered for it: keep that small.
HIGH_WATER = 8
SUBSCRIPTIONS = 1000
VIEWER_HIGH_WATER = 256
SEND_BUFFER_BYTES = 16_384
# Telemetry is its own sign of life; pings only find connections that died in silence.
TIMES = LinkTimes(heartbeat=2000, silence=6000)


class StationTelemetry(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """How a station stands at one moment.

    Attributes:
        word: State in one word, such as EXECUTING, RESETTING, IDLE, HELD, QUARANTINED.
        mode: "setup" or "autonomous".
        episode: Index of the present episode in its batch, -1 if none runs.
        outcomes: The latest outcomes of the batch, oldest first: "+" success, "-" failure, "v" void.
        robot_s: Robot seconds of the present episode.
        score: The verifier's latest value, None if it was not asked.
        grant_s: Seconds until the motion grant lapses, negative if it has.
        pose: The task's own figures for drawing (Push-T: agent x y, block x y theta, in m and rad).
        action: The action in force, in the task's action space.
        jitter_ms: 99th percentile of the control tick's lateness over the last second.
        age_s: Seconds between measurement and sending, on the station's clock.
    """

    station: str
    word: str = "IDLE"
    mode: str = "setup"
    batch_id: str = ""
    purpose: str = ""
    idea_id: str = ""
    episode: int = -1
    done: int = 0
    of: int = 0
    outcomes: str = ""
    robot_s: float = 0.0
    score: float | None = None
    held: str = ""
    grant_s: float = 0.0
    pose: tuple[float, ...] = ()
    action: tuple[float, ...] = ()
    jitter_ms: float = 0.0
    age_s: float = 0.0


class TelemetryPublisher:
    """Publishes one daemon's latest value.

    Attributes:
        coalesced: Values replaced by newer ones before they were due.
    """

    def __init__(
        self, name: str, endpoint: str, keypair: KeyPair, gate: Gate, *, rate_hz: float = RATE_HZ
    ) -> None:
        self.coalesced = 0
        self._key = padded(name)
        self._name = name
        self._endpoint = endpoint
        self._keypair = keypair
        self._gate = gate
        self._period_s = 1.0 / rate_hz
        self._number = 0
        self._latest: msgspec.Struct | None = None
        self._watched = False
        self._socket: zmq.Socket[bytes] | None = None
        self._drain: Drain | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._lock = -1

    @property
    def watched(self) -> bool:
        """Whether somebody wants this daemon's full rate."""
        return self._watched

    def start(self) -> None:
        """Listen, within the running event loop.

        Raises:
            EndpointTaken: Another process publishes there.
        """
        self._lock = lock_endpoint(self._endpoint)
        # XPUB, unlike PUB, tells who subscribes to what.
        socket = self._gate.context.socket(zmq.XPUB)
        prepare(socket, TIMES, HIGH_WATER)
        socket.setsockopt(zmq.RCVHWM, SUBSCRIPTIONS)
        socket.setsockopt(zmq.SNDBUF, SEND_BUFFER_BYTES)
        serve_curve(socket, self._keypair, self._name)
        bind(socket, self._endpoint)
        self._socket = socket
        self._drain = Drain(socket, self._read)
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._period_s, self._tick)

    def publish(self, value: msgspec.Struct) -> None:
        """Set the latest value; on the event loop's thread."""
        if self._watched:
            self._send(FULL, value)
        elif self._latest is not None:
            self.coalesced += 1
        self._latest = value

    def close(self) -> None:
        """Stop; before the gate is closed."""
        if self._timer is not None:
            self._timer.cancel()
        if self._drain is not None:
            self._drain.close()
        if self._socket is not None:
            self._socket.close(linger=0)
            self._socket = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _tick(self) -> None:
        self._timer = self._loop.call_later(self._period_s, self._tick)
        if self._latest is not None:
            self._send(COALESCED, self._latest)
            self._latest = None

    def _send(self, mode: bytes, value: msgspec.Struct) -> None:
        if self._socket is None or self._drain is None:
            return
        self._number += 1
        frame = b"".join((mode, self._key, NUMBER.pack(self._number), codec.encode(value)))
        self._socket.send(frame, zmq.NOBLOCK)
        self._drain.sent()

    def _read(self) -> None:
        if self._socket is None:
            raise zmq.Again
        subscription = receive_parts(self._socket)[0]
        if subscription[1:] == FULL + self._key:
            # Told at the first watcher and at the last one's leaving.
            self._watched = subscription[:1] == b"\x01"


@dataclass(slots=True)
class _Held:
    """What arrived from one publisher."""

    frame: bytes
    at_s: float
    received: int
    first: int

    def dropped(self) -> int:
        """Messages between the first one read and the last that never arrived."""
        missing = number_of(self.frame) - self.first + 1 - self.received
        if missing < 0:  # More were read than numbered: the publisher started anew.
            self.first, self.received, missing = number_of(self.frame), 1, 0
        return missing


@dataclass(frozen=True, slots=True)
class Seen(Generic[T]):
    """A value as a viewer holds it.

    Attributes:
        held_s: Seconds since it was read from the socket; add the value's own `age_s`.
        number: Running number of its publisher's messages.
    """

    value: T
    held_s: float
    number: int


class TelemetrySubscriber(Generic[T]):
    """Holds the latest value of each publisher.

    Args:
        kind: Type of the values.
        keypair: Ours, known to the publishers.
        clock: For ages.
    """

    def __init__(self, kind: type[T], keypair: KeyPair, clock: Clock) -> None:
        self._kind = kind
        self._keypair = keypair
        self._clock = clock
        self._held: dict[bytes, _Held] = {}
        self._drain: Drain | None = None
        self._timer: asyncio.TimerHandle | None = None
        context = cast("zmq.Context[zmq.Socket[bytes]]", zmq.Context.instance())
        self._socket = context.socket(zmq.SUB)
        prepare(self._socket, TIMES, VIEWER_HIGH_WATER)
        self._socket.setsockopt(zmq.SNDHWM, SUBSCRIPTIONS)
        self._socket.setsockopt(zmq.SUBSCRIBE, COALESCED)

    def add(self, endpoint: str, server_public_key: bytes) -> None:
        """Connect to one more publisher."""
        join_curve(self._socket, self._keypair, server_public_key)
        self._socket.connect(endpoint)

    def watch(self, name: str) -> None:
        """Ask for the full rate of one publisher."""
        self._socket.setsockopt(zmq.SUBSCRIBE, FULL + padded(name))

    def unwatch(self, name: str) -> None:
        """Let it go back to its low rate."""
        self._socket.setsockopt(zmq.UNSUBSCRIBE, FULL + padded(name))

    def start(self, rate_hz: float | None = RATE_HZ) -> None:
        """Read within the running event loop: at a pace, or with None at each arrival."""
        if rate_hz is None:
            self._drain = Drain(self._socket, self._read)
        else:
            self._loop = asyncio.get_running_loop()
            self._period_s = 1.0 / rate_hz
            self._tick()

    def drain(self) -> None:
        """Read what has arrived; a screen calls this at each paint instead of `start`."""
        try:
            while True:
                self._read()
        except zmq.Again:
            return

    @property
    def names(self) -> list[str]:
        """Publishers heard so far."""
        return [key.rstrip(b"\0").decode() for key in self._held]

    @property
    def received(self) -> int:
        """Messages read, of all publishers."""
        return sum(held.received for held in self._held.values())

    @property
    def dropped(self) -> int:
        """Messages sent since the first one read that never arrived, of all publishers."""
        return sum(held.dropped() for held in self._held.values())

    def latest(self, name: str) -> Seen[T] | None:
        """The latest value of a publisher, None before its first.

        Raises:
            DecodeError: It sent something else.
        """
        held = self._held.get(padded(name))
        if held is None:
            return None
        value = codec.decode(held.frame[BODY_AT:], self._kind)
        return Seen(value, self._clock.monotonic() - held.at_s, number_of(held.frame))

    def close(self) -> None:
        """Hang up."""
        if self._timer is not None:
            self._timer.cancel()
        if self._drain is not None:
            self._drain.close()
        self._socket.close(linger=0)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(self._period_s, self._tick)
        self.drain()

    def _read(self) -> None:
        frame = self._socket.recv(zmq.NOBLOCK)
        now_s = self._clock.monotonic()
        held = self._held.get(frame[KEY])
        if held is not None:
            held.frame, held.at_s = frame, now_s
            held.received += 1
        elif len(frame) > BODY_AT:
            self._held[frame[KEY]] = _Held(frame, now_s, 1, number_of(frame))


def padded(name: str) -> bytes:
    """A publisher's name as it stands in its messages."""
    key = name.encode()
    assert 0 < len(key) <= NAME_BYTES, f"a name has 1 to {NAME_BYTES} bytes, got {name!r}"
    return key.ljust(NAME_BYTES, b"\0")


def number_of(frame: bytes) -> int:
    """Running number of a message."""
    return int(NUMBER.unpack_from(frame, 1 + NAME_BYTES)[0])
