"""The verifier's score, on verifiers of known worth."""

import pytest

from robots.bench import sights
from robots.bench.findings import Nonconforming
from robots.station.tasks import read_task
from tests.robots.bench.reaching import SNAPSHOT, reach

VERDICT = '"success": distance < 0.01'


def score(folder, negatives=7, positives=5, told=lambda sighting: None, seed=None):
    return sights.run(read_task(folder), negatives, positives, told, sandboxed=False, seed=seed)


def test_a_true_verifier_makes_no_error(tmp_path):
    told = []
    found = score(reach(tmp_path / "reach"), told=told.append)
    assert (found.false_positives, found.recall) == (0, 1.0)
    assert (found.negatives, found.positives, found.n) == (7, 5, 12)
    assert found.near_misses == 3
    assert 0.0 < found.latency_ms.p50 <= found.latency_ms.p99
    assert [sighting.number for sighting in told] == list(range(12))
    assert not any(sighting.wrong for sighting in told)


def test_what_a_generous_verifier_lets_through_is_counted(tmp_path):
    found = score(reach(tmp_path / "reach", ("verify.py", VERDICT, '"success": distance < 0.05')))
    assert (found.false_positives, found.recall) == (found.near_misses, 1.0)


def test_a_flickering_verdict_does_not_outlast_the_debounce(tmp_path):
    source = ("verify.py", "def verify(", "from itertools import cycle\nTURN = cycle((True, False))\n\n\ndef verify(")  # fmt: skip
    folder = reach(tmp_path / "reach", source, ("verify.py", VERDICT, '"success": next(TURN)'))
    found = score(folder)
    assert (found.false_positives, found.recall) == (0, 0.0)


def test_each_score_is_on_a_fresh_set_and_a_set_can_be_drawn_again(tmp_path):
    folder = reach(tmp_path / "reach")
    truths = [[], [], []]
    seeds = [score(folder, 12, 12, lambda s: truths[0].append(s.truth)).seed]
    seeds.append(score(folder, 12, 12, lambda s: truths[1].append(s.truth)).seed)
    score(folder, 12, 12, lambda s: truths[2].append(s.truth), seed=seeds[0])
    assert seeds[0] != seeds[1]
    assert truths[0] != truths[1]
    assert truths[0] == truths[2]


def test_a_task_that_draws_no_scenes_is_told_how_to(tmp_path):
    folder = reach(tmp_path / "reach", ("simulation.py", "def snapshot(", "def picture("))
    with pytest.raises(Nonconforming, match="snapshot"):
        score(folder)


def test_the_audit_says_what_a_scene_is_not_the_task(tmp_path):
    assert "near_miss" in SNAPSHOT
    edit = ("simulation.py", '"near_miss": 0.015', '"near_miss": 0.0')
    with pytest.raises(Nonconforming, match="drew no near_miss"):
        score(reach(tmp_path / "reach", edit))
