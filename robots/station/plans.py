"""What a planned motion is: its hash, its envelope, the tube about it, its path in an image. Pure."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robots.safety.limits import ActionLimits, Limiter
from robots.station.tasks import MjData, MjModel, Observation, TaskSpec
from robots.wire.approvals import EnvelopeCheck

Array = NDArray[np.float64]

DIGITS = 6
"""Set-points are hashed rounded to a millionth of their unit, beyond what a robot can follow."""

TUBE_SHARE = 0.05
"""Half-width of the tube where the task names none: this share of each action number's range."""

AHEAD_S = 1.0
"""How far along the plan the set-point may be ahead of where it was last: a reset that sees other
noise than its rehearsal is a little faster or slower, never somewhere else."""


def plan_sha256(setpoints: Array) -> str:
    """Hash of a plan: set-points (n, size), one a policy step, in the action's unit."""
    rounded = np.ascontiguousarray(np.round(setpoints, DIGITS) + 0.0, dtype="<f8")
    return hashlib.sha256(repr(rounded.shape).encode() + rounded.tobytes()).hexdigest()


def half_widths(spec: TaskSpec) -> tuple[float, ...]:
    """Half-width of the tube by number of the action, in its unit."""
    if spec.tube:
        return spec.tube
    ranges = zip(spec.limits.low, spec.limits.high, strict=True)
    return tuple(TUBE_SHARE * (high - low) or math.inf for low, high in ranges)


class Tube:
    """Set-points within some half-widths of the plan, in the plan's order.

    Closed-loop code sees other noise than its rehearsal did, so that time along the plan is free:
    the set-point may dwell and hurry, and must stay near a stretch of the plan that it has reached
    or is about to. It is asked before a step moves anything.

    Args:
        setpoints: The plan, (n, size), one a policy step.
        half_width: By number of the action, in its unit.
        ahead: Steps of the plan that the set-point may be ahead.
    """

    def __init__(self, setpoints: Array, half_width: Sequence[float], ahead: int) -> None:
        assert len(setpoints), "an empty plan lets nothing move"
        self._plan = setpoints
        self._half = np.asarray(half_width, dtype=np.float64)
        self._ahead = ahead
        self._at = 0

    def outside(self, setpoint: Sequence[float]) -> str:
        """How a set-point leaves the tube, "" if it does not."""
        first = max(0, self._at - 1)
        stretch = self._plan[first : self._at + self._ahead + 1]
        off = np.max(np.abs(stretch - np.asarray(setpoint)) / self._half, axis=1)
        nearest = int(np.argmin(off))
        if off[nearest] <= 1.0:
            self._at = max(self._at, first + nearest)
            return ""
        gap = np.abs(stretch[nearest] - np.asarray(setpoint))
        worst = int(np.argmax(gap / self._half))
        return (
            f"number {worst} of the set-point is {gap[worst]:.4g} from the plan at step "
            f"{first + nearest}, {self._half[worst]:.4g} are allowed"
        )


def following(
    limits: ActionLimits, tick_s: float, setpoint: Sequence[float], action: list[float], ticks: int
) -> list[float]:
    """Where the limiter will have brought the set-point after some ticks under an action."""
    limiter = Limiter(limits, tick_s, setpoint)
    limiter.accept(action)
    for _ in range(ticks):
        limiter.tick()
    return limiter.setpoint


def envelope(
    spec: TaskSpec,
    setpoints: Array,
    times_s: Array,
    fault: str,
    passed: Sequence[str],
    forces: Mapping[str, float],
) -> tuple[EnvelopeCheck, ...]:
    """Check a rehearsed motion against the task's limits.

    Args:
        spec: The task.
        setpoints: The plan, (n, size), one a policy step.
        times_s: When each was in force, (n,), counted from the beginning of its attempt.
        fault: What ended the rehearsal or was broken after it, "" if nothing.
        passed: Task limits broken on the way: they are an episode's, and a reset may have to begin
            or to fetch something beyond them.
        forces: Peak force by observation key, N.
    """
    way = f"beyond an episode's limits on the way: {', '.join(passed)}" if passed else "none"
    peaks = ", ".join(f"{key} {peak:.3g} N" for key, peak in forces.items())
    return (
        _margins(spec, setpoints),
        _speed(spec, setpoints, times_s),
        EnvelopeCheck(name="faults", ok=not fault, detail=fault or way),
        EnvelopeCheck(name="force", ok=True, detail=peaks or "the task has no force sensor"),
    )


