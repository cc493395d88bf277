"""gym_pusht/PushT-v0 as it is published, behind the gymnasium driver and the sandbox."""

import importlib.util
import math
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gym_pusht", reason="the `pusht` extra is not installed")

import gymnasium

from robots.drivers.base import load_driver
from robots.drivers.environments import notes_folder
from robots.station.authority import Authority
from robots.station.rollout import Rig
from robots.station.sandboxed import SandboxedChildren
from robots.station.seeds import RandomSeeds
from robots.station.tasks import TaskError, load_task, task_folders
from robots.wire.records import Outcome
from tests.robots.station.conftest import Watched, plan, recipe
from tests.robots.station.scripted import load

ID = "gym_pusht/PushT-v0"
TASK = f"gym:{ID}"
PACKAGE = Path(importlib.util.find_spec("gym_pusht").origin).parent
evidence = load(notes_folder(TASK) / "evidence.py")


@pytest.fixture
def driver():
    driver = load_driver("gymnasium", load_task(TASK), 1)
    yield driver
    driver.close()


def world_of(driver):
    return driver._env.unwrapped


def put(driver, x, y, angle):
    """The block somewhere, and the agent in a corner."""
    world = world_of(driver)
    world.block.angle = angle
    world.block.position = (x, y)
    world.agent.position = (30.0, 30.0)


def test_it_is_a_task_by_its_id_with_its_own_rate_and_limit():
    task = load_task(TASK)
    spec = task.spec

    assert (spec.policy_hz, spec.limits.low, spec.limits.high) == (10.0, (0.0, 0.0), (512.0, 512.0))
    # Its own limit of 300 steps comes first.
    assert 300 < spec.episode_limit_s * spec.policy_hz < 302
    assert [(each.key, each.shape) for each in spec.observation] == [("observation", (5,))]
    assert spec.action_unit == "px"
    assert "gym_pusht" not in task_folders(), "notes are no task folder"


def test_the_environment_is_the_registered_one_unchanged(driver):
    world = world_of(driver)

    assert type(world).__module__ == "gym_pusht.envs.pusht"
    assert driver._env.spec.id == ID
    assert driver._env.spec.max_episode_steps == 300
    assert driver._env.spec.kwargs == {"obs_type": "state"}
    assert (world.k_p, world.k_v, world.success_threshold) == (100, 20, 0.95)


def test_its_reset_is_the_simulators_and_follows_the_seed(driver):
    assert driver.capabilities.simulator_reset
    assert driver.capabilities.can_seed
    starts = []
    for seed in (7, 7, 8):
        driver.start_episode(seed)
        starts.append(driver.observe()["observation"])
    assert (starts[0] == starts[1]).all()
    assert (starts[0] != starts[2]).any()


def test_success_is_its_own_rule_at_any_step(driver):
    driver.start_episode(0)
    put(driver, 256.0, 252.5, math.pi / 4)
    driver.drive([30.0, 30.0], 1)
    assert driver.success() is None
    assert 0.9 < driver.evidence([driver.observe()])["score_estimate"] < 0.95

    put(driver, 256.0, 255.0, math.pi / 4)
    driver.drive([30.0, 30.0], 1)
    assert driver.success() is True
    assert driver.audit()["success"] == 1.0


def test_a_station_knows_when_the_notes_were_changed(tmp_path):
    task = load_task(TASK)
    before = task.manifest_sha256()
    copied = type(task)(tmp_path, task.spec, task.identity, task.options)

    assert copied.manifest_sha256() != before
    assert load_task(TASK).manifest_sha256() == before
    assert load_task(TASK, {"policy_hz": 5.0}).manifest_sha256() != before


def test_a_missing_extra_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "gym_pusht", None)
    monkeypatch.delitem(gymnasium.registry, ID, raising=False)

    with pytest.raises(TaskError, match=r"pip install 'enpire-tui\[pusht\]'"):
        load_task(TASK)


@pytest.mark.parametrize(
    ("x", "y", "angle", "tags"),
    [
        (258.0, 250.0, math.pi / 4 + 0.05, {"near_miss"}),
        (256.0, 256.0, math.pi / 4 + math.tau - 0.5, {"orientation"}),
        (150.0, 256.0, math.pi / 4, {"far"}),
        (40.0, 256.0, 0.0, {"far", "orientation", "border"}),
    ],
)
def test_failures_are_named_from_observations(x, y, angle, tags):
    moving = [
        {"observation": np.array([300.0 + 5.0 * step, 300.0, x, y, angle])} for step in range(30)
    ]
    still = [moving[0]] * 30

    assert set(evidence.failure_tags(moving)) == tags | {"timeout"}
    assert set(evidence.failure_tags(still)) == tags | {"stalled"}


POLICY = """
class Policy:
    def __init__(self, knobs): pass
    def reset(self, observation): pass
    def act(self, observation):
        {body}
        return observation["observation"][:2]
"""

HOSTILE = [
    ("imports it", "import gym_pusht", "ModuleNotFoundError"),
    ("imports its physics", "import pymunk", "ModuleNotFoundError"),
    ("makes it", "import gymnasium", "ModuleNotFoundError"),
    ("reads it", f"open({str(PACKAGE / 'envs' / 'pusht.py')!r})", "FileNotFoundError"),
    ("reads its notes", f"open({str(notes_folder(TASK) / 'evidence.py')!r})", "FileNotFoundError"),
]


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    task = load_task(TASK)
    children = SandboxedChildren(task, tmp_path_factory.mktemp("work"))
    authority = Authority(time.monotonic, needs_grant=False)
    rig = Rig(task, load_driver("gymnasium", task, 1), children, authority, RandomSeeds())
    yield rig
    rig.close()


@pytest.mark.parametrize(
    ("body", "said"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE]
)
def test_the_environment_is_out_of_a_policys_reach(rig, body, said):
    watched = Watched()
    end = rig.run(plan(1, recipe=recipe(POLICY.format(body=body))), watched)

    (episode,) = end.episodes
    assert (episode.outcome, episode.reason) == (Outcome.FAILURE, "policy_raised")
    assert said in " ".join(episode.tags)


def test_a_policy_that_stands_still_fails_by_the_environments_own_limit(rig):
    end = rig.run(plan(1, recipe=recipe(POLICY.format(body="pass"))), Watched())

    (episode,) = end.episodes
    assert (episode.outcome, episode.steps) == (Outcome.FAILURE, 300)
    assert "stalled" in episode.tags
    assert {"return", "score_estimate", "position_error_px"} <= set(episode.figures)
