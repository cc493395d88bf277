"""Pin insertion's trusted side: what the simulated station draws, senses, does and audits.

Truth stays in this file: `observe` adds noise, bias and latency, and only `audit` and `fault` read
the pin's real pose. Frame everywhere: origin at the middle of the box's upper face, x away from the
arm, z up; metres, radians and newtons.
"""

import importlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robots.station.tasks import MjData, MjModel
from robots.tasks.pin_insertion.arm import Arm
from robots.tasks.pin_insertion.scenes import GRASP_M, KNOB_M, PITCH_M, draw
from robots.world.draws import uniform
from robots.world.hand import Array, Observation, OneHand

# MuJoCo ships no type information.
mujoco: Any = importlib.import_module("mujoco")

HELD_M = (KNOB_M - 0.0015, KNOB_M + 0.0015)
"""Gap between pads that hold the knob."""


def hole_at(target: Array) -> Array:
    """Middle (3,) of a hole's rim by its column and row."""
    return np.array([(target[0] - 1.0) * PITCH_M, (target[1] - 1.0) * PITCH_M, 0.0])


class Simulation(OneHand):
    """Randomisation, sensing, acting and auditing of one simulated station."""

    START = np.array([0.0, 0.1, 0.095, 0.026])

    def __init__(self, model: MjModel, station_seed: int) -> None:
        rng = np.random.default_rng(station_seed)
        super().__init__(Path(__file__).parent, model, rng, slice(0, 6))
        draws = self._draws
        self._feeder: dict[str, Any] = self._fixtures["feeder"]
        self._tip_bias: Array = rng.normal(0.0, draws["tip_bias_station_sigma_m"], 3)
        self._mount_cameras(model, rng, ("front", "side"))
        model.body_gravcomp[:] *= 1.0 - uniform(rng, draws["weight_left_station"])
        self._hinges = slice(0, 6)
        self._arm = Arm()
        self._pin = int(model.joint("pin").qposadr[0])
        self._pin_dof = int(model.joint("pin").dofadr[0])
        self._pin_body = int(model.body("pin").id)
        shaft = [int(model.geom(name).id) for name in ("shaft", "knob")]
        self._rubbing = [*np.flatnonzero(model.geom_contype == 1), *shaft]
        self._target = np.array([1.0, 1.0])
        self._hole_bias = np.zeros(3)
        self._tilt = (0.0, 0.0)

    def place(self, model: MjModel, data: MjData, rng: np.random.Generator) -> None:
        """Power-on: the open hand waits above the feeder, in whose nest a pin stands."""
        del rng
        mujoco.mj_resetData(model, data)
        self._pose(data, self.START)
        self._present(data)
        self._seen.clear()
        mujoco.mj_forward(model, data)

    def randomise(self, model: MjModel, data: MjData, rng: np.random.Generator) -> None:
        """Draws what changes from episode to episode; moves nothing."""
        del data
        draws = self._draws
        self._target = rng.integers(0, 3, 2).astype(np.float64)
        self._hole_bias = rng.normal(0.0, draws["hole_bias_episode_sigma_m"], 3) * (1.0, 1.0, 0.2)
        self._force_bias = rng.normal(0.0, draws["force_bias_episode_sigma_n"], 3)
        most = draws["tilt_episode_rad"]
        self._tilt = (uniform(rng, (-most, most)), uniform(rng, (-most, most)))
        self._draw_episode(model, rng, self._rubbing)

    def reset_target(self, rng: np.random.Generator) -> Array:
        """Where the hand shall hover with the pin (3,), in metres."""
        reach = self._reset["lateral_m"]
        offset = rng.uniform((-reach, -reach), (reach, reach))
        height = GRASP_M + uniform(rng, self._reset["height_m"])
        return hole_at(self._target) + np.array([*offset, height])

    def observe(self, model: MjModel, data: MjData, rng: np.random.Generator) -> Observation:
        """Sensors at this policy step, as `task.toml` declares them, float64.

        The feeder has sensors of its own: it is served here, once a policy step.
        """
        if self._feeder_called(data):
            self._present(data)
            mujoco.mj_forward(model, data)
        draws = self._draws
        now = float(data.time)
        tip = self._seen.see(now, data.xpos[self._pin_body], self._latency_s) + self._tip_bias
        hole = hole_at(self._target) + self._hole_bias
        hand = data.site_xpos[self._hand]
        return {
            "hand_position_m": hand + rng.normal(0.0, draws["hand_noise_sigma_m"], 3),
            "wrist_force_n": self._felt(data, rng),
            "finger_opening_m": self._opening(data)
            + rng.normal(0.0, draws["hand_noise_sigma_m"], 1),
            "hole_position_m": hole + rng.normal(0.0, draws["hole_noise_sigma_m"], 3),
            "pin_tip_m": tip + rng.normal(0.0, draws["tip_noise_sigma_m"], 3),
            "target_hole": self._target.copy(),
            "time_s": np.array([now]),
        }

    def apply(self, model: MjModel, data: MjData, action: Array) -> None:
        """Writes the limited hand target (3,) and gap between the pads, in metres, to the servos."""
        del model
        data.ctrl[:6] = self._arm.joints_of(action[:3], self._tilt)
        data.ctrl[6] = 0.5 * action[3]

    def _pose(self, data: MjData, action: Array) -> None:
        """Puts the arm where a set-point would bring it."""
        data.ctrl[:6] = data.qpos[self._hinges] = self._arm.joints_of(action[:3], self._tilt)
        data.ctrl[6] = 0.5 * action[3]
        data.qpos[self._finger : self._finger + 2] = 0.5 * action[3]

    def _feeder_called(self, data: MjData) -> bool:
        """Whether the open hand waits above the nest, and nothing stands in that."""
        feeder = self._feeder
        away = np.linalg.norm(data.site_xpos[self._hand] - feeder["position_m"])
        if away > feeder["radius_m"] or self._opening(data) < feeder["opening_m"]:
            return False
        nest = np.array([feeder["position_m"][0], feeder["position_m"][1], -0.015])
        upright = float(data.xmat[self._pin_body][8]) > 0.99
        return not upright or float(np.linalg.norm(data.xpos[self._pin_body] - nest)) > 0.002

    def _present(self, data: MjData) -> None:
        x, y, _ = self._feeder["position_m"]
        data.qpos[self._pin : self._pin + 7] = (x, y, -0.0149, 1.0, 0.0, 0.0, 0.0)
        data.qvel[self._pin_dof : self._pin_dof + 6] = 0.0

    def fault(self, model: MjModel, data: MjData) -> str:
        """Names the task limit that is broken, or "": force, hand out of its box, pin dropped."""
        del model
        dropped = "" if self._slip(data) <= self._limits["grasp_m"] else "dropped"
        return self._hand_fault(data) or dropped

    def _slip(self, data: MjData) -> float:
        """How far the knob's middle lies from the middle between the pads."""
        knob = data.xpos[self._pin_body] + GRASP_M * data.xmat[self._pin_body].reshape(3, 3)[:, 2]
        return float(np.linalg.norm(knob - data.site_xpos[self._hand]))

    def retracted(self, observation: Observation) -> bool:
        """Whether the verifier may look: the hand holds something, and presses on nothing hard."""
        opening = float(observation["finger_opening_m"][0])
        force = float(np.linalg.norm(observation["wrist_force_n"]))
        return HELD_M[0] < opening < HELD_M[1] and force < self._success["force_below_n"]

    def plausible(self, observation: Observation) -> bool:
        """Whether the hand is low enough for a pin that it holds to be deep in a hole."""
        return float(observation["hand_position_m"][2]) < GRASP_M - 0.007

    def audit(self, model: MjModel, data: MjData) -> dict[str, float]:
        """Privileged truth for the ledger: depth, tilt, distance from the hole, success."""
        del model
        tip = data.xpos[self._pin_body]
        away = float(np.hypot(*(tip - hole_at(self._target))[:2]))
        depth = -float(tip[2])
        tilt = math.acos(min(1.0, float(data.xmat[self._pin_body][8])))
        wanted = self._success
        done = (
            depth > wanted["depth_above_m"]
            and away < 0.5 * PITCH_M
            and tilt < wanted["upright_within_rad"]
            and float(np.linalg.norm(self._force(data))) < wanted["force_below_n"]
            and self._slip(data) < self._limits["grasp_m"]
            and self._opening(data) < HELD_M[1]
        )
        return {"depth_m": depth, "away_m": away, "tilt_rad": tilt, "success": float(done)}

    def snapshot(self, model: MjModel, data: MjData, rng: np.random.Generator, kind: str) -> None:
        """Puts the scene into a drawn state on which the verifier is to be scored."""
        scene = draw(rng, kind, hole_at(self._target))
        mujoco.mj_resetData(model, data)
        self._pose(data, scene.hand)
        data.ctrl[:6] = self._arm.joints_of(scene.hand[:3] - [0.0, 0.0, scene.press_m], self._tilt)
        if scene.held:
            data.ctrl[6] = 0.002
        data.qpos[self._pin : self._pin + 7] = scene.pin
        self._seen.clear()
        mujoco.mj_step(model, data, nstep=100)
        mujoco.mj_forward(model, data)

    def reset_reached(self, observation: Observation, target: Array) -> bool:
        """Post-condition of a reset, from sensors: the hand hovers where it shall and has the pin."""
        within = self._reset["tolerance_m"]
        hand, tip = observation["hand_position_m"], observation["pin_tip_m"]
        held = HELD_M[0] < float(observation["finger_opening_m"][0]) < HELD_M[1]
        below = np.linalg.norm(hand - tip - np.array([0.0, 0.0, GRASP_M]))
        return held and bool(np.linalg.norm(hand - target) < within and below < within)

    def evidence(self, history: Sequence[Observation]) -> dict[str, float]:
        """Where an episode ended, from sensors alone; oldest observation first."""
        last = list(history[-8:])
        tip = np.mean([frame["pin_tip_m"] for frame in last], axis=0)
        hole = np.mean([frame["hole_position_m"] for frame in last], axis=0)
        forces = [float(np.linalg.norm(frame["wrist_force_n"])) for frame in history]
        return {
            "depth_m": -float(tip[2]),
            "most_depth_m": max(-float(frame["pin_tip_m"][2]) for frame in history),
            "lateral_m": float(np.hypot(*(tip - hole)[:2])),
            "opening_m": float(last[-1]["finger_opening_m"][0]),
            "force_n": float(np.mean(forces[-8:])),
            "peak_force_n": max(forces),
            "time_s": float(history[-1]["time_s"][0] - history[0]["time_s"][0]),
        }

    def failure_tags(self, history: Sequence[Observation]) -> list[str]:
        """Names how a failed episode ended, from sensors: evidence that steers an agent.

        Tags: `drop` (nothing in the fingers), `force` (pressed hard), `near_miss` (half in), `jam`
        (half in and pressing), `beside` (at the rim), `above` (never came down), `timeout`.
        """
        found = self.evidence(history)
        tags: list[str] = []
        if not HELD_M[0] < found["opening_m"] < HELD_M[1]:
            tags.append("drop")
        if found["peak_force_n"] > self._success["force_below_n"]:
            tags.append("force")
        # Where it came deepest: a policy that tries again may end on its way up.
        depth = found["most_depth_m"]
        if depth > 0.003:
            tags.append("near_miss")
            if found["force_n"] > 5.0:
                tags.append("jam")
        else:
            tags.append("beside" if depth > -0.003 else "above")
        if found["time_s"] > 0.5 * self._limits["episode_limit_s"]:
            tags.append("timeout")
        return tags
