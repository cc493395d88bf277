"""Checks of a task's parts, without moving anything: files, scene, hooks."""

import ast
import inspect
from typing import Any
from xml.etree import ElementTree

import numpy as np

from robots.bench.findings import Nonconforming
from robots.drivers.mujoco import compile_scene
from robots.station.tasks import MjModel, Task

FILES = ("scene.xml", "simulation.py", "reset.py", "verify.py")

_HOOKS: dict[str, int] = {
    "place": 3,
    "randomise": 3,
    "reset_target": 1,
    "observe": 3,
    "apply": 3,
    "retracted": 1,
    "reset_reached": 2,
    "evidence": 1,
    "failure_tags": 1,
    "audit": 2,
}
"""Hooks of a simulation, and with how many arguments each is called."""

_OPTIONAL_HOOKS: dict[str, int] = {"plausible": 1, "fault": 2, "home_action": 2, "snapshot": 4}


def files(task: Task) -> str:
    """Every file is there and can be parsed."""
    for name in FILES:
        path = task.path(name)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise Nonconforming(
                f"{path}: {error.strerror}; a task has {', '.join(FILES)}"
            ) from None
        try:
            ast.parse(content) if name.endswith(".py") else ElementTree.fromstring(content)  # noqa: S314 - the operator's own.
        except (SyntaxError, ElementTree.ParseError, ValueError) as error:
            raise Nonconforming(f"{path}: {error}") from None
    return f"{len(task.files())} files"


def scene(task: Task) -> str:
    """The scene compiles."""
    model = _model(task)
    return f"{model.nbody} bodies, {model.nu} actuators"


def actuators(task: Task) -> str:
    """Every actuator has a control range, outside which no set-point comes."""
    model = _model(task)
    open_ended = [
        model.actuator(index).name or f"number {index}"
        for index in np.flatnonzero(np.logical_not(model.actuator_ctrllimited)).tolist()
    ]
    if open_ended:
        raise Nonconforming(f"scene.xml: without ctrlrange: {', '.join(open_ended)}; give each one")
    return f"{model.nu} with ctrlrange"


def timestep(task: Task) -> str:
    """A whole number of physics steps makes a control tick."""
    step_s, tick_s = float(_model(task).opt.timestep), task.spec.tick_s
    count = round(tick_s / step_s)
    if count < 1 or abs(count * step_s - tick_s) > 1e-9:
        raise Nonconforming(
            f"scene.xml: option timestep {step_s:g} s does not divide the control tick of "
            f"{tick_s:g} s; choose {tick_s:g} divided by a whole number"
        )
    return f"{count} physics steps a tick"


def cameras(task: Task) -> str:
    """Every camera of `task.toml` is in the scene."""
    model = _model(task)
    known = {model.camera(index).name for index in range(model.ncam)}
    missing = [spec.name for spec in task.spec.cameras if spec.name not in known]
    if missing:
        raise Nonconforming(
            f"task.toml: cameras: {', '.join(missing)} not in scene.xml, which has "
            f"{', '.join(sorted(known)) or 'none'}"
        )
    return f"{len(task.spec.cameras)} cameras"


def hooks(task: Task) -> str:
    """Every hook is there and can be called as the driver calls it."""
    world: Any = task.simulation(_model(task), 0)
    wanted = _HOOKS | {name: n for name, n in _OPTIONAL_HOOKS.items() if hasattr(world, name)}
    for name, count in wanted.items():
        hook = getattr(world, name, None)
        if not callable(hook):
            raise Nonconforming(f"simulation.py: Simulation.{name} is missing; see add-a-task.md")
        try:
            inspect.signature(hook).bind(*range(count))
        except TypeError as error:
            raise Nonconforming(
                f"simulation.py: Simulation.{name}{inspect.signature(hook)} is called with "
                f"{count} arguments: {error}"
            ) from None
    return f"{len(wanted)} hooks"


def _model(task: Task) -> MjModel:
    """A model of its own for each check: a simulation changes the one it is given."""
    try:
        return compile_scene(task)
    except ValueError as error:
        raise Nonconforming(f"{task.path('scene.xml')}: {error}") from None
