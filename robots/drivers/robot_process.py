"""The simulated robot as a process of its own, for stations in real time.

`python -m robots.drivers.robot_process --home HOME --name s1` runs the task's physics at the wall
clock's pace and listens on a Unix socket, as a robot's controller would. What a real robot does by
itself it does too: it holds when set-points stop coming (firmware time-out, 400 ms), and its
emergency stop is its own flag, a latch file that a person takes away (SIGUSR1 is the red button).
"""

import argparse
import contextlib
import importlib
import logging
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, assert_never

import msgspec

from robots.drivers import drill
from robots.drivers import robot_wire as w
from robots.drivers.base import DriverError
from robots.drivers.mujoco import Cameras, MujocoDriver
from robots.safety.health import FOLLOWING_LIMIT
from robots.safety.table import FIRMWARE_TIMEOUT_S
from robots.station.config import ConfigError, load_config, station_folder
from robots.station.latch import Latch
from robots.station.tasks import MjData, Task, TaskError, load_task
from robots.wire.endpoints import EndpointError, socket_path

log = logging.getLogger(__name__)

SEND_TIMEOUT_S = 0.5
CONNECTIONS = 8
_LATCH_TICKS = 10


class Firmware:
    """What the robot's controller does with set-points: follow, hold when they stop, or refuse.

    Args:
        latch: The emergency stop's file.
    """

    def __init__(self, latch: Latch) -> None:
        self._latch = latch
        self._last_s = float("-inf")
        self.holding = True
        self._pressed = False
        self._latched = latch.read() is not None

    @property
    def stopped(self) -> bool:
        """Whether the emergency stop is in force."""
        return self._pressed or self._latched

    def admit(self, now_s: float) -> bool:
        """Whether a set-point that comes now is followed."""
        self._last_s = now_s
        self.holding = False
        return not self.stopped

    def tick(self, now_s: float, *, look: bool) -> None:
        """Each control tick: has the time-out passed, is the latch set?"""
        # SAFETY: nobody has to tell the robot to hold; silence is enough.
        if now_s - self._last_s > FIRMWARE_TIMEOUT_S:
            self.holding = True
        if look:
            # SAFETY: asked before the file is read, so that a press in between is not undone.
            pressed = self._pressed
            self._latched = self._latch.read() is not None
            if pressed and not self._latched:
                self._pressed = False

    def stop(self, reason: str) -> None:
        """The emergency stop: latched until a person takes the file away."""
        self._latch.set(reason)
        self._pressed = True


class Photographer:
    """Renders on a thread of its own, so that a frame never delays the physics."""

    def __init__(self, driver: MujocoDriver, task: Task) -> None:
        mujoco: Any = importlib.import_module("mujoco")
        self._copy = mujoco.mj_copyData
        self._driver = driver
        self._task = task
        self._scene: MjData = mujoco.MjData(driver.model)
        self._asked = threading.Semaphore(0)
        self._answer: Callable[[w.Seen], None] | None = None
        self._taken_s = 0.0
        self.frozen = False
        self._thread = threading.Thread(target=self._work, name="camera", daemon=True)
        self._thread.start()

    def photograph(self, answer: Callable[[w.Seen], None]) -> None:
        """Copy the world as it is now and render it soon; one picture at a time."""
        if self._answer is not None:
            return
        if not (self.frozen and self._taken_s):
            self._copy(self._scene, self._driver.model, self._driver.data)
            self._taken_s = time.monotonic()
        self._answer = answer
        self._asked.release()

    def _work(self) -> None:
        cameras = Cameras(self._driver.model, self._task)
        while True:
            self._asked.acquire()
            answer = self._answer
            assert answer is not None
            images = cameras.render(self._scene)
            seen = w.Seen(images, time.monotonic() - self._taken_s)
            self._answer = None
            with contextlib.suppress(w.Disconnected):
                answer(seen)


