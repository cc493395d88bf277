"""Zip-tie cutting: grasp and cut, what cuts nothing, sensing, physical reset, verifier, recipes."""

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

from recipes import shipped  # noqa: E402
from robots.drivers.mujoco import MujocoDriver  # noqa: E402
from robots.skills import segment  # noqa: E402
from robots.station.sandboxed import SandboxedChildren  # noqa: E402
from robots.station.tasks import load_task  # noqa: E402
from robots.tasks.zip_tie_cutting import scenes, verify  # noqa: E402
from robots.tasks.zip_tie_cutting.reset import Reset  # noqa: E402
from robots.tasks.zip_tie_cutting.scenes import Scene  # noqa: E402
from robots.tasks.zip_tie_cutting.tie import GRIP_M  # noqa: E402
from tests.robots import played  # noqa: E402

TASK = load_task("zip_tie_cutting")
RECIPES = Path(__file__).resolve().parents[2] / "recipes" / "zip_tie_cutting"
AT_TIE = Scene(np.zeros(3), 0.0, 0.046, at_tie=True)
SHUT_M, WIDE_M = 0.010, 0.044


class Bench(played.Bench):
    def __init__(self, station_seed=1):
        super().__init__(TASK, Reset, station_seed)
        self.world = self.simulation

    def put(self, scene):
        """A scene, settled, and the hand's set-point as it then is."""
        self.driver.start_episode(5)
        scenes.play(self.world, self.driver.model, self.data, np.random.default_rng(5), scene)
        self.hand = self.data.ctrl[:4].copy()
        self.limiter.relocate([*self.hand, 2.0 * self.data.ctrl[4]])

    def squeeze(self, gap, ticks, speed_m=0.001):
        """Closes or opens the gripper, and cuts what the station's hook finds cut."""
        now = 2.0 * float(self.data.ctrl[4])
        for _ in range(ticks):
            now += float(np.clip(gap - now, -speed_m, speed_m))
            self.driver.drive([*self.hand, now], 1)
        return self.world.tie.intact(self.data)

    def pull_back(self):
        for _ in range(60):
            self.hand[0] -= 0.002
            self.driver.drive([*self.hand, WIDE_M - 0.003], 1)
        self.driver.advance(50)


load_recipe = functools.partial(played.load_recipe, "zip_tie_cutting")


@pytest.fixture(scope="module")
def bench():
    made = Bench()
    yield made
    made.driver.close()


def test_every_actuator_has_a_force_limit(bench):
    assert bench.driver.model.actuator_forcelimited.all()


def test_gripped_scissors_come_up_and_released_ones_fall(bench):
    lying = np.array([-0.03, -0.06, 0.0])
    hand = np.array([-0.03 - GRIP_M, -0.06, 0.009])
    bench.put(Scene(hand, 0.0, 0.066, tool=lying))
    bench.squeeze(0.038, 60)
    for _ in range(60):
        bench.hand[2] += 0.001
        bench.driver.drive([*bench.hand, 0.038], 1)
    assert bench.driver.audit()["held"] == 1.0
    assert bench.world.scissors.pose(bench.data)[2] > 0.05
    bench.squeeze(0.066, 60)
    assert bench.driver.audit()["held"] == 0.0
    assert bench.world.scissors.pose(bench.data)[2] < 0.01


def test_the_named_joint_is_cut_the_tail_falls_once_the_blades_open_and_that_succeeds(bench):
    bench.put(AT_TIE)
    assert bench.squeeze(SHUT_M, 60) == [False, True, True]
    assert not bench.driver.audit()["success"]
    bench.squeeze(WIDE_M - 0.003, 60)
    bench.pull_back()
    assert bench.driver.audit() == {
        "named_cut": 1.0,
        "others_cut": 0.0,
        "fallen_m": pytest.approx(0.1, abs=0.06),
        "held": 1.0,
        "tail_free": 1.0,
        "success": 1.0,
    }


def test_one_bite_is_one_cut_however_long_it_is_held(bench):
    bench.put(AT_TIE)
    assert bench.squeeze(SHUT_M, 250).count(False) == 1


@pytest.mark.parametrize(
    ("away", "gap", "intact"),
    [
        ((0.0, 0.0, -0.010), SHUT_M, [True, False, True]),  # At the next joint's height.
        ((0.0, 0.014, 0.0), SHUT_M, [True, True, True]),  # Beside the strap.
        ((-0.030, 0.0, 0.0), SHUT_M, [True, True, True]),  # Before it.
        ((0.0, 0.0, 0.0), 0.029, [True, True, True]),  # On it, too softly.
    ],
)
def test_what_is_not_pinched_hard_at_the_joint_is_not_cut_there(bench, away, gap, intact):
    bench.put(AT_TIE._replace(hand=np.array(away)))
    assert bench.squeeze(gap, 80) == intact
    bench.squeeze(WIDE_M - 0.003, 40)
    bench.pull_back()
    assert not bench.driver.audit()["success"]


