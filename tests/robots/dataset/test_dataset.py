"""LeRobot datasets: whole after each episode and after a crash, and read back as written."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'enpire-tui[data]'")

from robots.dataset import features as f
from robots.dataset.features import DatasetError
from robots.dataset.reader import Dataset
from robots.dataset.video import read_video
from robots.dataset.writer import DatasetWriter, read_tasks


def episode(rng, frames: int) -> dict[str, np.ndarray]:
    return {
        "observation.state": rng.normal(size=(frames, 3)),
        "action": rng.normal(size=(frames, 2)),
        "next.success": np.arange(frames) == frames - 1,
        "capture_s": rng.uniform(size=frames),
    }


def pictures(rng, frames: int) -> np.ndarray:
    """Frames that are told apart by their brightness."""
    levels = np.linspace(20, 230, frames).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (frames, 32, 48, 3)).copy()


def test_what_was_written_is_read_back(tmp_path) -> None:
    rng = np.random.default_rng(0)
    written = [episode(rng, frames) for frames in (7, 11, 5)]
    writer = DatasetWriter(tmp_path / "set", 30.0, "push_t")
    for columns in written:
        writer.add("push it", columns)
    found = Dataset(tmp_path / "set")

    for name in written[0]:
        wanted = np.concatenate([columns[name] for columns in written])
        assert np.allclose(found.columns[name], wanted, atol=1e-6)
    assert found.columns["next.success"].dtype == bool
    assert found.episode.tolist() == [0] * 7 + [1] * 11 + [2] * 5
    assert found.columns["timestamp"][7:9].tolist() == pytest.approx([0.0, 1 / 30])
    assert (found.info["total_episodes"], found.info["total_frames"]) == (3, 23)
    assert read_tasks(tmp_path / "set") == {"push it": 0}


def test_statistics_are_those_of_all_frames(tmp_path) -> None:
    rng = np.random.default_rng(1)
    written = [episode(rng, frames) for frames in (40, 90)]
    writer = DatasetWriter(tmp_path / "set", 30.0, "push_t")
    for columns in written:
        writer.add("push it", columns)
    told = json.loads((tmp_path / "set" / f.STATS_PATH).read_text())["action"]
    every = np.concatenate([columns["action"] for columns in written])

    assert np.allclose(told["mean"], every.mean(axis=0))
    assert np.allclose(told["std"], every.std(axis=0))
    assert np.allclose(told["min"], every.min(axis=0))
    assert told["count"] == [130]


def test_a_video_has_a_frame_a_row_each_at_its_time(tmp_path) -> None:
    pytest.importorskip("av")
    rng = np.random.default_rng(2)
    frames = pictures(rng, 12)
    writer = DatasetWriter(tmp_path / "set", 30.0, "push_t")
    writer.add("push it", episode(rng, 12), {"top": frames})
    path = tmp_path / "set" / f.VIDEO_PATH.format(
        video_key="observation.images.top", chunk_index=0, file_index=0
    )  # fmt: skip

    assert np.abs(read_video(path).astype(int) - frames.astype(int)).mean() < 3.0


def test_columns_of_another_length_are_refused_before_anything_is_written(tmp_path) -> None:
    rng = np.random.default_rng(3)
    writer = DatasetWriter(tmp_path / "set", 30.0, "push_t")
    with pytest.raises(DatasetError, match="differ in length"):
        writer.add("push it", episode(rng, 9), {"top": pictures(rng, 8)})
    assert not [*(tmp_path / "set").glob("data/*/*")]


def test_an_episode_of_another_shape_is_refused(tmp_path) -> None:
    rng = np.random.default_rng(4)
    writer = DatasetWriter(tmp_path / "set", 30.0, "push_t")
    writer.add("push it", episode(rng, 5))
    with pytest.raises(DatasetError, match="column 'action'"):
        writer.add("push it", episode(rng, 5) | {"action": rng.normal(size=(5, 4))})
    with pytest.raises(DatasetError, match="fps is 30"):
        DatasetWriter(tmp_path / "set", 10.0, "push_t")


def test_what_a_kill_left_is_removed_and_the_rest_is_whole(tmp_path) -> None:
    script = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from robots.dataset.writer import DatasetWriter\n"
        "writer = DatasetWriter(Path(sys.argv[1]), 30.0, 'push_t')\n"
        "while True:\n"
        "    n = writer.episodes + 3\n"
        "    writer.add('push it', {'action': np.full((n, 2), float(n)), "
        "'observation.state': np.ones((n, 1))})\n"
        "    print(writer.episodes, flush=True)\n"
    )
    done = 0
    for kill in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "set")], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3 + kill):
            done = int(process.stdout.readline())
        os.kill(process.pid, signal.SIGKILL)
        # Episodes that it told of before it died count as well.
        done = max([done, *map(int, process.communicate()[0].split())])
        writer = DatasetWriter(tmp_path / "set", 30.0, "push_t")
        found = Dataset(tmp_path / "set")

        assert done <= writer.episodes <= done + 1
        lengths = np.bincount(found.episode)
        assert lengths.tolist() == [number + 3 for number in range(writer.episodes)]
        assert found.columns["action"][:, 0].tolist() == np.repeat(lengths, lengths).tolist()
