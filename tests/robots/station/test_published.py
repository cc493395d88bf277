"""A published task: its station runs on those files and on no others."""

import shutil
import time

import pytest

from robots.station.authority import Authority
from robots.station.config import ConfigError, StationConfig, parse_config
from robots.station.service import make_rig
from robots.station.tasks import read_task
from robots.wire import codec
from robots.wire.records import MANIFEST_CHANGED, EnvironmentManifest
from robots.wire.signing import SigningKey
from tests.robots.station.conftest import Watched, plan
from tests.robots.station.scripted import REACH


@pytest.fixture
def task(tmp_path):
    folder = tmp_path / "reach"
    shutil.copytree(REACH, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return read_task(folder)


@pytest.fixture
def key():
    return SigningKey.generate()


def told(task, key, publishers) -> StationConfig:
    manifest = EnvironmentManifest(
        task="reach",
        manifest_sha256=task.manifest_sha256(),
        files=task.files(),
        published_wall_s=1.0,
    )
    content = {
        "task": str(task.folder),
        "grants": "none",
        "sandbox": "off",
        "publishers": [each.public.hex() for each in publishers],
        "published": codec.encode(key.sign(manifest)).hex(),
    }
    return parse_config(content, "station.toml")


def run(task, config, tmp_path):
    authority = Authority(time.monotonic, needs_grant=False)
    rig = make_rig(task, config, tmp_path / "s1", tmp_path / "socket", authority)
    try:
        return rig.run(plan(1), Watched())
    finally:
        rig.close()


def test_a_batch_on_the_published_files_counts(task, key, tmp_path):
    end = run(task, told(task, key, [key]), tmp_path)
    assert not end.void
    assert end.counts.success == 1
    assert end.manifest_sha256 == task.manifest_sha256()


def test_one_changed_byte_voids_the_batch(task, key, tmp_path):
    config = told(task, key, [key])
    path = task.folder / "verify.py"
    path.write_bytes(path.read_bytes() + b"\n")
    end = run(task, config, tmp_path)
    assert end.void
    assert end.void_reason == MANIFEST_CHANGED
    assert end.episodes == ()
    assert end.manifest_sha256 == config.manifest().manifest_sha256


def test_what_a_stranger_signed_is_refused(task, key):
    config = told(task, key, [SigningKey.generate()])
    with pytest.raises(ConfigError, match="unknown key"):
        config.manifest()
    tampered = bytearray.fromhex(told(task, key, [key]).published)
    tampered[40] ^= 1
    content = {"task": "reach", "grants": "none", "published": tampered.hex()}
    with pytest.raises(ConfigError, match="published"):
        parse_config({**content, "publishers": [key.public.hex()]}, "x").manifest()


def test_a_task_that_nobody_published_has_no_manifest():
    assert parse_config({"task": "reach", "grants": "none"}, "x").manifest() is None


async def test_a_station_does_not_start_on_a_strangers_manifest(station, task, key):
    config = told(task, key, [SigningKey.generate()])
    station.configure(published=f'"{config.published}"', publishers=f'["{key.public.hex()[::-1]}"]')
    station.start()
    assert station.process.wait(20) == 1
    assert "published" in station.log()
