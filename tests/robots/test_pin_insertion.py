"""Pin insertion: physics, kinematics, sensing, physical reset, verifier, and the shipped recipes."""

import ast
import functools
import os
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("MUJOCO_GL", "egl")
mujoco = pytest.importorskip("mujoco", reason="the `sim` extra is not installed")

from robots.drivers.mujoco import MujocoDriver  # noqa: E402
from robots.station.sandboxed import SandboxedChildren  # noqa: E402
from robots.station.tasks import load_task, task_tables  # noqa: E402
from robots.tasks.pin_insertion import scenes, verify  # noqa: E402
from robots.tasks.pin_insertion.arm import Arm  # noqa: E402
from robots.tasks.pin_insertion.reset import Reset  # noqa: E402
from robots.tasks.pin_insertion.scenes import GRASP_M, Scene  # noqa: E402
from robots.tasks.pin_insertion.simulation import hole_at  # noqa: E402
from tests.robots import played  # noqa: E402

TASK = load_task("pin_insertion")
SPEC = task_tables(TASK.folder)
RECIPES = Path(__file__).resolve().parents[2] / "recipes" / "pin_insertion"
KINDS = ("positive", "near_miss", "negative")


class Bench(played.Bench):
    def __init__(self, station_seed=1):
        super().__init__(TASK, Reset, station_seed)

    def put(self, scene):
        """The scene, settled, and the named hole in the middle."""
        simulation = self.simulation
        simulation._target[:] = 1.0
        mujoco.mj_resetData(self.driver.model, self.data)
        simulation._pose(self.data, scene.hand)
        self.data.ctrl[6] = 0.002 if scene.held else self.data.ctrl[6]
        self.data.qpos[simulation._pin : simulation._pin + 7] = scene.pin
        mujoco.mj_step(self.driver.model, self.data, nstep=100)

    def tip(self):
        return self.data.xpos[self.simulation._pin_body]


def held(tip):
    hand = np.array([tip[0], tip[1], tip[2] + GRASP_M, 0.010])
    return Scene(hand, np.array([*tip, 1.0, 0.0, 0.0, 0.0]), held=True)


load_recipe = functools.partial(played.load_recipe, "pin_insertion")


@pytest.fixture(scope="module")
def bench():
    made = Bench()
    yield made
    made.driver.close()


def test_every_actuator_has_a_force_limit(bench):
    assert bench.driver.model.actuator_forcelimited.all()


def test_the_arm_puts_the_hand_where_it_was_asked(bench):
    rng, arm = np.random.default_rng(0), Arm()
    model = bench.driver.model
    data = mujoco.MjData(model)
    for _ in range(50):
        hand = rng.uniform((-0.04, -0.04, 0.022), (0.04, 0.13, 0.13))
        pitch, roll = rng.uniform(-0.02, 0.02, 2)
        joints = data.qpos[:6] = arm.joints_of(hand, (pitch, roll))
        assert (joints > model.jnt_range[:6, 0]).all()
        assert (joints < model.jnt_range[:6, 1]).all()
        mujoco.mj_kinematics(model, data)
        site = data.site("hand")
        assert site.xpos == pytest.approx(hand, abs=2e-5)
        assert site.xmat[8] == pytest.approx(np.cos(pitch) * np.cos(roll), abs=1e-5)
        assert site.xmat[2] == pytest.approx(np.sin(pitch) * np.cos(roll), abs=2e-4)


def test_joints_do_not_depend_on_where_the_arm_came_from():
    rng, there = np.random.default_rng(1), np.array([0.02, -0.03, 0.05])
    arm, fresh = Arm(), Arm()
    for _ in range(20):
        arm.joints_of(rng.uniform((-0.04, -0.04, 0.022), (0.04, 0.13, 0.13)), (0.01, 0.01))
        found = arm.joints_of(there, (0.0, 0.01))
        assert found == pytest.approx(fresh.joints_of(there, (0.0, 0.01)), abs=5e-4)


