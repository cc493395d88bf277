"""Zip-tie fastening's trusted side: what the simulated station draws, senses, does and audits.

Truth stays in this file: `observe` adds noise, bias and latency, and only `audit` and `fault` read
the tie's real pose. Frame everywhere: origin in the middle of the window of a head in the nest, the
strap leaves along x and enters along -y, z up; metres, radians and newtons.
"""

import importlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robots.station.tasks import MjData, MjModel
from robots.tasks.zip_tie_fastening.scenes import Scene, draw
from robots.tasks.zip_tie_fastening.tie import STRAP_M, Tie
from robots.world.draws import uniform
from robots.world.hand import Array, Observation, OneHand

# MuJoCo ships no type information.
mujoco: Any = importlib.import_module("mujoco")

HELD_M = (STRAP_M - 0.0006, STRAP_M + 0.0006)
"""Gap between pads that hold the strap."""
_TICK_STEPS = 10


class Simulation(OneHand):
    """Randomisation, sensing, acting and auditing of one simulated station."""

    START = np.array([0.0, 0.0, 0.060, 0.0, 0.016])

    def __init__(self, model: MjModel, station_seed: int) -> None:
        rng = np.random.default_rng(station_seed)
        super().__init__(Path(__file__).parent, model, rng, slice(0, 4))
        draws = self._draws
        self._tip_bias: Array = rng.normal(0.0, draws["tip_bias_station_sigma_m"], 3)
        self._mount_cameras(model, rng, ("top", "side"))
        self._tie = Tie(model)
        self._arm = [int(model.joint(name).qposadr[0]) for name in ("x", "y", "z", "yaw")]
        self._fingers = [int(model.joint(name).qposadr[0]) for name in ("finger_a", "finger_b")]
        self._pads = {int(model.geom(name).id) for name in ("pad_a", "pad_b")}
        self._clamp = int(model.equality("clamp").id)
        self._rubbing = np.flatnonzero(np.isin(model.geom_contype, (1, 2)))
        self._window_bias: Array = np.zeros(3)
        self._on_crown = 0

    def place(self, model: MjModel, data: MjData, rng: np.random.Generator) -> None:
        """Puts the scene where it is at power-on: a tie in the nest, the open hand above."""
        self._pose(data, self.START)
        self._present(model, data, rng)
        mujoco.mj_forward(model, data)

    def randomise(self, model: MjModel, data: MjData, rng: np.random.Generator) -> None:
        """Draws what changes from episode to episode; moves nothing."""
        del data
        draws = self._draws
        self._window_bias = rng.normal(0.0, draws["window_bias_episode_sigma_m"], 3)
        self._force_bias = rng.normal(0.0, draws["force_bias_episode_sigma_n"], 3)
        self._draw_episode(model, rng, self._rubbing)

    def reset_target(self, rng: np.random.Generator) -> Array:
        """Where the held strap's tip shall hover (3,), from the origin, in metres."""
        wide, high = self._reset["lateral_m"], self._reset["height_m"]
        away = uniform(rng, self._reset["away_m"])
        return np.array([rng.uniform(-wide, wide), away, rng.uniform(-high, high)])

    def observe(self, model: MjModel, data: MjData, rng: np.random.Generator) -> Observation:
        """Sensors at this policy step, as `task.toml` declares them, float64.

        Ratchet and fixtures act here too, once a policy step, since `apply` is not called for a
        robot that stands still.
        """
        self._serve(model, data, rng)
        draws = self._draws
        now, hand = float(data.time), data.site_xpos[self._hand]
        ahead = data.site_xmat[self._tie.tip].reshape(3, 3)[:, 0]
        turn = math.atan2(ahead[0], -ahead[1])
        sight = np.array([*data.site_xpos[self._tie.tip], turn])
        seen = self._seen.see(now, sight, self._latency_s)
        tip_noise = rng.normal(0.0, draws["tip_noise_sigma_m"], 3)
        window = data.xpos[self._tie.head] + self._window_bias
        return {
            "hand_position_m": hand + rng.normal(0.0, draws["hand_noise_sigma_m"], 3),
            "hand_yaw_rad": data.qpos[self._arm[3:]]
            + rng.normal(0.0, draws["yaw_noise_sigma_rad"], 1),
            "wrist_force_n": self._felt(data, rng),
            "finger_opening_m": self._opening(data)
            + rng.normal(0.0, draws["hand_noise_sigma_m"], 1),
            "window_position_m": window + rng.normal(0.0, draws["window_noise_sigma_m"], 3),
            "tip_position_m": seen[:3] + self._tip_bias + tip_noise,
            "tip_yaw_rad": seen[3:] + rng.normal(0.0, draws["tip_yaw_noise_sigma_rad"], 1),
            "time_s": np.array([now]),
        }

    def _force(self, data: MjData) -> Array:
        """Force on the hand from outside, in the world's axes, without the hand's own weight."""
        turn = data.site_xmat[self._hand].reshape(3, 3)
        return self._weight_n - turn @ data.sensordata[:3]

    def apply(self, model: MjModel, data: MjData, action: Array) -> None:
        """Writes the limited hand target and gap between the pads to the servos."""
        data.ctrl[:4] = action[:4]
        data.ctrl[4] = 0.5 * action[4]
        self._tie.ratchet(model, data)

    def _pose(self, data: MjData, action: Array) -> None:
        """Puts the hand where a set-point would bring it."""
        data.ctrl[:4] = data.qpos[self._arm] = action[:4]
        data.ctrl[4] = data.qpos[self._fingers] = 0.5 * action[4]

    # Fixtures -------------------------------------------------------------------------------------

    def _serve(self, model: MjModel, data: MjData, rng: np.random.Generator) -> None:
        """Ratchet, nest and feeder, each by sensors of its own."""
        self._tie.ratchet(model, data)
        nest, feeder, gap = self._fixtures["nest"], self._fixtures["feeder"], self._opening(data)
        hand = data.site_xpos[self._hand]
        near = np.linalg.norm(hand - nest["crown_m"]) < nest["radius_m"]
        on_crown = near and nest["opening_m"][0] < gap < nest["opening_m"][1]
        self._on_crown = self._on_crown + 1 if on_crown else 0
        if self._on_crown >= nest["frames"]:
            data.eq_active[self._clamp] = 0
        above = np.linalg.norm(hand - feeder["position_m"]) < feeder["radius_m"]
        if above and gap > feeder["opening_m"] and not self._in_nest(data):
            self._present(model, data, rng)
            mujoco.mj_forward(model, data)

    def _in_nest(self, data: MjData) -> bool:
        clamped = bool(data.eq_active[self._clamp])
        return clamped or float(np.linalg.norm(data.xpos[self._tie.head])) < 0.02

    def _present(self, model: MjModel, data: MjData, rng: np.random.Generator) -> None:
        stiffness = uniform(rng, self._draws["stiffness_tie"])
        self._tie.make(model, stiffness, uniform(rng, self._draws["curl_tie_rad"]))
        self._tie.lay(model, data)
        data.eq_active[self._clamp] = 1
        self._seen.clear()

    # Verdicts -------------------------------------------------------------------------------------

    def fault(self, model: MjModel, data: MjData) -> str:
        """Names the task limit that is broken, or "": force, hand out of its box, head let loose."""
        del model
        unclamped = "" if data.eq_active[self._clamp] else "unclamped"
        return self._hand_fault(data) or unclamped

    def retracted(self, observation: Observation) -> bool:
        """Whether the verifier may look: the hand holds a strap that pulls back."""
        opening = float(observation["finger_opening_m"][0])
        pulled = -float(observation["wrist_force_n"][1]) > self._success["pull_above_n"] - 0.5
        return HELD_M[0] < opening < HELD_M[1] and pulled

    def plausible(self, observation: Observation) -> bool:
        """Whether the tip is seen where it may be through."""
        return float(observation["tip_position_m"][1]) < -0.010

    def audit(self, model: MjModel, data: MjData) -> dict[str, float]:
        """Privileged truth for the ledger: segments through, pull, slip under it, success."""
        del model
        tie, wanted = self._tie, self._success
        pull_n, slip_m = -float(self._force(data)[1]), min(tie.slip_m(data), 1.0)
        gripped = {
            pad
            for pair in data.contact.geom[: data.ncon]
            for pad in self._pads.intersection(pair.tolist())
            if not tie.strap.isdisjoint(pair.tolist())
        }
        done = (
            tie.passed >= wanted["segments"]
            and pull_n > wanted["pull_above_n"]
            and slip_m < wanted["slip_below_m"]
            and len(gripped) == len(self._pads)
            and bool(data.eq_active[self._clamp])
        )
        return {
            "segments": float(tie.passed),
            "pull_n": pull_n,
            "slip_m": slip_m,
            "success": float(done),
        }

    def snapshot(self, model: MjModel, data: MjData, rng: np.random.Generator, kind: str) -> None:
        """Puts the scene into a drawn state on which the verifier is to be scored."""
        self._put(model, data, rng, draw(rng, kind))

    def _put(self, model: MjModel, data: MjData, rng: np.random.Generator, scene: Scene) -> None:
        mujoco.mj_resetData(model, data)
        self._present(model, data, rng)
        self._pose(data, scene.hand)
        if scene.strap is not None:
            self._tie.shape(model, data, scene.strap)
        if scene.head is not None:
            self._tie.throw(data, scene.head)
            data.eq_active[self._clamp] = 0
        self._tie.engage(model, data, scene.passed)
        if scene.held:
            data.ctrl[4] = 0.0
        for tick in range(50):
            if tick == 15:
                data.ctrl[1] += scene.pull_n / model.actuator_gainprm[1, 0]
            mujoco.mj_step(model, data, nstep=_TICK_STEPS)
            self._tie.ratchet(model, data)
        mujoco.mj_forward(model, data)

    def reset_reached(self, observation: Observation, target: Array) -> bool:
        """Post-condition: the strap is held, and its tip hovers near the target, by sensors."""
        off = observation["tip_position_m"] - target
        near = float(np.linalg.norm(off)) < self._reset["tolerance_m"]
        level = abs(float(observation["tip_yaw_rad"][0])) < 0.25
        held = HELD_M[0] < float(observation["finger_opening_m"][0]) < HELD_M[1]
        return near and level and held

    def evidence(self, history: Sequence[Observation]) -> dict[str, float]:
        """Where an episode ended, from sensors alone; oldest observation first."""
        last = list(history[-8:])
        tip = np.mean([frame["tip_position_m"] for frame in last], axis=0)
        hand = np.mean([frame["hand_position_m"] for frame in last], axis=0)
        forces = np.array([frame["wrist_force_n"] for frame in history])
        return {
            "depth_m": -float(tip[1]),
            "most_depth_m": -min(float(frame["tip_position_m"][1]) for frame in history),
            "beside_m": float(np.hypot(tip[0], tip[2])),
            "reach_m": float(np.linalg.norm(tip - hand)),
            "opening_m": float(last[-1]["finger_opening_m"][0]),
            "pull_n": -float(np.mean(forces[-8:, 1])),
            "most_pull_n": -float(np.min(forces[:, 1])),
            "most_push_n": float(np.max(forces[:, 1])),
            "peak_force_n": float(np.linalg.norm(forces, axis=1).max()),
            "time_s": float(history[-1]["time_s"][0] - history[0]["time_s"][0]),
        }

    def failure_tags(self, history: Sequence[Observation]) -> list[str]:
        """Names how a failed episode ended, from sensors: evidence that steers an agent.

        Tags: `drop` (no strap in the fingers), `force` (pressed hard), `through` (far enough, but
        never pulled on), `near_miss` (one or two segments in), `beside` (past the head, not through
        it), `blocked` (pushed against something before it), `before` (never came there), `timeout`.
        """
        found = self.evidence(history)
        tags: list[str] = []
        if not HELD_M[0] < found["opening_m"] < HELD_M[1]:
            tags.append("drop")
        if found["peak_force_n"] > 0.7 * self._limits["force_n"]:
            tags.append("force")
        if found["depth_m"] > 0.002:
            deep = found["depth_m"] > 0.014
            inside = found["beside_m"] < 0.003
            tags.append(("through" if deep else "near_miss") if inside else "beside")
        else:
            tags.append("blocked" if found["most_push_n"] > 2.0 else "before")
        if found["time_s"] > 0.5 * self._limits["episode_limit_s"]:
            tags.append("timeout")
        return tags
