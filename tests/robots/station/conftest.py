"""Stations for tests: a rig with children in process, and a daemon as a real process."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from robots.drivers import robot_wire as w
from robots.drivers.mujoco import MujocoDriver
from robots.drivers.remote import RemoteDriver
from robots.drivers.robot_process import Robot, listen
from robots.station import archive
from robots.station.authority import Authority
from robots.station.rollout import BatchPlan, Rig
from robots.station.tasks import read_task
from robots.wire import commands as c
from robots.wire.clock import SystemClock
from robots.wire.endpoints import socket_path
from robots.wire.keys import provision
from robots.wire.records import Mode, MotionGrant, Purpose, RecipeArchive, Role
from robots.wire.signing import SigningKey
from robots.wire.station_replies import BatchPhase, BatchState, Done, StationReport
from robots.wire.transport import ZmqTransport
from tests.robots.station.scripted import REACH, ScriptedChildren

WAIT_S = 30.0

REACHES = """
class Policy:
    def __init__(self, knobs): pass
    def reset(self, observation): pass
    def act(self, observation): return observation["goal_position_m"]
"""


def recipe(source: str, **others: str) -> RecipeArchive:
    files = {"policy.py": source.encode()}
    files |= {name.replace("_toml", ".toml"): text.encode() for name, text in others.items()}
    return RecipeArchive(files=files, sha256=archive.sha256(files))


def plan(episodes: int = 3, purpose: Purpose = Purpose.EVALUATE, **fields) -> BatchPlan:
    fields = {"recipe": recipe(REACHES), "batch_id": "b1", **fields}
    return BatchPlan(purpose=purpose, commit="c0ffee", idea_id="a1-1", episodes=episodes, **fields)


class Counter:
    """Seeds that can be told apart."""

    def __init__(self):
        self.drawn = []

    def draw(self):
        self.drawn.append(1000 + len(self.drawn))
        return self.drawn[-1]


class Watched:
    """Remembers what a batch told."""

    def __init__(self):
        self.started, self.finished, self.acted, self.tried, self.stops = [], [], [], [], []
        self.on_start: Callable[[int], None] = lambda index: None
        self.on_stop: Callable[[], None] = lambda: None

    def episode_started(self, index, number):
        self.started.append(index)
        self.on_start(index)

    def episode_finished(self, episode, audit, trace):
        self.finished.append(episode)

    def safety_acted(self, index, condition, action):
        self.acted.append((index, condition, action))

    def blocked(self, what):
        self.tried.append(what)

    def protective_stop(self, condition, detail):
        self.stops.append((condition, detail))
        self.on_stop()


@pytest.fixture
def authority() -> Authority:
    return Authority(time.monotonic, needs_grant=False)


@pytest.fixture
def make_rig(authority: Authority) -> Iterator[Callable[..., Rig]]:
    with contextlib.ExitStack() as stack:

        def make(*policies, folder: Path = REACH, cpu_s: float = 0.001, children=None) -> Rig:
            task = read_task(folder)
            driver = MujocoDriver(task, station_seed=1)
            children = children or ScriptedChildren(*policies, folder=folder, cpu_s=cpu_s)
            rig = Rig(task, driver, children, authority, Counter())
            stack.callback(rig.close)
            return rig

        yield make


@pytest.fixture
def watched() -> Watched:
    return Watched()


class StationProcess:
    """A station daemon as a process of its own, with clients of every role."""

    def __init__(self, home: Path, grant_key: SigningKey) -> None:
        self.home = home
        self.folder = home / "stations" / "s1"
        self.key = grant_key
        self.serial = 0
        self.process: subprocess.Popen | None = None
        self.transport = ZmqTransport(home, SystemClock())
        self.stack = contextlib.ExitStack()
        self.clients = {}

    def configure(self, **keys: str) -> None:
        lines = {"task": f'"{REACH}"', "grant_keys": f'["{self.key.public.hex()}"]', **keys}
        self.folder.mkdir(parents=True, exist_ok=True)
        text = "".join(f"{key} = {value}\n" for key, value in lines.items())
        (self.folder / "station.toml").write_text(text)

    def start(self) -> None:
        log = (self.home / "s1.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "robots.station.cli", "--home", self.home, "--name", "s1"],
            stdout=log,
            stderr=log,
        )
        log.close()

    def log(self) -> str:
        return (self.home / "s1.log").read_text()

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def client(self, name: str):
        if name not in self.clients:
            self.clients[name] = self.transport.client(name, "s1")
            self.stack.callback(self.clients[name].close)
        return self.clients[name]

    async def call(self, name: str, command, result=None):
        if result is None:
            return await self.client(name).request(command, WAIT_S)
        return await self.client(name).call(command, result, WAIT_S)

    async def grant(self, ttl_s: float = 600.0, mode: Mode = Mode.AUTONOMOUS) -> Done:
        self.serial += 1
        given = MotionGrant(station="s1", run_id="r1", mode=mode, serial=self.serial, ttl_s=ttl_s)
        return await self.call("supervisor", c.RenewGrant(grant=self.key.sign(given)), Done)

    async def batch(self, batch_id: str = "b1", by: str = "supervisor", **fields) -> BatchState:
        fields = {"episodes": 3, "purpose": Purpose.EVALUATE, "recipe": recipe(REACHES), **fields}
        command = c.StartBatch(batch_id=batch_id, commit="c0ffee", idea_id="a1-1", **fields)
        return await self.call(by, command, BatchState)

    async def report(self) -> StationReport:
        return await self.call("viewer", c.GetStatus(), StationReport)

    async def state(self, batch_id: str = "b1") -> BatchState:
        return await self.call("viewer", c.GetBatch(batch_id=batch_id), BatchState)

    async def rows(self, until: Callable[[object], bool], after: int = 0) -> list:
        """Journal rows up to the first event for which `until` holds."""
        found = []
        async with asyncio.timeout(WAIT_S):
            async for row in self.client("viewer").follow(after):
                found.append(row)
                if until(row.event):
                    return found
        raise AssertionError("the journal ended")

    async def finished(self, batch_id: str = "b1") -> BatchState:
        await self.rows(
            lambda event: type(event).__name__ == "BatchFinished" and event.batch_id == batch_id
        )
        state = await self.state(batch_id)
        assert state.phase is BatchPhase.FINISHED
        return state

    def close(self) -> None:
        self.stack.close()
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[StationProcess]:
    roles = {
        "s1": None,
        "viewer": Role.VIEWER,
        "operator": Role.OPERATOR,
        "agent": Role.AGENT,
        "supervisor": Role.SUPERVISOR,
    }
    provision(tmp_path, roles)
    process = StationProcess(tmp_path, SigningKey.generate())
    process.configure()
    try:
        yield process
    finally:
        process.close()


@pytest.fixture
def robot_of() -> Iterator[Callable[[StationProcess], subprocess.Popen]]:
    """Starts the simulated robot of a station, as a process."""
    with contextlib.ExitStack() as stack:

        def start(station: StationProcess) -> subprocess.Popen:
            command = [sys.executable, "-m", "robots.drivers.robot_process"]
            with (station.home / "robot.log").open("ab") as log:
                process = subprocess.Popen(
                    [*command, "--home", station.home, "--name", "s1"], stdout=log, stderr=log
                )
            stack.callback(process.wait, 10)
            stack.callback(process.kill)
            return process

        yield start


@pytest.fixture
def robot(station, robot_of):
    """The simulated robot of `station`."""
    station.configure(clock='"realtime"')
    return robot_of(station)


async def measured(station) -> w.Measured:
    """How the robot says it stands."""
    path = str(socket_path(station.home, "s1", "rob"))

    def ask() -> w.Measured:
        link = w.connect(path, 5.0)
        try:
            link.send(w.GetState(), 5.0)
            return link.receive_answer(5.0)
        finally:
            link.close()

    return await asyncio.to_thread(ask)


async def until(condition, timeout_s=20.0):
    async with asyncio.timeout(timeout_s):
        while True:
            try:
                if await condition():
                    return
            except w.Disconnected:
                pass
            await asyncio.sleep(0.02)


@pytest.fixture
def simulated(tmp_path):
    """A robot that runs, and a driver connected to it."""
    task = read_task(REACH)
    listener = listen(tmp_path / "rob")
    robot = Robot(task, 1, tmp_path, listener)
    robot.thread = threading.Thread(target=robot.run)
    robot.thread.start()
    driver = RemoteDriver(task, 1, tmp_path / "rob", lambda: False, 20.0)
    yield robot, driver
    driver.close()
    robot.end()
    robot.thread.join(10)
    for key in list(robot._selector.get_map().values()):
        (key.data or key.fileobj).close()
    robot._selector.close()
