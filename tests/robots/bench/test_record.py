"""Findings belong to the files they were found on, and only what was examined is published."""

import numpy as np
import pytest

from robots.bench.findings import Check
from robots.bench.pictures import write_png
from robots.bench.record import PublishRefused, Records
from robots.bench.resets import ResetFigures
from robots.bench.sights import Latency, VerifierFigures
from robots.station.tasks import read_task
from robots.wire.records import EnvironmentManifest
from robots.wire.signing import SigningKey, verify
from tests.robots.bench.reaching import reach

PASSED = (Check(name="scene", ok=True, detail=""),)
FAILED = (*PASSED, Check(name="reset", ok=False, detail=""))
RESET = ResetFigures(
    tries=9, success=9, single_try_success=8, seconds_per_reset=3.0, seconds=30.0
)  # fmt: skip
VERIFIER = VerifierFigures(
    false_positives=0, negatives=9, near_misses=3, recall=1.0, positives=9,
    latency_ms=Latency(p50=1.0, p99=2.0), n=18, seed=1,
)  # fmt: skip


@pytest.fixture
def task(tmp_path):
    return read_task(reach(tmp_path / "reach"))


@pytest.fixture
def records(tmp_path):
    return Records(tmp_path / "environments")


def keep(records, task, **findings):
    records.keep(task, task.manifest_sha256(), **findings)


def test_findings_add_up_and_are_forgotten_with_the_files(task, records):
    keep(records, task, checks=PASSED)
    keep(records, task, reset=RESET)
    keep(records, task, verifier=VERIFIER)
    found = records.read(task)
    assert found.passed
    assert (found.reset, found.verifier) == (RESET, VERIFIER)
    (task.folder / "verify.py").write_text("# edited\n")
    assert not records.read(task).passed
    assert records.read(task).reset is None


def test_a_record_that_cannot_be_read_is_none(task, records, tmp_path):
    keep(records, task, checks=PASSED)
    (tmp_path / "environments" / "reach.json").write_text("{")
    assert records.read(task).checks == ()


def test_what_was_edited_while_it_was_examined_has_no_findings(task, records):
    before = task.manifest_sha256()
    (task.folder / "verify.py").write_text("# edited\n")
    records.keep(task, before, checks=PASSED)
    assert not records.read(task).checks


@pytest.mark.parametrize(
    ("findings", "missing"),
    [
        ({}, "check, reset-test, score"),
        ({"checks": FAILED, "reset": RESET, "verifier": VERIFIER}, "check"),
        ({"checks": PASSED, "verifier": VERIFIER}, "reset-test"),
        ({"checks": PASSED, "reset": RESET}, "score"),
    ],
)
def test_what_has_not_passed_or_has_no_figures_is_not_published(task, records, findings, missing):
    if findings:
        keep(records, task, **findings)
    with pytest.raises(PublishRefused, match=f"of {missing};"):
        records.publish(task, SigningKey.generate(), 5.0)
    assert records.published(task) is None


def test_a_published_task_is_signed_file_by_file(task, records):
    keep(records, task, checks=PASSED, reset=RESET, verifier=VERIFIER)
    key = SigningKey.generate()
    records.publish(task, key, 5.0)
    manifest = verify(records.published(task), EnvironmentManifest, {key.public})
    assert manifest.manifest_sha256 == task.manifest_sha256()
    assert {"task.toml", "scene.xml", "verify.py"} <= manifest.files.keys()


def test_an_image_can_be_looked_at(tmp_path):
    image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    write_png(tmp_path / "a.png", image)
    content = (tmp_path / "a.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert content[16:24] == (5).to_bytes(4, "big") + (4).to_bytes(4, "big")


def test_depth_becomes_shades_with_the_nearest_white(tmp_path):
    depth = np.array([[0.5, 0.75], [1.0, np.inf]], np.float32)
    write_png(tmp_path / "deep.png", depth)
    shades = np.array([[255, 127], [0, 0]], np.uint8)
    write_png(tmp_path / "same.png", np.repeat(shades[..., None], 3, axis=2))
    assert (tmp_path / "deep.png").read_bytes() == (tmp_path / "same.png").read_bytes()
