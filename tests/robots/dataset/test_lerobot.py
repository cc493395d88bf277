"""A dataset of ours opens in the unmodified `lerobot` package, its frames at their true times.

`lerobot` brings a torch and decoders of its own, so it lives in an environment of its own: `make
lerobot-env` builds it and prints its interpreter, which ENPIRE_LEROBOT_PYTHON names.
"""

import json
import os
import subprocess

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'enpire-tui[data]'")

from robots.dataset.writer import DatasetWriter

PYTHON = os.environ.get("ENPIRE_LEROBOT_PYTHON", "")
LENGTHS = (12, 20)
FPS = 10.0

READ = """
import json, sys
from lerobot.datasets.lerobot_dataset import LeRobotDataset
found = LeRobotDataset("ours/set", root=sys.argv[1])
rows = []
for index in range(len(found)):
    row = found[index]
    rows.append({
        "episode": int(row["episode_index"]), "timestamp": float(row["timestamp"]),
        "state": row["observation.state"].tolist(), "action": row["action"].tolist(),
        "level": float(row["observation.images.top"].mean()) * 255.0, "task": row["task"],
    })
print(json.dumps({"fps": found.fps, "episodes": found.num_episodes, "rows": rows}))
"""


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.skipif(not PYTHON, reason="ENPIRE_LEROBOT_PYTHON names no interpreter with lerobot")
def test_lerobot_reads_what_we_record(tmp_path) -> None:
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
    done = subprocess.run(
        [PYTHON, "-c", READ, str(tmp_path / "set")],
        capture_output=True, text=True, timeout=500, check=False,
        # It may not ask the hub for what it does not find here.
        env={**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    rows = found["rows"]

    assert (found["fps"], found["episodes"], len(rows)) == (FPS, len(LENGTHS), sum(LENGTHS))
    assert [row["episode"] for row in rows] == [0] * LENGTHS[0] + [1] * LENGTHS[1]
    times = [frame / FPS for frames in LENGTHS for frame in range(frames)]
    assert [row["timestamp"] for row in rows] == pytest.approx(times, abs=1e-5)
    np.testing.assert_allclose([row["state"] for row in rows], states, atol=1e-5)
    # Half the smallest step between two frames of the longer episode.
    np.testing.assert_allclose([row["level"] for row in rows], levels, atol=5.0)
    assert {row["task"] for row in rows} == {"push it"}
