"""Behaviour cloning from pictures: torch and numpy see the same, and what is learned is what is seen."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pyarrow")
pytest.importorskip("av")

from agents.git.rules import MAX_FILE_BYTES  # noqa: E402
from recipes import shipped  # noqa: E402
from recipes.learning import checkpoint  # noqa: E402
from recipes.learning.job import load  # noqa: E402
from recipes.learning.networks import Eye, Seeing  # noqa: E402
from recipes.relabel import labels  # noqa: E402
from robots.dataset.export import state_names  # noqa: E402
from robots.dataset.writer import DatasetWriter  # noqa: E402
from robots.station import archive  # noqa: E402
from robots.station.children import ChildFailed  # noqa: E402
from robots.station.recording import read_recording  # noqa: E402
from robots.station.sandboxed import SandboxedChildren  # noqa: E402
from robots.station.scoring import Scorer  # noqa: E402
from robots.station.tasks import load_task  # noqa: E402
from robots.wire.records import RecipeArchive  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
TASK = load_task("push_t_nudge")
FRAMES = 24
LOOKING = """
import sys
import numpy as np
from sight import look
given = np.load(sys.argv[1])
names = [name for name in given.files if name != "pictures"]
arrays = {name: given[name] for name in names}
np.save(sys.argv[2], np.stack([look(each, arrays) for each in given["pictures"]]))
assert "torch" not in sys.modules
"""


def picture(place) -> np.ndarray:
    """A bright spot at a place in metres, on a table without anything."""
    found = np.full((48, 64, 3), 60, dtype=np.uint8)
    x, y = 32 + round(place[0] * 80), 24 - round(place[1] * 80)
    found[y - 4 : y + 4, x - 4 : x + 4] = (230, 200, 40)
    return found


def observation(tool, place, frame: int = 0) -> dict[str, np.ndarray]:
    return {
        "tool_position_m": np.array(tool),
        "object_pose": np.zeros(3),
        "goal_pose": np.zeros(3),
        "time_s": np.array([frame / 30.0]),
        "image.top": picture(place),
    }


def dataset(folder: Path, episodes: int = 16) -> Path:
    """Episodes in which the tool goes to a spot that only the picture shows."""
    rng = np.random.default_rng(0)
    names = {"observation.state": state_names(TASK.spec)}
    writer = DatasetWriter(folder, TASK.spec.policy_hz, TASK.spec.name, names)
    for _ in range(episodes):
        place, tool, rows, actions, shown = rng.uniform(-0.2, 0.2, 2), np.zeros(2), [], [], []
        for frame in range(FRAMES):
            seen = observation(tool, place, frame)
            rows.append(np.concatenate([seen[each.key] for each in TASK.spec.observation]))
            shown.append(seen["image.top"])
            tool = tool + 0.2 * (place - tool)
            actions.append(tool)
        columns = {
            "observation.state": np.array(rows),
            "action": np.array(actions),
            "next.reward": (np.arange(FRAMES) == FRAMES - 1).astype(np.float64),
        }
        writer.add("go there", columns, {"top": np.array(shown)})
    return folder


def lay(job: Path, **settings) -> Path:
    """A job's folder with the shipped recipe, made small."""
    (job / "recipe").mkdir(parents=True)
    for name, content in shipped.pack("push_t_nudge", "behavior_cloning").files.items():
        (job / "recipe" / name).write_bytes(content)
    path = job / "recipe" / "recipe.toml"
    text = path.read_text()
    for name, value in {"hidden": 32, "batch": 32, "steps": 400, **settings}.items():
        text, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {json.dumps(value)}", text, count=1)
        assert count == 1, name
    path.write_text(text)
    return job


