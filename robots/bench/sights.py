"""The verifier's score: its verdicts on freshly drawn scenes against the audit's truth."""

import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from robots.bench.bench import Bench
from robots.bench.findings import Nonconforming
from robots.station.cameras import Images
from robots.station.children import VerifyChild
from robots.station.tasks import Observation, Task
from robots.wire.records import Frozen

POSITIVE, NEAR_MISS, NEGATIVE = "positive", "near_miss", "negative"
SCENES_PER_STATION = 50
"""Scenes under one station's fixed draws (camera pose among them) before another is made."""

_MOST_DRAWS = 50


class Latency(Frozen):
    """Milliseconds from asking for a frame to the verdict on it."""

    p50: float
    p99: float


class VerifierFigures(Frozen):
    """What a verifier is worth.

    Attributes:
        false_positives: Of `negatives`, of which `near_misses` nearly are successes.
        recall: Share of `positives` that was seen.
        n: Scenes in all.
        seed: Of the whole set, which is drawn afresh each time.
    """

    false_positives: int
    negatives: int
    near_misses: int
    recall: float
    positives: int
    latency_ms: Latency
    n: int
    seed: int


class Sighting(NamedTuple):
    """One scene, its truth and the verdict on it; images and sensors of the last look."""

    number: int
    kind: str
    truth: dict[str, float]
    accepted: bool
    score: float | None
    images: Images
    proprioception: Observation

    @property
    def wrong(self) -> bool:
        """Whether verdict and truth differ."""
        return self.accepted != (self.kind == POSITIVE)


def run(
    task: Task,
    negatives: int,
    positives: int,
    told: Callable[[Sighting], None],
    *,
    sandboxed: bool = True,
    seed: int | None = None,
) -> VerifierFigures:
    """Score a task's verifier.

    A third of the negatives, rounded up, are near misses. The station's gate is left out: what it
    would keep from the verifier, a tool in the view, the verifier has to refuse by itself.

    Args:
        task: What is tested.
        negatives: Scenes that are no success.
        positives: Scenes that are one.
        told: Told of each scene.
        sandboxed: False only where a person said so.
        seed: Of the set; fresh by default.

    Raises:
        Nonconforming: The task draws no scenes, or not of a kind that was asked for.
        ChildFailed: The verifier's process died.
    """
    seed = secrets.randbits(48) if seed is None else seed
    rng = np.random.default_rng(seed)
    near = -(-negatives // 3)
    kinds = [POSITIVE] * positives + [NEAR_MISS] * near + [NEGATIVE] * (negatives - near)
    rng.shuffle(kinds)
    wrong: dict[str, int] = dict.fromkeys(kinds, 0)
    latencies_s: list[float] = []
    for start in range(0, len(kinds), SCENES_PER_STATION):
        with (
            Bench(task, int(rng.integers(1 << 31)), sandboxed=sandboxed) as bench,
            contextlib.closing(bench.children.verify()) as child,
        ):
            for index, kind in enumerate(kinds[start : start + SCENES_PER_STATION], start):
                sighting = _sighted(bench, child, rng, kind, index, latencies_s)
                wrong[kind] += sighting.wrong
                told(sighting)
    return VerifierFigures(
        false_positives=sum(wrong.values()) - wrong[POSITIVE],
        negatives=negatives,
        near_misses=near,
        recall=1.0 - wrong[POSITIVE] / positives,
        positives=positives,
        latency_ms=latency(latencies_s),
        n=len(kinds),
        seed=seed,
    )


def latency(latencies_s: Sequence[float]) -> Latency:
    """Middle and late of some looks."""
    middle, late = np.percentile(latencies_s, (50, 99)) * 1000.0
    return Latency(p50=round(float(middle), 3), p99=round(float(late), 3))


def _sighted(
    bench: Bench,
    child: VerifyChild,
    rng: np.random.Generator,
    kind: str,
    index: int,
    latencies_s: list[float],
) -> Sighting:
    """Draw a scene, and look at it as often as the station's debounce does."""
    driver, spec = bench.driver, bench.task.spec
    draw(bench, rng, kind)
    accepted, score, images, observation = True, None, {}, {}
    for step in range(1, spec.debounce_frames + 1):
        observation = driver.observe()
        begun_s = time.perf_counter()
        images = driver.camera()
        sight = child.verify(images, observation)
        latencies_s.append(time.perf_counter() - begun_s)
        accepted, score = sight.success, sight.score
        if not accepted:
            break
        driver.advance(spec.tick_of(step) - spec.tick_of(step - 1))
    return Sighting(index, kind, driver.audit(), accepted, score, images, observation)


def draw(bench: Bench, rng: np.random.Generator, kind: str) -> None:
    """Have the task draw a scene of a kind, until the audit agrees that it is one."""
    driver = bench.driver
    snapshot: Any = getattr(driver.simulation, "snapshot", None)
    if snapshot is None:
        raise Nonconforming(
            "simulation.py: no snapshot(model, data, rng, kind); it puts the scene into a drawn "
            "state of a kind: positive, near_miss or negative"
        )
    for _ in range(_MOST_DRAWS):
        driver.start_episode(int(rng.integers(1 << 62)))
        snapshot(driver.model, driver.data, rng, kind)
        if (driver.audit()["success"] > 0.0) == (kind == POSITIVE):
            return
    raise Nonconforming(f"simulation.py: snapshot drew no {kind} scene in {_MOST_DRAWS} draws")