def test_a_place_out_of_reach_is_refused_and_the_next_one_is_found():
    arm = Arm()
    with pytest.raises(ValueError, match="out of reach"):
        arm.joints_of(np.array([0.3, 0.0, 0.05]), (0.0, 0.0))
    assert np.isfinite(arm.joints_of(np.array([0.0, 0.0, 0.05]), (0.0, 0.0))).all()


def test_a_held_pin_stays_held(bench):
    bench.put(held((0.0, 0.0, 0.03)))
    before = bench.tip().copy()
    bench.driver.advance(200)
    assert np.abs(bench.tip() - before).max() < 2e-4
    assert bench.driver.fault() is None


def test_a_pin_over_a_hole_goes_in_and_one_beside_it_stands_on_the_rim(bench):
    for away, deep in ((0.0, True), (0.0035, False)):
        bench.put(held((away, 0.0, 0.003)))
        for z in np.arange(0.048, 0.0425 if away else 0.032, -0.0005):
            bench.driver.drive((away, 0.0, z, 0.004), 4)
        bench.driver.advance(30)
        assert bool(bench.tip()[2] < -0.010) is deep
        force = bench.simulation._force(bench.data)[2]
        assert bool(force > 2.0) is not deep


def test_pressing_hard_beside_the_hole_breaks_the_force_limit(bench):
    bench.put(held((0.0055, 0.0055, 0.0005)))
    bench.driver.drive((0.0055, 0.0055, 0.022, 0.004), 60)
    assert bench.driver.fault().detail in ("force", "dropped")


def test_an_opened_hand_breaks_the_task_limit_when_the_pin_falls(bench):
    bench.put(held((0.0, 0.02, 0.05)))
    assert bench.driver.fault() is None
    bench.driver.drive((0.0, 0.02, 0.095, 0.03), 50)
    assert bench.driver.fault().detail == "dropped"


def test_estimates_are_noisy_and_the_holes_is_biased_anew_in_each_episode(bench):
    bench.put(held((0.0, 0.0, 0.03)))
    errors = []
    for seed in range(40):
        bench.driver.start_episode(seed)
        seen = [bench.driver.observe() for _ in range(4)]
        assert not (seen[0]["pin_tip_m"] == seen[1]["pin_tip_m"]).any()
        hole = np.mean([each["hole_position_m"] for each in seen], axis=0)
        errors.append((hole - hole_at(seen[0]["target_hole"]))[:2])
    assert np.std(errors) == pytest.approx(0.0012, rel=0.3)


def test_stations_differ_and_equal_seeds_make_equal_stations():
    first, again, other = (MujocoDriver(TASK, seed).model for seed in (3, 3, 4))
    camera = first.camera("front").id
    assert (first.cam_pos[camera] == again.cam_pos[camera]).all()
    assert (first.cam_pos[camera] != other.cam_pos[camera]).any()


def test_the_reset_picks_from_the_feeder_and_pulls_a_deep_pin_out():
    bench = Bench(2)
    assert bench.reset()
    bench.put(held((0.0, 0.0, -0.0145)))
    bench.limiter.relocate([0.0, 0.0, 0.0305, 0.004])
    presented = []
    bench.simulation._present = presented.append
    assert bench.reset()
    assert not presented


def test_the_feeder_presents_the_next_pin_only_to_an_open_hand_above_it():
    bench = Bench(5)
    bench.driver.observe()
    feeder = np.array([0.0, 0.1, -0.015])
    bench.data.qpos[bench.simulation._pin : bench.simulation._pin + 3] = (0.03, 0.03, -0.02)
    mujoco.mj_forward(bench.driver.model, bench.data)
    bench.driver.observe()
    assert bench.tip() == pytest.approx(feeder, abs=2e-4)
    bench.put(held((0.0, 0.02, 0.05)))
    bench.driver.observe()
    assert np.linalg.norm(bench.tip() - feeder) > 0.05


