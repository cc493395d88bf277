"""A dataset of ours opens in the unmodified `lerobot` package, its frames at their true times.

`lerobot` wants older packages than ours, so it lives in an environment of its own: `make lerobot-env`
builds `.venv-lerobot`. ENPIRE_LEROBOT_PYTHON names another interpreter that has it.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'enpire-tui[data]'")

from enpire_tui import evaluate
from recipes import shipped
from robots.dataset.export import export, state_names
from robots.dataset.reader import Dataset
from robots.dataset.writer import DatasetWriter
from robots.station.tasks import load_task

ROOT = Path(__file__).resolve().parents[3]
OWN = ROOT / ".venv-lerobot"
PYTHON = os.environ.get("ENPIRE_LEROBOT_PYTHON") or (
    str(OWN / "bin" / "python") if (OWN / ".ready").exists() else ""
)
LENGTHS = (12, 20)
FPS = 10.0

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not PYTHON, reason="no interpreter with lerobot: run `make lerobot-env`"),
]


def read(folder: Path) -> dict:
    """What lerobot finds in a dataset."""
    done = subprocess.run(
        [PYTHON, str(Path(__file__).with_name("lerobot_reader.py")), str(folder)],
        capture_output=True, text=True, timeout=500, check=False,
        # It may not ask the hub for what it does not find here.
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_lerobot_reads_what_we_write(tmp_path) -> None:
    writer = DatasetWriter(tmp_path / "set", FPS, "push_t")
    rng = np.random.default_rng(0)
    states, levels = [], []
    for frames in LENGTHS:
        # Each frame has a brightness of its own: a frame at another's time is seen as that.
        level = np.linspace(20, 230, frames).astype(np.uint8)
        state = rng.normal(size=(frames, 3))
        columns = {"observation.state": state, "action": rng.normal(size=(frames, 2))}
        picture = np.broadcast_to(level[:, None, None, None], (frames, 64, 96, 3)).copy()
        writer.add("push it", columns, {"top": picture})
        states.extend(state)
        levels.extend(level)
    found = read(tmp_path / "set")
    rows = found["rows"]

    assert (found["fps"], found["episodes"], len(rows)) == (FPS, len(LENGTHS), sum(LENGTHS))
    assert [row["episode"] for row in rows] == [0] * LENGTHS[0] + [1] * LENGTHS[1]
    times = [frame / FPS for frames in LENGTHS for frame in range(frames)]
    assert [row["timestamp"] for row in rows] == pytest.approx(times, abs=1e-5)
    np.testing.assert_allclose([row["state"] for row in rows], states, atol=1e-5)
    # Half the smallest step between two frames of the longer episode.
    np.testing.assert_allclose([row["level"] for row in rows], levels, atol=5.0)
    assert {row["task"] for row in rows} == {"push it"}


def test_a_recorded_dataset_opens_in_lerobot_and_trains_a_clone_here(tmp_path) -> None:
    pytest.importorskip("torch", reason="torch is not installed: pip install 'enpire-tui[train]'")
    spec = load_task("pin_insertion").spec
    wanted = evaluate.Options(
        recipe="reference", task="pin_insertion", episodes=3, record=tmp_path / "r", json=True
    )
    evaluate.recorded(shipped.pack("pin_insertion", "reference"), wanted)
    job = tmp_path / "job"
    folder = job / "data" / "0"
    writer = DatasetWriter(
        folder, spec.policy_hz, spec.name, {"observation.state": state_names(spec)}
    )
    added = export(sorted((tmp_path / "r").glob("*.npz")), writer, spec)
    ours, found = Dataset(folder), read(folder)

    assert added == found["episodes"] == 3
    assert found["frames"] == len(found["rows"]) == ours.frames
    for name, key in (("observation.state", "state"), ("action", "action")):
        wanted = ours.columns[name]
        np.testing.assert_allclose([row[key] for row in found["rows"]], wanted, atol=1e-6)
        stats = found["stats"][name]
        np.testing.assert_allclose(stats["mean"], wanted.mean(axis=0, dtype=float), atol=1e-6)
        np.testing.assert_allclose(stats["std"], wanted.std(axis=0, dtype=float), atol=1e-6)
        np.testing.assert_allclose(stats["min"], wanted.min(axis=0), atol=1e-6)
        np.testing.assert_allclose(stats["max"], wanted.max(axis=0), atol=1e-6)

    (job / "recipe").mkdir()
    for name, content in shipped.pack("pin_insertion", "behavior_cloning").files.items():
        (job / "recipe" / name).write_bytes(content)
    text = (job / "recipe" / "recipe.toml").read_text()
    (job / "recipe" / "recipe.toml").write_text(text.replace("steps = 6000", "steps = 400"))
    shutil.rmtree(tmp_path / "r")
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=job / "recipe", capture_output=True, text=True,
        env=os.environ | {"ENPIRE_JOB": str(job), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = (job / "out" / "log.jsonl").read_text().splitlines()
    told = [row for row in map(json.loads, lines) if row["kind"] == "progress"]
    assert [row["step"] for row in told] == [200, 400]
    assert told[-1]["loss"] < told[0]["loss"]
    assert (job / "out" / "policy" / "weights.npz").exists()
