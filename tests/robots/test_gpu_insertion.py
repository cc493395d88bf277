"""GPU insertion: physics of slot and latch, sensing, fixtures, physical reset, verifier, recipes."""

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
from robots.station.sandboxed import SandboxedChildren  # noqa: E402
from robots.station.tasks import load_task  # noqa: E402
from robots.tasks.gpu_insertion import scenes, verify  # noqa: E402
from robots.tasks.gpu_insertion.reset import Reset  # noqa: E402
from robots.tasks.gpu_insertion.scenes import GRASP_M, OPEN_RAD, Scene  # noqa: E402
from tests.robots import played  # noqa: E402

TASK = load_task("gpu_insertion")
RECIPES = Path(__file__).resolve().parents[2] / "recipes" / "gpu_insertion"
KINDS = ("positive", "near_miss", "negative")
DOWN = np.zeros(5)


class Bench(played.Bench):
    def __init__(self, station_seed=1):
        super().__init__(TASK, Reset, station_seed)

    def put(self, monkeypatch, scene):
        """The scene, settled, on a board in its place."""
        simulation = self.simulation
        module = simulation.snapshot.__globals__
        monkeypatch.setitem(module, "draw", lambda rng, kind: scene)
        monkeypatch.setattr(simulation, "_drawn_board", lambda rng: np.zeros(3))
        simulation.snapshot(self.driver.model, self.data, np.random.default_rng(0), "positive")
        seen = self.driver.observe()
        gap = 0.004 if scene.held else 0.026
        self.limiter.relocate([*self.data.ctrl[:4], 0.0, gap])
        return seen

    def height(self):
        return float(self.data.xpos[self.simulation._card_body][2])

    def latch(self):
        return float(self.data.qpos[self.simulation._latch])


load_recipe = functools.partial(played.load_recipe, "gpu_insertion")


@pytest.fixture
def bench():
    made = Bench()
    yield made
    made.driver.close()


def press(bench, lowest_m, speed_m_s=0.02):
    """Straight down where the hand is; the greatest push, and the latch's farthest swing."""
    action, most_n, farthest = np.array(bench.limiter.setpoint), 0.0, 0.0
    while action[2] > lowest_m:
        action[2] -= speed_m_s / 30.0
        seen = bench.step(action)
        most_n = max(most_n, float(seen["wrist_force_n"][2]))
        farthest = max(farthest, bench.latch())
    return most_n, farthest


def test_seating_takes_some_65_newtons_and_the_latch_swings_aside_and_back(bench, monkeypatch):
    bench.put(monkeypatch, Scene(np.array([0.0, 0.0, 0.012, 0.0, 0.0])))
    most_n, farthest = press(bench, GRASP_M - 0.0025)
    assert 50.0 < most_n < 85.0
    assert farthest > 0.15
    assert abs(bench.latch()) < 0.01
    assert bench.driver.audit()["success"]


def test_a_card_that_only_rests_on_the_contacts_does_not_go_in_by_its_weight(bench, monkeypatch):
    bench.put(monkeypatch, Scene(np.array([0.0, 0.0, 0.0075, 0.0, 0.0]), held=False))
    bench.driver.advance(100)
    assert bench.height() > 0.006
    assert not bench.driver.audit()["success"]


def test_the_shut_latch_holds_the_card_and_the_open_one_lets_it_go(bench, monkeypatch):
    for latch_rad, held_back in ((0.0, True), (OPEN_RAD, False)):
        bench.put(monkeypatch, Scene(DOWN, latch_rad))
        action = np.array(bench.limiter.setpoint)
        for _ in range(40):
            # 5 mm above where it sits: 75 N by the servo, more than the contacts' friction.
            action[2] = min(action[2] + 0.0003, GRASP_M + 0.005)
            bench.step(action)
        assert (bench.height() < 0.0015) is held_back, (latch_rad, bench.height())


def test_the_latch_rests_at_both_ends_and_nowhere_between(bench, monkeypatch):
    for start, end in ((0.2, 0.0), (0.27, 0.0), (0.33, OPEN_RAD)):
        bench.put(monkeypatch, Scene(np.array([0.0, 0.2, 0.0, 0.0, 0.0]), start, held=False))
        assert bench.latch() == pytest.approx(end, abs=0.01)


