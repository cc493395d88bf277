"""Push-T's trusted side: what the simulated station draws, senses, does and audits.

Truth stays in this file: `observe` adds noise, bias and latency, and only `audit`, which the ledger
alone sees, reads the block's real pose. Frame everywhere: the table's (x right, y up in the top
image, origin mid-table), metres and radians.
"""

import importlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from shapely import affinity
from shapely.geometry import Point, Polygon

from robots.station.tasks import task_tables
from robots.world.draws import Servos, light, mount_camera, uniform
from robots.world.sensing import Delayed

# MuJoCo ships no type information.
mujoco: Any = importlib.import_module("mujoco")
MjModel = Any
MjData = Any

Array = NDArray[np.float64]
Observation = dict[str, Array]

GOAL_POSE: tuple[float, float, float] = (0.0, 0.0, 0.55)
"""Goal of the block's centre of mass, as drawn in `scene.xml` (m, m, rad).

The slope of 0.55 rad (0.613) is no ratio of small integers, so that no edge of a block at the goal
falls into step with the camera's pixels.
"""

# Outline of the block about its centre of mass (m): a 160 x 40 bar on a 40 x 120 stem.
OUTLINE_M = (
    (-0.080, 0.0542857), (-0.080, 0.0142857), (-0.020, 0.0142857), (-0.020, -0.1057143),
    (0.020, -0.1057143), (0.020, 0.0142857), (0.080, 0.0142857), (0.080, 0.0542857),
)  # fmt: skip
_POLICY_PERIOD_S = 1.0 / 30.0


def wrap(angle_rad: float) -> float:
    """Angle in (-pi, pi]."""
    return math.remainder(angle_rad, math.tau)


