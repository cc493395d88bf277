"""The driver of a robot that is a process of its own: the simulated robot in real time.

Two connections: the control thread's, which carries a set-point every tick and nothing that could
delay it, and the batch thread's for everything else. The task's sensor rules (is the tool
retracted, was the reset reached) are computed here, from observations.
"""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from robots.drivers import robot_wire as w
from robots.drivers.base import Capabilities, DriverError, Fault
from robots.drivers.mujoco import MujocoDriver
from robots.safety import health
from robots.safety.table import Condition
from robots.station.cameras import Images, thinned
from robots.station.tasks import Observation, Task

T = TypeVar("T", bound=w.Message)

CONNECT_S = 30.0
ANSWER_S = 1.0
CONTROL_ANSWER_S = 0.1
_AGAIN_S = 0.1


class RemoteDriver:
    """A robot behind a Unix socket.

    Args:
        task: Its task.
        station_seed: As the robot was told.
        path: Its socket.
        closing: Whether to wait no longer, since the station ends.
        connect_s: How long to wait for it to listen.

    Raises:
        DriverError: It does not.
    """

    capabilities = Capabilities(simulated=True, lockstep=False, can_seed=True)

    def __init__(
        self,
        task: Task,
        station_seed: int,
        path: Path,
        closing: Callable[[], bool],
        connect_s: float = CONNECT_S,
    ) -> None:
        self.task = task
        self._closing = closing
        # Its world is never stepped; its hooks judge observations.
        self._hooks = MujocoDriver(task, station_seed).simulation
        self._plausible = getattr(self._hooks, "plausible", None)
        self._path = str(path)
        self._lock = threading.Lock()
        self._fault: Fault | None = None
        self._health = health.Health()
        self._target = np.zeros(0)
        deadline_s = time.monotonic() + connect_s
        self._link = self._connect(deadline_s)
        self._control = self._connect(deadline_s)
        self._unanswered = False
        self._setpoint = list(self._measured(w.GetState()).setpoint)

    # --- the control thread's side ----------------------------------------------------------

    def exchange(self, setpoint: Sequence[float]) -> w.Measured:
        """Send a set-point and take what was measured; on the control thread.

        Raises:
            DriverError: The robot does not answer in time.
        """
        try:
            if self._unanswered:
                # An answer that comes late must not be taken for that to a later set-point.
                self._control.close()
                self._control = w.connect(self._path, CONTROL_ANSWER_S)
                self._unanswered = False
            self._control.send(w.SetPoint(tuple(setpoint)), CONTROL_ANSWER_S)
            answer = self._control.receive_answer(CONTROL_ANSWER_S)
        except w.Disconnected as error:
            self._unanswered = True
            raise DriverError(f"the robot is silent: {error}") from error
        assert isinstance(answer, w.Measured), answer
        self._take(answer)
        self._setpoint = list(answer.setpoint)
        return answer

    def report(self, fault: Fault) -> None:
        """Take note of a fault that was seen outside the robot: a late tick, a silent bus."""
        with self._lock:
            # SAFETY: a broken task limit, which a reset may begin with, hides nothing graver.
            if self.sound() or fault.condition is Condition.EMERGENCY_STOP:
                self._fault = fault

    def sound(self) -> bool:
        """Whether the machine is well; a broken task limit is no fault of it."""
        fault = self._fault
        return fault is None or fault.condition is Condition.TASK_LIMIT

    def begin(self) -> None:
        """A phase begins: a task limit that was broken in the one before is not held against it."""
        with self._lock:
            if self.sound():
                self._fault = None

    def _take(self, measured: w.Measured) -> None:
        if measured.stopped:
            self.report(Fault(Condition.EMERGENCY_STOP, "the robot's stop is latched"))
        elif measured.condition:
            self.report(Fault(Condition(measured.condition), measured.detail))
        ill = self._health.condition(measured.motor_c, measured.deviation, time.monotonic())
        if ill is not None:
            self.report(Fault(*ill))

    # --- the driver -------------------------------------------------------------------------

    def start_episode(self, seed: int) -> None:
        self._fault = None
        self._target = self._ask(w.StartEpisode(seed), w.Target).target

    def reset_target(self) -> NDArray[np.float64]:
        target, self._target = self._target, np.zeros(0)
        return target if target.size else self._ask(w.DrawTarget(), w.Target).target

    def observe(self) -> Observation:
        return self._ask(w.Observe(), w.Sensed).observation

    def setpoint(self) -> list[float]:
        return self._setpoint

    def apply(self, setpoint: Sequence[float]) -> None:
        raise DriverError("in real time the control thread applies set-points")

    def advance(self, ticks: int) -> None:
        raise DriverError("real time goes on by itself")

    def drive(self, setpoint: Sequence[float], ticks: int) -> None:
        raise DriverError("real time goes on by itself")

    def fault(self) -> Fault | None:
        return self._fault

    def camera(self) -> Images:
        seen = self._ask(w.Look(), w.Seen)
        old = health.picture(seen.age_s)
        if old is not None:
            self.report(Fault(*old))
        return seen.images

    def pictures(self) -> Images:
        return thinned(self.camera(), self.task.spec.cameras)

    def retracted(self, observation: Observation) -> bool:
        return bool(self._hooks.retracted(observation))

    def plausible(self, observation: Observation) -> bool:
        return self._plausible is None or bool(self._plausible(observation))

    def reset_reached(self, observation: Observation, target: NDArray[np.float64]) -> bool:
        return bool(self._hooks.reset_reached(observation, target))

    def success(self) -> bool | None:
        return None

    def evidence(self, history: Sequence[Observation]) -> dict[str, float]:
        return {key: float(value) for key, value in self._hooks.evidence(history).items()}

    def failure_tags(self, history: Sequence[Observation]) -> list[str]:
        return self._hooks.failure_tags(history)

    def audit(self) -> dict[str, float]:
        return self._ask(w.Audit(), w.Truth).audit

    def stop(self) -> None:
        self._measured(w.Stop())

    def restore(self) -> None:
        self._setpoint = list(self._measured(w.Restore()).setpoint)
        self._health = health.Health()
        self._fault = None

    def close(self) -> None:
        self._link.close()
        self._control.close()

    # --- the connection ---------------------------------------------------------------------

    def _connect(self, deadline_s: float) -> w.Link:
        while True:
            try:
                return w.connect(self._path, ANSWER_S)
            except w.Disconnected as error:
                if time.monotonic() > deadline_s or self._closing():
                    raise DriverError(f"no robot answers: {error}") from error
                time.sleep(_AGAIN_S)

    def _measured(self, ask: w.Ask) -> w.Measured:
        measured = self._ask(ask, w.Measured)
        self._take(measured)
        return measured

    def _ask(self, ask: w.Ask, kind: type[T]) -> T:
        """Ask on the batch thread's connection.

        Raises:
            DriverError: No answer in time, or another one.
        """
        try:
            self._link.send(ask, ANSWER_S)
            answer = self._link.receive_answer(ANSWER_S)
        except w.Disconnected as error:
            self.report(Fault(Condition.BUS_STALE, str(error)))
            raise DriverError(f"the robot is silent: {error}") from error
        if not isinstance(answer, kind):
            raise DriverError(f"the robot answered {type(answer).__name__}")
        return answer
