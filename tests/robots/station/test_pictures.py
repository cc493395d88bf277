"""Pictures for a policy: declared by the task, drawn at each step, recorded, and kept from agents."""

import time

import numpy as np
import pytest

from robots.dataset.export import export, state_names
from robots.dataset.reader import Dataset
from robots.dataset.writer import DatasetWriter
from robots.drivers import robot_wire as w
from robots.drivers.mujoco import MujocoDriver
from robots.safety.table import Condition
from robots.station.authority import Authority
from robots.station.cameras import thinned
from robots.station.recording import read_recording
from robots.station.rollout import Rig
from robots.station.scoring import Scorer
from robots.station.seeds import RandomSeeds
from robots.station.tasks import TaskError, load_task, read_task
from robots.wire.records import Outcome
from tests.robots.station.conftest import Watched, plan, recipe
from tests.robots.station.scripted import GoThere, ScriptedChildren
from tests.robots.station.sighted import with_a_camera

SEES = """
import numpy as np

class Policy:
    def __init__(self, knobs):
        pass

    def reset(self, observation):
        self.act(observation)

    def act(self, observation):
        picture = observation["image.top"]
        assert picture.dtype == np.uint8 and picture.shape == (24, 32, 3), picture.shape
        assert picture.std() > 5.0
        return observation["goal_position_m"]
"""


def seen(folder, policy="policy = [24, 32]\n"):
    """The test task, its camera's picture shown to the policy."""
    with (with_a_camera(folder) / "task.toml").open("a") as file:
        file.write(policy)
    return folder


class Told(Watched):
    """Keeps the traces."""

    def __init__(self):
        super().__init__()
        self.traces = []

    def episode_finished(self, episode, audit, trace):
        super().episode_finished(episode, audit, trace)
        self.traces.append(trace)


class Asks(GoThere):
    """Remembers what it was shown."""

    def __init__(self):
        self.shown = []

    def act(self, observation):
        self.shown.append(observation)
        return super().act(observation)


@pytest.fixture
def told():
    return Told()


def played(folder, policy, told, **options):
    """One episode in the task of this folder."""
    task = read_task(folder)
    children = ScriptedChildren(policy, folder=folder)
    authority = Authority(time.monotonic, needs_grant=False)
    rig = Rig(task, MujocoDriver(task, 1), children, authority, RandomSeeds())
    try:
        (episode,) = rig.run(plan(1, **options), told).episodes
    finally:
        rig.close()
    return task, episode


@pytest.mark.parametrize(
    "size",
    ["[24]", "[24, 32, 3]", "[0, 0]", "[24, 33]", "[96, 128]", "[24, 16]", "[25, 33]", "[24.0, 32]",
     "[true, 2]", "24", '"small"'],
)  # fmt: skip
def test_a_picture_of_a_senseless_size_is_refused_with_its_camera(tmp_path, size):
    folder = seen(tmp_path / "reach", f"policy = {size}\n")
    with pytest.raises(TaskError, match=r"cameras\.top\.policy: must be \[height, width\]"):
        read_task(folder)


def test_a_picture_of_a_camera_that_is_not_in_the_scene_is_found_before_anything_runs(tmp_path):
    folder = seen(tmp_path / "reach")
    text = (folder / "task.toml").read_text()
    (folder / "task.toml").write_text(text.replace('name = "top"', 'name = "side"'))
    with pytest.raises(Exception, match="side"):
        MujocoDriver(read_task(folder), 1).pictures()


def test_a_task_that_declares_none_shows_its_policy_none(tmp_path, told):
    policy = Asks()
    _, episode = played(with_a_camera(tmp_path / "reach"), policy, told, record=True)
    assert episode.outcome is Outcome.SUCCESS
    assert {*policy.shown[0]} == {"tool_position_m", "goal_position_m"}
    assert not [name for name in told.traces[0].arrays() if "image" in name]


def test_a_picture_is_the_verifiers_view_at_that_moment_thinned(tmp_path):
    task = read_task(seen(tmp_path / "reach"))
    driver = MujocoDriver(task, 1)
    try:
        for place in ((0.1, 0.1), (-0.1, 0.0)):
            driver.data.qpos[:] = place
            driver._mujoco.mj_forward(driver.model, driver.data)
            drawn = driver.pictures()["image.top"].astype(int)
            taken = thinned(driver.camera(), task.spec.cameras)["image.top"].astype(int)
            assert drawn.shape == taken.shape == (24, 32, 3)
            # One pixel of four is off by half a pixel: only the edges differ.
            assert np.abs(drawn - taken).mean() < 12.0
    finally:
        driver.close()