class Simulation:
    """Randomisation, sensing, acting and auditing of one simulated Push-T station.

    Attributes:
        FOLDER: whose `task.toml` it reads; a variant of the task names its own.
    """

    FOLDER = Path(__file__).parent

    def __init__(self, model: MjModel, station_seed: int) -> None:
        """Makes the station's own draw, which stays fixed for its life, and applies it to `model`.

        Args:
            model: the compiled `scene.xml`; changed in place.
            station_seed: names the unit; equal seeds give equal stations.
        """
        task = task_tables(self.FOLDER)
        self._draws: dict[str, Any] = task["randomisation"]
        self._reset: dict[str, Any] = task["reset"]
        self._success: dict[str, Any] = task["success"]
        self._tags: dict[str, float] = task["failure_tags"]
        limits = task["limits"]["object_workspace_m"]
        self._object_low: list[float] = limits["low"]
        self._object_high: list[float] = limits["high"]
        rng = np.random.default_rng(station_seed)
        draws = self._draws
        self._servo_gain = uniform(rng, draws["servo_gain_station"])
        self._latency_station_s = uniform(rng, draws["latency_station_s"])
        self._latency_s: float = self._latency_station_s
        self._bias: Array = rng.normal(0.0, draws["pose_bias_station_sigma"])
        self._noise_sigma = np.asarray(draws["pose_noise_sigma"], dtype=np.float64)
        self._joints = [
            int(model.joint(f"block_{axis}").qposadr[0]) for axis in ("x", "y", "yaw", "z")
        ]
        self._tool = [int(model.joint(f"tool_{axis}").qposadr[0]) for axis in ("x", "y")]
        self._servos = Servos(model, slice(None))
        tilt = (draws["camera_tilt_station_sigma_rad"],) * 3
        mount_camera(model, "top", rng, draws["camera_position_station_sigma_m"], tilt)
        self._goal = np.array(GOAL_POSE)
        self._seen_pose = Delayed()
        self._previous_tool = (math.nan, math.nan)

    def place(self, model: MjModel, data: MjData, rng: np.random.Generator) -> None:
        """Lays block and tool as someone left them at power-on."""
        mujoco.mj_resetData(model, data)
        x, y, yaw, z = self._joints
        data.qpos[x], data.qpos[y] = rng.uniform((-0.12, -0.07), (0.12, 0.07))
        data.qpos[yaw] = rng.uniform(-math.pi, math.pi)
        data.qpos[z] = 0.0
        tool = np.array([rng.choice((-0.30, 0.30)), rng.uniform(-0.2, 0.2)])
        data.qpos[self._tool] = tool
        data.ctrl[:] = tool
        self._seen_pose.clear()
        mujoco.mj_forward(model, data)

    def randomise(self, model: MjModel, data: MjData, rng: np.random.Generator) -> None:
        """Draws what changes from episode to episode; moves nothing."""
        del data
        draws = self._draws
        table = uniform(rng, draws["table_friction_episode"])
        tool = uniform(rng, draws["tool_friction_episode"])
        table_id = model.geom("table").id
        on_table = (model.pair_geom1 == table_id) | (model.pair_geom2 == table_id)
        model.pair_friction[on_table, :2] = table
        model.pair_friction[~on_table, :2] = tool
        gain = self._servo_gain * uniform(rng, draws["servo_gain_episode"])
        self._servos.scale(model, gain)
        self._latency_s = self._latency_station_s + uniform(rng, draws["latency_episode_s"])
        light(model, rng, draws["lamp_episode"], draws["ambient_episode"])

    def reset_target(self, rng: np.random.Generator) -> Array:
        """Pose the physical reset shall bring the block to: (x_m, y_m, yaw_rad)."""
        reach = self._reset["target_position_m"]
        turn = self._reset["target_yaw_rad"]
        offset = rng.uniform((-reach[0], -reach[1], -turn), (reach[0], reach[1], turn))
        return self._goal + offset

    def observe(self, model: MjModel, data: MjData, rng: np.random.Generator) -> Observation:
        """Sensors at this policy step; the block's pose is noisy, biased and late.

        Returns:
            float64 arrays: `tool_position_m` (2,), `object_pose` (3,) x, y, yaw, `goal_pose` (3,)
            and `time_s` (1,), in the table frame.
        """
        del model
        qpos = data.qpos
        now = float(data.time)
        pose = self._seen_pose.see(now, qpos[self._joints[:3]], self._latency_s) + self._bias
        pose += rng.standard_normal(3) * self._noise_sigma
        pose[2] = wrap(float(pose[2]))
        return {
            "tool_position_m": qpos[self._tool].copy(),
            "object_pose": pose,
            "goal_pose": self._goal.copy(),
            "time_s": np.array([now]),
        }

    def apply(self, model: MjModel, data: MjData, action: Array) -> None:
        """Writes the limited tool target (2,), in metres, to the servos."""
        del model
        data.ctrl[:] = action

    def fault(self, model: MjModel, data: MjData) -> str:
        """Names the task limit that is broken, or "": the block must stay within the tool's reach."""
        del model
        x, y = float(data.qpos[self._joints[0]]), float(data.qpos[self._joints[1]])
        low, high = self._object_low, self._object_high
        inside = low[0] <= x <= high[0] and low[1] <= y <= high[1]
        return "" if inside else "workspace"

    def retracted(self, observation: Observation) -> bool:
        """Whether the tool is clear of the goal and slow: only then may the verifier look.

        Speed comes from the previous call's tool position; calls are one policy step apart.
        """
        tool_x, tool_y = (float(value) for value in observation["tool_position_m"])
        last_x, last_y = self._previous_tool
        self._previous_tool = (tool_x, tool_y)
        moved = math.hypot(tool_x - last_x, tool_y - last_y)
        slow = moved <= self._success["retract_speed_m_s"] * _POLICY_PERIOD_S
        away = math.hypot(tool_x - GOAL_POSE[0], tool_y - GOAL_POSE[1])
        return slow and away > self._success["retract_distance_m"]

    def plausible(self, observation: Observation) -> bool:
        """Whether the block's estimate leaves success possible, with a margin of six times IoU 0.95.

        Where it does not, the verifier (a frame and a fit, 10 ms) need not look.
        """
        pose = observation["object_pose"]
        away = math.hypot(float(pose[0]) - GOAL_POSE[0], float(pose[1]) - GOAL_POSE[1])
        return away < 0.012 and abs(wrap(float(pose[2]) - GOAL_POSE[2])) < 0.13

    def audit(self, model: MjModel, data: MjData) -> dict[str, float]:
        """Privileged truth for the ledger: overlap of block and goal, and whether it suffices."""
        del model
        x, y, yaw, _ = self._joints
        iou = overlap(float(data.qpos[x]), float(data.qpos[y]), float(data.qpos[yaw]))
        return {"iou": iou, "success": float(iou > self._success["iou_above"])}

    def reset_reached(self, observation: Observation, target: Array) -> bool:
        """Post-condition of a reset, from sensors: block near the target, tool clear of it."""
        pose = observation["object_pose"]
        away = math.hypot(float(pose[0] - target[0]), float(pose[1] - target[1]))
        turned = abs(wrap(float(pose[2] - target[2])))
        gap = _outline(*(float(value) for value in pose)).distance(
            Polygon([tuple(observation["tool_position_m"] + corner) for corner in _TOOL_CORNERS])
        )
        return (
            away <= self._reset["position_tolerance_m"]
            and turned <= self._reset["yaw_tolerance_rad"]
            and gap >= self._reset["tool_clearance_m"] - 0.01
        )

    def evidence(self, history: Sequence[Observation]) -> dict[str, float]:
        """Where an episode ended, from sensors alone: errors and overlap of the mean last frames.

        Args:
            history: the episode's observations, oldest first; the last few are averaged.
        """
        last = list(history[-8:])
        mean = np.mean([frame["object_pose"][:2] for frame in last], axis=0)
        first_yaw = float(last[0]["object_pose"][2])
        turn = [wrap(float(frame["object_pose"][2]) - first_yaw) for frame in last]
        x, y, yaw = float(mean[0]), float(mean[1]), first_yaw + float(np.mean(turn))
        return {
            "position_error_m": math.hypot(x - GOAL_POSE[0], y - GOAL_POSE[1]),
            "yaw_error_rad": abs(wrap(yaw - GOAL_POSE[2])),
            "iou_estimate": overlap(x, y, yaw),
            "time_s": float(history[-1]["time_s"][0] - history[0]["time_s"][0]),
        }

    def failure_tags(self, history: Sequence[Observation]) -> list[str]:
        """Names how a failed episode ended, from sensors: evidence that steers an agent.

        Tags: `far`, `orientation` and `near_miss` (as `task.toml` bounds them), `border` (block
        near the table's edge), `stalled` (parked for the last 3 s), `timeout` (still busy at the
        end).
        """
        found = self.evidence(history)
        tags: list[str] = []
        if found["iou_estimate"] >= self._tags["near_miss_iou"]:
            tags.append("near_miss")
        if found["position_error_m"] > self._tags["far_m"]:
            tags.append("far")
        if found["yaw_error_rad"] > self._tags["orientation_rad"]:
            tags.append("orientation")
        pose = history[-1]["object_pose"]
        room = min(
            float(pose[0]) - self._object_low[0], self._object_high[0] - float(pose[0]),
            float(pose[1]) - self._object_low[1], self._object_high[1] - float(pose[1]),
        )  # fmt: skip
        if room < 0.03:
            tags.append("border")
        recent = np.array([frame["tool_position_m"] for frame in history[-90:]])
        still = len(recent) >= 90 and float(np.ptp(recent, axis=0).max()) < 0.005
        tags.append("stalled" if still else "timeout")
        return tags

    def snapshot(self, model: MjModel, data: MjData, rng: np.random.Generator, kind: str) -> None:
        """Puts the scene into a drawn state on which the verifier is to be scored.

        Args:
            model: the scene.
            data: changed in place.
            rng: of the draw.
            kind: `positive`, `near_miss`, or `negative`: block anywhere, the goal often empty; in
                every other one it nearly lies there and the tool stands in the view, touching it.
        """
        in_view = kind == "negative" and bool(rng.random() < 0.5)
        pose = self.draw_pose(rng, "near_miss" if in_view else kind)
        tool = _tool_beside(pose, rng) if in_view else self._tool_away(pose, rng)
        mujoco.mj_resetData(model, data)
        data.qpos[self._joints] = (*pose, 0.0)
        data.qpos[self._tool] = data.ctrl[:] = tool
        self._seen_pose.clear()
        mujoco.mj_forward(model, data)

    def draw_pose(self, rng: np.random.Generator, kind: str) -> tuple[float, float, float]:
        """Pose of the block in a snapshot: overlaps are drawn evenly, each from any direction.

        A near miss keeps 0.02 from the criterion: nearer, the camera's precision decides.
        """
        if kind == "positive":
            return _with_overlap(rng, self._success["iou_above"], 1.0)
        if kind == "near_miss":
            return _with_overlap(rng, 0.80, 0.93)
        while True:
            place = rng.uniform(self._object_low, self._object_high)
            pose = (float(place[0]), float(place[1]), float(rng.uniform(-math.pi, math.pi)))
            if overlap(*pose) < 0.80:
                return pose

    def _tool_away(self, pose: tuple[float, float, float], rng: np.random.Generator) -> Array:
        """A place of the tool at which the verifier may look, and where it touches nothing."""
        block = _outline(*pose).buffer(0.02)
        while True:
            tool = rng.uniform((-0.35, -0.25), (0.35, 0.25))
            away = math.hypot(tool[0] - GOAL_POSE[0], tool[1] - GOAL_POSE[1])
            if away > self._success["retract_distance_m"] and not block.contains(Point(tool)):
                return tool