def peak_forces(spec: TaskSpec, peaks: dict[str, float], observation: Observation) -> None:
    """Take an observation into account: the largest force under each key in newtons."""
    for each in spec.observation:
        if each.unit == "N":
            seen = float(np.linalg.norm(observation[each.key]))
            peaks[each.key] = max(peaks.get(each.key, 0.0), seen)


def _margins(spec: TaskSpec, setpoints: Array) -> EnvelopeCheck:
    low, high = np.asarray(spec.limits.low), np.asarray(spec.limits.high)
    margins = np.minimum(setpoints.min(axis=0) - low, high - setpoints.max(axis=0))
    told = ", ".join(f"{margin:.4g}" for margin in margins)
    unit = f" {spec.action_unit}" if spec.action_unit else ""
    return EnvelopeCheck(
        name="workspace",
        ok=bool(np.all(margins >= -1e-9)),
        detail=f"least distance to the limits of {spec.action_name}: {told}{unit}",
    )


def _speed(spec: TaskSpec, setpoints: Array, times_s: Array) -> EnvelopeCheck:
    most, periods_s = np.asarray(spec.limits.max_velocity), np.diff(times_s)
    # Each attempt counts its time anew: between two of them nothing is driven.
    counted = periods_s > 0.0
    if not most.size:
        return EnvelopeCheck(name="speed", ok=True, detail="no velocity limit is declared")
    if not np.any(counted):
        return EnvelopeCheck(name="speed", ok=True, detail="nothing moves")
    speeds = np.abs(np.diff(setpoints, axis=0))[counted] / periods_s[counted, None]
    share = float(np.max(speeds / most))
    return EnvelopeCheck(
        name="speed", ok=share <= 1.0 + 1e-6, detail=f"peak {share:.0%} of the largest velocity"
    )


# --- the path in an image -------------------------------------------------------------------------


def tool_point(spec: TaskSpec, model: MjModel) -> tuple[str, int, str]:
    """What stands for the tool: `site` or `body`, its id, and how it was found; id -1 for nothing.

    It is what `task.toml` names under `[approval] tool`, else a site or body named tool or hand.
    """
    names = (spec.approval_tool,) if spec.approval_tool else ("tool", "hand")
    for name in names:
        for kind in ("site", "body"):
            try:
                found = int(getattr(model, kind)(name).id)
            except KeyError:
                continue
            return kind, found, f"{kind} {name}"
    return "", -1, f"no site or body {' or '.join(names)}; name one in task.toml: approval.tool"


class View(NamedTuple):
    """How a camera of the simulated model sees the world.

    Attributes:
        position_world_m: (3,).
        rotation: (3, 3), columns are the camera's axes in the world: x right, y up, looking along -z.
        fovy: Vertical field of view in degrees; height of the image in metres where `parallel`.
        parallel: Whether the projection is orthographic.
    """

    position_world_m: Array
    rotation: Array
    fovy: float
    parallel: bool


def view_of(model: MjModel, data: MjData, camera: str) -> View:
    """A camera's view now."""
    index = int(model.camera(camera).id)
    return View(
        np.array(data.cam_xpos[index]),
        np.array(data.cam_xmat[index]).reshape(3, 3),
        float(model.cam_fovy[index]),
        int(model.cam_projection[index]) == 1,
    )


def project(
    points_world_m: Array, view: View, height: int, width: int
) -> tuple[tuple[float, float], ...]:
    """Pixels of world points, (n, 3), in an image; points behind the camera are left out."""
    if not len(points_world_m):
        return ()
    seen = (points_world_m - view.position_world_m) @ view.rotation
    depth = np.ones(len(seen)) if view.parallel else -seen[:, 2]
    half = view.fovy / 2.0 if view.parallel else math.tan(math.radians(view.fovy) / 2.0)
    scale = 0.5 * height / half / np.maximum(depth, 1e-6)
    columns = width / 2.0 + scale * seen[:, 0]
    rows = height / 2.0 - scale * seen[:, 1]
    return tuple(
        (round(float(x), 1), round(float(y), 1))
        for x, y, ahead in zip(columns, rows, depth, strict=True)
        if ahead > 1e-6
    )
