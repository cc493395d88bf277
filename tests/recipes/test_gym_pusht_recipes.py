"""Recipes for gym_pusht/PushT-v0: found by the id, in the library's make, the reference far ahead."""

import ast
import importlib.util
import math
import sys
import tomllib

import numpy as np
import pytest

pytest.importorskip("gym_pusht", reason="the `pusht` extra is not installed")

from agents.search import operators, primitives
from enpire_tui.provision import baseline_of
from recipes import shipped
from robots.drivers.base import load_driver
from robots.station import archive
from robots.station.scoring import Scorer
from robots.station.tasks import load_task

TASK = "gym:gym_pusht/PushT-v0"
FOLDER = shipped.folder_of(TASK, "baseline").parent
SOURCE = (FOLDER / "baseline" / "policy.py").read_text()
RECIPE = (FOLDER / "baseline" / "recipe.toml").read_text()
ALL = primitives.load()


def policy_of(source, recipe):
    namespace = {"__name__": "candidate"}
    exec(compile(source, "policy.py", "exec"), namespace)
    knobs = {name: table["value"] for name, table in tomllib.loads(recipe)["knobs"].items()}
    return namespace["Policy"](knobs)


def module_of(name):
    folder = FOLDER / "reference"
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location(f"pusht_reference_{name}", folder / name)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module


@pytest.fixture(scope="module")
def scorer():
    with Scorer(TASK) as scorer:
        yield scorer


def test_recipes_are_found_by_the_registered_id():
    assert FOLDER.name == "gym_pusht_pusht_v0"
    assert set(baseline_of(TASK).files) == {"policy.py", "recipe.toml"}


def test_the_reference_beats_the_baseline(scorer):
    reference = scorer.run(archive.pack(FOLDER / "reference"), 3)
    baseline = scorer.run(archive.pack(FOLDER / "baseline"), 3)

    assert reference.counts.success > baseline.counts.success
    assert reference.counts.success >= 2
    assert reference.cpu_seconds_per_episode < 10.0
    assert reference.simulator_reset


def test_every_primitive_fits_the_baseline():
    assert operators.fitting({"policy.py": SOURCE.encode()}) == [*ALL]
    owned = {name for item in ALL for name in item.knobs}
    assert not owned & set(tomllib.loads(RECIPE)["knobs"])


@pytest.mark.parametrize("primitive", ALL, ids=lambda item: item.name)
def test_the_baseline_with_a_primitive_acts_within_the_arena(primitive):
    source = primitives.insert(SOURCE, primitive)
    policy = policy_of(source, primitives.insert_knobs(RECIPE, primitive))
    tool, block = np.array([80.0, 400.0]), (300.0, 220.0, 1.2)
    policy.reset({"observation": np.array([*tool, *block])})
    for _ in range(120):
        tool = np.asarray(policy.act({"observation": np.array([*tool, *block])}))
        assert tool.shape == (2,)
        assert ((tool > -1e-6) & (tool < 512.0 + 1e-6)).all()


def test_the_baseline_reads_the_goal_and_the_block_alike():
    policy = policy_of(SOURCE, RECIPE)
    policy.reset({"observation": np.array([30.0, 30.0, 256.0, 256.0, math.pi / 4])})

    assert policy.done(policy.pose)
    assert policy.cost(*policy.pose) == pytest.approx(0.0, abs=1e-12)


def test_the_references_model_foresees_a_push():
    world = module_of("world.py")
    driver = load_driver("gymnasium", load_task(TASK), 1)
    driver.start_episode(3)
    simulated = driver._env.unwrapped
    simulated.block.angle, simulated.block.position = 0.4, (250.0, 240.0)
    simulated.agent.position = (180.0, 380.0)
    driver.drive([180.0, 380.0], 1)
    x, y, bx, by, angle = driver.observe()["observation"]
    model = world.World((x, y, 0.0, 0.0), world.pose_of(bx, by, angle), 1)
    for _ in range(8):
        driver.drive([230.0, 290.0], 1)
        model.act(230.0, 290.0)
    driver.close()

    after = world.pose_of(*driver.observe()["observation"][2:])
    assert abs(after[2] - angle) > 0.03
    assert [model.x[0], model.y[0], model.turn[0]] == pytest.approx(after, abs=1e-3)


def test_no_line_of_the_reference_is_in_the_baseline_or_the_library():
    def lines(text):
        return {line.strip() for line in text.splitlines() if len(line.strip()) > 50}

    reference = set().union(
        *(lines(path.read_text()) for path in (FOLDER / "reference").glob("*.py"))
    )
    assert not reference & lines(SOURCE)
    assert not any(reference & lines(item.code) for item in ALL)
    assert ast.parse(SOURCE)
