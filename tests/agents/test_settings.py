"""What a search may change of a learned recipe's `[train]`: read as declared, written as text."""

import tomllib
from typing import Any

import pytest

from agents.search import operators, settings
from agents.search.knobs import KnobRefused, read_knobs
from recipes import shipped

TRAINED = ("behavior_cloning", "dagger", "offline_rl")


def recipe(task: str = "pin_insertion", name: str = "behavior_cloning") -> dict[str, bytes]:
    return shipped.pack(task, name).files


def train(files: dict[str, bytes]) -> dict[str, Any]:
    return tomllib.loads(files["recipe.toml"].decode())["train"]


@pytest.mark.parametrize("task", ["pin_insertion", "push_t"])
@pytest.mark.parametrize("name", TRAINED)
def test_every_declared_change_changes_one_setting_and_nothing_else(task: str, name: str) -> None:
    files = {**recipe(task, name), "weights.npz": b"learned under the old settings"}
    found = settings.alternatives(files)
    assert {"steps", "history", "lr"} <= set(found)
    for key, values in found.items():
        assert values
        for value in values.values():
            changed = settings.change(files, key, value)
            assert train(changed) == train(files) | {key: value}
            assert "weights.npz" not in changed
            assert changed["recipe.toml"].count(b"\n") == files["recipe.toml"].count(b"\n")


def test_rates_move_by_factors_and_counts_stay_whole() -> None:
    found = settings.alternatives(recipe())
    assert found["steps"] == {"down": 1507, "up": 20000}
    assert found["lr"] == pytest.approx({"down": 2.512e-4, "up": 3.981e-3})
    assert [*found["mean"]] == ["false"]


def test_a_change_is_named_by_its_direction_so_that_credit_outlives_the_champion() -> None:
    names = {arm.name for arm in settings.retraining_arms(recipe())}
    assert {"train:steps=up", "train:steps=down", "train:chunk=16", settings.IMITATE} <= names

    further = settings.retrained(settings.retrained(recipe(), "lr=down"), "lr=down")
    assert train(further)["lr"] == 1e-4
    with pytest.raises(KnobRefused, match="lr cannot be changed to down"):
        settings.retrained(further, "lr=down")


def test_a_knob_of_a_learned_recipe_moves_without_training() -> None:
    files = {**recipe(), "weights.npz": b"learned"}
    assert {arm.name for arm in settings.moving_arms(files)} == {"move:play=down", "move:play=up"}
    moved = operators.apply("move:play=up", files, {})
    assert read_knobs(moved)["play"].value == 6
    assert moved["weights.npz"] == b"learned"


def test_code_for_policies_written_by_hand_is_not_put_into_a_learned_one() -> None:
    # `look` is a method of both, and of a primitive.
    arms = operators.structural_arms(recipe(), recipe())
    assert {arm.name.partition(":")[0] for arm in arms} == {"move"}


def test_one_that_learns_online_is_not_retrained_by_an_agent() -> None:
    assert not settings.alternatives(recipe(name="online_rl"))


def test_a_recipe_without_training_code_has_nothing_to_retrain() -> None:
    assert not settings.alternatives(recipe(name="baseline"))


@pytest.mark.parametrize(
    ("ranges", "problem"),
    [
        ("steps = { low = 5 }", "steps needs `low` and `high`"),
        ("steps = { low = 0, high = 9, scale = 'log' }", "steps: 0 to 9 is no range"),
        ("other = { low = 0, high = 9 }", "other is no table of a setting"),
        ("steps = 7", "steps is no table of a setting"),
    ],
)
def test_a_range_that_is_none_is_named(ranges: str, problem: str) -> None:
    toml = f"[train]\nsteps = 5\n[ranges]\n{ranges}\n".encode()
    with pytest.raises(KnobRefused, match=problem):
        settings.alternatives({"recipe.toml": toml, "train.py": b""})


def test_a_setting_that_cannot_be_found_is_refused() -> None:
    files = {"recipe.toml": b"[train]\nhistory = [\n 0,\n]\n", "train.py": b""}
    with pytest.raises(KnobRefused, match="history has no line of its own"):
        settings.change(files, "history", [0, 1])
