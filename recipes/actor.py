"""The actor of online RL: plays episodes on a simulated station with the newest weights it has.

`python -m recipes.actor` is a process of its own beside a learner's job. Episodes are the station's:
its reset, safety, verifier and sandboxed policy, which is the recipe's own `policy.py`. Between two
episodes it takes newer weights if there are any, and hands over the episode that has ended; no step
of the robot waits for the learner.
"""

import argparse
import contextlib
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipes.learning.courses import Course, course
from recipes.learning.stream import ActorEnd
from robots.drivers.base import load_driver
from robots.station import archive
from robots.station.authority import Authority
from robots.station.children import ChildFailed, PolicyChild
from robots.station.recording import Trace
from robots.station.rollout import Rig
from robots.station.sandboxed import SandboxedChildren
from robots.station.seeds import RandomSeeds
from robots.station.tasks import Task, TaskSpec, load_task
from robots.wire.records import Episode, Outcome, RecipeArchive

WEIGHTS = "weights.safetensors"
_WAIT_MS = 500
_AGAIN_S = 1.0


class Stand:
    """One simulated station on which a recipe is played, episode after episode.

    Args:
        task: The task.
        station_seed: Of the station's fixed draws.
        recipe: Without weights.
        sandboxed: False only where a person said so.
    """

    def __init__(
        self, task: Task, station_seed: int, recipe: RecipeArchive, *, sandboxed: bool = True
    ) -> None:
        self.spec: TaskSpec = task.spec
        self._recipe = recipe
        self._children = SandboxedChildren(task, sandboxed=sandboxed)
        self._authority = Authority(time.monotonic, needs_grant=False)
        driver = load_driver("mujoco", task, station_seed)
        self._rig = Rig(task, driver, self._children, self._authority, RandomSeeds())
        self._policy: PolicyChild | None = None

    def load(self, weights: bytes) -> None:
        """Go on with these weights: a fresh policy, in a fresh sandbox.

        Raises:
            ChildFailed: The recipe cannot be loaded with them.
        """
        files = {**self._recipe.files, WEIGHTS: weights}
        self._close_policy()
        self._policy = self._children.policy(
            RecipeArchive(files=files, sha256=archive.sha256(files))
        )

    def play(self, number: int) -> tuple[Episode, Trace]:
        """One episode, from its reset to its outcome."""
        assert self._policy is not None, "load weights first"
        rig, trace = self._rig, Trace(1)
        rig.recover()
        ended = rig.runner.run(number, rig.seeds.draw(), self._policy, trace)
        if ended.stop is not None:
            # No robot stands here: the simulation is placed anew.
            rig.faulted = True
        return ended.episode, trace

    def close(self) -> None:
        self._close_policy()
        self._rig.close()

    def _close_policy(self) -> None:
        if self._policy is not None:
            self._policy.close()
            self._policy = None


def packed(
    number: int, episode: Episode, trace: Trace, spec: TaskSpec, weights: str
) -> Course | None:
    """An episode for the learner; None for one without a step."""
    columns = trace.arrays()
    if "action" not in columns:
        return None
    count = len(columns["action"])
    parts: list[NDArray[Any]] = [
        columns[f"observation.{each.key}"].reshape(count, -1) for each in spec.observation
    ]
    return course(
        number,
        np.concatenate(parts, axis=1),
        columns["action"],
        ["rl"] * count,
        success=episode.outcome is Outcome.SUCCESS,
        reason=episode.reason,
        weights=weights,
    )


def act(
    task: str,
    recipe: Path,
    folder: Path,
    stations: tuple[int, ...],
    *,
    knobs: Mapping[str, float],
    sandboxed: bool,
) -> None:
    """Play until SIGTERM; one line of JSON an episode on standard output."""
    # Relative paths keep a socket's name short enough.
    loaded = load_task(task)
    files = _with_knobs(archive.pack(recipe).files, knobs)
    packed_recipe = RecipeArchive(files=files, sha256=archive.sha256(files))
    os.chdir(folder)
    with contextlib.ExitStack() as stack:
        end = ActorEnd(folder)
        stack.callback(end.close)
        stands = [Stand(loaded, seed, packed_recipe, sandboxed=sandboxed) for seed in stations]
        for stand in stands:
            stack.callback(stand.close)
        weights: bytes | None = None
        held: dict[int, str] = {}
        for number in itertools.count():
            index = number % len(stands)
            stand = stands[index]
            fresh = end.newer()
            while fresh is None and weights is None:
                fresh = end.newer(_WAIT_MS)
            weights = weights if fresh is None else fresh[1]
            assert weights is not None
            if held.get(index) != end.version:
                try:
                    stand.load(weights)
                except ChildFailed as error:
                    # A machine too busy for a sandbox is so for a while only.
                    sys.stderr.write(f"episode {number} is not played: {error}\n")
                    time.sleep(_AGAIN_S)
                    continue
                held[index] = end.version
            episode, trace = stand.play(number)
            # A policy's process that failed, as on a machine that is too busy, says nothing of actions.
            sound = episode.outcome is not Outcome.VOID and not episode.reason.startswith("policy_")
            if not sound:
                held.pop(index, None)
            given = packed(number, episode, trace, stand.spec, end.version) if sound else None
            if given is not None:
                end.give(given)
            _say(number, episode, end)


def _say(number: int, episode: Episode, end: ActorEnd) -> None:
    row = {
        "number": number,
        "outcome": episode.outcome.value,
        "reason": episode.reason,
        "steps": episode.steps,
        "weights": end.version[:12],
        "kept": end.kept,
        "dropped": end.dropped,
    }
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


def _with_knobs(files: Mapping[str, bytes], knobs: Mapping[str, float]) -> dict[str, bytes]:
    """Files of a recipe with some knobs at other values."""
    text = files["recipe.toml"].decode()
    for name, value in knobs.items():
        head, found, rest = text.partition(f"[knobs.{name}]\n")
        if not found:
            raise ValueError(f"recipe.toml: no table [knobs.{name}]")
        old, _, rest = rest.partition("\n")
        assert old.startswith("value"), f"recipe.toml: knobs.{name}: its value comes first"
        text = f"{head}{found}value = {value}\n{rest}"
    return {**files, "recipe.toml": text.encode()}


def _end_with_input() -> None:
    """Whoever started it holds the other end, and may be killed."""
    # Not through `sys.stdin`, whose lock a process that ends would find held.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m recipes.actor", description=__doc__)
    parser.add_argument("--task", required=True)
    parser.add_argument("--recipe", type=Path, required=True, help="folder with policy.py")
    parser.add_argument("--link", type=Path, required=True, help="folder of the learner's sockets")
    parser.add_argument("--stations", default="1", help="seeds of the worlds, with commas")
    parser.add_argument("--unsandboxed", action="store_true")
    parser.add_argument("--until-eof", action="store_true", help="end with standard input")
    told = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if told.until_eof:
        threading.Thread(target=_end_with_input, daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        act(
            told.task,
            told.recipe.absolute(),
            told.link.absolute(),
            tuple(int(seed) for seed in told.stations.split(",")),
            knobs={"explore": 1.0},
            sandboxed=not told.unsandboxed,
        )


if __name__ == "__main__":
    main()
