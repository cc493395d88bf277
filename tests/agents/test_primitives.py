"""The search agent's operator library: every primitive goes in, runs, and comes out without a trace."""

import itertools
import tomllib
from pathlib import Path

import numpy as np
import pytest

from agents.search import primitives

ROOT = Path(__file__).resolve().parents[2]
BASELINE = ROOT / "recipes" / "push_t" / "baseline"
REFERENCE = ROOT / "recipes" / "push_t" / "reference"
SOURCE = (BASELINE / "policy.py").read_text()
RECIPE = (BASELINE / "recipe.toml").read_text()
ALL = primitives.load()
every = pytest.mark.parametrize("primitive", ALL, ids=lambda primitive: primitive.name)


def policy_of(source, recipe):
    namespace = {"__name__": "candidate"}
    exec(compile(source, "policy.py", "exec"), namespace)
    knobs = {name: table["value"] for name, table in tomllib.loads(recipe)["knobs"].items()}
    return namespace["Policy"](knobs)


def play(policy, steps):
    """Runs a policy against a tool that follows at once and a block that never moves."""
    rng = np.random.default_rng(0)
    tool = np.array([0.3, 0.1])

    def observation(k):
        return {
            "tool_position_m": tool.copy(),
            "object_pose": np.array([0.03, -0.02, 1.2]) + rng.normal(0.0, 3e-4, 3),
            "goal_pose": np.array([0.0, 0.0, 0.55]),
            "time_s": np.array([k / 30]),
        }

    policy.reset(observation(0))
    actions = []
    for k in range(steps):
        tool = np.asarray(policy.act(observation(k)))
        actions.append(tool)
    return np.array(actions)


@every
def test_a_primitive_goes_in_and_comes_out_without_a_trace(primitive):
    changed = primitives.insert(SOURCE, primitive)
    assert changed != SOURCE
    assert primitives.carries(changed, primitive)
    assert not primitives.carries(SOURCE, primitive)
    assert primitives.remove(changed, primitive, SOURCE) == SOURCE
    recipe = primitives.insert_knobs(RECIPE, primitive)
    assert set(primitive.knobs) <= set(tomllib.loads(recipe)["knobs"])
    assert primitives.insert_knobs(recipe, primitive) == recipe
    assert primitives.remove_knobs(recipe, primitive) == RECIPE


@every
def test_a_primitive_says_what_it_should_bring_and_when(primitive):
    assert len(primitive.hypothesis.split()) >= 10
    assert primitive.tags
    for knob in primitive.knobs.values():
        assert knob.choices or (
            knob.low is not None and knob.high is not None and knob.low <= knob.value <= knob.high
        )


@every
def test_a_policy_with_a_primitive_acts_within_its_limits(primitive):
    source = primitives.insert(SOURCE, primitive)
    policy = policy_of(source, primitives.insert_knobs(RECIPE, primitive))
    actions = play(policy, 250)
    assert actions.shape == (250, 2)
    assert np.isfinite(actions).all()
    assert (np.abs(actions) <= (0.36, 0.26)).all()


def test_primitives_that_do_not_conflict_stand_together():
    source, recipe, taken = SOURCE, RECIPE, []
    for primitive in ALL:
        if not any(primitives.conflicts(primitive, other) for other in taken):
            taken.append(primitive)
            source = primitives.insert(source, primitive)
            recipe = primitives.insert_knobs(recipe, primitive)
    assert len(taken) > 8
    assert np.isfinite(play(policy_of(source, recipe), 250)).all()
    for primitive in taken:
        source = primitives.remove(source, primitive, SOURCE)
        recipe = primitives.remove_knobs(recipe, primitive)
    assert (source, recipe) == (SOURCE, RECIPE)


def test_of_two_primitives_for_one_method_the_second_supersedes():
    pairs = [pair for pair in itertools.combinations(ALL, 2) if primitives.conflicts(*pair)]
    assert pairs
    first, second = pairs[0]
    both = primitives.insert(primitives.insert(SOURCE, first), second)
    assert primitives.carries(both, second)
    assert not primitives.carries(both, first)


def test_no_knob_belongs_to_two_primitives_or_to_the_baseline():
    owned = [name for primitive in ALL for name in primitive.knobs]
    assert len(owned) == len(set(owned))
    assert not set(owned) & set(tomllib.loads(RECIPE)["knobs"])


def test_a_source_without_the_class_is_refused():
    with pytest.raises(ValueError, match="class Policy"):
        primitives.insert("x = 1\n", ALL[0])


def test_no_line_of_the_reference_is_in_the_library():
    def lines(text):
        return {line.strip() for line in text.splitlines() if len(line.strip()) > 50}

    known = set().union(*(lines(path.read_text()) for path in REFERENCE.glob("*.py")))
    shown = set().union(lines(SOURCE), *(lines(primitive.code) for primitive in ALL))
    shared = known & shown
    assert not shared, shared