def run(job: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "train.py"], cwd=job / "recipe", capture_output=True, text=True,
        env=os.environ | {"ENPIRE_JOB": str(job), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A job that has learned to go to the spot."""
    job = lay(tmp_path_factory.mktemp("images") / "job")
    dataset(job / "data" / "0")
    done = run(job)
    assert done.returncode == 0, done.stderr
    return job


def played(job: Path, observations: list[dict[str, np.ndarray]]) -> list[np.ndarray]:
    """First action of an episode on each observation, by the policy in a station's sandbox."""
    files = {path.name: path.read_bytes() for path in (job / "recipe").glob("*.*")}
    files |= {path.name: path.read_bytes() for path in (job / "out" / "policy").iterdir()}
    policy = SandboxedChildren(TASK).policy(
        RecipeArchive(files=files, sha256=archive.sha256(files))
    )
    found = []
    try:
        for each in observations:
            policy.reset(each)
            found.append(policy.act(each).action)
        assert not policy.blocked()
    finally:
        policy.close()
    return found


def test_an_eye_on_numpy_sees_what_it_sees_on_torch(tmp_path) -> None:
    torch.manual_seed(0)
    eye = Eye()
    with torch.no_grad():
        for weights in eye.parameters():
            weights *= 3.0
    pictures = np.random.default_rng(0).integers(0, 256, (5, 48, 64, 3)).astype(np.uint8)
    arrays = {name: value.numpy() for name, value in eye.state_dict().items()}
    np.savez(tmp_path / "given.npz", pictures=pictures, **arrays)
    subprocess.run(
        [sys.executable, "-c", LOOKING, tmp_path / "given.npz", tmp_path / "seen.npy"],
        cwd=ROOT / "recipes" / "regimes" / "behavior_cloning", check=True,
    )  # fmt: skip
    wanted = eye(torch.from_numpy(pictures)).detach().numpy()
    assert wanted.shape == (5, eye.places)
    assert wanted.std(axis=0).min() > 1e-3
    np.testing.assert_allclose(np.load(tmp_path / "seen.npy"), wanted, atol=2e-5)


def test_a_channel_tells_where_it_is_strongest() -> None:
    eye = Eye((1,))
    with torch.no_grad():
        eye.convolutions[0].weight.fill_(2.0)
    left, right = (eye(torch.from_numpy(picture((x, 0.1)))[None])[0].tolist() for x in (-0.2, 0.2))
    assert left[0] == pytest.approx(-0.5, abs=0.1)
    assert right[0] == pytest.approx(0.5, abs=0.1)
    assert left[1] == pytest.approx(right[1], abs=0.02)
    assert left[1] < -0.2


def test_the_trained_policy_does_in_its_sandbox_what_the_network_says_on_torch(trained) -> None:
    tensors, _ = load(trained / "out" / "checkpoints" / "last.safetensors")
    with np.load(trained / "out" / "policy" / "weights.npz") as arrays:
        scales = {name: torch.from_numpy(arrays[name]) for name in arrays.files if name[0] in "sd"}
    net = Seeing((len(scales["seen.middle"]), 32, 32, 32, len(scales["done.middle"])), 1)
    checkpoint.restore(tensors, mean=net.net, mean_eyes=net.eyes)
    shown = [observation((0.01, -0.02), place) for place in ((0.15, -0.1), (-0.05, 0.12))]
    tools = torch.tensor([0.01, -0.02] * 4)
    states = ((tools - scales["seen.middle"]) / scales["seen.spread"]).expand(len(shown), -1)
    pictures = torch.from_numpy(np.stack([each["image.top"] for each in shown]))
    wanted = net(states, [pictures]) * scales["done.spread"] + scales["done.middle"]
    found = np.array(played(trained, shown))
    expected = wanted.detach().numpy()[:, :2] + shown[0]["tool_position_m"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_is_learned_is_where_the_spot_is(trained) -> None:
    rows = [json.loads(line) for line in (trained / "out" / "log.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if row["kind"] == "progress"]
    assert losses[-1] < 0.5
    places = [(0.15, 0.0), (-0.15, 0.0), (0.0, 0.15), (0.0, -0.15)]
    found = np.array(played(trained, [observation((0.0, 0.0), place) for place in places]))
    assert found[0, 0] - found[1, 0] > 0.02
    assert found[2, 1] - found[3, 1] > 0.02


def test_weights_fit_into_a_recipe(trained) -> None:
    assert (trained / "out" / "policy" / "weights.npz").stat().st_size < MAX_FILE_BYTES
    # As large as it is shipped.
    net = Seeing((8, 256, 256, 256, 16), 1)
    assert 4 * sum(each.numel() for each in net.parameters()) < MAX_FILE_BYTES


def test_an_experts_labels_keep_the_pictures_of_the_episode(tmp_path) -> None:
    expert = shipped.pack("push_t_nudge", "reference")
    with Scorer("push_t_nudge", station_seed=1) as scorer:
        scorer.run(expert, 1, record=tmp_path)
    (path,) = tmp_path.glob("*.npz")
    ((columns, pictures),) = labels([path], TASK, expert)
    _, played = read_recording(path)
    np.testing.assert_array_equal(pictures["top"], played["observation.image.top"])
    assert len(columns["action"]) == len(pictures["top"]) > 20


def test_a_camera_that_the_data_lacks_is_refused(tmp_path, trained) -> None:
    job = lay(tmp_path / "job", images=["side"])
    (job / "data").symlink_to(trained / "data")
    done = run(job)
    assert done.returncode != 0
    assert "no camera 'side'; it has top" in done.stderr


def test_a_policy_that_is_shown_no_picture_fails_by_its_name(trained) -> None:
    blind = observation((0.0, 0.0), (0.1, 0.1))
    del blind["image.top"]
    with pytest.raises(ChildFailed, match=r"image\.top"):
        played(trained, [blind])
