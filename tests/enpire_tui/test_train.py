"""`enpire-tui train`, `jobs` and `episodes` as people call them, on this machine."""

import json

import pytest

from enpire_tui.cli import main

TRAIN = """
import math, sys
from recipes.learning.job import Job
job = Job.here()
assert (job.data[0] / "meta" / "info.json").exists() == (sys.argv[1] == "data")
for step in range(1, 6):
    job.progress(step, 5, loss=1.0 / step, bad=math.nan)
(job.out / "policy").mkdir()
(job.out / "policy" / "weights.npz").write_bytes(b"weights")
(job.out / "checkpoints" / "best.safetensors").write_bytes(b"best")
"""


@pytest.fixture
def recipe(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN)
    (folder / "policy.py").write_text("class Policy: pass\n")
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ENPIRE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def said(capsys) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_trained_recipe_comes_back_whole(recipe, home, tmp_path, capsys) -> None:
    data = tmp_path / "set"
    (data / "meta").mkdir(parents=True)
    (data / "meta" / "info.json").write_text("{}")
    told = ["train", str(recipe), "--data", str(data), "--id", "j1", "--json", "--argument", "data"]
    code = main(told)
    result = said(capsys)

    assert (code, result["state"], result["job"]) == (0, "succeeded", "j1")
    assert (home / "trained" / "j1" / "weights.npz").read_bytes() == b"weights"
    assert (home / "trained" / "j1" / "policy.py").exists()
    assert result["checkpoint"].endswith("j1-checkpoints/best.safetensors")
    # The same id again is the same job: nothing is run twice.
    assert main(told) == 0
    assert said(capsys)["seconds"] == result["seconds"]


def test_a_failed_job_says_what_it_printed(recipe, home, capsys) -> None:
    (recipe / "train.py").write_text("raise SystemExit('no demonstrations here')")
    code = main(["train", str(recipe), "--id", "j1", "--json"])
    captured = capsys.readouterr()

    assert code == 1
    assert "no demonstrations here" in captured.err
    assert json.loads(captured.out.splitlines()[-1])["state"] == "failed"

    assert main(["jobs", "--json"]) == 0
    assert [job["state"] for job in said(capsys)["jobs"]] == ["failed"]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (["train", "nothing", "--json"], "RECIPE nothing"),
        (["train", "baseline", "--box", "gpu", "--json"], "boxes.gpu: no such box"),
        (["train", "baseline", "--json"], "the recipe has no train.py"),
        (["jobs", "--cancel", "j9", "--json"], "no job 'j9'"),
        (["episodes", "/nowhere", "-o", "/tmp/x", "--json"], "holds no .npz"),
    ],
)
def test_what_cannot_be_done_is_said(told, words, home, capsys) -> None:
    assert main(told) in (1, 2)
    assert words in said(capsys)["error"]


def test_recordings_become_a_dataset(home, tmp_path, capsys) -> None:
    pytest.importorskip("pyarrow")
    from robots.dataset.reader import Dataset

    record = tmp_path / "recordings"
    told = ["evaluate", "reference", "--task", "pin_insertion", "--episodes", "3"]
    assert main([*told, "--workers", "1", "--record", str(record), "--json"]) == 0
    won = said(capsys)["success"]
    out = tmp_path / "set"
    export = ["episodes", str(record), "--task", "pin_insertion", "--successes"]
    assert main([*export, "-o", str(out), "--json"]) == 0
    assert said(capsys)["episodes"] == won
    data = Dataset(out)

    assert data.info["features"]["observation.state"]["names"][0] == "hand_position_m.0"
    assert data.columns["next.success"].sum() == won
    assert (data.columns["action_source"] == 0).all()
