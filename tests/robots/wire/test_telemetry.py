"""Telemetry over real sockets: the latest value only, full rate for who is watched."""

import asyncio

import pytest

from robots.wire.clock import SystemClock
from robots.wire.endpoints import telemetry_endpoint
from robots.wire.gate import Gate
from robots.wire.keys import KeyPair, load_authorized, load_keypair, load_public
from robots.wire.server import EndpointTaken
from robots.wire.telemetry import StationTelemetry, TelemetryPublisher, TelemetrySubscriber


class Stage:
    """Publishers and viewers of one home."""

    def __init__(self, home) -> None:
        self.home = home
        self.gate = Gate(load_authorized(home))
        self.open: list = []

    def publisher(self, name: str, rate_hz: float = 50.0) -> TelemetryPublisher:
        keys = load_keypair(self.home, name)
        made = TelemetryPublisher(
            name, telemetry_endpoint(self.home, name), keys, self.gate, rate_hz=rate_hz
        )
        self.open.append(made)
        made.start()
        return made

    def viewer(self, *names: str, keys: KeyPair | None = None):
        made = TelemetrySubscriber(
            StationTelemetry,
            keys or load_keypair(self.home, "viewer"),
            SystemClock(),
        )
        self.open.append(made)
        for name in names:
            made.add(telemetry_endpoint(self.home, name), load_public(self.home, name))
        return made


@pytest.fixture
async def stage(home):
    made = Stage(home)
    yield made
    for one in made.open:
        one.close()
    made.gate.close()


async def test_the_latest_value_of_each_station_is_held(stage, until) -> None:
    publishers = {name: stage.publisher(name) for name in ("s1", "s2")}
    viewer = stage.viewer("s1", "s2")
    viewer.start(100)

    def done() -> bool:
        for name, publisher in publishers.items():
            publisher.publish(StationTelemetry(station=name, done=7, pose=(1.0, 2.0)))
        return all(viewer.latest(name) for name in publishers)

    await until(done)

    seen = viewer.latest("s2")
    assert (seen.value.station, seen.value.done, seen.value.pose) == ("s2", 7, (1.0, 2.0))
    assert seen.held_s >= 0
    assert sorted(viewer.names) == ["s1", "s2"]
    assert viewer.latest("s3") is None


async def test_values_are_coalesced_to_the_low_rate(stage, until) -> None:
    publisher = stage.publisher("s1", rate_hz=20)
    viewer = stage.viewer("s1")
    viewer.start(None)
    published = 0

    def step() -> bool:
        nonlocal published
        published += 1
        publisher.publish(StationTelemetry(station="s1", done=published))
        return viewer.received >= 5

    await until(step)

    assert publisher.coalesced > 0
    assert viewer.received + publisher.coalesced <= published
    assert viewer.dropped == 0


async def test_a_watched_station_sends_every_value(stage, until) -> None:
    publisher = stage.publisher("s1", rate_hz=1)
    other = stage.publisher("s2", rate_hz=1)
    viewer = stage.viewer("s1", "s2")
    viewer.start(None)

    viewer.watch("s1")
    await until(lambda: publisher.watched)
    assert not other.watched
    for n in range(100):
        publisher.publish(StationTelemetry(station="s1", done=n))
        await until(lambda n=n: viewer.names and viewer.latest("s1").value.done == n)
    viewer.unwatch("s1")
    await until(lambda: not publisher.watched)

    assert viewer.received >= 100
    assert viewer.dropped == 0


async def test_a_slow_viewer_sees_the_newest_and_counts_what_it_missed(stage, until) -> None:
    publisher = stage.publisher("s1", rate_hz=1)
    viewer = stage.viewer("s1")
    viewer.watch("s1")
    await until(lambda: publisher.watched)
    publisher.publish(StationTelemetry(station="s1", done=0))
    await until(lambda: viewer.drain() or viewer.received == 1)

    for n in range(1, 20_001):
        publisher.publish(StationTelemetry(station="s1", done=n))
    newest = StationTelemetry(station="s1", done=1000)

    def arrived() -> bool:
        publisher.publish(newest)
        viewer.drain()
        return viewer.latest("s1").value.done == 1000

    await until(arrived)
    assert viewer.dropped > 100


async def test_watching_many_stations_loses_no_subscription(stage, until) -> None:
    publishers = [stage.publisher(name, rate_hz=50) for name in ("s1", "s2")]
    viewer = stage.viewer("s1", "s2")
    viewer.start(50)
    for n in range(70):
        viewer.watch(f"other-{n}")
    viewer.watch("s1")
    viewer.watch("s2")

    await until(lambda: all(publisher.watched for publisher in publishers))
    viewer.unwatch("s1")
    viewer.unwatch("s2")
    await until(lambda: not any(publisher.watched for publisher in publishers))

    def heard() -> bool:
        for name, publisher in zip(("s1", "s2"), publishers, strict=True):
            publisher.publish(StationTelemetry(station=name))
        return sorted(viewer.names) == ["s1", "s2"]

    await until(heard)


async def test_an_unknown_key_sees_nothing(stage, until) -> None:
    publisher = stage.publisher("s1", rate_hz=100)
    stranger = stage.viewer("s1", keys=KeyPair.generate())
    stranger.start(None)

    def step() -> bool:
        publisher.publish(StationTelemetry(station="s1"))
        return stage.gate.denied["unknown_key"] >= 1

    await until(step)
    for _ in range(20):
        step()
        await asyncio.sleep(0.01)
    assert stranger.received == 0


async def test_one_process_publishes_at_an_endpoint(stage) -> None:
    stage.publisher("s1")

    with pytest.raises(EndpointTaken):
        stage.publisher("s1")
