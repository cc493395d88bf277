"""`enpire-tui environment label`, and `score --labels`: people's judgements, and what they say."""

import secrets
import sys
import tempfile
from pathlib import Path

import msgspec
import numpy as np

from enpire_tui.control import Control, Refused, Unreachable
from robots.bench import labelled, sights
from robots.bench.bench import Bench
from robots.bench.pictures import write_png
from robots.station.labels import PERSON, SIMULATOR, Labels, Snapshot
from robots.station.sandboxed import SandboxedChildren
from robots.station.tasks import Task
from robots.wire.clock import SystemClock
from robots.wire.commands import LabelScene, WithdrawLabel
from robots.wire.records import Frozen
from robots.wire.station_replies import LabelCounts, LabelKept

STATION_S = 15.0
BENCH = "bench"

_ANSWERS = {"s": True, "f": False, "success": True, "failure": False}
_TRUTH, _WITHDRAW = "truth", "withdraw"


class NotLabelled(Exception):
    """A scene that could not be labelled; the message says why."""


class Asked(Frozen):
    """What is to be labelled, and how; see `environment.Options`."""

    draw: str
    count: int
    verdict: str
    by: str
    output: Path | None


def on_bench(task: Task, environments: Path, asked: Asked) -> tuple[int, LabelCounts]:
    """Makes scenes on a station of its own and labels each; returns how many, and all counts.

    Raises:
        NotLabelled: A label is to be withdrawn, which only a running station's can be.
        Nonconforming: The task draws no such scenes, or its reset fails.
    """
    if asked.verdict == _WITHDRAW:
        raise NotLabelled("--withdraw: takes back a running station's last label; name --station")
    labels, kept = Labels(environments, task), 0
    rng = np.random.default_rng(secrets.randbits(64))
    with Bench(task, secrets.randbits(31)) as bench, tempfile.TemporaryDirectory() as spare:
        for number in range(asked.count):
            if asked.draw:
                sights.draw(bench, rng, asked.draw)
            elif failed := bench.reset():
                raise NotLabelled(f"the reset failed: {failed}")
            scene = Snapshot(bench.driver.camera(), bench.driver.observe())
            truth = bench.driver.audit().get("success", 0.0) > 0.0
            success = truth if asked.verdict == _TRUTH else _ANSWERS.get(asked.verdict)
            if success is None:
                folder = asked.output or Path(spare)
                success = _answer(_shown(folder, f"{number:04d}", scene))
                if success is None:
                    break
            by_truth = asked.verdict == _TRUTH
            labels.keep(
                scene,
                success=success,
                label_source=SIMULATOR if by_truth else PERSON,
                by="" if by_truth else asked.by,
                entered="script",
                station=BENCH,
                wall_s=SystemClock().wall(),
                kind=asked.draw,
            )
            kept += 1
    return kept, labels.counts()


async def at_station(home: Path, station: str, asked: Asked) -> tuple[int, LabelCounts]:
    """Labels the scene at a running station, or takes its last label back.

    Raises:
        NotLabelled: The station refused, or does not answer.
    """
    if asked.verdict not in (*_ANSWERS, _WITHDRAW):
        raise NotLabelled("--station: say --success, --failure or --withdraw")
    command = WithdrawLabel(by=asked.by)
    if asked.verdict != _WITHDRAW:
        command = LabelScene(success=_ANSWERS[asked.verdict], by=asked.by, entered="script")
    client = None
    try:
        async with Control(home) as control:
            client = control.client(station)
            answer = await client.call(command, LabelKept, STATION_S)
    except (Refused, Unreachable, OSError) as error:
        raise NotLabelled(f"{station}: {error}") from None
    finally:
        if client is not None:
            client.close()
    return 1, answer.counts


def score(task: Task, environments: Path, output: Path | None) -> labelled.LabelFigures:
    """Scores a task's verifier on its held-out labels; what it got wrong goes to `output`."""
    child = SandboxedChildren(task).verify()

    def told(judged: labelled.Judged) -> None:
        if judged.wrong and output is not None:
            stem = f"label-{judged.label.label_id}"
            _shown(output, stem, judged.scene)
            told = {"label": judged.label, "verdict": judged.accepted, "score": judged.score}
            (output / f"{stem}.json").write_bytes(msgspec.json.encode(told) + b"\n")

    try:
        held_out = Labels(environments, task).held_out()
        return labelled.run(held_out, child, task.manifest_sha256(), told)
    finally:
        child.close()


def words(found: labelled.LabelFigures) -> str:
    """The figures on labels, for people."""
    if not found.n:
        return "  no held-out labels; `enpire-tui environment label` gives some\n"
    recall = (
        f"recall {found.recall:.1%} of {found.positives}" if found.positives else "no successes"
    )
    return (
        f"  on {found.n} held-out labels ({found.by_person} by people): {found.false_positives} "
        f"false positives on {found.negatives} failures, {recall}\n"
        + "".join(f"    disagrees with {label_id}\n" for label_id in found.disagreements)
    )


def _shown(folder: Path, stem: str, scene: Snapshot) -> list[Path]:
    """Writes a scene's images, for a person to look at."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{stem}-{name}.png" for name in scene.images]
    for path, image in zip(paths, scene.images.values(), strict=True):
        write_png(path, image)
    return paths


def _answer(paths: list[Path]) -> bool | None:
    """Asks for a judgement; None at the end of the input or at q."""
    while True:
        sys.stderr.write(f"{', '.join(map(str, paths))}: (s)uccess, (f)ailure, (q)uit? ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        word = line.strip().lower()
        if not line or word == "q":
            return None
        if word in _ANSWERS:
            return _ANSWERS[word]
