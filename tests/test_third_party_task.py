"""A task that others ship: installed beside the house, found by its name, examined and published.

`third_party/enpire-turn-knob` was written from docs/add-a-task.md alone. What the page says must be
enough for it, so a change that breaks it is a change to the page.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from robots.wire.signing import SigningKey

SOURCE = Path(__file__).parent / "third_party" / "enpire-turn-knob"
ROOT = Path(__file__).resolve().parents[1]
TASK = "turn_knob"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder of packages with the task in it, as pip puts it there, without a network."""
    folder = tmp_path_factory.mktemp("third_party")
    shutil.copytree(SOURCE, folder / "source")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--target", folder / "packages", folder / "source"]
    subprocess.run(command, check=True, timeout=100, capture_output=True)
    return folder / "packages"


@pytest.fixture
def enpire(installed, tmp_path):
    """Runs `enpire-tui` with the task installed; gives the last line it prints."""

    def run(*arguments: object, fails: bool = False) -> dict:
        command = [sys.executable, "-m", "enpire_tui.cli", *map(str, arguments), "--json"]
        done = subprocess.run(
            [*command, "--home", tmp_path / "home"],
            env=os.environ | {"PYTHONPATH": f"{installed}{os.pathsep}{ROOT}"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert (done.returncode != 0) is fails, done.stdout + done.stderr
        return {"said": done.stderr} if fails else json.loads(done.stdout.splitlines()[-1])

    return run


def test_it_keeps_every_rule(enpire):
    found = enpire("environment", "check", TASK)

    assert found["passed"], [each for each in found["checks"] if not each["ok"]]
    names = {each["name"] for each in found["checks"]}
    assert {"truth", "stillness", "reset", "verify", "recipe_baseline", "recipe_reference"} <= names


def test_its_reference_is_better_than_its_baseline(enpire):
    baseline = enpire("evaluate", "baseline", "--task", TASK, "--episodes", "12")
    reference = enpire("evaluate", "reference", "--task", TASK, "--episodes", "12")

    assert reference["success"] >= 11
    assert baseline["success"] <= 9
    assert baseline["void"] == reference["void"] == 0


def test_it_is_measured_published_and_frozen(enpire, installed, tmp_path):
    key = SigningKey.generate()
    key.save(tmp_path / "ann.key")
    fleet = tmp_path / "lab.toml"
    fleet.write_text(
        f'name = "lab"\ntask = "{TASK}"\n[people]\nann = "{key.public.hex()}"\n'
        '[[station]]\nname = "s1"\n'
    )
    publish = ("environment", "publish", TASK, "--key", tmp_path / "ann.key", "--fleet", fleet)
    assert "check, reset-test, score" in enpire(*publish, fails=True)["said"]

    enpire("environment", "check", TASK)
    reset = enpire("environment", "reset-test", TASK, "--tries", "4")
    scored = enpire("environment", "score", TASK, "--negatives", "30", "--positives", "20")
    assert reset["success"] == 4
    assert scored["false_positives"] == 0
    assert scored["recall"] >= 0.9

    assert enpire(*publish)["person"] == "ann"
    with (installed / TASK / "verify.py").open("a") as file:
        file.write("# generous\n")
    try:
        assert "check, reset-test, score" in enpire(*publish, fails=True)["said"]
    finally:
        shutil.copy(SOURCE / TASK / "verify.py", installed / TASK / "verify.py")