def overlap(x_m: float, y_m: float, yaw_rad: float) -> float:
    """Intersection over union of the block's outline at this pose and at the goal, 0 to 1."""
    block = _outline(x_m, y_m, yaw_rad)
    shared = float(block.intersection(_GOAL_OUTLINE).area)
    return shared / (2.0 * float(_GOAL_OUTLINE.area) - shared)


def _with_overlap(rng: np.random.Generator, low: float, high: float) -> tuple[float, float, float]:
    """A pose whose overlap is drawn evenly from `low` to `high`, off the goal in any direction."""
    wanted = float(rng.uniform(low, high))
    # At 53 mm, the mean distance of the block's feet, turning and sliding count alike.
    way = rng.standard_normal(3) * (1.0, 1.0, 1.0 / 0.053)
    way /= np.linalg.norm(way * (1.0, 1.0, 0.053))
    near, far = 0.0, 0.08
    for _ in range(24):
        middle = 0.5 * (near + far)
        x, y, yaw = (float(value) for value in np.array(GOAL_POSE) + middle * way)
        near, far = (middle, far) if overlap(x, y, yaw) > wanted else (near, middle)
    x, y, yaw = (float(value) for value in np.array(GOAL_POSE) + near * way)
    return x, y, yaw


def _tool_beside(pose: tuple[float, float, float], rng: np.random.Generator) -> Array:
    """A place of the tool that touches the block."""
    around = _outline(*pose).buffer(0.0102).exterior
    point = around.interpolate(float(rng.random()), normalized=True)
    return np.array([point.x, point.y])


def _outline(x_m: float, y_m: float, yaw_rad: float) -> Polygon:
    turned = affinity.rotate(Polygon(OUTLINE_M), yaw_rad, origin=(0.0, 0.0), use_radians=True)
    return affinity.translate(turned, x_m, y_m)


_GOAL_OUTLINE = _outline(*GOAL_POSE)
_TOOL_CORNERS = [
    np.array([0.010 * math.cos(angle), 0.010 * math.sin(angle)])
    for angle in np.linspace(0.0, math.tau, 12, endpoint=False)
]
