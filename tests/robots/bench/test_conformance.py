"""Every rule of the conformance suite, on a task that keeps to it and on one that does not."""

import shutil

import pytest

from robots.bench.conformance import examine
from robots.station.tasks import BUILT_IN
from tests.robots.bench.reaching import reach
from tests.robots.station.conftest import REACHES, recipe

RECIPES = {"baseline": recipe(REACHES)}
CAMERA = '\n[[cameras]]\nname = "{}"\nheight = 24\nwidth = 32\n'


def failed(folder, recipes=RECIPES, *, sandboxed=False) -> dict[str, str]:
    checks = examine(folder, recipes, lambda check: None, episodes=1, sandboxed=sandboxed)
    return {check.name: check.detail for check in checks if not check.ok}


def test_a_sound_task_passes_every_check_in_its_sandboxes(tmp_path):
    told = []
    checks = examine(reach(tmp_path / "reach"), RECIPES, told.append, episodes=2)
    assert [check for check in checks if not check.ok] == []
    assert list(checks) == told
    names = {check.name for check in checks}
    assert {"scene", "truth", "randomise", "reset", "verify", "stillness"} <= names
    assert "recipe_baseline" in names


@pytest.mark.parametrize(
    ("file", "old", "new", "check", "says"),
    [
        ("task.toml", 'name = "reach"', "", "task", "missing key 'name'"),
        ("verify.py", "def verify(", "def verify((", "files", "verify.py"),
        ("scene.xml", "</mujoco>", "", "files", "scene.xml"),
        ("scene.xml", "<worldbody>", "<worldbody><bogus/>", "scene", "bogus"),
        ("scene.xml", ' ctrlrange="-0.4 0.4"', "", "actuators", "give each one"),
        ("scene.xml", 'timestep="0.005"', 'timestep="0.004"', "timestep", "does not divide"),
        ("task.toml", "[success]", CAMERA.format("side") + "[success]", "cameras", "side"),
        ("simulation.py", "def audit(", "def truth(", "hooks", "audit is missing"),
        ("simulation.py", "def observe(self, model, data, rng)", "def observe(self, model)",
         "hooks", "called with 3 arguments"),
        ("simulation.py", "data.ctrl[:] = data.qpos", "data.ctrl[:] = data.bogus", "power_on",
         "must not raise"),
        ("simulation.py", "self._goal = np.zeros(2)",
         "self._goal = np.zeros(2)\n        model.opt.disableflags = 0", "auto_reset", "diverged"),
        ("simulation.py", '"goal_position_m": self', '"cheat": 0, "goal_position_m": self',
         "observation", "not declared"),
        ("task.toml", "[observation.goal_position_m]\nshape = [2]",
         "[observation.goal_position_m]\nshape = [3]", "observation", "shape (3,)"),
        ("simulation.py", "data.qpos + self._offset", "data.qpos * np.nan", "observation",
         "not finite"),
        ("simulation.py", "self._goal.copy(),",
         "np.array([self.audit(model, data)['distance_m'], 0.3]),", "truth", "holds the truth"),
        ("simulation.py", "self._goal = rng.", "self._goal = np.random.default_rng().",
         "randomise", "two different draws"),
        ("simulation.py", "self._goal = rng.", "data.qpos[0] += 0.1; self._goal = rng.",
         "randomise", "moves the scene"),
        ("simulation.py", "1e-4, 2)", "1e-4, 2) * 0.0", "randomise", "two stations are the same"),
        ("reset.py", "return self._target", "return None", "reset", "missed its target"),
        ("simulation.py", 'return "workspace" if', 'return "workspace" if True or', "fault",
         "right after a reset"),
        ("verify.py", 'return {"success": distance < 0.01', 'return {"success": 1', "verify",
         "must return"),
        ("verify.py", "gap = ", 'raise ValueError("blind")\n    gap = ', "verify", "blind"),
        ("verify.py", '"iou": max(0.0, 1.0 - distance)', '"iou": 2.0', "verify", "0 to 1"),
        ("simulation.py", 'observation["goal_position_m"]) < 0.05',
         'observation["goal_position_m"])', "retracted", "must return a bool"),
        ("simulation.py", '{"distance_m": _distance(last', '{"distance_m": math.inf * _distance(last',
         "evidence", "inf"),
        ("simulation.py", 'return ["far"] if', "return [] if", "evidence", "must be words"),
    ],
)  # fmt: skip
def test_a_broken_task_fails_the_check_that_looks_there(tmp_path, file, old, new, check, says):
    found = failed(reach(tmp_path / "reach", (file, old, new)))
    assert list(found) == [check]
    assert says in found[check]


def test_a_missing_file_is_named(tmp_path):
    folder = reach(tmp_path / "reach")
    (folder / "reset.py").unlink()
    assert "reset.py" in failed(folder)["files"]


def test_what_the_tasks_own_code_raises_is_a_finding(tmp_path):
    edit = ("simulation.py", "last = history[-1]", "last = history[9999]")
    found = failed(reach(tmp_path / "reach", edit))
    assert "IndexError" in found["evidence"]


def test_success_without_contact_is_found(tmp_path):
    folder = reach(
        tmp_path / "reach",
        ("verify.py", '"success": distance < 0.01', '"success": True'),
        ("simulation.py", 'observation["goal_position_m"]) < 0.05',
         'observation["goal_position_m"]) < 9.0'),
    )  # fmt: skip
    assert "only held succeeded" in failed(folder)["stillness"]


def test_a_camera_that_sees_nothing_is_found(tmp_path):
    folder = reach(
        tmp_path / "reach",
        ("task.toml", "[success]", CAMERA.format("top") + "[success]"),
        ("scene.xml", 'pos="0 0 1"', 'pos="0 0 1" euler="180 0 0"'),
    )
    assert "every pixel" in failed(folder)["verify"]


def test_the_pose_of_a_loose_body_without_noise_is_the_truth(tmp_path):
    folder = tmp_path / "push_t"
    shutil.copytree(BUILT_IN / "push_t", folder, ignore=shutil.ignore_patterns("__pycache__"))
    source = folder / "simulation.py"
    assert failed(folder, {}) == {}
    text = source.read_text()
    noise = " + self._bias\n        pose += rng.standard_normal(3) * self._noise_sigma"
    assert noise in text
    source.write_text(text.replace(noise, ""))
    assert "holds the truth" in failed(folder, {})["truth"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("raise ImportError('torch')", "torch"),
        (REACHES.replace('observation["goal_position_m"]', "None"), "action_shape"),
    ],
)
def test_a_recipe_that_does_not_answer_is_found(tmp_path, source, says):
    found = failed(reach(tmp_path / "reach"), {"reference": recipe(source)})
    assert says in found["recipe_reference"]


def test_a_task_without_a_recipe_is_told_so(tmp_path):
    found = failed(reach(tmp_path / "reach"), {"reference": "there is none"})
    assert found == {"recipe_reference": "there is none"}
