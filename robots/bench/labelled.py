"""The verifier against labels: its verdicts on scenes that were held out from whoever wrote it."""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from robots.bench.sights import Latency, latency
from robots.station.children import VerifyChild
from robots.station.labels import PERSON, Label, Snapshot
from robots.wire.records import Frozen


class LabelFigures(Frozen):
    """What a verifier is worth on held-out labels.

    Attributes:
        false_positives: Of the `negatives`, accepted.
        recall: Share of the `positives` that was accepted; None without any.
        by_person: Labels that a person gave; the rest are a simulator's truth.
        other_files: Labels given under other files of the task.
        disagreements: Ids of labels with which the verdict disagrees.
    """

    false_positives: int
    negatives: int
    recall: float | None
    positives: int
    n: int
    by_person: int
    other_files: int
    latency_ms: Latency | None
    disagreements: tuple[str, ...]


class Judged(NamedTuple):
    """A label, its scene, and the verifier's verdict, which is a thing of its own."""

    label: Label
    scene: Snapshot
    accepted: bool
    score: float | None

    @property
    def wrong(self) -> bool:
        """Whether label and verdict differ."""
        return self.accepted != self.label.success


def run(
    held_out: Iterable[tuple[Label, Snapshot]],
    child: VerifyChild,
    manifest_sha256: str,
    told: Callable[[Judged], None],
) -> LabelFigures:
    """Score a verifier on labels; each is one frame, so that there is no debounce.

    Args:
        held_out: The labels.
        child: The verifier.
        manifest_sha256: Of the task's files now.
        told: Told of each label.

    Raises:
        ChildFailed: The verifier's process died.
    """
    judged: list[tuple[Label, bool]] = []
    latencies_s: list[float] = []
    for label, scene in held_out:
        begun_s = time.perf_counter()
        sight = child.verify(*scene)
        latencies_s.append(time.perf_counter() - begun_s)
        told(Judged(label, scene, sight.success, sight.score))
        judged.append((label, sight.success))
    positives = [accepted for label, accepted in judged if label.success]
    negatives = [accepted for label, accepted in judged if not label.success]
    return LabelFigures(
        false_positives=sum(negatives),
        negatives=len(negatives),
        recall=sum(positives) / len(positives) if positives else None,
        positives=len(positives),
        n=len(judged),
        by_person=sum(label.label_source == PERSON for label, _ in judged),
        other_files=sum(label.manifest_sha256 != manifest_sha256 for label, _ in judged),
        latency_ms=latency(latencies_s) if latencies_s else None,
        disagreements=tuple(
            label.label_id for label, accepted in judged if accepted != label.success
        ),
    )
