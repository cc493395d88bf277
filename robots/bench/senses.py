"""Checks of what a task's world senses and draws, without a reset."""

import hashlib
import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robots.bench.bench import Bench
from robots.bench.findings import Nonconforming
from robots.drivers.mujoco import MujocoDriver
from robots.station.tasks import Task

SEED, OTHER_SEED = 7, 8
LATENCY_S = 1.0
"""An estimate may be late by less than this."""

mujoco: Any = importlib.import_module("mujoco")


def auto_reset(bench: Bench) -> str:
    """The simulator must not restart a diverged world by itself."""
    bench.driver.start_episode(SEED)
    if not bench.driver.model.opt.disableflags & int(mujoco.mjtDisableBit.mjDSBL_AUTORESET):
        raise Nonconforming(
            "simulation.py: switches the simulator's auto-reset on again, by which a diverged "
            "episode would go unseen; leave model.opt.disableflags alone"
        )
    return "off"


def observation(bench: Bench) -> str:
    """What is observed is what `task.toml` declares, no more and no less."""
    bench.driver.start_episode(SEED)
    seen = bench.driver.observe()
    declared = {spec.key: spec.shape for spec in bench.task.spec.observation}
    for name in sorted(declared.keys() ^ seen.keys()):
        where = "declared but not observed" if name in declared else "observed but not declared"
        raise Nonconforming(f"observation.{name}: {where}; task.toml and `observe` must agree")
    for name, shape in declared.items():
        values = np.asarray(seen[name])
        if values.shape != shape or values.dtype.kind not in "fiu":
            raise Nonconforming(
                f"observation.{name}: task.toml says numbers of shape {shape}, `observe` gives "
                f"{values.dtype} of shape {values.shape}"
            )
        if not np.isfinite(values).all():
            raise Nonconforming(f"observation.{name}: not finite: {values.tolist()}")
    return ", ".join(declared)


def truth(bench: Bench) -> str:
    """No observation is a number that only the audit may know.

    The scene's loose bodies are shifted by random amounts: their exact coordinates, or an audit's
    figure to the last bit, can then be in an observation only by being read from the world.
    """
    driver = bench.driver
    rng = np.random.default_rng(SEED)
    driver.start_episode(SEED)
    loose = _loose_coordinates(driver.model)
    driver.data.qpos[loose] += rng.normal(0.0, 1e-3, len(loose))
    mujoco.mj_forward(driver.model, driver.data)
    driver.observe()
    driver.data.time += LATENCY_S
    seen = driver.observe()
    secret = {float(value) for value in driver.data.qpos[loose]} | set(driver.audit().values())
    for name, values in seen.items():
        known = secret.intersection(_numbers(values)) - {0.0, 1.0, -1.0}
        if known:
            raise Nonconforming(
                f"observation.{name}: holds the truth ({known.pop():.6g}); an estimate has "
                "noise, bias or latency, and what the audit computes is the audit's"
            )
    return f"{len(loose)} coordinates of loose bodies, none observed"


def randomise(task: Task, station_seeds: tuple[int, int]) -> str:
    """Draws follow the seed, differ from episode to episode and from station to station."""
    first, again, other = (
        MujocoDriver(task, seed) for seed in (station_seeds[0], station_seeds[0], station_seeds[1])
    )
    other.data.qpos[:] = first.data.qpos
    before = first.data.qpos.copy()
    drawn = _drawn(first, SEED)
    if (first.data.qpos != before).any():
        raise Nonconforming("simulation.py: randomise moves the scene; only a reset may do that")
    if drawn != _drawn(again, SEED):
        raise Nonconforming(
            "simulation.py: one seed gives two different draws; draw from the given rng alone"
        )
    if drawn == _drawn(first, OTHER_SEED):
        raise Nonconforming("simulation.py: two seeds give the same episode; draw in randomise")
    if drawn == _drawn(other, SEED):
        raise Nonconforming(
            "simulation.py: two stations are the same; draw gains, camera pose, bias or latency "
            "from station_seed in __init__"
        )
    return "by seed, and by station"


def _drawn(driver: MujocoDriver, seed: int) -> bytes:
    """A print of all that an episode's draws touch: the model, the target, the sensors."""
    driver.start_episode(seed)
    digest = hashlib.sha256(np.asarray(driver.reset_target()).tobytes())
    for name, values in sorted(driver.observe().items()):
        digest.update(name.encode() + np.asarray(values).tobytes())
    model = np.empty(mujoco.mj_sizeModel(driver.model), np.uint8)
    mujoco.mj_saveModel(driver.model, None, model)
    digest.update(model.tobytes())
    return digest.digest()


def _loose_coordinates(model: Any) -> list[int]:  # noqa: ANN401 - MuJoCo ships no types.
    """Indices in `qpos` of sliding and turning joints of bodies that no actuator drives."""
    kinds = mujoco.mjtTrn.mjTRN_JOINT, mujoco.mjtTrn.mjTRN_JOINTINPARENT
    driven = {
        int(model.body_rootid[model.jnt_bodyid[joint]])
        for kind, joint in zip(model.actuator_trntype, model.actuator_trnid[:, 0], strict=True)
        if kind in [int(each) for each in kinds]
    }
    found: list[int] = []
    for joint in range(model.njnt):
        if int(model.body_rootid[model.jnt_bodyid[joint]]) not in driven:
            # Of a free body the position; its quaternion is no sum of shifts.
            width = 3 if model.jnt_type[joint] == int(mujoco.mjtJoint.mjJNT_FREE) else 1
            start = int(model.jnt_qposadr[joint])
            found += range(start, start + width)
    return found


def _numbers(values: NDArray[Any]) -> set[float]:
    return {float(value) for value in np.asarray(values).ravel()}
