"""Packages that a verifier may import inside its sandbox: a task's base."""

import pytest

from robots.worker import Worker, WorkerKind, WorkerRaised, worker_limits

VERIFY = """
from pathlib import Path

from lab.bench import sight


def verify(images, proprioception):
    shown = sorted(path.name for path in Path(sight.__file__).parent.iterdir())
    return {"success": sight.GOAL == 7, "iou": float(shown == ["__init__.py", "sight.py"])}
"""


@pytest.fixture
def package(tmp_path):
    folder = tmp_path / "lab" / "bench"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "__pycache__" / "sight.cpython-311.pyc").write_bytes(b"forged")
    (folder / "__init__.py").write_text("")
    (folder / "sight.py").write_text("GOAL = 7\n")
    (folder / "scene.xml").write_text("<mujoco/>")
    (tmp_path / "verify.py").write_text(VERIFY)
    return folder


def start(package, **more):
    source = package.parents[1] / "verify.py"
    return Worker.start(WorkerKind.VERIFIER, source, limits=worker_limits(1 << 30), **more)


def test_sources_of_a_package_can_be_imported_and_nothing_beside_them_is_in_view(package):
    with start(package, packages={"lab.bench": package}) as worker:
        result = worker.call("verify", {}, {}, wall_s=10.0)
    assert result.value == {"success": True, "iou": 1.0}
    assert result.blocked == ()


def test_a_package_that_was_not_given_is_not_there(package):
    with pytest.raises(WorkerRaised, match="lab"):
        start(package)
