"""The drift check, measured: on a scene with marks it notices what moved and doubts nothing else."""

import pytest

from robots.bench import drifting
from robots.bench.drifting import Look
from robots.bench.findings import Nonconforming
from robots.station.tasks import read_task
from tests.robots.bench.reaching import reach
from tests.robots.station.sighted import CAMERA, MARKS


def sighted(folder, *edits):
    return read_task(
        reach(
            folder,
            ("task.toml", "[success]", CAMERA + "\n[success]"),
            ("scene.xml", "<body name", MARKS + "<body name"),
            *edits,
        )
    )


def test_a_large_move_is_noticed_and_nothing_else_doubted(tmp_path):
    told = []
    found = drifting.run(sighted(tmp_path / "reach"), 8, (), told.append, sandboxed=False)
    assert (found.looks, found.false_doubts, found.doubts) == (8, 0, ())
    assert found.least_kept > 0.97
    assert len(told) == 8 + drifting.moves(8)
    largest = {each.by: each for each in found.moved if each.size == drifting.SIZES[-1]}
    # Moves are drawn in all directions; one along the view shows little.
    assert largest["shift_m"].noticed >= 4
    assert largest["shift_m"].trials == 12


def test_a_verifier_that_accepts_fresh_scenes_is_doubted(tmp_path):
    edit = ("verify.py", '"success": distance < 0.01', '"success": True')
    found = drifting.run(sighted(tmp_path / "reach", edit), 4, (), print, sandboxed=False)
    assert found.false_doubts == 4
    assert "just reset a success" in found.doubts[0]


def test_a_task_without_a_camera_has_no_sight(tmp_path):
    with pytest.raises(Nonconforming, match="cameras"):
        drifting.run(read_task(reach(tmp_path / "reach")), 4, (), print, sandboxed=False)


def test_looks_are_counted_by_what_moved():
    looks = [Look("", 0.0, "", 0.99), Look("", 0.0, "odd", 0.8)]
    looks += [Look("turn_rad", 0.1, found, 0.5) for found in ("yes", "", "yes")]
    found = drifting.figures(looks, 3)
    assert (found.looks, found.false_doubts, found.least_kept, found.known) == (2, 1, 0.8, 3)
    assert found.moved == (drifting.Moved(by="turn_rad", size=0.1, trials=3, noticed=2),)