def test_in_real_time_a_picture_is_of_what_the_cameras_saw_and_tells_its_age(
    simulated, tmp_path, monkeypatch
):
    _, driver = simulated
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    age_s = 0.0
    monkeypatch.setattr(driver, "task", read_task(seen(tmp_path / "seen")))
    monkeypatch.setattr(driver, "_ask", lambda ask, kind: w.Seen({"top": image}, age_s))
    assert (driver.pictures()["image.top"] == image[1::2, 1::2]).all()
    assert driver.fault() is None
    age_s = 0.6
    driver.pictures()
    assert driver.fault().condition is Condition.CAMERA_STALE


def test_a_sandboxed_policy_sees_the_picture_and_the_others_do_not(tmp_path):
    folder = seen(tmp_path / "reach")
    with Scorer(str(folder), station_seed=1) as scorer:
        score = scorer.run(recipe(SEES), 1)
    assert score.counts.success == 1, score.episodes
    task = read_task(folder)
    driver = MujocoDriver(task, 1)
    try:
        assert {*driver.observe()} == {each.key for each in task.spec.observation}
        assert {*driver.camera()} == {"top"}
    finally:
        driver.close()


def test_a_recorded_episode_becomes_a_dataset_that_gives_its_pictures_back(tmp_path):
    pytest.importorskip("pyarrow")
    pytest.importorskip("av")
    folder = seen(tmp_path / "reach")
    with Scorer(str(folder), station_seed=1) as scorer:
        scorer.run(recipe(SEES), 2, record=tmp_path / "recordings")
    spec = read_task(folder).spec
    files = sorted((tmp_path / "recordings").glob("*.npz"))
    wanted = [read_recording(path)[1]["observation.image.top"] for path in files]
    names = {"observation.state": state_names(spec)}
    writer = DatasetWriter(tmp_path / "set", spec.policy_hz, spec.name, names)
    assert export(files, writer, spec) == 2

    data = Dataset(tmp_path / "set", ("action",))
    found = data.pictures("top")
    assert found.shape == (data.frames, 24, 32, 3) == (sum(map(len, wanted)), 24, 32, 3)
    assert found.dtype == np.uint8
    # Colours are kept at half the resolution; what is where is kept.
    assert np.abs(found.astype(int) - np.concatenate(wanted).astype(int)).mean() < 4.0
    with pytest.raises(ValueError, match="no camera 'side'; it has top"):
        data.pictures("side")


def test_a_dataset_whose_video_lacks_an_episode_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    pytest.importorskip("av")
    writer = DatasetWriter(tmp_path / "set", 30.0, "reach")
    shown = np.zeros((4, 24, 32, 3), dtype=np.uint8)
    for _ in range(2):
        writer.add("reach", {"action": np.zeros((4, 2))}, {"top": shown})
    next((tmp_path / "set").glob("videos/*/*/file-001.mp4")).unlink()
    with pytest.raises(ValueError, match="4 pictures of top, 8 frames"):
        Dataset(tmp_path / "set", ("action",)).pictures("top")


def test_evidence_and_what_a_station_keeps_of_an_episode_hold_no_picture(tmp_path, told):
    _, episode = played(seen(tmp_path / "reach"), Asks(), told, record=True)
    (whole,) = told.traces
    assert whole.arrays()["observation.image.top"].shape == (episode.steps, 24, 32, 3)
    assert not [name for name in whole.rows()[0] if "image" in name]
    whole.forget_pictures()
    assert not [name for name in whole.arrays() if "image" in name]
    assert len(whole.arrays()["action"]) == episode.steps

    sparse = Told()
    played(seen(tmp_path / "again"), Asks(), sparse)
    assert not [name for name in sparse.traces[0].arrays() if "image" in name]


def test_only_the_variant_that_says_so_shows_pictures():
    shown = {
        name: [each.policy for each in load_task(name).spec.cameras]
        for name in ("push_t", "push_t_simple", "push_t_nudge", "pin_insertion")
    }
    assert shown.pop("push_t_nudge") == [(48, 64)]
    assert not any(each for sizes in shown.values() for each in sizes)
