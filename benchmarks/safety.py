"""How soon a robot in real time holds: its policy silent, its station killed, a hold sent.

    python -m benchmarks.safety [--repetitions 100] [--only silent|killed|held]

The robot is its own process, as always in real time; its task is the tests' point on a plane, moved
at full speed all the while. A *still* robot is one whose set-point no longer changes: the time of
stillness is that of the last change plus one control tick, the first tick on which no motion was
commanded.

silent  The policy's process is stopped (SIGSTOP). From the last action it gave to stillness.
killed  The station's process is killed. From the kill until the robot says that it holds by itself.
held    An agent's HOLD over the wire. From before it is sent to stillness, seen by the robot.
jitter  Lateness of the control ticks during `silent`, beside a bare loop's in a process of its own,
        at the same time and with the same priority.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, cast

from robots.drivers import robot_wire as w
from robots.safety.table import FIRMWARE_TIMEOUT_S
from robots.station import archive
from robots.station.authority import Authority, BatchCancelled
from robots.station.config import ClockKind, StationConfig
from robots.station.realtime import Realtime
from robots.station.rollout import BatchPlan, Watcher
from robots.station.service import make_rig
from robots.station.tasks import load_task
from robots.wire import commands as c
from robots.wire.clock import SystemClock
from robots.wire.endpoints import socket_path
from robots.wire.keys import provision
from robots.wire.records import Mode, MotionGrant, Purpose, RecipeArchive, Role
from robots.wire.signing import SigningKey
from robots.wire.station_replies import BatchState, Done
from robots.wire.transport import ZmqTransport

TASK = Path(__file__).resolve().parents[1] / "tests" / "robots" / "station" / "reach"
TICK_S = 0.01
TARGETS_MS = {"silent": 150.0, "killed": 1e3 * FIRMWARE_TIMEOUT_S + 50.0, "held": 150.0}
JITTER_RATIO = 1.5
PATIENCE_S = 60.0

SWINGS = """
import numpy as np
class Policy:
    def __init__(self, knobs): pass
    def reset(self, observation): self.sign = 1.0
    def act(self, observation):
        x, y = observation["tool_position_m"]
        if x * self.sign > 0.2: self.sign = -self.sign
        return np.array([0.25 * self.sign, 0.0])
"""


class Sends:
    """Set-points with the time at which each was seen."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, tuple[float, ...]]] = []

    def moving(self) -> bool:
        """Whether the set-point changed over each of the last tenth of a second's ticks."""
        last = [row for row in self.rows[-200:] if row[0] > time.monotonic() - 0.1]
        return len(last) > 5 and last[-1][0] - self.last_change_s() < 1.5 * TICK_S

    def last_change_s(self) -> float:
        """When the set-point last became another one."""
        rows = self.rows
        for index in range(len(rows) - 1, 0, -1):
            if rows[index][1] != rows[index - 1][1]:
                return rows[index][0]
        return float("-inf")

    def still_for_s(self) -> float:
        """How long it has been the same."""
        return time.monotonic() - self.last_change_s()


