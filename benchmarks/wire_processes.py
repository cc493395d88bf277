"""The processes that `benchmarks.wire` measures, ours and their peers, one function each.

`python -m benchmarks.wire_processes ROLE HOME [NUMBER...]`; each prints one JSON line when it is
ready or done.
"""

import asyncio
import contextlib
import json
import sys
import time
from pathlib import Path

import zmq
import zmq.asyncio

from robots.wire import commands as c
from robots.wire import envelopes
from robots.wire.clock import SystemClock
from robots.wire.endpoints import socket_path, telemetry_endpoint
from robots.wire.events import EpisodeStarted
from robots.wire.gate import Gate
from robots.wire.journal import SqliteJournal
from robots.wire.keys import load_authorized, load_keypair, load_public
from robots.wire.reception import Peer
from robots.wire.sockets import Drain
from robots.wire.telemetry import (
    FULL,
    StationTelemetry,
    TelemetryPublisher,
    TelemetrySubscriber,
    padded,
)
from robots.wire.transport import ZmqTransport

STATIONS = 64
RATE_HZ = 100.0
GROUPS = 16  # Publishers take turns within a period, as 64 machines would.
RESULT = envelopes.LeaseTaken(epoch=1, ttl_s=30.0)


def say(**figures: object) -> None:
    """One line for the process that waits for it."""
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


def plain_endpoint(home: Path) -> str:
    return f"ipc://{socket_path(home, 'plain', 'cmd')}"


async def serve(home: Path) -> None:
    """Our server, with a handler that does nothing."""
    clock = SystemClock()

    async def handle(command: c.AnyCommand, peer: Peer) -> envelopes.LeaseTaken:
        del command, peer
        return RESULT

    async with ZmqTransport(home, clock).server("s0", None, handle):
        say(ready=True)
        await asyncio.Event().wait()


async def serve_plain(home: Path) -> None:
    """The peer: a bare ROUTER with CURVE on `zmq.asyncio` that sends back what it gets."""
    keys = load_keypair(home, "s0")
    socket = zmq.asyncio.Context.instance().socket(zmq.ROUTER)
    socket.setsockopt(zmq.CURVE_SERVER, 1)
    socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
    socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
    socket.bind(plain_endpoint(home))
    say(ready=True)
    while True:
        await socket.send_multipart(await socket.recv_multipart())


def telemetry(station: str, number: int) -> StationTelemetry:
    """About 300 bytes, thirty floats among them."""
    return StationTelemetry(
        station=station,
        word="EXECUTING",
        mode="autonomous",
        batch_id="run-0001/a1-12/promote/3",
        purpose="evaluate",
        episode=number % 20,
        outcomes="+++-+++-++",
        robot_s=number * 0.01,
        pose=tuple(0.1 * i + number * 0.001 for i in range(24)),
        action=(0.1, 0.2, 0.3),
    )