def test_a_pinch_shorter_than_thirty_milliseconds_cuts_nothing(bench):
    bench.put(AT_TIE)
    tie, scissors = bench.world.tie, bench.world.scissors
    tie.bite = lambda *_: None
    try:
        assert all(bench.squeeze(SHUT_M, 60))
    finally:
        del tie.bite
    strength = bench.world._strength_n
    for soft, after in ((strength - 20.0, True), (80.0, True), (80.0, True), (80.0, False)):
        tie.bite(bench.data, scissors, soft, strength)
        assert tie.intact(bench.data)[0] is after
        bench.data.time += 0.016


def test_the_feeder_presents_a_tie_to_an_open_hand_at_its_place_once_a_call(bench):
    bench.put(
        Scene(np.array([-0.05, 0.09, 0.13]), 0.0, 0.066, np.array([0.0, 0.0, 0.0]), severed=(1,))
    )
    bench.driver.observe()
    assert bench.world.tie.intact(bench.data) == [True, True, True]
    bench.world.tie.sever(bench.data, 2)
    bench.driver.observe()
    assert bench.world.tie.intact(bench.data) == [True, False, True]
    bench.put(
        Scene(np.array([-0.05, 0.05, 0.13]), 0.0, 0.066, np.array([0.0, 0.0, 0.0]), severed=(1,))
    )
    bench.driver.observe()
    assert not bench.world.tie.intact(bench.data)[0]


def test_scissors_out_of_the_hands_reach_break_a_task_limit(bench):
    bench.put(Scene(np.array([-0.06, -0.06, 0.06]), 0.0, 0.066, np.array([0.0, 0.0, 0.0])))
    assert bench.driver.fault() is None
    bench.put(Scene(np.array([-0.06, -0.06, 0.06]), 0.0, 0.066, np.array([0.0, 0.2, 0.0])))
    assert bench.driver.fault().detail == "lost"


def test_the_joints_estimate_is_noisy_and_biased_anew_in_each_episode(bench):
    bench.put(AT_TIE)
    errors = []
    for seed in range(40):
        bench.driver.start_episode(seed)
        seen = [bench.driver.observe()["joint_position_m"] for _ in range(4)]
        assert not (seen[0] == seen[1]).any()
        errors.append(np.mean(seen, axis=0) - bench.world.tie.named_joint(bench.data))
    assert np.std(errors) == pytest.approx(0.0015, rel=0.3)


def test_the_reset_mends_what_a_policy_may_leave():
    bench = Bench(2)
    left = (
        Scene(np.array([-0.08, -0.02, 0.1]), 0.3, 0.038, severed=(1,)),  # In the hand.
        AT_TIE._replace(gap=SHUT_M),  # Shut on the strap.
        Scene(np.array([-0.1, -0.1, 0.03]), 0.0, 0.02, np.array([0.04, 0.05, 2.5]), severed=(2,)),
        Scene(np.array([-0.08, -0.02, 0.1]), 0.3, 0.038, bend_rad=0.9),
    )
    for scene in left:
        bench.put(scene)
        assert bench.reset()
        assert bench.world.tie.intact(bench.data) == [True, True, True]
        assert bench.driver.fault() is None


def test_the_reset_pushes_scissors_over_that_stand_on_an_edge():
    bench = Bench(3)
    bench.put(Scene(np.array([-0.1, 0.05, 0.1]), 0.0, 0.066, np.array([-0.02, -0.05, 0.4])))
    free, half = bench.world.scissors._free, np.sqrt(0.5)
    bench.data.qpos[free : free + 7] = (-0.02, -0.05, 0.022, half, half, 0.0, 0.0)
    bench.driver.advance(50)
    assert bench.world.scissors.pose(bench.data)[2] > 0.015
    assert bench.reset() or bench.reset()


def test_failures_are_named_from_sensors(bench):
    def tags(fallen=0.0, tail_z=0.079, beside=0.0, effort=15.0):
        frame = {
            "joint_position_m": np.array([0.1, 0.0, 0.119]),
            "tail_position_m": np.array([0.1, 0.0, tail_z - fallen]),
            "scissors_pose": np.array([0.07, beside, 0.119, 0.0]),
            "gripper_effort_n": np.array([effort]),
            "finger_opening_m": np.array([0.038]),
            "hand_position_m": np.array([0.025, 0.0, 0.12]),
            "wrist_force_n": np.zeros(3),
        }
        return bench.driver.failure_tags([frame | {"time_s": np.array([s])} for s in (0.0, 1.0)])

    assert tags() == ["weak"]
    assert tags(beside=0.01) == ["beside"]
    assert tags(fallen=0.07) == ["cut"]
    assert tags(fallen=0.03) == ["carried"]
    assert tags(effort=0.0) == ["no_tool", "weak"]


