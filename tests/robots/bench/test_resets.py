"""Reset reliability, on resets of known reliability."""

import numpy as np

from robots.bench import resets
from robots.bench.bench import Bench
from robots.station.tasks import read_task
from tests.robots.bench.reaching import reach

EVERY_OTHER = """class Reset:
    tries = 0

    def reset(self, observation, target):
        Reset.tries += 1
        self._lazy = Reset.tries % 2 == 1
        self._target = np.asarray(target)

    def act(self, observation):
        if self._lazy:
            return None
"""


def test_a_sound_reset_needs_one_try(tmp_path):
    told = []
    found = resets.run(read_task(reach(tmp_path / "reach")), 6, told.append, sandboxed=False)
    assert (found.tries, found.success, found.single_try_success) == (6, 6, 6)
    assert len(told) == 6
    assert 0.0 < found.seconds_per_reset < 4.0
    assert found.failures == ()


def test_the_ladder_is_told_apart_from_the_first_try(tmp_path):
    folder = reach(tmp_path / "reach")
    source = (folder / "reset.py").read_text()
    head, _, tail = source.partition("class Reset:")
    moves = tail[tail.index("        if np.linalg") :]
    (folder / "reset.py").write_text(head + EVERY_OTHER + moves)
    found = resets.run(read_task(folder), 4, lambda trial: None, sandboxed=False)
    # A scene may lie at its target by chance, and the idle try then counts.
    assert found.success == 4 > found.single_try_success


def test_a_reset_that_fails_is_counted_and_named(tmp_path):
    folder = reach(tmp_path / "reach", ("reset.py", "return self._target", "return None"))
    found = resets.run(read_task(folder), 2, lambda trial: None, sandboxed=False)
    assert (found.tries, found.success, found.single_try_success) == (2, 0, 0)
    assert found.failures == ("the reset missed its target 4 times",)


def test_a_reset_begins_where_a_disturbance_has_left_the_scene(tmp_path):
    with Bench(read_task(reach(tmp_path / "reach")), 1, sandboxed=False) as bench:
        assert bench.reset() == ""
        before = bench.driver.data.qpos.copy()
        bench.wander(np.random.default_rng(1), 2.0)
        moved = bench.driver.data.qpos - before
        assert np.linalg.norm(moved) > 0.05
        held = bench.driver.data.qpos.copy()
        bench.driver.start_episode(3)
        assert (bench.driver.data.qpos == held).all()
