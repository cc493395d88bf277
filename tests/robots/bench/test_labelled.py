"""The verifier against labels: what is counted, and that a label is never mistaken for a verdict."""

import numpy as np
import pytest

from robots.bench import labelled
from robots.station.children import Sight
from robots.station.labels import PERSON, SIMULATOR, Label, Snapshot


def label(number, *, success, source=PERSON, sha256="m1"):
    return Label(
        label_id=f"l{number}", task="reach", success=success, label_source=source, by="ann",
        entered="room", station="s1", wall_s=1.0, manifest_sha256=sha256, held_out=True,
    )  # fmt: skip


class Bright:
    """Accepts bright scenes."""

    def verify(self, images, proprioception):
        bright = bool(images["top"].mean() > 100)
        return Sight(success=bright, score=float(bright))


def scene(bright):
    return Snapshot({"top": np.full((4, 4, 3), 200 if bright else 20, np.uint8)}, {})


def test_disagreements_are_counted_by_side_and_named():
    held_out = [
        (label(0, success=True), scene(True)),
        (label(1, success=True), scene(False)),
        (label(2, success=False), scene(False)),
        (label(3, success=False, source=SIMULATOR), scene(True)),
        (label(4, success=False, sha256="m0"), scene(False)),
    ]
    told = []
    found = labelled.run(held_out, Bright(), "m1", told.append)
    assert (found.n, found.positives, found.negatives) == (5, 2, 3)
    assert (found.recall, found.false_positives) == (0.5, 1)
    assert found.disagreements == ("l1", "l3")
    assert (found.by_person, found.other_files) == (4, 1)
    assert [judged.wrong for judged in told] == [False, True, False, True, False]
    assert found.latency_ms.p99 >= found.latency_ms.p50 > 0.0


@pytest.mark.parametrize(("success", "recall"), [(True, 1.0), (False, None)])
def test_no_recall_is_told_without_a_success(success, recall):
    found = labelled.run([(label(0, success=success), scene(success))], Bright(), "m1", print)
    assert found.recall == recall


def test_no_labels_are_no_figures():
    found = labelled.run([], Bright(), "m1", print)
    assert (found.n, found.recall, found.latency_ms) == (0, None, None)
