"""Datasets that a recipe names: never a path, and only that line of the file changes."""

import tomllib

import pytest

from recipes import data, shipped
from recipes.jobs.records import JobRefused


def test_naming_data_changes_one_line_however_often() -> None:
    files = shipped.pack("pin_insertion", "behavior_cloning").files
    once = data.naming(files, ["demonstrations-0123456789abcdef"])
    twice = data.naming(once, ["demonstrations-0123456789abcdef", "a1-4-successes-00"])

    assert data.named(files) == ()
    assert data.named(once) == ("demonstrations-0123456789abcdef",)
    assert data.named(twice) == ("demonstrations-0123456789abcdef", "a1-4-successes-00")
    told = tomllib.loads(twice["recipe.toml"].decode())
    del told["data"]
    assert told == tomllib.loads(files["recipe.toml"].decode())
    assert twice["recipe.toml"].count(b"\n") == files["recipe.toml"].count(b"\n") + 1


@pytest.mark.parametrize("value", ['["../.."]', '["/etc"]', '[".data"]', '["a/b"]', '"a"', "[7]"])
def test_what_is_no_name_is_refused(value: str) -> None:
    with pytest.raises(JobRefused, match="data"):
        data.named({"recipe.toml": f"data = {value}\n".encode()})
