"""`enpire-tui environment`: is a task sound, what are its reset and verifier worth, freeze it."""

import asyncio
import getpass
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from enpire_tui import home as places
from enpire_tui import labelling, permit
from enpire_tui.cli import DONE, ERROR
from enpire_tui.fleet import Fleet, FleetError
from enpire_tui.lifecycle import Fault
from enpire_tui.lines import say
from enpire_tui.progress import bar
from enpire_tui.supervisor.selection import Tally, wilson_interval
from recipes import shipped
from robots.bench import conformance, drifting, resets, sights
from robots.bench.findings import Check, Nonconforming
from robots.bench.pictures import write_png
from robots.bench.record import PublishRefused, Records
from robots.drivers.base import DriverError
from robots.station.children import ChildFailed
from robots.station.known import Known, keep_known, known_scenes
from robots.station.labels import Snapshot
from robots.station.tasks import Task, TaskError, find_folder, read_task
from robots.wire.clock import SystemClock
from robots.wire.records import Frozen


class Options(Frozen):
    """What is asked of which task.

    Attributes:
        action: `check`, `reset-test`, `score`, `label`, `drift` or `publish`.
        folder: Of the task, or its name.
        output: Where `score` writes what the verifier got wrong, and `label` what is to be judged.
        seed: Of the scenes of `score`; fresh by default.
        labels: Whether `score` takes held-out labels too.
        draw: Kind of the scenes of `label`; "" for those that resets leave.
        count: How many scenes `label` takes.
        verdict: `success`, `failure`, `truth`, `withdraw`, or "" to ask for each.
        by: Who judges.
        station: A running one whose scene `label` takes; "" for one made for the purpose.
        key: Of `publish`.
    """

    action: str
    folder: str
    tries: int = 0
    negatives: int = 0
    positives: int = 0
    output: Path | None = None
    seed: int | None = None
    labels: bool = False
    draw: str = ""
    count: int = 1
    verdict: str = ""
    by: str = ""
    station: str = ""
    key: Path | None = None
    json: bool = False


KNOWN_OF_A_KIND = 4
"""Scenes of each kind that `score` keeps, for the stations' drift check."""

ASKED = Options.__struct_fields__


def run(options: Options, fleet: Fleet, home: Path) -> int:
    """Does what is asked.

    Raises:
        FleetError: There is no such task, or the key is nobody's.
        Fault: The task cannot be run, or may not be published.
    """
    environments = places.environments(home)
    actions: dict[str, Callable[[Options, Records], int]] = {
        "check": _check,
        "reset-test": _reset_test,
        "score": partial(_score, environments),
        "label": partial(_label, home),
        "drift": partial(_drift, environments),
        "publish": partial(_publish, fleet),
    }
    try:
        return actions[options.action](options, Records(environments))
    except TaskError as error:
        raise FleetError(f"TASK: {error}") from None
    except (DriverError, Nonconforming, ChildFailed, labelling.NotLabelled) as error:
        raise Fault(f"{options.folder}: {error}; `environment check` examines a task") from None


def _check(options: Options, records: Records) -> int:
    folder = find_folder(options.folder)

    def told(check: Check) -> None:
        if options.json:
            say("Check", check)
        else:
            sys.stdout.write(
                f"{'ok    ' if check.ok else 'FAILED'}  {check.name}: {check.detail}\n"
            )

    try:
        task, sha256 = _known(options.folder)
    except TaskError:
        task, sha256 = None, ""
    checks = conformance.examine(folder, shipped.pair(options.folder), told)
    passed = all(check.ok for check in checks)
    if task is not None:
        records.keep(task, sha256, checks=checks)
    if options.json:
        name = task.spec.name if task is not None else options.folder
        say("EnvironmentChecked", task=name, manifest_sha256=sha256, passed=passed, checks=checks)
    else:
        failed = sum(not check.ok for check in checks)
        sys.stdout.write(f"{options.folder}: {'passed' if passed else f'{failed} failed'}\n")
    return DONE if passed else ERROR


def _reset_test(options: Options, records: Records) -> int:
    task, sha256 = _known(options.folder)
    reached = 0
    with bar(options.tries, quiet=options.json) as advance:

        def told(trial: resets.ResetTrial) -> None:
            nonlocal reached
            reached += not trial.failed
            advance(f"reached {reached}", 1)

        found = resets.run(task, options.tries, told)
    records.keep(task, sha256, reset=found)
    interval, at_once = (
        wilson_interval(Tally(success=count, failure=found.tries - count))
        for count in (found.success, found.single_try_success)
    )
    text = (
        f"{task.spec.name}: {found.success} of {found.tries} resets reached their target "
        f"[{interval[0]:.1%}, {interval[1]:.1%}], {found.single_try_success} at the first try "
        f"[{at_once[0]:.1%}, {at_once[1]:.1%}], {found.seconds_per_reset:.1f} robot seconds "
        "each\n" + "".join(f"  {failure}\n" for failure in found.failures)
    )
    more = {"interval": interval, "single_try_interval": at_once}
    _tell(options, "ResetTested", found, text, task=task.spec.name, manifest_sha256=sha256, **more)
    return DONE