def test_pressing_hard_is_no_success_and_harder_breaks_the_limit(bench, monkeypatch):
    bench.put(monkeypatch, Scene(DOWN, press_n=130.0))
    assert bench.driver.audit()["success"] == 0.0
    assert bench.driver.fault() is None
    press(bench, GRASP_M - 0.014, 0.1)
    assert bench.driver.fault().detail == "force"


def test_a_card_let_go_above_the_slot_is_dropped_and_one_in_the_slot_is_not(bench, monkeypatch):
    bench.put(monkeypatch, Scene(DOWN, held=False))
    assert bench.driver.fault() is None
    bench.put(monkeypatch, Scene(np.array([0.0, 0.03, 0.04, 0.0, 0.0]), held=False))
    assert bench.driver.fault().detail == "dropped"


def test_the_rack_takes_what_lies_about_but_never_a_card_in_the_slot(bench, monkeypatch):
    above_rack = (0.0, 0.20, 0.16)
    bench.put(monkeypatch, Scene(DOWN, held=False, hand=above_rack))
    assert not bench.simulation._racked(bench.data)
    lying = np.array([0.0, -0.04, 0.03, 0.0, 1.5])
    bench.put(monkeypatch, Scene(lying, held=False, hand=above_rack))
    assert bench.simulation._racked(bench.data)


def test_the_stage_moves_the_board_only_when_hand_and_card_are_clear(bench, monkeypatch):
    bench.put(monkeypatch, Scene(DOWN, held=False, hand=(0.0, 0.0, 0.17)))
    bench.simulation._board_goal = np.array([0.02, -0.02, 0.05])
    bench.driver.observe()
    assert not bench.simulation._board.any()
    bench.put(monkeypatch, Scene(np.array([0.0, 0.0, 0.09, 0.0, 0.0])))
    bench.simulation._board_goal = np.array([0.02, -0.02, 0.05])
    for _ in range(12):
        bench.driver.observe()
    assert bench.simulation._board == pytest.approx((0.02, -0.02, 0.05))


def test_estimates_are_noisy_and_the_slots_is_biased_anew_in_each_episode(bench):
    errors = []
    for seed in range(60):
        bench.driver.start_episode(seed)
        bench.simulation._board_goal = bench.simulation._board
        seen = [bench.driver.observe() for _ in range(4)]
        assert not (seen[0]["card_pose"] == seen[1]["card_pose"]).any()
        slot = np.mean([each["slot_pose"] for each in seen], axis=0)
        errors.append((slot - bench.simulation._board)[:2])
    assert np.std(errors) == pytest.approx(0.0013, rel=0.3)


def test_stations_differ_and_equal_seeds_make_equal_stations():
    first, again, other = (MujocoDriver(TASK, seed).model for seed in (3, 3, 4))
    for change in ("cam_pos", "body_mass"):
        assert (getattr(first, change) == getattr(again, change)).all()
        assert (getattr(first, change) != getattr(other, change)).any()


def test_the_reset_opens_the_latch_pulls_the_card_and_shuts_the_latch(bench, monkeypatch):
    bench.put(monkeypatch, Scene(DOWN))
    monkeypatch.undo()
    assert bench.driver.audit()["success"]
    presented = []
    monkeypatch.setattr(bench.simulation, "_present", presented.append)
    assert bench.reset()
    assert not presented
    assert abs(bench.latch()) < 0.02
    assert 0.025 < bench.height() < 0.045


def test_failures_are_named_from_sensors(bench):
    def tags(height, tilt=0.0, latch=0.0, force=0.0, opening=0.0115, seconds=20.0):
        frame = {
            "card_pose": np.array([0.0, 0.0, height, 0.0, tilt]),
            "slot_pose": np.zeros(3),
            "finger_opening_m": np.array([opening]),
            "latch_open_rad": np.array([latch]),
            "wrist_force_n": np.array([0.0, 0.0, force]),
        }
        return bench.driver.failure_tags(
            [frame | {"time_s": np.array([s])} for s in np.linspace(0.0, seconds, 9)]
        )

    assert tags(0.03) == ["above", "timeout"]
    assert tags(0.011) == ["on_top", "timeout"]
    assert tags(0.006, tilt=0.03, seconds=1.0) == ["half_in", "tilt"]
    assert tags(0.001, latch=0.2, force=130.0, seconds=1.0) == ["force", "near_miss", "latch"]
    assert tags(0.03, opening=0.004, seconds=1.0) == ["drop", "above"]