class Robot:
    """Physics in real time, and the connections of one station.

    Args:
        task: Its task.
        station_seed: What differs between simulated robots.
        folder: The station's: the emergency stop's latch, and a drill, if any.
        listener: A listening Unix socket.
    """

    def __init__(
        self, task: Task, station_seed: int, folder: Path, listener: socket.socket
    ) -> None:
        self.driver = MujocoDriver(task, station_seed)
        self.firmware = Firmware(Latch(folder / "estop"))
        self._drill_path = folder / "drill.toml"
        self._drill = drill.WELL
        self._tick_s = task.spec.tick_s
        self._photographer = Photographer(self.driver, task) if task.spec.cameras else None
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._closing = False
        self.ticks = 0
        self._late_s = 0.0

    def run(self) -> None:
        """Tick until told to end; absolute deadlines, lateness measured."""
        next_s = time.monotonic()
        while not self._closing:
            self.serve(next_s)
            now_s = time.monotonic()
            self._late_s = max(self._late_s, now_s - next_s)
            self.tick(now_s)
            next_s += self._tick_s
            if now_s > next_s + 1.0:
                # The machine slept: real time is not caught up with.
                next_s = now_s

    def tick(self, now_s: float) -> None:
        """One control tick of the world."""
        self.ticks += 1
        look = self.ticks % _LATCH_TICKS == 0
        self.firmware.tick(now_s, look=look)
        if look:
            self._practise(drill.read(self._drill_path))
        self.driver.advance(1)

    def _practise(self, wanted: drill.Drill) -> None:
        """Have what is wrong with the robot go wrong."""
        self._drill = wanted
        self.driver.drives(on=not wanted.drives_dead)
        if self._photographer is not None:
            self._photographer.frozen = wanted.camera_frozen

    def serve(self, until_s: float) -> None:
        """Answer what comes until the next tick is due."""
        while True:
            left_s = until_s - time.monotonic()
            for key, _ in self._selector.select(max(0.0, left_s)):
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    self._answer(key.data)
            if time.monotonic() >= until_s:
                return

    def end(self) -> None:
        """Leave at the next tick."""
        self._closing = True

    def _accept(self) -> None:
        channel, _ = self._listener.accept()
        if len(self._selector.get_map()) > CONNECTIONS:
            channel.close()
            return
        self._selector.register(channel, selectors.EVENT_READ, w.Link(channel))

    def _answer(self, link: w.Link) -> None:
        try:
            answer = self._execute(link.receive_ask(SEND_TIMEOUT_S), link)
            if answer is not None:
                link.send(answer, SEND_TIMEOUT_S)
        except (w.Disconnected, msgspec.DecodeError) as error:
            log.info("connection ended: %s", error)
            self._selector.unregister(link)
            link.close()

    def _execute(self, ask: w.Ask, link: w.Link) -> w.Answer | None:
        driver = self.driver
        match ask:
            case w.SetPoint(values=values):
                if self.firmware.admit(time.monotonic()):
                    driver.apply(values)
                return self.measured()
            case w.GetState() | w.Stop():
                return self.measured()
            case w.Observe():
                return w.Sensed(driver.observe())
            case w.Look():
                if self._photographer is None:
                    return w.Seen({}, 0.0)
                self._photographer.photograph(lambda seen: link.send(seen, SEND_TIMEOUT_S))
                return None
            case w.StartEpisode(seed=seed):
                driver.start_episode(seed)
                return w.Target(driver.reset_target())
            case w.DrawTarget():
                return w.Target(driver.reset_target())
            case w.Audit():
                return w.Truth(driver.audit())
            case w.Restore():
                # A person puts a simulated arm back that fell or got stuck, as after power-on.
                if driver.fault() is not None or driver.deviation() > FOLLOWING_LIMIT:
                    driver.restore()
                return self.measured()
        assert_never(ask)

    def measured(self) -> w.Measured:
        """How the robot stands."""
        fault = self.driver.fault()
        late_s, self._late_s = self._late_s, 0.0
        return w.Measured(
            setpoint=tuple(self.driver.setpoint()),
            condition=fault.condition.value if fault else "",
            detail=fault.detail if fault else "",
            holding=self.firmware.holding,
            stopped=self.firmware.stopped,
            ticks=self.ticks,
            late_s=late_s,
            motor_c=self._drill.motor_c,
            deviation=self.driver.deviation(),
        )


def listen(path: Path) -> socket.socket:
    """Listen on a Unix socket, in place of a dead one.

    Raises:
        DriverError: A living robot listens there.
    """
    with contextlib.suppress(w.Disconnected):
        w.connect(str(path), 0.5).close()
        raise DriverError(f"{path}: another robot listens there; this one leaves")
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(CONNECTIONS)
    listener.settimeout(0.5)
    return listener


def main(argv: list[str] | None = None) -> int:
    """Run a simulated robot until SIGTERM.

    Returns:
        0 after SIGTERM, 1 for an error, 2 for wrong usage.
    """
    parser = argparse.ArgumentParser(prog="python -m robots.drivers.robot_process")
    parser.add_argument("--home", type=Path, required=True, help="folder of the fleet")
    parser.add_argument("--name", required=True, help="the station's name, such as s1")
    options = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("OpenGL").setLevel(logging.WARNING)
    folder = station_folder(options.home, options.name)
    try:
        config = load_config(folder / "station.toml")
        task = load_task(config.task)
        listener = listen(socket_path(options.home, options.name, "rob"))
        robot = Robot(task, config.station_seed, folder, listener)
    except (ConfigError, TaskError, DriverError, EndpointError) as error:
        sys.stderr.write(f"robot {options.name}: {error}\n")
        return 1

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        robot.end()

    def press(number: int, frame: FrameType | None) -> None:
        del number, frame
        robot.firmware.stop("the robot's own button")

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGUSR1, press)
    robot.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
