"""MuJoCo in process: the world of a simulated station in lockstep."""

import copy
import ctypes.util
import importlib
import logging
import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robots.drivers.base import Capabilities, DriverError, Fault
from robots.safety.table import Condition
from robots.station.cameras import PICTURE, Images
from robots.station.tasks import MjData, MjModel, Observation, Task

# Read by mujoco when it is imported; EGL where it can be loaded, else Mesa's software renderer.
os.environ.setdefault("MUJOCO_GL", "egl" if ctypes.util.find_library("EGL") else "osmesa")

log = logging.getLogger(__name__)


def compile_scene(task: Task) -> MjModel:
    """A task's `scene.xml`; of a variant, its own XML files come first where the base's includes one.

    Raises:
        ValueError: MuJoCo refuses it.
    """
    own = {path.name: path.read_bytes() for path in task.folder.glob("*.xml")}
    return _mujoco().MjModel.from_xml_path(str(task.path("scene.xml")), own)


class Cameras:
    """The task's cameras on one MuJoCo model.

    A renderer's OpenGL context belongs to the thread that made it, and a renderer that is dropped
    instead of closed turns later frames black; so it is made on first use and closed by name.
    """

    def __init__(self, model: MjModel, task: Task) -> None:
        self._model = model
        self._specs = task.spec.cameras
        self._renderers: dict[tuple[int, int], Any] = {}
        self._thread: int | None = None
        # Multisampling and shadows cost 8 to 16 times the frame on a CPU and help no verifier.
        model.vis.quality.offsamples = 0
        model.vis.quality.shadowsize = 0
        for spec in self._specs:
            model.vis.global_.offheight = max(model.vis.global_.offheight, spec.height)
            model.vis.global_.offwidth = max(model.vis.global_.offwidth, spec.width)

    def render(self, data: MjData) -> Images:
        """Images by camera name, as the task's `Images`; a second pass for each depth."""
        images: Images = {}
        for spec in self._specs:
            renderer = self._renderer((spec.height, spec.width))
            renderer.update_scene(data, camera=spec.name)
            images[spec.name] = renderer.render()
            if spec.depth:
                renderer.enable_depth_rendering()
                images[f"{spec.name}_depth"] = renderer.render()
                renderer.disable_depth_rendering()
        return images

    def pictures(self, data: MjData) -> Images:
        """What the policy is shown, as `thinned`, drawn at its own size, in a third of the time."""
        found: Images = {}
        for spec in self._specs:
            if spec.policy:
                renderer = self._renderer(spec.policy)
                renderer.update_scene(data, camera=spec.name)
                found[PICTURE + spec.name] = renderer.render()
        return found

    def _renderer(self, size: tuple[int, int]) -> Any:  # noqa: ANN401 - see `MjModel`.
        """The renderer of a height and width, made on first use by the thread that uses all."""
        here = threading.get_ident()
        if self._thread is None:
            self._thread = here
        assert self._thread == here, "a renderer was used on a second thread"
        if size not in self._renderers:
            self._renderers[size] = _mujoco().Renderer(self._model, *size)
        return self._renderers[size]

    def close(self) -> None:
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()


