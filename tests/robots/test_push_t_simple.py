"""Simple Push-T: what it shares with Push-T, what differs, and scenes for both verifiers."""

import math

import numpy as np
import pytest

from robots.drivers.mujoco import MujocoDriver
from robots.station.sandboxed import SandboxedChildren
from robots.station.tasks import TaskError, load_task, read_task, task_tables
from robots.tasks.push_t.simulation import GOAL_POSE, overlap

KINDS = ("positive", "near_miss", "negative")


def variant(folder, text):
    folder.mkdir()
    (folder / "task.toml").write_text(text)
    return folder


def test_a_variant_says_what_differs_and_takes_the_rest_from_its_base():
    simple, full = load_task("push_t_simple"), load_task("push_t")
    assert simple.path("scene.xml") == full.path("scene.xml")
    assert simple.path("reset.py") == full.path("reset.py")
    assert simple.path("verify.py") != full.path("verify.py")
    assert simple.spec.observation == full.spec.observation
    assert simple.spec.limits == full.spec.limits
    tables = task_tables(simple.folder)
    assert tables["success"]["debounce_frames"] == 3
    assert tables["success"]["yaw_within_rad"] == pytest.approx(math.radians(10), abs=1e-4)


def test_an_edit_of_the_base_changes_the_variants_manifest(tmp_path, monkeypatch):
    folder = tmp_path / "lab_reach"
    folder.mkdir()
    for name in ("__init__.py", "scene.xml"):
        (folder / name).write_text("")
    (folder / "task.toml").write_text(
        'name = "lab"\n[action]\nshape = [1]\nlow = 0\nhigh = 1\n[observation.x]\nshape = [1]\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    own = read_task(variant(tmp_path / "own", 'base = "lab_reach"\nname = "own"\n'))
    before = own.manifest_sha256()
    assert "lab_reach:scene.xml" in own.files()
    (folder / "scene.xml").write_text("<mujoco/>")
    assert own.manifest_sha256() != before


@pytest.mark.parametrize("base", ["robots.tasks.no_such", "robots.tasks", "..", "json"])
def test_a_base_that_is_no_task_is_refused_by_its_name(tmp_path, base):
    folder = variant(tmp_path / "own", f'base = "{base}"\nname = "own"\n')
    with pytest.raises(TaskError, match="base"):
        read_task(folder)


def test_a_variant_of_a_variant_is_refused(tmp_path):
    folder = variant(tmp_path / "own", 'base = "robots.tasks.push_t_simple"\nname = "own"\n')
    with pytest.raises(TaskError, match="name that one"):
        read_task(folder)


def test_episodes_start_about_upside_down():
    driver = MujocoDriver(load_task("push_t_simple"), 1)
    for seed in range(30):
        driver.start_episode(seed)
        x, y, yaw = driver.reset_target()
        turned = abs(math.remainder(yaw - GOAL_POSE[2], math.tau))
        assert math.pi - 0.36 < turned
        assert abs(x) <= 0.08
        assert abs(y) <= 0.05


def test_a_nudge_starts_some_centimetres_beyond_the_bar():
    driver = MujocoDriver(load_task("push_t_nudge"), 1)
    for seed in range(30):
        driver.start_episode(seed)
        x, y, yaw = driver.reset_target()
        cos, sin = math.cos(GOAL_POSE[2]), math.sin(GOAL_POSE[2])
        assert abs(cos * x + sin * y) <= 0.0101
        assert 0.0499 <= cos * y - sin * x <= 0.0701
        assert abs(yaw - GOAL_POSE[2]) <= 0.1001


@pytest.mark.parametrize("name", ["push_t_simple", "push_t_nudge"])
def test_success_is_twenty_millimetres_and_ten_degrees(name):
    driver = MujocoDriver(load_task(name), 1)

    def success(dx, dy, turn):
        pose = np.add(GOAL_POSE, (dx, dy, math.radians(turn)))
        driver.data.qpos[driver.simulation._joints] = (*pose, 0.0)
        return bool(driver.audit()["success"])

    assert success(0.0, 0.0, 0.0)
    assert success(0.013, 0.013, 9.8)
    assert not success(0.021, 0.0, 0.0)
    assert not success(0.0, 0.0, -10.2)


@pytest.mark.parametrize("name", ["push_t", "push_t_simple", "push_t_nudge"])
def test_scenes_are_of_the_kind_that_was_asked_for(name):
    driver, rng = MujocoDriver(load_task(name), 1), np.random.default_rng(1)
    near, beside = [], 0
    for number in range(90):
        kind = KINDS[number % 3]
        driver.simulation.snapshot(driver.model, driver.data, rng, kind)
        assert bool(driver.audit()["success"]) == (kind == "positive"), kind
        pose = driver.data.qpos[driver.simulation._joints[:3]]
        if kind == "near_miss":
            near.append(overlap(*(float(value) for value in pose)))
        away = math.hypot(*(driver.data.ctrl - GOAL_POSE[:2]))
        beside += kind == "negative" and away < 0.16
        assert kind == "negative" or away > 0.16
    assert 5 < beside < 25
    if name == "push_t":
        assert 0.795 < min(near) < 0.83
        assert 0.90 < max(near) < 0.935


@pytest.mark.parametrize("name", ["push_t_simple", "push_t_nudge"])
def test_the_verifier_in_its_sandbox_imports_its_base_and_judges_by_its_own_criterion(name):
    task = load_task(name)
    driver, rng = MujocoDriver(task, 3), np.random.default_rng(3)
    child = SandboxedChildren(task).verify()
    try:
        for kind in ("positive", "near_miss") * 8:
            driver.simulation.snapshot(driver.model, driver.data, rng, kind)
            result = child.call("verify", driver.camera(), driver.observe())
            assert result.blocked == ()
            assert result.value["success"] is (kind == "positive")
    finally:
        child.close()
        driver.close()
