"""What a search may change of a learned recipe's `[train]`: read as declared, written as text."""

import tomllib
from typing import Any

import pytest

from agents.search import settings
from agents.search.knobs import KnobRefused
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
        for value in values:
            changed = settings.change(files, key, value)
            assert train(changed) == train(files) | {key: value}
            assert "weights.npz" not in changed
            assert changed["recipe.toml"].count(b"\n") == files["recipe.toml"].count(b"\n")


def test_rates_move_by_factors_and_counts_stay_whole() -> None:
    found = settings.alternatives(recipe())
    assert found["steps"] == (1507, 20000)
    assert found["lr"] == pytest.approx((2.512e-4, 3.981e-3))


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
