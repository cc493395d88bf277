"""Zip-tie fastening: ratchet, fixtures, physical reset, verifier, and the shipped recipes."""

import functools
import os
import tomllib
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("MUJOCO_GL", "egl")
mujoco = pytest.importorskip("mujoco", reason="the `sim` extra is not installed")

from robots.drivers.mujoco import MujocoDriver  # noqa: E402
from robots.station.sandboxed import SandboxedChildren  # noqa: E402
from robots.station.tasks import load_task  # noqa: E402
from robots.tasks.zip_tie_fastening import scenes, verify  # noqa: E402
from robots.tasks.zip_tie_fastening.reset import Reset  # noqa: E402
from robots.tasks.zip_tie_fastening.tie import Held  # noqa: E402
from tests.robots import played  # noqa: E402

TASK = load_task("zip_tie_fastening")
RECIPES = Path(__file__).resolve().parents[2] / "recipes" / "zip_tie_fastening"
KINDS = ("positive", "near_miss", "negative")


class Bench(played.Bench):
    def __init__(self, station_seed=1):
        super().__init__(TASK, Reset, station_seed)
        self.tie = self.simulation._tie

    def hold(self, depth_m, pull_n=0.0, past_m=(0.0, 0.0)):
        """A held strap, its tip that far beyond the middle of the head."""
        rng = np.random.default_rng(0)
        self.driver.start_episode(0)
        scene = scenes._threaded(rng, depth_m, pull_n, past_m)
        self.simulation._put(self.driver.model, self.data, rng, scene)
        self.limiter.relocate([*self.data.ctrl[:4], 0.0])

    def push(self, metres, steps=12):
        """The hand along y, in small steps, and then still."""
        for _ in range(steps):
            target = np.array(self.limiter.setpoint)
            target[1] += metres / steps
            self.step(target)
        for _ in range(8):
            self.step(self.limiter.setpoint)

    def tip(self):
        return self.data.site_xpos[self.tie.tip].copy()


load_recipe = functools.partial(played.load_recipe, "zip_tie_fastening")


@pytest.fixture(scope="module")
def bench():
    made = Bench()
    yield made
    made.driver.close()


def test_every_actuator_has_a_force_limit(bench):
    assert bench.driver.model.actuator_forcelimited.all()


def test_the_strap_finds_a_shape_in_which_a_segment_lies_where_it_is_held(bench):
    bench.hold(-0.01)
    for yaw, place in ((0.0, (0.0, 0.03, 0.0)), (-0.4, (-0.01, 0.04, 0.01))):
        held = Held(17, np.array(place), yaw)
        assert bench.tie.shape(bench.driver.model, bench.data, held) < 1e-4
        body = bench.driver.model.body("s17").id
        along = bench.data.xmat[body].reshape(3, 3)[:, 0]
        assert along == pytest.approx((np.sin(yaw), -np.cos(yaw), 0.0), abs=1e-3)


def test_a_strap_goes_in_segment_by_segment_and_does_not_come_back(bench):
    bench.hold(-0.006)
    assert bench.tie.passed == 0
    bench.push(-0.015)
    assert 1 <= bench.tie.passed < 3
    bench.push(-0.010)
    assert bench.tie.passed >= 3
    assert not bench.driver.audit()["success"]
    before = bench.tip()
    bench.push(0.004)
    found = bench.driver.audit()
    assert found["success"]
    assert found["pull_n"] > 5.0
    assert abs(bench.tip()[1] - before[1]) < 0.002
    bench.push(-0.010)
    assert bench.tip()[1] < before[1] - 0.001


def test_a_strap_that_has_passed_no_tooth_comes_out_again(bench):
    bench.hold(-0.002)
    bench.push(0.012)
    assert bench.tip()[1] > 0.010
    assert bench.driver.audit()["pull_n"] < 3.0


@pytest.mark.parametrize("past", [(0.006, 0.0), (-0.006, 0.0), (0.0, 0.016)])
def test_a_strap_that_passes_the_head_outside_is_not_fastened(bench, past):
    bench.hold(-0.006, past_m=past)
    bench.push(-0.026)
    assert bench.tip()[1] < -0.014
    assert bench.tie.passed == 0
    bench.push(0.006)
    assert not bench.driver.audit()["success"]


def test_no_success_once_the_strap_is_let_go(bench):
    bench.hold(0.0181, 10.0)
    assert bench.driver.audit()["success"]
    for _ in range(10):
        seen = bench.step([*bench.limiter.setpoint[:4], 0.010])
    assert bench.tie.passed >= 3
    assert not bench.driver.audit()["success"]
    assert not bench.driver.retracted(seen)


def test_the_nest_lets_go_only_of_a_crown_in_closed_fingers(bench):
    bench.hold(-0.01)
    assert bench.driver.fault() is None
    rng = np.random.default_rng(0)
    for gap, clamped in ((0.016, 1), (0.007, 0)):
        bench.simulation._pose(bench.data, np.array([0.0, 0.0, 0.009, 0.0, gap]))
        mujoco.mj_forward(bench.driver.model, bench.data)
        for _ in range(6):
            bench.simulation._serve(bench.driver.model, bench.data, rng)
        assert bench.data.eq_active[bench.simulation._clamp] == clamped
    assert bench.driver.fault() is not None


