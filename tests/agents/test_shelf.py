"""An agent's own folder outside Git: bounded, and a model's word reads nothing beside it."""

from pathlib import Path

import pytest

from agents.shelf import Shelf


def test_what_was_put_is_got_and_the_oldest_makes_room(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "shelf", quota_bytes=250)
    shelf.put("a", b"a" * 100)
    shelf.put("b", b"b" * 100)
    assert shelf.get("a") == b"a" * 100
    shelf.put("c", b"c" * 100)
    assert [shelf.get(name) for name in ("a", "b", "c")] == [None, b"b" * 100, b"c" * 100]
    shelf.put("large", b"d" * 300)
    assert shelf.get("large") == b"d" * 300


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "..", ".", "", "below/secret"])
def test_a_name_is_a_file_of_the_folder_and_nothing_else(tmp_path: Path, name: str) -> None:
    (tmp_path / "shelf" / "below").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "shelf" / "below" / "secret").write_text("secret")
    assert Shelf(tmp_path / "shelf", quota_bytes=250).get(name) is None
