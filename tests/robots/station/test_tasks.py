"""Tasks: what stands in the manifest."""

from robots.station import tasks


def test_what_simulations_are_built_from_stands_in_the_manifest(tmp_path, monkeypatch):
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "draws.py").write_text("SPREAD = 1.0\n")
    monkeypatch.setattr(tasks.world, "__file__", str(tmp_path / "__init__.py"))
    task = tasks.load_task("pin_insertion")
    before = task.manifest_sha256()
    assert "robots.world:draws.py" in task.files()
    (tmp_path / "draws.py").write_text("SPREAD = 0.1\n")
    assert task.manifest_sha256() != before
