"""Zip-tie cutting's trusted side: what the simulated station draws, senses, does and audits.

Truth stays on this side: `observe` adds noise, bias and latency, and only the hook of the blades,
`audit` and `fault` read real poses. Frame: origin at the middle of the table's face, x away from the
robot, z up; metres, radians and newtons.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robots.station.tasks import MjData, MjModel
from robots.tasks.zip_tie_cutting import scenes
from robots.tasks.zip_tie_cutting.tie import GRIP_M, JOINTS, LINK_M, TAIL_M, Scissors, Tie
from robots.world.draws import uniform
from robots.world.hand import Array, Observation, OneHand

# MuJoCo ships no type information.
mujoco: Any = importlib.import_module("mujoco")

HELD_M = (0.022, 0.050)
"""Gap between pads that hold the scissors, from closed to nearly open."""
HELD_N = 5.0
"""Least effort that tells held scissors, whose spring pushes back, from empty pads."""
CLEAR_X_M = -0.035
"""With the hand behind this, held scissors are out of the cameras' view of the tie."""
_START_TOOL: Array = np.array([-0.06 + GRIP_M, -0.06, 0.0051, 0.0])


class Simulation(OneHand):
    """Randomisation, sensing, acting and auditing of one simulated station."""

    START = np.array([-0.06, -0.06, 0.06, 0.0, 0.066])

    def __init__(self, model: MjModel, station_seed: int) -> None:
        rng = np.random.default_rng(station_seed)
        super().__init__(Path(__file__).parent, model, rng, slice(0, 4))
        draws = self._draws
        self._feeder: dict[str, Any] = self._fixtures["feeder"]
        sigma_m, sigma_rad = (draws[f"scissors_bias_station_sigma_{unit}"] for unit in ("m", "rad"))
        self._tool_bias_station: Array = rng.normal(0.0, (sigma_m, sigma_m, sigma_m, sigma_rad))
        self._mount_cameras(model, rng, ("front", "side"))
        hinge = int(model.joint("scissors_hinge").id)
        model.jnt_stiffness[hinge] *= uniform(rng, draws["spring_station"])
        self.scissors, self.tie = Scissors(model), Tie(model)
        self._arm = slice(0, 4)
        self._gripper = int(model.actuator("gripper").id)
        self._yaw = int(model.joint("hand_yaw").qposadr[0])
        self._pads = [int(model.geom(name).id) for name in ("pad_a", "pad_b")]
        self._rough = np.flatnonzero(model.geom_contype & 3)
        self._springs: Array = model.qpos_spring.copy()
        self._tool_bias = self._tool_bias_station
        self._joint_bias = np.zeros(3)
        self._offset, self._turn, self._strength_n = np.zeros(3), 0.0, 50.0
        self._served = False

    def place(self, model: MjModel, data: MjData, rng: np.random.Generator) -> None:
        """Power-on: the open hand waits above the scissors on their mat; a tie hangs ready."""
        del rng
        self.clear(model, data)
        self.scissors.put(data, _START_TOOL)
        self.pose(data, self.START)
        mujoco.mj_forward(model, data)

    def clear(self, model: MjModel, data: MjData) -> None:
        """A world with a fresh tie, in which nothing is known yet."""
        mujoco.mj_resetData(model, data)
        model.qpos_spring[:] = self._springs
        self.tie.present(data, self._offset, self._turn)
        self._seen.clear()
        self._served = False

    def pose(self, data: MjData, action: Array) -> None:
        """Puts the hand where a set-point would bring it."""
        data.ctrl[:4] = data.qpos[self._arm] = action[:4]
        data.ctrl[4] = data.qpos[self._finger] = data.qpos[self._finger + 1] = 0.5 * action[4]

    def randomise(self, model: MjModel, data: MjData, rng: np.random.Generator) -> None:
        """Draws what changes from episode to episode; moves nothing.

        A tie's place is drawn here and taken when the feeder presents the next one.
        """
        del data
        draws = self._draws
        most = draws["tie_place_episode_m"]
        self._offset = rng.uniform(-most, most, 3) * (1.0, 1.0, 0.5)
        self._turn = float(rng.uniform(-1.0, 1.0)) * draws["tie_turn_episode_rad"]
        self._strength_n = uniform(rng, draws["strength_episode_n"])
        self._joint_bias = rng.normal(0.0, draws["joint_bias_episode_sigma_m"], 3)
        self._force_bias = rng.normal(0.0, draws["force_bias_episode_sigma_n"], 3)
        away = rng.normal(0.0, draws["scissors_bias_episode_sigma_m"], 3)
        self._tool_bias = self._tool_bias_station + np.array([*away, 0.0])
        self._draw_episode(model, rng, self._rough)

    def reset_target(self, rng: np.random.Generator) -> Array:
        """Where the scissors shall lie and the hand hover: pivot x, y, direction, height (4,)."""
        place, turn = self._reset["place_m"], self._reset["turn_rad"]
        pivot = [uniform(rng, pair) for pair in zip(place["low"], place["high"], strict=True)]
        height = uniform(rng, self._reset["height_m"])
        return np.array([*pivot, uniform(rng, (-turn, turn)), height])

    def observe(self, model: MjModel, data: MjData, rng: np.random.Generator) -> Observation:
        """Sensors at this policy step, as `task.toml` declares them, float64.

        The feeder has sensors of its own: it is served here, once each time it is called.
        """
        called = self._feeder_called(data)
        if called and not self._served:
            model.qpos_spring[:] = self._springs
            self.tie.present(data, self._offset, self._turn)
            mujoco.mj_forward(model, data)
        self._served = called
        self._bite(data)
        draws = self._draws
        now = float(data.time)
        truth = np.concatenate([self.scissors.pose(data), self.tie.tail(data)])
        late = self._seen.see(now, truth, self._latency_s)
        near, turned = draws["scissors_noise_sigma_m"], draws["scissors_noise_sigma_rad"]
        scissors = late[:4] + self._tool_bias + rng.normal(0.0, (near, near, near, turned))
        fine = draws["hand_noise_sigma_m"]
        return {
            "hand_position_m": data.site_xpos[self._hand] + rng.normal(0.0, fine, 3),
            "hand_yaw_rad": data.qpos[self._yaw] + rng.normal(0.0, 0.0005, 1),
            "wrist_force_n": self._felt(data, rng),
            "finger_opening_m": self._opening(data) + rng.normal(0.0, fine, 1),
            "gripper_effort_n": self._effort(data)
            + rng.normal(0.0, draws["effort_noise_sigma_n"], 1),
            "scissors_pose": scissors,
            "joint_position_m": self.tie.named_joint(data)
            + self._joint_bias
            + rng.normal(0.0, draws["joint_noise_sigma_m"], 3),
            "tail_position_m": late[4:] + rng.normal(0.0, draws["tail_noise_sigma_m"], 3),
            "time_s": np.array([now]),
        }

    def apply(self, model: MjModel, data: MjData, action: Array) -> None:
        """Writes the limited hand target (4,) and gap between the pads to the servos."""
        del model
        self._bite(data)
        data.ctrl[:4] = action[:4]
        data.ctrl[4] = 0.5 * action[4]

    def _bite(self, data: MjData) -> None:
        self.tie.bite(data, self.scissors, self._effort(data), self._strength_n)

    def _effort(self, data: MjData) -> float:
        return -float(data.actuator_force[self._gripper])

    def _opening(self, data: MjData) -> float:
        return float(data.qpos[self._finger] + data.qpos[self._finger + 1])

    def _feeder_called(self, data: MjData) -> bool:
        """Whether the open hand is at the call place."""
        away = np.linalg.norm(data.site_xpos[self._hand] - self._feeder["position_m"])
        return bool(away < self._feeder["radius_m"]) and (
            self._opening(data) > self._feeder["opening_m"]
        )

    def fault(self, model: MjModel, data: MjData) -> str:
        """Names the task limit that is broken, or "": force, hand out of its box, tool lost."""
        del model
        pivot, axes = self.scissors.frame(data)
        grips, box = (pivot - GRIP_M * axes[:, 0])[:2], self._limits["tool_workspace_m"]
        lost = bool(np.any(grips < box["low"]) or np.any(grips > box["high"]))
        return self._hand_fault(data) or ("lost" if lost else "")

    def retracted(self, observation: Observation) -> bool:
        """Whether the verifier may look: the hand holds something, up, and out of the view."""
        return holds(observation) and float(observation["hand_position_m"][0]) < CLEAR_X_M

    def plausible(self, observation: Observation) -> bool:
        """Whether the tail is seen lower than it hangs, so that something may have been cut."""
        hung = float(observation["joint_position_m"][2]) - 2.0 * LINK_M - 0.5 * TAIL_M
        return float(observation["tail_position_m"][2]) < hung - 0.010

    def audit(self, model: MjModel, data: MjData) -> dict[str, float]:
        """Privileged truth for the ledger: what is cut, how far it fell, who holds what."""
        del model
        intact, fallen = self.tie.intact(data), self.tie.fallen_m(data)
        pairs = data.contact.geom
        gripped = all(self._touch(pairs, {pad}, self.scissors.grips) for pad in self._pads)
        held = gripped and float(self.scissors.pose(data)[2]) > 0.02
        free = not self._touch(pairs, self.tie.straps, self.scissors.edges | self.scissors.grips)
        done = intact == [False, *[True] * (len(JOINTS) - 1)] and held and free
        return {
            "named_cut": float(not intact[0]),
            "others_cut": float(intact[1:].count(False)),
            "fallen_m": fallen,
            "held": float(held),
            "tail_free": float(free),
            "success": float(done and fallen > self._success["fallen_above_m"]),
        }

    @staticmethod
    def _touch(pairs: NDArray[np.int32], some: set[int], others: set[int]) -> bool:
        """Whether one of some geoms touches one of others; pairs (n, 2)."""
        return any(
            (a in some and b in others) or (b in some and a in others) for a, b in pairs.tolist()
        )

    def snapshot(self, model: MjModel, data: MjData, rng: np.random.Generator, kind: str) -> None:
        """Puts the scene into a drawn state on which the verifier is to be scored."""
        scenes.play(self, model, data, rng, scenes.draw(rng, kind))

    def reset_reached(self, observation: Observation, target: Array) -> bool:
        """Post-condition of a reset, from sensors: scissors in place, hand over them, tie whole."""
        away = observation["scissors_pose"] - [*target[:2], 0.005, target[2]]
        within = self._reset["tolerance_m"]
        placed = np.abs(away[:3]).max() < within and abs(away[3]) < self._reset["tolerance_rad"]
        wanted = hover(target)
        turned = abs(float(observation["hand_yaw_rad"][0]) - wanted[3])
        off = float(np.linalg.norm(observation["hand_position_m"] - wanted[:3]))
        over = off < within and turned < self._reset["tolerance_rad"]
        open_wide = float(observation["finger_opening_m"][0]) > self._feeder["opening_m"]
        hung = observation["joint_position_m"] - (0.0, 0.0, 2.0 * LINK_M + 0.5 * TAIL_M)
        whole = np.linalg.norm(observation["tail_position_m"] - hung) < 0.012
        return bool(placed and over and open_wide and whole)

    def evidence(self, history: Sequence[Observation]) -> dict[str, float]:
        """Where an episode ended, from sensors alone; oldest observation first."""
        last = history[-1]
        fallen = np.array(
            [
                frame["joint_position_m"][2]
                - 2.0 * LINK_M
                - 0.5 * TAIL_M
                - frame["tail_position_m"][2]
                for frame in history
            ]
        )
        efforts = [float(frame["gripper_effort_n"][0]) for frame in history]
        reach = [frame["joint_position_m"] - frame["scissors_pose"][:3] for frame in history]
        nearest = min(reach, key=lambda away: float(np.hypot(away[1], away[2])) + abs(away[0]))
        return {
            "tail_fallen_m": float(np.mean(fallen[-8:])),
            "peak_effort_n": max(efforts),
            "effort_n": float(np.mean(efforts[-8:])),
            "opening_m": float(last["finger_opening_m"][0]),
            "scissors_height_m": float(last["scissors_pose"][2]),
            "nearest_ahead_m": float(nearest[0]),
            "nearest_beside_m": float(nearest[1]),
            "nearest_above_m": float(nearest[2]),
            "peak_force_n": max(float(np.linalg.norm(f["wrist_force_n"])) for f in history),
            "time_s": float(last["time_s"][0] - history[0]["time_s"][0]),
        }

    def failure_tags(self, history: Sequence[Observation]) -> list[str]:
        """Names how a failed episode ended, from sensors: evidence that steers an agent.

        Tags: `no_tool` (scissors not in the hand), `force` (pressed hard), `cut` (something fell:
        the wrong joint, more than one, or it was not shown), `carried` (it hangs in the blades),
        `weak` (blades on the strap, too little effort), `beside` (never between the blades).
        """
        found = self.evidence(history)
        tags: list[str] = []
        if not holds(history[-1]):
            tags.append("no_tool")
        if found["peak_force_n"] > 0.6 * self._limits["force_n"]:
            tags.append("force")
        if found["tail_fallen_m"] > 0.6 * self._success["fallen_above_m"]:
            high = float(history[-1]["tail_position_m"][2]) > 0.5 * TAIL_M + 0.01
            tags.append("carried" if high else "cut")
        elif abs(found["nearest_beside_m"]) < 0.004 and 0.006 < found["nearest_ahead_m"] < 0.045:
            tags.append("weak")
        else:
            tags.append("beside")
        return tags


def holds(observation: Observation) -> bool:
    """Whether the pads are as far apart as the scissors' grips, feel their spring, and are up."""
    opening = float(observation["finger_opening_m"][0])
    return (
        HELD_M[0] < opening < HELD_M[1]
        and float(observation["gripper_effort_n"][0]) > HELD_N
        and float(observation["hand_position_m"][2]) > 0.03
    )


def hover(target: Array) -> Array:
    """Hand x, y, z and turn (4,) above the grips of scissors that lie as a reset shall leave them."""
    x, y, turn, height = target
    return np.array([x - GRIP_M * np.cos(turn), y - GRIP_M * np.sin(turn), height, turn])
