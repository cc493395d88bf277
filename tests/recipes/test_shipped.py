"""Shipped recipes are packed whole, wherever their parts lie."""

import tomllib

import pytest

from recipes import shipped
from robots.station.archive import ArchiveRefused
from tests.robots.bench.reaching import reach


@pytest.mark.parametrize("name", ["baseline", "reference"])
def test_a_variant_takes_what_it_lacks_from_the_recipe_it_varies(name):
    varied, own = shipped.pack("push_t", name), shipped.pack("push_t_simple", name)
    assert varied.files.keys() == own.files.keys()
    assert varied.files["policy.py"] == own.files["policy.py"]
    knobs = tomllib.loads(own.files["recipe.toml"].decode())["knobs"]
    assert knobs.keys() == tomllib.loads(varied.files["recipe.toml"].decode())["knobs"].keys()
    for table in knobs.values():
        assert table.get("low", 0) <= table["value"] <= table["high"] if "high" in table else True


def test_a_task_elsewhere_keeps_its_recipes_in_its_own_folder(tmp_path):
    folder = reach(tmp_path / "reach")
    assert "policy.py" in shipped.pack(str(folder), "baseline").files
    with pytest.raises(ArchiveRefused, match="not a folder"):
        shipped.pack(str(folder), "middling")