class MujocoDriver:
    """A task's scene, stepped only when told.

    Args:
        task: A task with `scene.xml` and `simulation.py`.
        station_seed: Seed of what differs between stations and stays as it is.
    """

    capabilities = Capabilities(simulated=True, lockstep=True, can_seed=True)

    def __init__(self, task: Task, station_seed: int) -> None:
        mujoco = self._mujoco = _mujoco()
        self._step = mujoco.mj_step
        self.task = task
        self.station_seed = station_seed
        self.model: MjModel = compile_scene(task)
        # SAFETY: with auto-reset one huge action would restart the world instead of failing.
        self.model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
        if not bool(np.all(self.model.actuator_ctrllimited)):
            raise DriverError(f"{task.path('scene.xml')}: every actuator needs a ctrlrange")
        self.substeps = round(task.spec.tick_s / self.model.opt.timestep)
        if abs(self.substeps * self.model.opt.timestep - task.spec.tick_s) > 1e-9:
            raise DriverError(
                f"{task.path('scene.xml')}: the timestep does not divide the control tick"
            )
        self._servos = self._find_servos()
        self._gains: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        self.simulation = task.simulation(self.model, station_seed)
        self._bind()
        self._silence_warnings()
        self._power_on()

    def _bind(self) -> None:
        """Find the simulation's hooks, and cameras for its model."""
        self._apply = self.simulation.apply
        self._limit_broken = getattr(self.simulation, "fault", None)
        self._plausible = getattr(self.simulation, "plausible", None)
        self._cameras = Cameras(self.model, self.task)

    def _silence_warnings(self) -> None:
        # By default MuJoCo writes a log file into the working directory.
        self._mujoco.set_mju_user_warning(_warned)

    def _power_on(self) -> None:
        self.data: MjData = self._mujoco.MjData(self.model)
        self._warnings: NDArray[np.int32] = self.data.warning.number
        self._quiet: bytes = self._warnings.tobytes()
        self._rng = np.random.default_rng([self.station_seed, 0])
        self.simulation.place(self.model, self.data, self._rng)
        self._mujoco.mj_forward(self.model, self.data)
        home = getattr(self.simulation, "home_action", None)
        values: Any = self.data.ctrl if home is None else home(self.model, self.data)
        self._action = np.array([float(value) for value in values])

    def twin(self) -> "MujocoDriver":
        """A copy of the world as it is now, draws and noise to come included; shares nothing.

        Raises:
            DriverError: The task's simulation holds something that cannot be copied.
        """
        twin = copy.copy(self)
        twin.detach()
        return twin

    def detach(self) -> None:
        """Go on with a world of its own, as it was."""
        model, data, simulation = self.model, self.data, self.simulation
        self.model = copy.deepcopy(model)
        self.data = self._mujoco.MjData(self.model)
        self._mujoco.mj_copyData(self.data, self.model, data)
        known: dict[int, Any] = {id(model): self.model, id(data): self.data}
        try:
            self.simulation = copy.deepcopy(simulation, known)
        except Exception as error:
            # Whatever a task's own code raises; it may define `__deepcopy__` to help.
            raise DriverError(f"the task's simulation cannot be copied: {error}") from error
        self._rng = copy.deepcopy(self._rng)
        self._action = self._action.copy()
        self._warnings = self.data.warning.number
        self._bind()

    def start_episode(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self.simulation.randomise(self.model, self.data, self._rng)

    def reset_target(self) -> NDArray[np.float64]:
        return self.simulation.reset_target(self._rng)

    def observe(self) -> Observation:
        return self.simulation.observe(self.model, self.data, self._rng)

    def setpoint(self) -> list[float]:
        return self._action.tolist()

    def apply(self, setpoint: Sequence[float]) -> None:
        self._action[:] = setpoint
        self._apply(self.model, self.data, self._action)

    def advance(self, ticks: int) -> None:
        # One call for all the physics steps: the loop over them in Python would cost a fifth more.
        self._step(self.model, self.data, ticks * self.substeps)

    def drive(self, setpoint: Sequence[float], ticks: int) -> None:
        self._action[:] = setpoint
        self._apply(self.model, self.data, self._action)
        self._step(self.model, self.data, ticks * self.substeps)

    def fault(self) -> Fault | None:
        # SAFETY: any warning ends the episode; a diverged state must never be scored.
        if self._warnings.tobytes() != self._quiet:
            seen = [
                str(self._mujoco.mjtWarning(int(index)).name)
                for index in np.flatnonzero(self._warnings)
            ]
            return Fault(Condition.SIMULATION_WARNING, ", ".join(seen))
        if self._limit_broken is not None:
            broken: str = self._limit_broken(self.model, self.data)
            if broken:
                return Fault(Condition.TASK_LIMIT, broken)
        return None

    def deviation(self) -> float:
        """Distance of the worst position servo from its command, as a share of its range."""
        low, high = self.model.actuator_ctrlrange[self._servos].T
        commanded = np.clip(self.data.ctrl[self._servos], low, high)
        errors = np.abs(commanded - self.data.actuator_length[self._servos]) / (high - low)
        return float(errors.max(initial=0.0))

    def drives(self, *, on: bool) -> None:
        """Let every drive push with its own gains, or with none."""
        gain, bias = self.model.actuator_gainprm, self.model.actuator_biasprm
        if on and self._gains is not None:
            gain[:], bias[:] = self._gains
            self._gains = None
        elif not on and self._gains is None:
            self._gains = gain.copy(), bias.copy()
            gain[:] = bias[:] = 0.0

    def _find_servos(self) -> NDArray[np.intp]:
        # What is meant to be stopped by what it holds, a gripper, is in a group of its own.
        model = self.model
        servo = (model.actuator_gainprm[:, 0] != 0.0) & (
            model.actuator_biasprm[:, 1] == -model.actuator_gainprm[:, 0]
        )
        return np.flatnonzero(servo & (model.actuator_group == 0))

    def camera(self) -> Images:
        return self._cameras.render(self.data)

    def pictures(self) -> Images:
        return self._cameras.pictures(self.data)

    def scene(self) -> NDArray[np.float64]:
        """Where everything in the world is, for pictures; from any thread, and then perhaps torn.

        Joints (qpos), then positions and orientations of the bodies that the task places (mocap).
        """
        data = self.data
        return np.concatenate([data.qpos, data.mocap_pos.ravel(), data.mocap_quat.ravel()])

    def retracted(self, observation: Observation) -> bool:
        return bool(self.simulation.retracted(observation))

    def plausible(self, observation: Observation) -> bool:
        return self._plausible is None or bool(self._plausible(observation))

    def reset_reached(self, observation: Observation, target: NDArray[np.float64]) -> bool:
        return bool(self.simulation.reset_reached(observation, target))

    def success(self) -> bool | None:
        return None

    def evidence(self, history: Sequence[Observation]) -> dict[str, float]:
        found = self.simulation.evidence(history)
        return {key: float(value) for key, value in found.items()}

    def failure_tags(self, history: Sequence[Observation]) -> list[str]:
        return self.simulation.failure_tags(history)

    def audit(self) -> dict[str, float]:
        return {
            key: float(value) for key, value in self.simulation.audit(self.model, self.data).items()
        }

    def stop(self) -> None:
        """Nothing to do: the world stands still until it is advanced."""

    def restore(self) -> None:
        # A simulation that diverged has no measured pose to go on from: power-on places it anew.
        self._power_on()

    def close(self) -> None:
        self._cameras.close()


def _mujoco() -> Any:  # noqa: ANN401 - it ships no type information.
    return importlib.import_module("mujoco")


def _warned(text: str) -> None:
    log.warning("mujoco: %s", text)