def test_failures_are_named_from_sensors(bench):
    def tags(depth, opening=0.0095, force=0.0, seconds=8.0):
        frame = {
            "pin_tip_m": np.array([0.0, 0.0, -depth]),
            "hole_position_m": np.zeros(3),
            "finger_opening_m": np.array([opening]),
            "wrist_force_n": np.array([0.0, 0.0, force]),
        }
        return bench.driver.failure_tags(
            [frame | {"time_s": np.array([s])} for s in np.linspace(0.0, seconds, 9)]
        )

    assert tags(0.0) == ["beside", "timeout"]
    assert tags(-0.02) == ["above", "timeout"]
    assert tags(0.006, force=12.0) == ["near_miss", "jam", "timeout"]
    assert tags(-0.02, opening=0.004, seconds=1.0) == ["drop", "above"]
    assert tags(0.0, force=30.0, seconds=1.0) == ["force", "beside"]


def test_the_verifier_in_its_sandbox_agrees_with_the_audit_on_drawn_scenes():
    driver, rng = MujocoDriver(TASK, 3), np.random.default_rng(3)
    child = SandboxedChildren(TASK).verify()
    try:
        for number in range(60):
            kind = KINDS[number % 3]
            driver.start_episode(number)
            driver.simulation.snapshot(driver.model, driver.data, rng, kind)
            truth = bool(driver.audit()["success"])
            assert truth == (kind == "positive"), kind
            result = child.call("verify", driver.camera(), driver.observe())
            assert result.blocked == ()
            assert result.value["success"] is truth, (kind, driver.audit())
    finally:
        child.close()
        driver.close()


def test_vision_height_and_force_can_each_refuse(bench):
    bench.put(held((0.0, 0.0, -0.0125)))
    images, seen = bench.driver.camera(), bench.driver.observe()
    assert verify.verify(images, seen)["success"]
    hidden = {name: image.copy() for name, image in images.items()}
    hidden["side"][160:200] = 200
    dotless = images | {"front": np.full_like(images["front"], 200)}
    for changed in (hidden, dotless):
        assert not verify.verify(changed, seen)["success"]
    for key, value in (
        ("hand_position_m", seen["hand_position_m"] + (0.0, 0.0, 0.006)),
        ("wrist_force_n", np.array([0.0, 0.0, 26.0])),
        ("finger_opening_m", np.array([0.022])),
        ("target_hole", np.array([1.0, 2.0])),
    ):
        assert not verify.verify(images, seen | {key: value})["success"], key


def test_a_wrong_image_is_refused_with_its_shape():
    with pytest.raises(ValueError, match=r"\(240, 320, 3\).*\(8, 8, 3\)"):
        verify.see(np.zeros((8, 8, 3), np.uint8))


def test_near_misses_are_of_every_kind():
    rng, hole = np.random.default_rng(0), hole_at(np.array([0.0, 2.0]))
    drawn = [scenes.draw(rng, "near_miss", hole) for _ in range(200)]
    assert sum(not scene.held for scene in drawn) > 10
    assert sum(scene.press_m > 0.0 for scene in drawn) > 10
    assert sum(np.hypot(*(scene.pin[:2] - hole[:2])) > 0.006 for scene in drawn) > 40


@pytest.mark.parametrize("name", ["baseline", "reference"])
def test_recipes_need_the_standard_library_numpy_and_skills_only(name):
    tree = ast.parse((RECIPES / name / "policy.py").read_text())
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]  # fmt: skip
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    for full in names:
        known = full == "robots.skills" or full.partition(".")[0] in sys.stdlib_module_names
        assert known or full == "numpy", full


@pytest.mark.parametrize("name", ["baseline", "reference"])
def test_knobs_lie_inside_their_ranges(name):
    knobs = tomllib.loads((RECIPES / name / "recipe.toml").read_text())["knobs"]
    for table in knobs.values():
        assert table["low"] <= table["value"] <= table["high"]


def test_the_reference_inserts_what_the_reset_hovers():
    bench, policy = Bench(8), load_recipe("reference")
    for _ in range(4):
        assert bench.reset()
        success, _ = bench.episode(policy)
        assert success


def test_the_baseline_plays_within_limits():
    bench, policy = Bench(9), load_recipe("baseline")
    assert bench.reset()
    success, history = bench.episode(policy)
    assert success or bench.driver.failure_tags(history)
