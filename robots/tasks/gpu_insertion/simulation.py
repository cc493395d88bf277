"""GPU insertion's trusted side: what the simulated station draws, senses, does and audits.

Truth stays in this file: `observe` adds noise, bias and latency, and only `audit`, `fault` and the
fixtures read where card, latch and board really are. Frame: origin at the middle of the slot's floor
where the stage has the board in its middle, x along the slot, z up; metres, radians and newtons.
"""

import importlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robots.station.tasks import MjData, MjModel
from robots.tasks.gpu_insertion.scenes import END_M, GRASP_M, RAIL_M, draw
from robots.world.draws import uniform
from robots.world.hand import Array, Observation, OneHand

# MuJoCo ships no type information.
mujoco: Any = importlib.import_module("mujoco")

HELD_M = (RAIL_M - 0.0015, RAIL_M + 0.0015)
"""Gap between pads that hold the rail."""
_GRIP_M, _SPRUNG_M = 0.004, 0.00045
_IN_SLOT_M = 0.010
"""Below this height a card over the slot is in it."""


class Simulation(OneHand):
    """Randomisation, sensing, acting and auditing of one simulated station."""

    START = np.array([0.0, 0.20, 0.160, 0.0, 0.0, 0.026])

    def __init__(self, model: MjModel, station_seed: int) -> None:
        rng = np.random.default_rng(station_seed)
        super().__init__(Path(__file__).parent, model, rng, np.arange(5))
        draws = self._draws
        self._stage: dict[str, float] = self._fixtures["stage"]
        self._rack: dict[str, Any] = self._fixtures["rack"]
        self._card_bias: Array = rng.normal(0.0, draws["card_bias_station_sigma"])
        self._pitch_zero: float = rng.normal() * draws["pitch_zero_station_sigma_rad"]
        self._mount_cameras(model, rng, ("front", "side"))
        self._axes = _places(model, "x", "y", "z", "yaw", "pitch")
        self._fingers = _places(model, "finger_a", "finger_b")
        self._sprung = _places(model, *(f"{side}{n}" for side in ("left", "right") for n in "0123"))
        (self._latch, self._card) = _places(model, "latch", "card").tolist()
        self._card_dof = int(model.joint("card").dofadr[0])
        self._card_body = int(model.body("card").id)
        scale = uniform(rng, draws["mass_station_kg"]) / model.body_mass[self._card_body]
        model.body_mass[self._card_body] *= scale
        model.body_inertia[self._card_body] *= scale
        self._rubbing = [*np.flatnonzero(model.geom_contype == 8), model.geom("tongue").id]
        self._board, self._board_goal = np.zeros(3), np.zeros(3)
        self._slot_bias = np.zeros(3)

    def place(self, model: MjModel, data: MjData, rng: np.random.Generator) -> None:
        """Power-on: the open hand waits above the rack, in which the card stands; the latch is shut."""
        mujoco.mj_resetData(model, data)
        self._board = self._board_goal = self._drawn_board(rng)
        self._put_board(data)
        self._pose(data, self.START)
        self._present(data)
        self._seen.clear()
        mujoco.mj_forward(model, data)

    def randomise(self, model: MjModel, data: MjData, rng: np.random.Generator) -> None:
        """Draws what changes from episode to episode; moves nothing: the stage will."""
        del data
        draws = self._draws
        self._board_goal = self._drawn_board(rng)
        sigma_m, sigma_rad = (draws[f"slot_bias_episode_sigma_{unit}"] for unit in ("m", "rad"))
        self._slot_bias = rng.normal(0.0, (sigma_m, sigma_m, sigma_rad))
        self._force_bias = rng.normal(0.0, draws["force_bias_episode_sigma_n"], 3)
        self._draw_episode(model, rng, self._rubbing)

    def _drawn_board(self, rng: np.random.Generator) -> Array:
        most = np.array([self._draws["board_m"]] * 2 + [self._draws["board_rad"]])
        return rng.uniform(-most, most)

    def reset_target(self, rng: np.random.Generator) -> Array:
        """Where the hand shall hover with the card (4,): x, y, z in metres, yaw in radians."""
        reach, turn = self._reset["lateral_m"], self._reset["turn_rad"]
        x, y, yaw = self._board_goal + rng.uniform((-reach, -reach, -turn), (reach, reach, turn))
        return np.array([x, y, GRASP_M + uniform(rng, self._reset["height_m"]), yaw])

    # Sensing and acting -------------------------------------------------------------------------

    def observe(self, model: MjModel, data: MjData, rng: np.random.Generator) -> Observation:
        """Sensors at this policy step, as `task.toml` declares them, float64.

        The fixtures have sensors of their own: they are served here, once a policy step.
        """
        self._serve(model, data)
        draws, now = self._draws, float(data.time)
        seen = self._seen.see(
            now, np.append(self._card_pose(data), data.qpos[self._latch]), self._latency_s
        )
        slot_sigma = [draws["slot_noise_sigma_m"]] * 2 + [draws["slot_noise_sigma_rad"]]
        return {
            "hand_position_m": data.site_xpos[self._hand]
            + rng.normal(0.0, draws["hand_noise_sigma_m"], 3),
            "hand_angles_rad": data.qpos[self._axes[3:]]
            - (0.0, self._pitch_zero)
            + rng.normal(0.0, draws["hand_noise_sigma_rad"], 2),
            "wrist_force_n": self._felt(data, rng),
            "finger_opening_m": self._opening(data)
            + rng.normal(0.0, draws["hand_noise_sigma_m"], 1),
            "grip_effort_n": abs(float(data.actuator_force[5]))
            + rng.normal(0.0, draws["force_noise_sigma_n"], 1),
            "slot_pose": self._board + self._slot_bias + rng.normal(0.0, slot_sigma),
            "card_pose": seen[:5] + self._card_bias + rng.normal(0.0, draws["card_noise_sigma"]),
            "latch_open_rad": seen[5:] + rng.normal(0.0, draws["latch_noise_sigma_rad"], 1),
            "time_s": np.array([now]),
        }

    def apply(self, model: MjModel, data: MjData, action: Array) -> None:
        """Writes the limited hand target x, y, z, yaw, pitch and gap (6,) to the servos."""
        del model
        data.ctrl[:6] = action
        data.ctrl[4] += self._pitch_zero
        data.ctrl[5] *= 0.5

    def _pose(self, data: MjData, action: Array) -> None:
        """Puts the hand where a set-point would bring it."""
        self.apply(None, data, action)
        data.qpos[self._axes] = data.ctrl[:5]
        data.qpos[self._fingers] = data.ctrl[5]

    def _card_pose(self, data: MjData) -> Array:
        """True x, y, z, yaw and pitch (5,) of the card."""
        turned = data.xmat[self._card_body].reshape(3, 3)
        yaw = math.atan2(turned[1, 0], turned[0, 0])
        pitch = math.atan2(-turned[2, 0], math.hypot(turned[0, 0], turned[1, 0]))
        return np.array([*data.xpos[self._card_body], yaw, pitch])

    # Fixtures -----------------------------------------------------------------------------------

    def _serve(self, model: MjModel, data: MjData) -> None:
        """Lets rack and stage do what the hand's place asks for."""
        rack, stage, hand = self._rack, self._stage, data.site_xpos[self._hand]
        called = np.linalg.norm(hand - rack["position_m"]) < rack["radius_m"]
        racked = self._racked(data)
        asked = called and self._opening(data) > rack["opening_m"]
        if asked and not racked and not self._in_slot(data):
            self._present(data)
            mujoco.mj_forward(model, data)
        away = self._board_goal - self._board
        high = hand[2] > stage["clear_z_m"] or hand[1] > stage["clear_y_m"]
        if not away.any() or not high or not (racked or self._slip(data) < 0.01):
            return
        most = self._period_s * np.array([stage["speed_m_s"]] * 2 + [stage["turn_rad_s"]])
        self._board = self._board + np.clip(away, -most, most)
        self._put_board(data)

    def _racked(self, data: MjData) -> bool:
        away = data.xpos[self._card_body] - (*self._rack["position_m"][:2], 0.0)
        upright = float(data.xmat[self._card_body][8]) > 0.99
        return upright and abs(away[0]) < 0.006 and abs(away[1]) < 0.004 and abs(away[2]) < 0.003

    def _in_slot(self, data: MjData) -> bool:
        x, y, z, _, _ = self._from_slot(data)
        upright = float(data.xmat[self._card_body][8]) > 0.97
        return upright and z < _IN_SLOT_M and abs(y) < 0.003 and abs(x) < 0.006

    def _present(self, data: MjData) -> None:
        x, y, _ = self._rack["position_m"]
        data.qpos[self._card : self._card + 7] = (x, y, 0.0001, 1.0, 0.0, 0.0, 0.0)
        data.qvel[self._card_dof : self._card_dof + 6] = 0.0

    def _put_board(self, data: MjData) -> None:
        x, y, yaw = self._board
        data.mocap_pos[0] = (x, y, 0.0)
        data.mocap_quat[0] = (math.cos(0.5 * yaw), 0.0, 0.0, math.sin(0.5 * yaw))

    # Judging ------------------------------------------------------------------------------------

    def fault(self, model: MjModel, data: MjData) -> str:
        """Names the task limit that is broken, or "": force, hand out of its box, card dropped."""
        del model
        lost = self._slip(data) > self._limits["grasp_m"] and not self._in_slot(data)
        return self._hand_fault(data) or ("dropped" if lost else "")

    def _slip(self, data: MjData) -> float:
        """How far the rail's middle lies from the middle between the pads."""
        up = data.xmat[self._card_body].reshape(3, 3)[:, 2]
        rail = data.xpos[self._card_body] + GRASP_M * up
        return float(np.linalg.norm(rail - data.site_xpos[self._hand]))

    def retracted(self, observation: Observation) -> bool:
        """Whether the verifier may look: the hand is above the marks, and presses on nothing hard."""
        force = float(np.linalg.norm(observation["wrist_force_n"]))
        high = float(observation["hand_position_m"][2]) > 0.070
        return high and force < self._success["force_below_n"]

    def plausible(self, observation: Observation) -> bool:
        """Whether the card is seen low enough, and the latch shut enough, to look closer."""
        low = float(observation["card_pose"][2]) < 0.003
        return low and float(observation["latch_open_rad"][0]) < 0.12

    def _from_slot(self, data: MjData) -> Array:
        """The card's true pose (5,) in the slot's frame."""
        seen = self._card_pose(data)
        x, y, yaw = self._board
        along = np.array([math.cos(yaw), math.sin(yaw)])
        off = seen[:2] - (x, y)
        across = along[0] * off[1] - along[1] * off[0]
        return np.array([along @ off, across, seen[2], seen[3] - yaw, seen[4]])

    def audit(self, model: MjModel, data: MjData) -> dict[str, float]:
        """Privileged truth for the ledger: both ends' heights, tilt, latch, force, success."""
        del model
        x, y, z, turn, pitch = self._from_slot(data)
        ends = z - END_M * math.sin(pitch), z + END_M * math.sin(pitch)
        latch, force = float(data.qpos[self._latch]), float(np.linalg.norm(self._force(data)))
        wanted = self._success
        done = (
            max(abs(end) for end in ends) < wanted["end_above_floor_m"]
            and abs(pitch) < wanted["tilt_below_rad"]
            and max(abs(x), abs(y)) < wanted["beside_below_m"]
            and abs(turn) < 0.05
            and abs(latch) < wanted["latch_below_rad"]
            and force < wanted["force_below_n"]
        )
        return {
            "latch_end_m": ends[0],
            "far_end_m": ends[1],
            "beside_m": math.hypot(x, y),
            "tilt_rad": abs(pitch),
            "latch_rad": latch,
            "force_n": force,
            "success": float(done),
        }

    def snapshot(self, model: MjModel, data: MjData, rng: np.random.Generator, kind: str) -> None:
        """Puts the scene into a drawn state on which the verifier is to be scored."""
        scene = draw(rng, kind)
        self._board = self._board_goal = self._drawn_board(rng)
        mujoco.mj_resetData(model, data)
        self._put_board(data)
        along, across, z, turn, pitch = scene.card
        card = np.array([*self._on_board(along, across), z])
        yaw = float(self._board[2] + turn)
        half, lean = 0.5 * yaw, 0.5 * pitch
        (cos, sin), (up, tip) = ((math.cos(a), math.sin(a)) for a in (half, lean))
        turned = (cos * up, -sin * tip, cos * tip, sin * up)
        data.qpos[self._card : self._card + 7] = (*card, *turned)
        if scene.held:
            lean_m = GRASP_M * math.sin(pitch)
            off = lean_m * math.cos(yaw), lean_m * math.sin(yaw), GRASP_M * math.cos(pitch)
            hand = card + np.array(off)
            self._pose(data, np.array([*hand, yaw, pitch - self._pitch_zero, RAIL_M]))
            data.ctrl[5] = 0.5 * _GRIP_M
            stiffness = float(model.actuator_gainprm[2, 0])
            data.ctrl[2] -= (scene.press_n - 9.81 * model.body_mass[self._card_body]) / stiffness
        else:
            hand = (*self._on_board(*scene.hand[:2]), scene.hand[2], yaw, 0.0, 0.026)
            self._pose(data, np.array(hand))
        data.qpos[self._latch] = scene.latch_rad
        if z < 0.006:
            data.qpos[self._sprung] = _SPRUNG_M
        self._seen.clear()
        mujoco.mj_step(model, data, nstep=150)
        mujoco.mj_forward(model, data)

    def _on_board(self, along: float, across: float) -> Array:
        """Where a place of the board's frame is (2,)."""
        x, y, yaw = self._board
        cos, sin = math.cos(yaw), math.sin(yaw)
        return np.array([x + cos * along - sin * across, y + sin * along + cos * across])

    def reset_reached(self, observation: Observation, target: Array) -> bool:
        """Post-condition of a reset, from sensors.

        The hand hovers where it shall and holds the card, the stage has arrived, the latch is shut.
        """
        within = self._reset["tolerance_m"]
        hand, card = observation["hand_position_m"], observation["card_pose"]
        turn = float(observation["hand_angles_rad"][0] - target[3])
        off = float(np.linalg.norm(hand - card[:3] - np.array([0.0, 0.0, GRASP_M])))
        slot = float(np.linalg.norm(observation["slot_pose"][:2] - target[:2]))
        return (
            HELD_M[0] < float(observation["finger_opening_m"][0]) < HELD_M[1]
            and float(np.linalg.norm(hand - target[:3])) < within
            and abs(turn) < self._reset["tolerance_rad"]
            and off < within
            and slot < 0.015
            and abs(float(observation["latch_open_rad"][0])) < 0.1
        )

    # Evidence -----------------------------------------------------------------------------------

    def evidence(self, history: Sequence[Observation]) -> dict[str, float]:
        """Where an episode ended, from sensors alone; oldest observation first."""
        last = list(history[-8:])
        card = np.mean([frame["card_pose"] for frame in last], axis=0)
        slot = np.mean([frame["slot_pose"] for frame in last], axis=0)
        forces = [float(np.linalg.norm(frame["wrist_force_n"])) for frame in history]
        return {
            "height_m": float(card[2]),
            "least_height_m": min(float(frame["card_pose"][2]) for frame in history),
            "lateral_m": float(np.hypot(*(card - np.append(slot, (0, 0)))[:2])),
            "tilt_rad": float(card[4]),
            "latch_rad": float(np.mean([frame["latch_open_rad"][0] for frame in last])),
            "opening_m": float(last[-1]["finger_opening_m"][0]),
            "force_n": float(np.mean(forces[-8:])),
            "peak_force_n": max(forces),
            "time_s": float(history[-1]["time_s"][0] - history[0]["time_s"][0]),
        }

    def failure_tags(self, history: Sequence[Observation]) -> list[str]:
        """Names how a failed episode ended, from sensors: evidence that steers an agent.

        Tags: `drop` (nothing in the fingers, card not down), `force` (pressed too hard), `near_miss`
        (down or nearly), `half_in`, `on_top` (stood on the slot's rim), `above` (never came down),
        `tilt`, `latch` (not shut), `timeout`.
        """
        found = self.evidence(history)
        tags: list[str] = []
        least = found["least_height_m"]
        if not HELD_M[0] < found["opening_m"] < HELD_M[1] and found["height_m"] > 0.003:
            tags.append("drop")
        if found["peak_force_n"] > self._success["force_below_n"]:
            tags.append("force")
        bounds = (("near_miss", 0.003), ("half_in", 0.0095), ("on_top", 0.0145))
        tags.append(next((tag for tag, below in bounds if least < below), "above"))
        if abs(found["tilt_rad"]) > 2.0 * self._success["tilt_below_rad"]:
            tags.append("tilt")
        if found["latch_rad"] > 0.1:
            tags.append("latch")
        if found["time_s"] > 0.9 * self._limits["episode_limit_s"]:
            tags.append("timeout")
        return tags


def _places(model: MjModel, *joints: str) -> NDArray[np.int64]:
    """Where the first coordinate of each joint lies in `qpos`."""
    return np.array([int(model.joint(name).qposadr[0]) for name in joints])
