"""A reset rehearsed in a copy of the simulated world: what an approval is asked for.

The very code that will run is run in its sandbox, under the same limiter, against a copy that shares
nothing with the world; noise and draws to come are copied too. The real world is not stepped.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np

from robots.drivers.base import Driver, DriverError
from robots.safety.table import Condition
from robots.station import plans
from robots.station.authority import Authority, MotionStopped
from robots.station.children import ChildFailed, ResetChild
from robots.station.lockstep import Lockstep
from robots.station.plans import Array
from robots.station.resetting import ResetFailed, Resetter, ResetVoid
from robots.station.stills import frame_size
from robots.station.tasks import Task
from robots.wire.approvals import EnvelopeCheck, PlannedMotion

if TYPE_CHECKING:
    from robots.drivers.mujoco import MujocoDriver


class Rehearsal(NamedTuple):
    """What a rehearsed reset did.

    Attributes:
        setpoints: The plan, (n, size), one a policy step.
    """

    setpoints: Array
    motion: PlannedMotion
    checks: tuple[EnvelopeCheck, ...]


class NoRehearsal(Exception):
    """There is none; says why in words for the card."""


def rehearse(
    driver: Driver, task: Task, start: Callable[[], ResetChild], live: Callable[[], None]
) -> Rehearsal:
    """Run a task's reset in a copy of the world as it is now.

    Args:
        driver: The robot, an episode drawn; it is read, never moved.
        task: Whose reset it is.
        start: Starts a child of the reset.
        live: Called each step; raises to end the rehearsal.

    Raises:
        NoRehearsal: This driver's world cannot be copied.
    """
    make = cast("Callable[[], MujocoDriver] | None", getattr(driver, "twin", None))
    if make is None:
        raise NoRehearsal("this robot has no copy to rehearse in: what it will do is not known")
    try:
        twin = make()
    except DriverError as error:
        raise NoRehearsal(str(error)) from None
    spec = task.spec
    kind, tool, how = plans.tool_point(spec, twin.model)
    setpoints: list[list[float]] = []
    times_s: list[float] = []
    path: list[Array] = []
    peaks: dict[str, float] = {}
    passed: dict[str, None] = {}
    view = None
    if spec.cameras:
        view = plans.view_of(twin.model, twin.data, spec.cameras[0].name)

    def seen(action: list[float]) -> None:
        del action
        live()
        setpoints.append(twin.setpoint())
        times_s.append(motion.time_s)
        if tool >= 0:
            places = twin.data.site_xpos if kind == "site" else twin.data.xpos
            path.append(places[tool].copy())
        plans.peak_forces(spec, peaks, resetter.observation)
        broken = twin.fault()
        if broken is not None and len(setpoints) > 1:
            passed[broken.detail] = None

    free = Authority(lambda: 0.0, needs_grant=False)
    motion = Lockstep(twin, spec, _unheard)
    resetter = Resetter(twin, spec, motion, free, start)
    resetter.guard = seen
    reached, fault = True, ""
    try:
        resetter.run()
    except ResetFailed:
        reached = False
    except (ResetVoid, ChildFailed, MotionStopped) as error:
        reached, fault = False, str(error)
    finally:
        resetter.close()
        twin.close()
    left = twin.fault()
    fault = fault or resetter.raised or (left.detail if left is not None else "")
    plan = np.array([*setpoints, twin.setpoint()])
    height, width = frame_size(spec.cameras[0]) if spec.cameras else (0, 0)
    return Rehearsal(
        plan,
        PlannedMotion(
            plan_sha256=plans.plan_sha256(plan),
            steps=len(setpoints),
            seconds=round(resetter.robot_s, 3),
            pixels=plans.project(np.array(path), view, height, width) if view and path else (),
            tool=how,
            tube=plans.half_widths(spec),
            reached=reached,
            tries=resetter.tries,
        ),
        plans.envelope(
            spec, plan, np.array([*times_s, motion.time_s]), fault, tuple(passed), peaks
        ),
    )


def _unheard(condition: Condition) -> None:
    """A rehearsal's clipped actions are no news: the limiter clips them again."""