def _score(environments: Path, options: Options, records: Records) -> int:
    task, sha256 = _known(options.folder)
    wrong = 0
    known: dict[str, list[Known]] = {}
    with bar(options.negatives + options.positives, quiet=options.json) as advance:

        def told(sighting: sights.Sighting) -> None:
            nonlocal wrong
            wrong += sighting.wrong
            advance(f"wrong {wrong}", 1)
            if not sighting.wrong:
                scene = Snapshot(sighting.images, sighting.proprioception)
                known.setdefault(sighting.kind, []).append(Known(scene, sighting.accepted))
                del known[sighting.kind][KNOWN_OF_A_KIND:]
            elif options.output is not None:
                _write_error(options.output, sighting)

        found = sights.run(task, options.negatives, options.positives, told, seed=options.seed)
    records.keep(task, sha256, verifier=found)
    if task.manifest_sha256() == sha256:
        keep_known(environments, task, sha256, [each for kind in known.values() for each in kind])
    more: dict[str, object] = {}
    text = (
        f"{task.spec.name}: {found.false_positives} false positives on {found.negatives} "
        f"negatives ({found.near_misses} near misses), recall {found.recall:.1%} of "
        f"{found.positives}, {found.latency_ms.p50:.1f} ms a look (p99 "
        f"{found.latency_ms.p99:.1f}); set {found.seed}\n"
    )
    if options.labels:
        more["labels"] = judged = labelling.score(task, environments, options.output)
        text += labelling.words(judged)
    _tell(
        options, "VerifierScored", found, text, task=task.spec.name, manifest_sha256=sha256, **more
    )
    return DONE


def _label(home: Path, options: Options, records: Records) -> int:
    del records
    task, _ = _known(options.folder)
    asked = labelling.Asked(
        draw=options.draw,
        count=options.count,
        verdict=options.verdict,
        by=options.by or getpass.getuser(),
        output=options.output,
    )
    if options.station:
        kept, counts = asyncio.run(labelling.at_station(home, options.station, asked))
    else:
        kept, counts = labelling.on_bench(task, places.environments(home), asked)
    text = (
        f"{task.spec.name}: {kept} now; in all {counts.success} successes and {counts.failure} "
        f"failures, of which {counts.held_out_success} and {counts.held_out_failure} held out\n"
    )
    _tell(options, "ScenesLabelled", counts, text, task=task.spec.name, now=kept)
    return DONE


def _drift(environments: Path, options: Options, records: Records) -> int:
    del records
    task, sha256 = _known(options.folder)
    known = known_scenes(environments, task, sha256)
    doubts = 0
    with bar(options.tries + drifting.moves(options.tries), quiet=options.json) as advance:

        def told(look: drifting.Look) -> None:
            nonlocal doubts
            doubts += bool(look.found) and not look.by
            advance(f"false doubts {doubts}", 1)

        found = drifting.run(task, options.tries, known, told)
    text = (
        f"{task.spec.name}: {found.false_doubts} false doubts in {found.looks} looks (at least "
        f"{found.least_kept:.1%} of the fixed edges in place), {found.known} known scenes\n"
        + "".join(
            f"  camera {'shifted' if each.by == 'shift_m' else 'turned'} by "
            f"{each.size * 1e3:g} {'mm' if each.by == 'shift_m' else 'mrad'}: "
            f"{each.noticed} of {each.trials} noticed\n"
            for each in found.moved
        )
        + "".join(f"  {doubt}\n" for doubt in found.doubts)
    )
    _tell(options, "DriftTested", found, text, task=task.spec.name, manifest_sha256=sha256)
    return DONE


def _write_error(folder: Path, sighting: sights.Sighting) -> None:
    """Writes a scene that the verifier got wrong: its images, and what is true of it."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{sighting.number:04d}-{sighting.kind}"
    for name, image in sighting.images.items():
        write_png(folder / f"{stem}-{name}.png", image)
    told = {"kind": sighting.kind, "score": sighting.score, "truth": sighting.truth}
    (folder / f"{stem}.json").write_bytes(msgspec.json.encode(told) + b"\n")


def _publish(fleet: Fleet, options: Options, records: Records) -> int:
    task, _ = _known(options.folder)
    assert options.key is not None
    key, person = permit.signer(fleet, options.key)
    try:
        manifest = records.publish(task, key, SystemClock().wall())
    except PublishRefused as error:
        raise Fault(str(error)) from None
    record = records.read(task)
    text = (
        f"{person} published {manifest.task}: {len(manifest.files)} files, "
        f"{manifest.manifest_sha256}; stations take it up at the next `enpire-tui up`\n"
    )
    more = {"person": person, "reset": record.reset, "verifier": record.verifier}
    _tell(options, "Published", manifest, text, **more)
    return DONE


def _known(name: str) -> tuple[Task, str]:
    """A task, and its hash now, before anything is run on it."""
    task = read_task(find_folder(name))
    return task, task.manifest_sha256()


def _tell(options: Options, kind: str, value: msgspec.Struct, text: str, **more: object) -> None:
    if options.json:
        say(kind, value, **more)
    else:
        sys.stdout.write(text)