def test_the_verifier_in_its_sandbox_agrees_with_the_audit_on_drawn_scenes(monkeypatch):
    driver, rng = MujocoDriver(TASK, 3), np.random.default_rng(3)
    child = SandboxedChildren(TASK).verify()
    try:
        for number, name in enumerate(3 * (*scenes.NEAR_MISSES, "negative", *5 * ("positive",))):
            driver.start_episode(number)
            near = name in scenes.NEAR_MISSES
            with monkeypatch.context() as only:
                only.setattr(scenes, "NEAR_MISSES", (name,) if near else scenes.NEAR_MISSES)
                kind = "near_miss" if near else name
                driver.simulation.snapshot(driver.model, driver.data, rng, kind)
            truth = bool(driver.audit()["success"])
            assert truth == (name == "positive"), name
            result = child.call("verify", driver.camera(), driver.observe())
            assert result.blocked == ()
            assert result.value["success"] is truth, (name, driver.audit())
    finally:
        child.close()
        driver.close()


def test_either_view_and_the_gripper_can_each_refuse(bench):
    bench.put(Scene(np.array([-0.08, -0.02, 0.1]), 0.3, 0.038, severed=(1,)))
    images, seen = bench.driver.camera(), bench.driver.observe()
    assert verify.verify(images, seen)["success"]
    for name in images:
        blind = images | {name: np.full_like(images[name], 200)}
        assert not verify.verify(blind, seen)["success"]
        strap = np.any([segment(images[name], colour) for colour in verify._LINKS], axis=0)
        moved = images[name].copy()
        moved[strap] = 150
        moved[np.roll(strap, 16, axis=0)] = images[name][strap]
        assert not verify.verify(images | {name: moved}, seen)["success"], name
    middle = verify.see(images)[0]
    for key, value in (
        ("gripper_effort_n", np.array([0.5])),
        ("finger_opening_m", np.array([0.010])),
        ("hand_position_m", np.array([-0.08, -0.02, 0.01])),
        ("scissors_pose", np.array([*middle - [0.02, 0.0, 0.0], 0.0])),
    ):
        assert not verify.verify(images, seen | {key: value})["success"], key


def test_a_wrong_image_is_refused_with_its_shape():
    with pytest.raises(ValueError, match=r"front must be .*\(384, 480, 3\).*\(8, 8, 3\)"):
        verify.see({"front": np.zeros((8, 8, 3), np.uint8)})


@pytest.mark.parametrize("name", ["baseline", "reference"])
def test_recipes_need_the_standard_library_numpy_and_skills_only(name):
    tree = ast.parse((RECIPES / name / "policy.py").read_text())
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]  # fmt: skip
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    for full in names:
        known = full.partition(".")[0] in sys.stdlib_module_names | {"numpy"}
        assert known or full == "robots.skills", full


@pytest.mark.parametrize("name", ["baseline", "reference"])
def test_knobs_lie_inside_their_ranges(name):
    knobs = tomllib.loads((RECIPES / name / "recipe.toml").read_text())["knobs"]
    for table in knobs.values():
        assert table["low"] <= table["value"] <= table["high"]


def test_a_hard_tie_is_tougher_and_its_joint_is_known_worse_than_an_easy_ones():
    found = []
    for preset in ("zip_tie_cutting_easy", "zip_tie_cutting", "zip_tie_cutting_hard"):
        driver = MujocoDriver(load_task(preset), 1)
        drawn = []
        for seed in range(60):
            driver.start_episode(seed)
            world = driver.simulation
            drawn.append((world._strength_n, float(np.linalg.norm(world._joint_bias))))
        found.append(np.mean(drawn, axis=0))
        assert {"policy.py", "recipe.toml"} <= shipped.pack(preset, "baseline").files.keys()
    assert (np.diff(found, axis=0) > 0.0).all()


def test_the_reference_cuts_what_the_reset_presents():
    bench, policy = Bench(8), load_recipe("reference")
    for _ in range(3):
        assert bench.reset()
        success, history = bench.episode(policy)
        assert success, bench.driver.failure_tags(history)


def test_the_baseline_plays_within_limits():
    bench, policy = Bench(9), load_recipe("baseline")
    assert bench.reset()
    success, history = bench.episode(policy)
    assert success or bench.driver.failure_tags(history)
