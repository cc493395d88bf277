"""Regimes that learn from data: each trains on a small dataset, goes on, and its policy acts."""

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: pip install 'enpire-tui[train]'")
pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'enpire-tui[data]'")

from enpire_tui import evaluate
from recipes import relabel, shipped
from recipes.learning.job import load
from recipes.relabel import labels
from robots.dataset.export import state_names
from robots.dataset.writer import DatasetWriter
from robots.station.recording import read_recording
from robots.station.tasks import load_task
from robots.wire.records import Outcome

ROOT = Path(__file__).resolve().parents[2]
# DAgger trains as cloning does: once is enough where time is short.
TRAINED = ["behavior_cloning", pytest.param("dagger", marks=pytest.mark.long), "offline_rl"]
SPEC = load_task("pin_insertion").spec
DEEP_M = np.array([0.0, 0.0, 0.03])
ACTING = """
import json, sys
import numpy as np
from policy import Policy
knobs, frames = json.loads(sys.stdin.read())
policy = Policy(knobs)
seen = [{key: np.array(value) for key, value in frame.items()} for frame in frames]
policy.reset(seen[0])
print(json.dumps([policy.act(frame).tolist() for frame in seen]))
"""


def episode(rng: np.random.Generator, *, won: bool = True, frames: int = 40) -> dict:
    """The hand goes straight to a place over a hole; one that fails goes somewhere else."""
    hole = np.array([*rng.integers(-1, 2, 2) * 0.012, 0.0])
    goal = hole + DEEP_M + (0.0 if won else rng.uniform(0.004, 0.008, 3))
    hand = hole + np.array([*rng.uniform(-0.003, 0.003, 2), 0.07])
    rows, actions = [], []
    for frame in range(frames):
        way = goal - hand
        step = way * min(1.0, 0.002 / max(float(np.linalg.norm(way)), 1e-9))
        seen = {
            "hand_position_m": hand,
            "wrist_force_n": rng.normal(0.0, 0.3, 3),
            "finger_opening_m": np.array([0.01]),
            "hole_position_m": hole + rng.normal(0.0, 2e-4, 3),
            "pin_tip_m": hand - [0.0, 0.0, 0.045] + rng.normal(0.0, 3e-4, 3),
            "target_hole": np.round(hole[:2] / 0.012) + 1.0,
            "time_s": np.array([frame / 30.0]),
        }
        rows.append(np.concatenate([seen[each.key] for each in SPEC.observation]))
        actions.append([*(hand + step), 0.004])
        hand = hand + step
    last = np.arange(frames) == frames - 1
    return {
        "observation.state": np.array(rows),
        "action": np.array(actions),
        "next.reward": (last & won).astype(np.float64),
        "next.done": last,
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Ten episodes that succeed and four that fail."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("data") / "0"
    names = {"observation.state": state_names(SPEC)}
    writer = DatasetWriter(folder, SPEC.policy_hz, SPEC.name, names)
    for number in range(14):
        writer.add("insert", episode(rng, won=number % 4 != 3))
    return folder


def lay(regime: str, root: Path, data: Path, **settings: float | str) -> Path:
    """A job's folder: the recipe with some settings changed, and its data."""
    recipe = root / "recipe"
    recipe.mkdir(parents=True)
    for name, content in shipped.pack("pin_insertion", regime).files.items():
        (recipe / name).write_bytes(content)
    (root / "data").mkdir()
    (root / "data" / "0").symlink_to(data)
    change(recipe, hidden=32, batch=64, **settings)
    return root


def change(recipe: Path, **settings: float | str) -> None:
    path = recipe / "recipe.toml"
    text = path.read_text()
    for name, value in settings.items():
        text, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {json.dumps(value)}", text, count=1)
        assert count == 1, name
    path.write_text(text)


def train(job: Path, *, fails: bool = False) -> str:
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=job / "recipe", capture_output=True, text=True,
        env=os.environ | {"ENPIRE_JOB": str(job), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert (done.returncode != 0) is fails, done.stderr
    return done.stderr


def rows(job: Path) -> list[dict]:
    lines = (job / "out" / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def act(job: Path, frames: list[dict[str, list[float]]]) -> np.ndarray:
    """What the trained policy does, in a process that has numpy and the recipe's folder only."""
    import tomllib

    recipe = job / "recipe"
    for path in (job / "out" / "policy").iterdir():
        (recipe / path.name).write_bytes(path.read_bytes())
    tables = tomllib.loads((recipe / "recipe.toml").read_text()).get("knobs", {})
    knobs = {name: table["value"] for name, table in tables.items()}
    done = subprocess.run(
        [sys.executable, "-c", ACTING], cwd=recipe, capture_output=True, text=True,
        input=json.dumps([knobs, frames]),
        env=os.environ | {"PYTHONPATH": str(recipe)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return np.array(json.loads(done.stdout))


def frames_over(hole_m: np.ndarray, hand_m: np.ndarray) -> list[dict[str, list[float]]]:
    """A hand that stands still."""
    return [
        {
            "hand_position_m": hand_m.tolist(),
            "wrist_force_n": [0.0, 0.0, 0.0],
            "finger_opening_m": [0.01],
            "hole_position_m": hole_m.tolist(),
            "pin_tip_m": (hand_m - [0.0, 0.0, 0.045]).tolist(),
            "target_hole": [1.0, 1.0],
            "time_s": [frame / 30.0],
        }
        for frame in range(3)
    ]


@pytest.fixture(scope="module", params=TRAINED)
def trained(request, tmp_path_factory, data) -> Path:
    """A job of each regime that has done 600 steps."""
    job = lay(request.param, tmp_path_factory.mktemp(request.param) / "job", data, steps=600)
    train(job)
    return job


@pytest.fixture
def again(trained, tmp_path) -> Path:
    """A copy of such a job, to go on with."""
    return Path(shutil.copytree(trained, tmp_path / "job", symlinks=True))


def test_a_regime_learns_and_its_policy_goes_towards_the_hole(trained) -> None:
    losses = [row["loss"] for row in rows(trained) if row["kind"] == "progress"]
    hand = np.array([0.002, -0.002, 0.06])
    actions = act(trained, frames_over(np.zeros(3), hand))

    assert losses[-1] < 0.5 * losses[0]
    assert actions.shape == (3, 4)
    way, wanted = actions[0, :3] - hand, DEEP_M - hand
    assert way @ wanted > 0.8 * float(np.linalg.norm(way) * np.linalg.norm(wanted))
    assert np.linalg.norm(way) < 0.006


def test_a_resumed_job_goes_on_with_its_optimisers(again) -> None:
    change(again / "recipe", steps=800)
    train(again)
    tensors, notes = load(again / "out" / "checkpoints" / "last.safetensors")
    counts = [value.item() for name, value in tensors.items() if name.endswith(".step")]

    assert [row["step"] for row in rows(again)] == [200, 400, 600, 800]
    assert notes["step"] == 800
    assert counts
    assert set(counts) == {800.0}


def test_checkpoints_hold_tensors_only_and_a_pickle_is_refused(again) -> None:
    found = {path.name for path in (again / "out" / "checkpoints").iterdir()}
    (again / "out" / "checkpoints" / "last.safetensors").write_bytes(pickle.dumps({"net": 1}))
    words = train(again, fails=True)

    assert "last.safetensors" in found
    assert {Path(name).suffix for name in found} == {".safetensors"}
    assert "SafetensorError" in words


def test_offline_rl_refuses_data_without_a_success(tmp_path, data) -> None:
    job = lay("offline_rl", tmp_path / "job", data, steps=400)
    shutil.rmtree(job / "data")
    rng = np.random.default_rng(3)
    names = {"observation.state": state_names(SPEC)}
    writer = DatasetWriter(job / "data" / "0", SPEC.policy_hz, SPEC.name, names)
    for _ in range(4):
        writer.add("insert", episode(rng, won=False))
    assert "no episode succeeded" in train(job, fails=True)


def test_a_setting_that_names_no_observation_is_refused(tmp_path, data) -> None:
    job = lay("behavior_cloning", tmp_path / "job", data, steps=400, origin="hole_m")
    assert "recipe.toml, [train]: 'hole_m' is none of hand_position_m" in train(job, fails=True)


def test_an_expert_asked_about_its_own_episode_says_what_it_did(tmp_path) -> None:
    task = load_task("pin_insertion")
    expert = shipped.pack("pin_insertion", "reference")
    wanted = evaluate.Options(
        recipe="reference", task="pin_insertion", episodes=1, record=tmp_path, json=True
    )
    evaluate.recorded(expert, wanted)
    recordings = [*tmp_path.glob("*.npz")]
    _, played = read_recording(recordings[0])
    ((found, pictures),) = labels(recordings, task, expert)
    cut = [*labels(recordings, task, expert, "hand_position_m", 0.002)]

    assert np.allclose(found["action"], played["action"], atol=1e-9)
    assert set(found["action_source"]) == {1}
    # Up to the first label that is farther from the hand, and no further.
    away = np.linalg.norm(found["action"][:, :3] - played["observation.hand_position_m"], axis=1)
    assert pictures == {}
    assert [len(each["action"]) for each, _ in cut] == [int(np.argmax(away > 0.002))]


@pytest.mark.parametrize("regime", ["heuristic", "code_as_policy"])
def test_a_template_runs_as_it_stands(regime, tmp_path) -> None:
    wanted = evaluate.Options(recipe=regime, task="pin_insertion", episodes=4, json=True)
    done = evaluate.recorded(shipped.pack("pin_insertion", regime), wanted)
    assert [each.outcome for each in done].count(Outcome.SUCCESS) >= 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--near-to", "hand_position_m"], "go together"),
        (["--near", "0.006"], "go together"),
        (["--near-to", "hand", "--near", "0.006"], "observes no 'hand'"),
    ],
)
def test_a_relabelling_that_could_keep_nothing_is_refused(
    given, said, tmp_path, monkeypatch, capsys
) -> None:
    (tmp_path / "a.npz").touch()
    told = ["relabel", str(tmp_path), "--task", "pin_insertion", "-o", str(tmp_path / "d"), *given]
    monkeypatch.setattr("sys.argv", told)
    with pytest.raises(SystemExit) as refused:
        relabel.main()
    assert refused.value.code == 2
    assert said in capsys.readouterr().err
