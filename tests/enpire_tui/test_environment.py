"""`enpire-tui environment` as people and scripts use it, from a broken task to a published one."""

import json

import msgspec
import pytest

from enpire_tui.environment import _write_error
from enpire_tui.fleet import FleetError, check, read_fleet
from enpire_tui.provision import provision
from robots.bench.sights import Sighting
from robots.station.config import load_config
from robots.station.tasks import read_task
from robots.wire.signing import SigningKey
from tests.enpire_tui.test_cli import run
from tests.robots.bench.reaching import reach


def environment(action, folder, *more, home):
    return run("environment", action, str(folder), "--json", *more, home=home)


def last(done) -> dict:
    assert done.stdout, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_broken_task_fails_and_says_what_to_do(tmp_path):
    folder = reach(tmp_path / "reach", ("scene.xml", ' ctrlrange="-0.4 0.4"', ""))
    done = environment("check", folder, home=tmp_path / "home")
    assert done.returncode == 1
    found = last(done)
    assert found["kind"] == "EnvironmentChecked"
    assert found["passed"] is False
    broken = next(each for each in found["checks"] if not each["ok"])
    assert broken["name"] == "actuators"
    assert "ctrlrange" in broken["detail"]
    assert "FAILED  actuators" in run("environment", "check", str(folder)).stdout


def test_a_task_that_is_not_there_is_a_usage_error(tmp_path):
    done = environment("check", "no_such", home=tmp_path / "home")
    assert done.returncode == 2
    assert "push_t_simple" in done.stderr


def test_a_task_that_cannot_be_scored_is_an_error_with_a_remedy(tmp_path):
    folder = reach(tmp_path / "reach", ("simulation.py", "def snapshot(", "def picture("))
    done = environment("score", folder, home=tmp_path / "home")
    assert done.returncode == 1
    assert "snapshot(model, data, rng, kind)" in done.stderr


def test_a_task_is_examined_measured_and_published_and_runs_on_nothing_else(tmp_path):
    home, folder, key = tmp_path / "home", reach(tmp_path / "reach"), SigningKey.generate()
    key.save(tmp_path / "ann.key")
    fleet = tmp_path / "lab.toml"
    fleet.write_text(
        f'name = "lab"\ntask = "{folder}"\n[people]\nann = "{key.public.hex()}"\n'
        '[[station]]\nname = "s1"\n'
    )
    publish = ("publish", folder, "--key", str(tmp_path / "ann.key"), "--fleet", str(fleet))

    early = environment(*publish, home=home)
    assert early.returncode == 1
    assert "check, reset-test, score" in early.stderr

    checked = environment("check", folder, home=home)
    assert checked.returncode == 0, checked.stdout
    assert last(checked)["passed"] is True
    reset = last(environment("reset-test", folder, "--tries", "4", home=home))
    assert (reset["tries"], reset["success"], reset["single_try_success"]) == (4, 4, 4)
    assert reset["interval"] == pytest.approx([0.51, 1.0], abs=0.01)
    scored = last(environment("score", folder, "--negatives", "6", "--positives", "3", home=home))
    assert (scored["false_positives"], scored["near_misses"], scored["recall"]) == (0, 2, 1.0)
    assert scored["latency_ms"].keys() == {"p50", "p99"}

    stranger = environment("publish", folder, "--key", str(tmp_path / "bob.key"), home=home)
    assert stranger.returncode == 2
    done = environment(*publish, home=home)
    assert done.returncode == 0, done.stderr
    assert last(done)["person"] == "ann"

    lab = check(read_fleet(fleet), str(fleet))
    provision(lab, home)
    manifest = load_config(home / "stations" / "s1" / "station.toml").manifest()
    assert manifest.manifest_sha256 == read_task(folder).manifest_sha256()
    strangers = msgspec.structs.replace(lab, people={"bob": SigningKey.generate().public.hex()})
    with pytest.raises(FleetError, match="unknown key"):
        provision(strangers, home)
    (folder / "verify.py").write_text("# generous\n")
    with pytest.raises(FleetError, match=r"not what was published: verify\.py"):
        provision(lab, home)


def test_what_the_verifier_got_wrong_is_written_with_its_images(tmp_path):
    import numpy as np

    image = np.zeros((4, 6, 3), np.uint8)
    _write_error(
        tmp_path / "errors", Sighting(7, "near_miss", {"iou": 0.9}, True, 0.96, {"top": image}, {})
    )
    assert (tmp_path / "errors" / "0007-near_miss-top.png").stat().st_size > 50
    told = json.loads((tmp_path / "errors" / "0007-near_miss.json").read_text())
    assert told == {"kind": "near_miss", "score": 0.96, "truth": {"iou": 0.9}}