async def publish(home: Path, rate_hz: float) -> None:
    """All stations' publishers, each published to 100 times a second."""
    gate = Gate(load_authorized(home))
    names = [f"s{n}" for n in range(STATIONS)]
    publishers = [
        TelemetryPublisher(
            name, telemetry_endpoint(home, name), load_keypair(home, name), gate, rate_hz=rate_hz
        )
        for name in names
    ]
    for index, publisher in enumerate(publishers):
        await asyncio.sleep(0.1 / STATIONS if index else 0)  # Their timers take turns as well.
        publisher.start()
    say(ready=True)
    began_s, number = time.monotonic(), 0
    while True:
        group = number % GROUPS
        for index in range(group, STATIONS, GROUPS):
            publishers[index].publish(telemetry(names[index], number // GROUPS))
        number += 1
        late_s = began_s + number / (RATE_HZ * GROUPS) - time.monotonic()
        await asyncio.sleep(max(0.0, late_s))


async def view(home: Path, seconds: float, pace_hz: float, watch: bool) -> None:
    """Our viewer; prints its share of a core. `pace_hz` 0 reads each message as it arrives."""
    keys = load_keypair(home, "viewer")
    subscriber = TelemetrySubscriber(StationTelemetry, keys, SystemClock())
    for n in range(STATIONS):
        subscriber.add(telemetry_endpoint(home, f"s{n}"), load_public(home, f"s{n}"))
        if watch:
            subscriber.watch(f"s{n}")
    subscriber.start(pace_hz or None)
    async with asyncio.timeout(30):
        while len(subscriber.names) < STATIONS:  # noqa: ASYNC110 - names come by the socket
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    cpu_s, began_s, before = time.process_time(), time.monotonic(), subscriber.received
    missed = subscriber.dropped
    end_s = began_s + seconds
    while time.monotonic() < end_s:
        # What a screen does at 10 Hz: look at each station's latest value.
        await asyncio.sleep(0.1)
        for n in range(STATIONS):
            subscriber.latest(f"s{n}")
    took_s = time.monotonic() - began_s
    say(
        share=(time.process_time() - cpu_s) / took_s,
        messages_per_s=(subscriber.received - before) / took_s,
        dropped=subscriber.dropped - missed,
    )
    subscriber.close()


async def view_plain(home: Path, seconds: float) -> None:
    """The peer: a bare SUB with CURVE drained on its descriptor, decoding nothing."""
    keys = load_keypair(home, "viewer")
    socket = zmq.Context.instance().socket(zmq.SUB)
    socket.setsockopt(zmq.LINGER, 0)
    for n in range(STATIONS):
        socket.setsockopt(zmq.CURVE_SERVERKEY, load_public(home, f"s{n}"))
        socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
        socket.connect(telemetry_endpoint(home, f"s{n}"))
        # The same messages that our viewer takes, the low rate's included.
        socket.setsockopt(zmq.SUBSCRIBE, FULL + padded(f"s{n}"))
    socket.setsockopt(zmq.SUBSCRIBE, b"c")
    latest: dict[bytes, bytes] = {}
    received = 0

    def read() -> None:
        nonlocal received
        frame = socket.recv(zmq.NOBLOCK)
        latest[frame[1:25]] = frame
        received += 1

    drain = Drain(socket, read)
    async with asyncio.timeout(30):
        while len(latest) < STATIONS:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    cpu_s, began_s, before = time.process_time(), time.monotonic(), received
    await asyncio.sleep(seconds)
    took_s = time.monotonic() - began_s
    share = (time.process_time() - cpu_s) / took_s
    say(share=share, messages_per_s=(received - before) / took_s)
    drain.close()
    socket.close()


async def write(home: Path, rows_per_s: float) -> None:
    """A daemon that serves its journal and goes on writing to it, with a bare PUB beside it."""
    clock = SystemClock()
    journal = SqliteJournal.open(home / "journals" / "s0.db", clock)
    context = zmq.Context()
    plain = context.socket(zmq.PUB)
    keys = load_keypair(home, "s0")
    plain.setsockopt(zmq.CURVE_SERVER, 1)
    plain.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
    plain.bind(plain_endpoint(home))

    async def handle(command: c.AnyCommand, peer: Peer) -> None:
        del command, peer

    async with ZmqTransport(home, clock).server("s0", journal, handle):
        say(ready=True)
        while True:
            for _ in range(10):
                number = journal.last_seq + 1
                event = EpisodeStarted(batch_id="b", index=number, number=number)
                journal.append(event, durable=number % 1000 == 0)
                plain.send(number.to_bytes(8, "little"))
            await asyncio.sleep(10 / rows_per_s)


def main() -> None:
    role, home, numbers = sys.argv[1], Path(sys.argv[2]), [float(text) for text in sys.argv[3:]]
    work = {
        "serve": lambda: serve(home),
        "serve_plain": lambda: serve_plain(home),
        "publish": lambda: publish(home, *numbers),
        "view": lambda: view(home, numbers[0], numbers[1], bool(numbers[2])),
        "view_plain": lambda: view_plain(home, *numbers),
        "write": lambda: write(home, *numbers),
    }
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(work[role]())


if __name__ == "__main__":
    main()
