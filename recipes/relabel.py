"""Recorded episodes with an expert's actions in place of those that were played: DAgger's labels.

`python -m recipes.relabel RECORDINGS --task T -o DATASET` writes a LeRobot dataset. The expert is a
recipe of the task, its reference by default; it runs in a policy's sandbox and is given each
episode's observations as the robot saw them, first to last. An expert that counts its own steps
drifts away from a robot that does not follow it: what it says is kept only as long as it is near
the measured hand, so that no label asks for a leap.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipes import shipped
from robots.dataset.export import SOURCES, columns_of, pictures_of, state_names
from robots.dataset.writer import DatasetWriter
from robots.station.recording import read_recording
from robots.station.sandboxed import SandboxedChildren
from robots.station.tasks import Task, load_task
from robots.wire.records import Outcome, RecipeArchive

Array = NDArray[np.float64]


def labels(
    recordings: list[Path], task: Task, expert: RecipeArchive, near_to: str = "", near: float = 0.0
) -> Iterator[tuple[dict[str, NDArray[Any]], dict[str, NDArray[np.uint8]]]]:
    """Columns and pictures of each episode for a dataset, its actions the expert's.

    Args:
        recordings: Files of one task.
        task: The task.
        expert: Recipe of the policy that is asked.
        near_to: Observation that the first numbers of an action must stay near to; "" for any.
        near: How near, in its unit; from the first label beyond it, an episode is left out.

    Raises:
        ChildFailed: The expert failed.
    """
    policy = SandboxedChildren(task).policy(expert)
    try:
        for path in recordings:
            info, columns = read_recording(path)
            count = len(columns["time_s"])
            if info.episode.outcome not in (Outcome.SUCCESS, Outcome.FAILURE) or not count:
                continue
            found = columns_of(info, columns, task.spec)
            start = "observation."
            each_of = {k.removeprefix(start): v for k, v in columns.items() if k.startswith(start)}
            seen = [{key: column[n] for key, column in each_of.items()} for n in range(count)]
            policy.reset(seen[0])
            asked = np.array([policy.act(each).action for each in seen], dtype=np.float64)
            asked = asked.reshape(count, -1)
            kept = count
            if near_to:
                place = columns[f"observation.{near_to}"].reshape(count, -1)
                away = np.linalg.norm(asked[:, : place.shape[1]] - place, axis=1)
                kept = int(np.argmax(away > near)) if (away > near).any() else count
            if kept:
                source = np.full(count, SOURCES.index("demonstration"))
                found |= {"action": asked, "action_source": source}
                pictures = {name: column[:kept] for name, column in pictures_of(columns).items()}
                yield {name: column[:kept] for name, column in found.items()}, pictures
    finally:
        policy.close()


def main() -> int:
    """Relabel a folder of recordings."""
    parser = argparse.ArgumentParser(prog="python -m recipes.relabel", description=__doc__)
    parser.add_argument("recordings", type=Path, help="folder of .npz files")
    parser.add_argument("--task", required=True)
    parser.add_argument("--expert", default="reference", help="recipe of the task")
    parser.add_argument("--near-to", default="", help="observation that labels stay near to")
    parser.add_argument("--near", type=float, default=0.0, help="how near, in its unit")
    parser.add_argument("-o", "--output", type=Path, required=True, help="dataset")
    options = parser.parse_args()
    task = load_task(options.task)
    if bool(options.near_to) != (options.near > 0.0):
        parser.error("--near-to and --near go together")
    if options.near_to and options.near_to not in {each.key for each in task.spec.observation}:
        parser.error(f"--near-to: {task.spec.name} observes no {options.near_to!r}")
    files = sorted(options.recordings.glob("*.npz"))
    if not files:
        parser.error(
            f"{options.recordings}: no .npz files; `enpire-tui evaluate --record` writes them"
        )
    names = {"observation.state": state_names(task.spec)}
    writer = DatasetWriter(options.output, task.spec.policy_hz, task.spec.name, names)
    expert = shipped.pack(options.task, options.expert)
    frames = 0
    for columns, pictures in labels(files, task, expert, options.near_to, options.near):
        writer.add(task.spec.description or task.spec.name, columns, pictures)
        frames += len(columns["action"])
    sys.stdout.write(f"{options.output}: {frames} frames of {len(files)} recordings\n")
    return 0 if frames else 1


if __name__ == "__main__":
    sys.exit(main())