def test_the_verifier_in_its_sandbox_agrees_with_the_audit_on_drawn_scenes():
    driver, rng = MujocoDriver(TASK, 3), np.random.default_rng(3)
    child = SandboxedChildren(TASK).verify()
    try:
        for number in range(36):
            kind = KINDS[number % 3]
            driver.start_episode(number)
            driver.simulation.snapshot(driver.model, driver.data, rng, kind)
            truth = bool(driver.audit()["success"])
            assert truth == (kind == "positive"), (kind, driver.audit())
            result = child.call("verify", driver.camera(), driver.observe())
            assert result.blocked == ()
            assert result.value["success"] is truth, (kind, driver.audit())
    finally:
        child.close()
        driver.close()


def test_each_view_the_latch_and_the_force_can_refuse(bench, monkeypatch):
    seen = bench.put(monkeypatch, Scene(DOWN, held=False))
    images = bench.driver.camera()
    assert verify.verify(images, seen)["success"]
    hard = seen | {"wrist_force_n": np.array([0.0, 0.0, 118.0])}
    assert not verify.verify(images, hard)["success"]
    for name in ("front", "side"):
        hidden = images[name].copy()
        hidden[300:] = 200
        assert not verify.verify(images | {name: hidden}, seen)["success"]
        higher = images | {name: np.roll(images[name], 3, axis=0)}
        assert verify.verify(higher, seen)["success"], "a knocked camera changes nothing"
    bench.put(monkeypatch, Scene(DOWN, OPEN_RAD, held=False))
    assert not verify.verify(bench.driver.camera(), seen)["success"]


def test_a_wrong_image_is_refused_with_its_shape():
    with pytest.raises(ValueError, match=r"\(480, 640, 3\).*\(8, 8, 3\)"):
        verify.see_front(np.zeros((8, 8, 3), np.uint8))


def test_near_misses_are_of_every_kind():
    rng = np.random.default_rng(0)
    drawn = [scenes.draw(rng, "near_miss") for _ in range(300)]
    assert sum(scene.press_n > 120.0 for scene in drawn) > 20
    assert sum(scene.latch_rad == OPEN_RAD for scene in drawn) > 20
    assert sum(abs(scene.card[1]) > 0.010 for scene in drawn) > 20
    assert sum(abs(scene.card[4]) > 0.008 for scene in drawn) > 40
    assert sum(0.0 < scene.card[2] < 0.002 and not scene.card[4] for scene in drawn) > 20


@pytest.mark.parametrize("name", ["baseline", "reference"])
def test_recipes_need_no_more_than_numpy_and_the_skills(name):
    tree = ast.parse((RECIPES / name / "policy.py").read_text())
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]  # fmt: skip
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    for full in names:
        known = full == "robots.skills" or full == "numpy"
        assert known or full.partition(".")[0] in sys.stdlib_module_names, full


@pytest.mark.parametrize("name", ["baseline", "reference"])
def test_knobs_lie_inside_their_ranges(name):
    knobs = tomllib.loads((RECIPES / name / "recipe.toml").read_text())["knobs"]
    for table in knobs.values():
        assert table["low"] <= table["value"] <= table["high"]


def test_the_reference_inserts_what_the_reset_hovers():
    bench, policy = Bench(8), load_recipe("reference")
    for _ in range(2):
        assert bench.reset()
        success, _ = bench.episode(policy)
        assert success


def test_the_baseline_plays_within_limits():
    bench, policy = Bench(9), load_recipe("baseline")
    assert bench.reset()
    success, history = bench.episode(policy)
    assert success or bench.driver.failure_tags(history)


def test_a_hard_slot_is_known_worse_than_an_easy_ones_and_its_card_is_heavier():
    found, heavy = [], []
    for preset in ("gpu_insertion_easy", "gpu_insertion", "gpu_insertion_hard"):
        driver = MujocoDriver(load_task(preset), 1)
        away = []
        for seed in range(60):
            driver.start_episode(seed)
            away.append(np.abs(driver.simulation._slot_bias))
        found.append(np.mean(away, axis=0))
        heavy.append(driver.model.body("card").mass[0])
        assert {"policy.py", "recipe.toml"} <= shipped.pack(preset, "baseline").files.keys()
    assert (np.diff(found, axis=0) > 0.0).all()
    assert heavy[0] == heavy[1] < heavy[2]
