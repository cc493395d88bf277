"""What the stations' drift check is worth on a task: false alarms, and what it notices.

Each of some stations learns its sight as it would at work, and then looks after every reset, not
after every fiftieth, and without a second look: so what is counted here is more than what would
quarantine a station. Then one camera after another is moved.
"""

import contextlib
import math
import secrets
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from robots.bench.bench import Bench
from robots.bench.findings import Nonconforming
from robots.bench.resets import STATIONS, shares
from robots.station.children import VerifyChild
from robots.station.drift import DRIFT, DriftWatch
from robots.station.known import Known
from robots.station.labels import Snapshot
from robots.station.tasks import Task
from robots.wire.records import Frozen
from robots.wire.signing import SigningKey
from robots.world.draws import mount_camera

SIZES = (0.0005, 0.001, 0.002, 0.005, 0.02)
"""How far a camera is moved (m), and how far it is turned (rad): root mean square of the draws."""

_TRIALS = 3
_DISTURBANCE_S = 1.0
_MOST_FAILED = 10


class Moved(Frozen):
    """What was noticed of a camera that was moved or turned.

    Attributes:
        by: `shift_m` or `turn_rad`.
    """

    by: str
    size: float
    trials: int
    noticed: int


class DriftFigures(Frozen):
    """What the drift check is worth on a task.

    Attributes:
        looks: After resets with every camera where it was.
        false_doubts: Looks that found something nevertheless; three in a row are a false alarm.
        least_kept: Smallest share of a view's fixed edges in these looks.
        known: Scenes that the verifier judged again in each of them.
    """

    looks: int
    false_doubts: int
    least_kept: float
    known: int
    moved: tuple[Moved, ...]
    doubts: tuple[str, ...] = ()


class Look(NamedTuple):
    """One look: what moved ("" for nothing), by how much, and what was found."""

    by: str
    size: float
    found: str
    kept: float


def run(
    task: Task,
    resets: int,
    known: Sequence[Known],
    told: Callable[[Look], None],
    *,
    sandboxed: bool = True,
) -> DriftFigures:
    """Measure the drift check on a task.

    Args:
        task: What is tested.
        resets: Looks with every camera where it was, over all stations.
        known: Scenes of the bench.
        told: Told of each look.
        sandboxed: False only where a person said so.

    Raises:
        Nonconforming: The task has no camera, or its reset keeps failing.
        ChildFailed: The verifier's process died.
    """
    if not task.spec.cameras:
        raise Nonconforming("task.toml: no [[cameras]]; there is no sight that could drift")
    looks: list[Look] = []
    rng = np.random.default_rng(secrets.randbits(64))
    with tempfile.TemporaryDirectory() as folder:
        for number, size in enumerate(shares(resets, STATIONS)):
            watch = DriftWatch(
                Path(folder) / f"{number}.{DRIFT}",
                SigningKey.generate(),
                task.manifest_sha256(),
                known,
            )
            with (
                Bench(task, int(rng.integers(1 << 31)), sandboxed=sandboxed) as bench,
                contextlib.closing(bench.children.verify()) as child,
            ):
                for look in _Station(bench, child, watch, rng).looks(size):
                    looks.append(look)
                    told(look)
    return figures(looks, len(known))


def moves(resets: int) -> int:
    """How many looks there are beside the `resets`: of cameras that were moved."""
    return len(shares(resets, STATIONS)) * 2 * len(SIZES) * _TRIALS


def figures(looks: Sequence[Look], known: int) -> DriftFigures:
    """Count the looks."""
    still = [look for look in looks if not look.by]
    doubts = [look.found for look in still if look.found]
    groups: dict[tuple[str, float], list[bool]] = {}
    for look in looks:
        if look.by:
            groups.setdefault((look.by, look.size), []).append(bool(look.found))
    return DriftFigures(
        looks=len(still),
        false_doubts=len(doubts),
        least_kept=round(min((look.kept for look in still), default=1.0), 4),
        known=known,
        moved=tuple(
            Moved(by=by, size=size, trials=len(found), noticed=sum(found))
            for (by, size), found in groups.items()
        ),
        doubts=tuple(sorted(set(doubts))),
    )


class _Station:
    """One station that learns and then looks."""

    def __init__(
        self, bench: Bench, child: VerifyChild, watch: DriftWatch, rng: np.random.Generator
    ) -> None:
        self._bench = bench
        self._child = child
        self._watch = watch
        self._rng = rng

    def looks(self, size: int) -> Sequence[Look]:
        while self._watch.learning:
            self._watch.after_reset(self._reset, None, self._child.verify)
        found = [self._look(self._reset(), "", 0.0) for _ in range(size)]
        model: Any = self._bench.driver.model
        home = model.cam_pos.copy(), model.cam_quat.copy()
        for by in ("shift_m", "turn_rad"):
            for far in SIZES:
                for _ in range(_TRIALS):
                    # Moved after a reset, so that nothing else is new in the view.
                    self._reset()
                    self._move(by, far)
                    found.append(self._look(self._seen(), by, far))
                    model.cam_pos[:], model.cam_quat[:] = home
        return found

    def _look(self, seen: Snapshot, by: str, size: float) -> Look:
        kept = min(self._watch.kept(seen.images).values())
        return Look(by, size, self._watch.doubt(seen, self._child.verify), kept)

    def _reset(self) -> Snapshot:
        failed = ""
        for _ in range(_MOST_FAILED):
            self._bench.wander(self._rng, _DISTURBANCE_S)
            failed = self._bench.reset()
            if not failed:
                return self._seen()
        raise Nonconforming(f"reset.py: {_MOST_FAILED} resets in a row failed, the last: {failed}")

    def _seen(self) -> Snapshot:
        return Snapshot(self._bench.driver.camera(), self._bench.env.resetter.reached)

    def _move(self, by: str, size: float) -> None:
        """Move or turn one camera in a random direction, and show the world from there."""
        driver, rng = self._bench.driver, self._rng
        camera = self._bench.task.spec.cameras[
            int(rng.integers(len(self._bench.task.spec.cameras)))
        ]
        axis = size / math.sqrt(3.0)
        shift, turn = (axis, 0.0) if by == "shift_m" else (0.0, axis)
        mount_camera(driver.model, camera.name, rng, shift, (turn,) * 3)
        driver.advance(1)