def test_the_feeder_fills_only_an_empty_nest_and_only_under_an_open_hand(bench):
    bench.hold(0.0181)
    rng = np.random.default_rng(0)

    def presented(gap):
        bench.simulation._pose(bench.data, np.array([0.0, 0.0, 0.060, 0.0, gap]))
        mujoco.mj_forward(bench.driver.model, bench.data)
        bench.simulation._serve(bench.driver.model, bench.data, rng)
        return bench.tie.passed == 0

    assert not presented(0.016)
    bench.tie.throw(bench.data, np.array([-0.085, 0.0, -0.04, 0.0]))
    bench.data.eq_active[bench.simulation._clamp] = 0
    assert not presented(0.005)
    assert presented(0.016)
    assert bench.data.eq_active[bench.simulation._clamp]


def test_the_reset_takes_a_free_strap_and_carries_a_fastened_tie_into_the_bin():
    bench = Bench(2)
    ties, binned, present = [], [], bench.simulation._present

    def presented(model, data, rng):
        binned.append(data.xpos[bench.tie.head].copy())
        ties.append(bench.k)
        present(model, data, rng)

    bench.simulation._present = presented
    assert bench.reset()
    assert not ties
    bench.push(-0.034, steps=30)
    assert bench.tie.passed >= 2
    assert bench.reset()
    assert len(ties) == 1
    assert np.abs(binned[0][:2] - (-0.085, 0.0)).max() < 0.034
    assert binned[0][2] < -0.03
    assert bench.tie.passed == 0


def test_estimates_are_biased_anew_in_each_episode_and_equal_seeds_make_equal_stations(bench):
    bench.hold(-0.01)
    found = []
    for seed in range(40):
        bench.driver.start_episode(seed)
        found.append(bench.driver.observe()["window_position_m"])
    assert np.std(found, axis=0) == pytest.approx([0.0020, 0.0010, 0.0015], rel=0.35)
    first, again, other = (MujocoDriver(TASK, seed).model for seed in (3, 3, 4))
    assert (first.cam_pos == again.cam_pos).all()
    assert (first.cam_pos != other.cam_pos).any()


def test_failures_are_named_from_sensors(bench):
    def tags(tip, opening=0.0011, push=0.0, seconds=15.0):
        frame = {
            "tip_position_m": np.array(tip),
            "hand_position_m": np.array([0.0, 0.02, 0.0]),
            "finger_opening_m": np.array([opening]),
            "wrist_force_n": np.array([0.0, push, 0.0]),
        }
        times = np.linspace(0.0, seconds, 9)
        return bench.driver.failure_tags([frame | {"time_s": np.array([s])} for s in times])

    assert tags((0.0, 0.004, 0.0), push=4.0) == ["blocked", "timeout"]
    assert tags((0.0, -0.010, 0.0)) == ["near_miss", "timeout"]
    assert tags((0.006, -0.020, 0.0), seconds=1.0) == ["beside"]
    assert tags((0.0, -0.020, 0.0), opening=0.0, seconds=1.0) == ["drop", "through"]
    assert tags((0.0, 0.015, 0.0), push=30.0, seconds=1.0) == ["force", "blocked"]


def test_near_misses_are_failures_of_every_kind(bench):
    rng = np.random.default_rng(1)
    drawn = set()
    for _ in range(60):
        scene = scenes.draw(rng, "near_miss")
        drawn.add((scene.held, scene.passed > 0, scene.passed > 2, scene.pull_n > 5.0))
    assert len(drawn) >= 6
    for number in range(6):
        bench.driver.start_episode(number)
        bench.simulation.snapshot(bench.driver.model, bench.data, rng, "near_miss")
        assert not bench.driver.audit()["success"]


def test_the_verifier_in_its_sandbox_agrees_with_the_audit_on_drawn_scenes():
    driver, rng = MujocoDriver(TASK, 3), np.random.default_rng(3)
    child = SandboxedChildren(TASK).verify()
    try:
        for number in range(24):
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


def test_each_view_the_pull_and_the_grip_can_refuse(bench):
    bench.hold(0.0181, 10.0)
    images, seen = bench.driver.camera(), bench.driver.observe()
    assert verify.verify(images, seen)["success"]
    bench.hold(0.0181, past_m=(0.006, 0.0))
    beside = bench.driver.camera()
    bench.hold(0.0181, past_m=(0.0, 0.016))
    over = bench.driver.camera()
    # From the side a strap beside the head looks right, from above one over it.
    for wrong, name in ((beside, "top"), (over, "side")):
        assert verify.verify(images | {name: wrong[name]}, seen)["success"] is False
        other = {"top": "side", "side": "top"}[name]
        assert verify.verify(images | {other: wrong[other]}, seen)["success"] is True
    hidden = images | {"side": np.full_like(images["side"], 200)}
    assert not verify.verify(hidden, seen)["success"]
    weak = {"wrist_force_n": np.array([0.0, -4.0, 0.0])}
    assert not verify.verify(images, seen | weak)["success"]
    assert not verify.verify(images, seen | {"finger_opening_m": np.array([0.0])})["success"]


def test_a_wrong_image_is_refused_with_its_shape():
    with pytest.raises(ValueError, match=r"\(240, 320, 3\).*\(8, 8, 3\)"):
        verify.see("top", np.zeros((8, 8, 3), np.uint8))


@pytest.mark.parametrize("name", ["baseline", "reference"])
def test_knobs_lie_inside_their_ranges(name):
    knobs = tomllib.loads((RECIPES / name / "recipe.toml").read_text())["knobs"]
    for table in knobs.values():
        assert table["low"] <= table["value"] <= table["high"]


def test_the_reference_fastens_what_the_reset_hovers():
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