def wait(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition.

    Raises:
        TimeoutError: It did not come.
    """
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end_s:
            raise TimeoutError(f"no {what} in {PATIENCE_S:.0f} s")
        time.sleep(0.01)


@contextlib.contextmanager
def home() -> Generator[tuple[Path, SigningKey]]:
    """A fleet's home with one station in real time and its running robot."""
    with tempfile.TemporaryDirectory(prefix="safety-") as folder:
        path, key = Path(folder), SigningKey.generate()
        roles = {"s1": None, "operator": Role.OPERATOR, "agent": Role.AGENT}
        provision(path, {**roles, "supervisor": Role.SUPERVISOR})
        station = path / "stations" / "s1"
        station.mkdir(parents=True)
        (station / "station.toml").write_text(
            f'task = "{TASK}"\nclock = "realtime"\ngrant_keys = ["{key.public.hex()}"]\n'
        )
        robot = spawn("robots.drivers.robot_process", path)
        try:
            yield path, key
        finally:
            robot.kill()
            robot.wait(10)


def spawn(module: str, path: Path) -> "subprocess.Popen[bytes]":
    """One of the station's processes."""
    command = [sys.executable, "-m", module, "--home", str(path), "--name", "s1"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextlib.contextmanager
def watched(path: Path) -> Generator[tuple[Sends, Callable[[], bool]]]:
    """What the robot says of itself, asked every millisecond: its set-points, whether it holds."""
    sends, over, holding = Sends(), threading.Event(), [False]
    links: list[w.Link] = []

    def connected() -> bool:
        with contextlib.suppress(w.Disconnected):
            links.append(w.connect(str(socket_path(path, "s1", "rob")), 1.0))
        return bool(links)

    def ask() -> None:
        while not over.wait(0.001):
            links[0].send(w.GetState(), 5.0)
            answer = links[0].receive_answer(5.0)
            assert isinstance(answer, w.Measured)
            sends.rows.append((time.monotonic(), answer.setpoint))
            holding[0] = answer.holding

    wait(connected, "robot")
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield sends, lambda: holding[0]
    finally:
        over.set()
        thread.join(10)
        links[0].close()


def batch() -> dict[str, Any]:
    """A batch, longer than any measurement, of the policy that swings to and fro."""
    files = {"policy.py": SWINGS.encode()}
    recipe = RecipeArchive(files=files, sha256=archive.sha256(files))
    told = {"batch_id": "b", "purpose": Purpose.EXPLORE, "commit": "", "idea_id": ""}
    return {**told, "recipe": recipe, "episodes": 1000}


class Quiet:
    """Watches a batch and keeps nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *arguments: None


def descendants(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{each}/task/{each}/children").read_text()
            found += [int(word) for word in text.split()]
    return found


def silent(repetitions: int) -> tuple[list[float], dict[str, Any]]:
    """Milliseconds from a policy's last action to stillness, and the control thread's jitter."""
    times_ms: list[float] = []
    with home() as (path, _):
        authority = Authority(time.monotonic, needs_grant=False)
        config = StationConfig(task=str(TASK), clock=ClockKind.REALTIME, grants="none")
        folder, robot = path / "stations" / "s1", socket_path(path, "s1", "rob")
        rig = make_rig(load_task(str(TASK)), config, folder, robot, authority)
        assert isinstance(rig.motion, Realtime)
        loop, sends, policies = rig.motion.loop, Sends(), []
        acted_s, late_s = [0.0], []
        send, act, tick, start = loop._send, loop.act, loop.tick, rig.children.policy  # noqa: SLF001

        def seen_send(setpoint: list[float]) -> object:
            sends.rows.append((time.monotonic(), tuple(setpoint)))
            return send(setpoint)

        def seen_act(action: list[float], now_s: float) -> bool:
            acted_s[0] = now_s
            return act(action, now_s)

        def seen_tick(due_s: float, now_s: float) -> None:
            late_s.append(now_s - due_s)
            tick(due_s, now_s)

        def seen_start(recipe: RecipeArchive) -> Any:  # noqa: ANN401
            policies.append(start(recipe))
            return policies[-1]

        loop._send, loop.act, loop.tick = seen_send, seen_act, seen_tick  # noqa: SLF001
        rig.children.policy = seen_start
        plan = BatchPlan(**batch())

        def work() -> None:
            with contextlib.suppress(BatchCancelled):
                rig.run(plan, cast("Watcher", Quiet()))

        def going() -> bool:
            if authority.stopped is not None:
                # A tick was too late for this machine: let it go on, as an operator would.
                authority.release()
            fresh = time.monotonic() - acted_s[0] < 0.05
            return fresh and bool(rig.env.history) and sends.moving()

        bare = subprocess.Popen(
            [sys.executable, "-c", BARE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        thread = threading.Thread(target=work)
        thread.start()
        while len(times_ms) < repetitions:
            wait(going, "moving robot")
            policy = policies[-1]
            time.sleep(random.uniform(0.0, 0.1))
            if policy is not policies[-1] or not going():
                continue
            for pid in descendants(policy.pid):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGSTOP)
            # An action that was under way still counts as given.
            time.sleep(0.05)
            given_s = acted_s[0]
            wait(lambda: sends.still_for_s() > 0.2, "hold")
            if acted_s[0] == given_s:
                times_ms.append(1e3 * (sends.last_change_s() + TICK_S - given_s))
            del sends.rows[:-500]
        authority.close()
        thread.join(PATIENCE_S)
        rig.close()
        told, _ = bare.communicate(b"end\n", 30)
    return times_ms, jitter(late_s, json.loads(told))


BARE = """
import json, os, select, sys, time
try: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
except (PermissionError, OSError): pass
late, due = [], time.monotonic()
while not select.select([sys.stdin], [], [], 0)[0]:
    time.sleep(max(0.0, due - time.monotonic()))
    now = time.monotonic()
    late.append(now - due)
    due += 0.01
    if now - due > 0.05: due = now
print(json.dumps(late))
"""


def jitter(ours_s: list[float], bare_s: list[float]) -> dict[str, Any]:
    """The control thread's lateness beside a bare loop's."""
    ours, bare = summary([1e3 * s for s in ours_s]), summary([1e3 * s for s in bare_s])
    return {"ours_ms": ours, "bare_ms": bare, "ratio_p99": round(ours["p99"] / bare["p99"], 2)}


def killed(repetitions: int) -> list[float]:
    """Milliseconds from a station's kill until the robot holds by itself."""
    times_ms: list[float] = []
    with home() as (path, _), watched(path) as (_, holding):
        station = spawn("robots.station.cli", path)
        asyncio.run(ordered(path, start_batch))
        for number in range(repetitions):
            if number:
                station = spawn("robots.station.cli", path)
            wait(lambda: not holding(), "set-point")
            time.sleep(random.uniform(0.05, 0.15))
            station.kill()
            killed_s = time.monotonic()
            wait(holding, "hold of the robot's own")
            times_ms.append(1e3 * (time.monotonic() - killed_s))
            station.wait(10)
    return times_ms


async def start_batch(clients: dict[str, Any]) -> None:
    """A batch without end."""
    command = c.StartBatch(**batch())
    await clients["supervisor"].call(command, BatchState, 30.0)


async def ordered(path: Path, work: Callable[[dict[str, Any]], Any]) -> Any:  # noqa: ANN401
    """Do something with clients of every role."""
    transport = ZmqTransport(path, SystemClock())
    with contextlib.ExitStack() as stack:
        clients: dict[str, Any] = {}
        for name in ("operator", "agent", "supervisor"):
            clients[name] = transport.client(name, "s1")
            stack.callback(clients[name].close)
        return await work(clients)


def held(repetitions: int) -> list[float]:
    """Milliseconds from before an agent's HOLD is sent to stillness."""
    times_ms: list[float] = []
    with home() as (path, key), watched(path) as (sends, _):
        station = spawn("robots.station.cli", path)

        async def work(clients: dict[str, Any]) -> None:
            serial = 0
            await start_batch(clients)
            while len(times_ms) < repetitions:
                if len(times_ms) >= serial * 20:
                    serial += 1
                    grant = MotionGrant(
                        station="s1", run_id="r", mode=Mode.AUTONOMOUS, serial=serial, ttl_s=900.0
                    )
                    await clients["supervisor"].call(
                        c.RenewGrant(grant=key.sign(grant)), Done, 30.0
                    )
                release = c.Release(station="s1", cause="a benchmark")
                await clients["operator"].call(release, Done, 30.0)
                await asyncio.to_thread(wait, sends.moving, "moving robot")
                await asyncio.sleep(random.uniform(0.0, 0.05))
                if not sends.moving():
                    continue
                sent_s = time.monotonic()
                await clients["agent"].call(c.Hold(reason="a benchmark"), Done, 30.0)
                await asyncio.to_thread(wait, lambda: sends.still_for_s() > 0.2, "hold")
                stilled_s = sends.last_change_s()
                # One that came to rest by itself before the word went out measures nothing.
                if stilled_s > sent_s - TICK_S:
                    times_ms.append(1e3 * max(0.0, stilled_s + TICK_S - sent_s))
                del sends.rows[:-2000]

        try:
            asyncio.run(ordered(path, work))
        finally:
            station.kill()
            station.wait(10)
    return times_ms


def summary(times: list[float]) -> dict[str, float]:
    """Median, 99th percentile and worst."""
    ordered_times = sorted(times)
    return {
        "n": len(times),
        "median": round(statistics.median(times), 2),
        "p99": round(ordered_times[int(0.99 * (len(times) - 1) + 0.5)], 2),
        "max": round(ordered_times[-1], 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--only", choices=sorted(TARGETS_MS))
    options = parser.parse_args()
    rows: dict[str, list[float]] = {}
    found: dict[str, Any] = {"benchmark": "safety", "unit": "ms", "load": os.getloadavg()}
    for name, measure in (("silent", silent), ("killed", killed), ("held", held)):
        if options.only in (None, name):
            result = measure(options.repetitions)
            if isinstance(result, tuple):
                result, found["jitter"] = result
            rows[name] = [round(ms, 2) for ms in result]
    figures = {name: summary(times) for name, times in rows.items()}
    met = {name: figures[name]["p99"] <= TARGETS_MS[name] for name in figures}
    if "jitter" in found:
        met["jitter"] = found["jitter"]["ratio_p99"] <= JITTER_RATIO
    targets = TARGETS_MS | {"jitter_ratio": JITTER_RATIO}
    print(json.dumps(found | {"figures": figures, "targets": targets, "met": met, "rows": rows}))
    return 0 if all(met.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
