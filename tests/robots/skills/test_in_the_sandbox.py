"""`robots.skills` inside the sandboxes, and in the manifest of a task that uses it."""

import sys

import numpy as np
import pytest

import robots
from robots.drivers.mujoco import MujocoDriver
from robots.station import archive
from robots.station.children import ChildFailed
from robots.station.sandboxed import SandboxedChildren
from robots.station.tasks import TaskError, read_task
from tests.robots.bench.reaching import reach

NOTHING_ELSE = """
import sys
HERE = {name.partition(".")[0] for name in sys.modules}
from robots.skills import ScriptedReset, Robot, Hand, Arm, segment, DARK
import numpy as np
MORE = {name.partition(".")[0] for name in sys.modules} - HERE - set(sys.stdlib_module_names)
assert MORE <= {"robots", "numpy"}, MORE
OURS = {name for name in sys.modules if name.startswith("robots")}
assert all(name.startswith(("robots.skills", "robots.policy")) or name == "robots" for name in OURS), OURS
"""

RESET = (
    NOTHING_ELSE
    + """
class Reset(ScriptedReset):
    def script(self, observation, target):
        place = observation["tool_position_m"]
        yield from Hand(Robot(observation, place), Arm(slice(0, 2), gap=None)).move(target, 0.3)
"""
)

VERIFY = (
    NOTHING_ELSE
    + """
def verify(images, proprioception):
    dark = segment(images["top"], DARK)
    deep = images["top_depth"]
    sound = deep.dtype == np.float32 and deep.shape == dark.shape
    return {"success": bool(sound), "score": float(np.isfinite(deep).mean())}
"""
)

POLICY = (
    NOTHING_ELSE
    + """
class Policy:
    def __init__(self, knobs): pass
    def reset(self, observation): pass
    def act(self, observation): return np.array([0.1, 0.2])
"""
)

CAMERA = '[[cameras]]\nname = "top"\nheight = 48\nwidth = 64\ndepth = true\n'


def using(tmp_path, uses='uses = ["robots.skills"]', **files):
    folder = reach(tmp_path / "reach")
    text = (folder / "task.toml").read_text()
    (folder / "task.toml").write_text(f"{uses}\n{text}{CAMERA}")
    for name, content in files.items():
        (folder / f"{name}.py").write_text(content)
    return folder


def packed(folder, policy):
    folder.mkdir()
    (folder / "policy.py").write_text(policy)
    (folder / "recipe.toml").write_text('regime = "heuristic"\n')
    return archive.pack(folder)


def test_a_reset_made_of_skills_runs_in_its_sandbox(tmp_path):
    child = SandboxedChildren(read_task(using(tmp_path, reset=RESET))).reset()
    try:
        child.reset({"tool_position_m": np.zeros(2)}, np.array([0.1, 0.0]))
        actions = [child.act({"tool_position_m": np.zeros(2)}).action for _ in range(11)]
    finally:
        blocked = child.blocked()
        child.close()
    assert actions[9] == pytest.approx([0.1, 0.0])
    assert actions[10] is None
    assert blocked == []


def test_a_verifier_sees_the_depth_of_a_camera_that_has_one(tmp_path):
    task = read_task(using(tmp_path, verify=VERIFY))
    assert [spec.depth for spec in task.spec.cameras] == [True]
    driver, child = MujocoDriver(task, 0), SandboxedChildren(task).verify()
    try:
        sight = child.verify(driver.camera(), driver.observe())
    finally:
        child.close()
        driver.close()
    assert sight.success
    assert sight.score == 1.0


def test_a_task_that_does_not_say_so_has_no_skills(tmp_path):
    task = read_task(using(tmp_path, uses="", reset=RESET))
    with pytest.raises(ChildFailed, match="robots"):
        SandboxedChildren(task).reset()


def test_a_policy_always_has_the_skills_and_no_other_package_of_its_task(tmp_path, monkeypatch):
    lab = tmp_path / "lab_sight"
    lab.mkdir()
    (lab / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    task = read_task(using(tmp_path, uses='uses = ["lab_sight"]'))
    children = SandboxedChildren(task)
    policy = children.policy(packed(tmp_path / "plain", POLICY))
    try:
        policy.reset({"tool_position_m": np.zeros(2)})
        assert policy.act({"tool_position_m": np.zeros(2)}).action == pytest.approx([0.1, 0.2])
        assert policy.blocked() == []
    finally:
        policy.close()
    greedy = packed(tmp_path / "greedy", f"import lab_sight\n{POLICY}")
    with pytest.raises(ChildFailed, match="lab_sight"):
        children.policy(greedy)


def test_an_edited_skill_is_another_environment(tmp_path, monkeypatch):
    lab = tmp_path / "lab_skills"
    lab.mkdir()
    for name in ("__init__.py", "grips.py", "notes.txt"):
        (lab / name).write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    task = read_task(using(tmp_path, uses='uses = ["lab_skills", "robots.skills"]'))
    assert {"lab_skills:grips.py", "robots.skills:motion.py"} <= task.files().keys()
    before = task.manifest_sha256()
    (lab / "notes.txt").write_text("read by nobody")
    assert task.manifest_sha256() == before
    (lab / "grips.py").write_text("WIDTH_M = 0.01\n")
    edited = task.manifest_sha256()
    assert edited != before
    (lab / "more.py").write_text("")
    assert task.manifest_sha256() not in (before, edited)


@pytest.mark.parametrize("uses", ['"robots.skills"', '["robots.no_such"]', '["json.tool"]', "[3]"])
def test_a_wrong_use_is_refused_with_file_and_key(tmp_path, uses):
    with pytest.raises(TaskError, match=r"task\.toml: uses: "):
        read_task(using(tmp_path, uses=f"uses = {uses}"))


def test_a_variant_uses_what_its_base_uses(tmp_path, monkeypatch):
    using(tmp_path)
    (tmp_path / "reach" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "reach", raising=False)
    own = tmp_path / "own"
    own.mkdir()
    (own / "task.toml").write_text('base = "reach"\nname = "own"\n')
    assert list(read_task(own).packages) == ["reach", "robots.skills"]


def test_the_package_above_the_skills_imports_nothing():
    assert set(vars(robots)) & {"numpy", "np", "msgspec"} == set()
