"""Run by an interpreter that has lerobot: says what it finds in a dataset, as a line of JSON."""

import json
import sys

from torch import library

try:
    import torchvision
except RuntimeError:
    # A torchvision built for CUDA beside a torch for the CPU declares no operators of its own, then
    # fails on describing two. Nothing here calls them.
    for name in ("nms", "qnms"):
        library.define(
            f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        )
    import torchvision  # noqa: F401

from lerobot.datasets.lerobot_dataset import LeRobotDataset

found = LeRobotDataset("ours/set", root=sys.argv[1])
camera = found.meta.camera_keys[0] if found.meta.camera_keys else None
rows = []
for index in range(len(found)):
    row = found[index]
    rows.append({
        "episode": int(row["episode_index"]), "timestamp": float(row["timestamp"]),
        "state": row["observation.state"].tolist(), "action": row["action"].tolist(),
        "level": float(row[camera].mean()) * 255.0 if camera else None, "task": row["task"],
    })  # fmt: skip
stats = {name: found.meta.stats[name] for name in ("observation.state", "action")}
print(json.dumps({
    "fps": found.fps, "episodes": found.num_episodes, "frames": found.num_frames, "rows": rows,
    "stats": {
        name: {key: each[key].tolist() for key in ("mean", "std", "min", "max")}
        for name, each in stats.items()
    },
}))  # fmt: skip
