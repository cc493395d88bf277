"""Actor and learner of online RL as two processes: stopped, killed, and each going on by itself."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: make setup")
pytest.importorskip("pyarrow", reason="pyarrow is not installed: make setup")

from recipes import shipped
from recipes.learning.courses import Course, course
from recipes.learning.stream import HELD, ActorEnd, LearnerEnd
from robots.dataset.export import state_names
from robots.dataset.writer import DatasetWriter
from robots.station.tasks import load_task

SMALL = {"hidden": 16, "critics": 2, "bc_steps": 30, "batch": 16, "warm_episodes": 1}


def demonstrations(folder: Path, episodes: int = 3) -> None:
    """Straight ways down, as nobody who knows the task would show them."""
    spec = load_task("pin_insertion").spec
    names = {"observation.state": state_names(spec)}
    writer = DatasetWriter(folder, spec.policy_hz, spec.name, names)
    rng = np.random.default_rng(0)
    for _ in range(episodes):
        down = np.linspace(0.07, 0.06, 20)
        states = rng.normal(0.0, 0.01, (20, len(names["observation.state"])))
        states[:, 2] = down
        side = rng.normal(0.0, 0.001, (20, 2))
        actions = np.column_stack([states[:, :2] + side, down - 0.002, np.full(20, 0.004)])
        last = np.arange(20) == 19
        writer.add("insert", {"observation.state": states, "action": actions, "next.success": last})


@pytest.fixture
def recipe(tmp_path) -> Path:
    folder = tmp_path / "recipe"
    folder.mkdir()
    for name, content in shipped.pack("pin_insertion", "online_rl").files.items():
        text = content.decode()
        for key, value in SMALL.items() if name == "recipe.toml" else ():
            lines = [
                f"{key} = {value}" if w.startswith(f"{key} =") else w for w in text.split("\n")
            ]
            text = "\n".join(lines)
        (folder / name).write_text(text)
    demonstrations(tmp_path / "job" / "data" / "0")
    return folder


class Processes:
    """A learner and an actor, as a job and `enpire-tui train` start them."""

    def __init__(self, root: Path, recipe: Path) -> None:
        self.root, self.recipe, self.job = root, recipe, root / "job"
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str, name: str, cwd: Path | None = None) -> subprocess.Popen[bytes]:
        with (self.root / name).open("ab") as out:
            environment = {**os.environ, "ENPIRE_JOB": str(self.job), "OMP_NUM_THREADS": "1"}
            process = subprocess.Popen(
                [sys.executable, *words], stdout=out, stderr=out, env=environment, cwd=cwd
            )
        self.running.append(process)
        return process

    def learner(self) -> subprocess.Popen[bytes]:
        return self.start("train.py", name="learner.txt", cwd=self.recipe)

    def actor(self) -> subprocess.Popen[bytes]:
        told = ["--task", "pin_insertion", "--recipe", str(self.recipe)]
        told += ["--link", str(self.job / "out")]
        return self.start("-m", "recipes.actor", *told, name="actor.jsonl")

    def played(self) -> list[dict]:
        path = self.root / "actor.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.startswith("{")]

    def rows(self, kind: str) -> list[dict]:
        path = self.job / "out" / "log.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [row for row in map(json.loads, lines) if row["kind"] == kind]

    def arrived(self) -> set[int]:
        """Numbers of the episodes that the learner has."""
        return {
            msgspec.msgpack.decode(path.read_bytes(), type=Course).number
            for path in (self.job / "out" / "episodes").glob("*.course")
        }

    def go_on(self) -> Path:
        """A job that resumes this one."""
        later = self.root / "later"
        later.mkdir()
        (later / "data").symlink_to(self.job / "data")
        (later / "resume").symlink_to(self.job / "out")
        return later

    def until(self, true, what: str) -> None:
        while not true():
            for process in self.running:
                told = "".join(path.read_text()[-2000:] for path in self.root.glob("*.txt"))
                assert process.poll() is None or process.returncode == -9, f"{what}: {told}"
            time.sleep(0.1)


@pytest.fixture
def processes(tmp_path, recipe):
    found = Processes(tmp_path, recipe)
    yield found
    for process in found.running:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


@pytest.mark.long
@pytest.mark.timeout(600)
def test_the_actor_goes_on_while_the_learner_stands_still_or_is_dead(processes) -> None:
    p = processes
    learner = p.learner()
    p.until(lambda: p.rows("ready"), "the learner begins")
    p.actor()
    p.until(lambda: p.rows("progress"), "the learner learns")
    p.until(lambda: len({row["weights"] for row in p.played()}) > 1, "newer weights are played")

    learner.send_signal(signal.SIGSTOP)
    still = len(p.played())
    p.until(lambda: len(p.played()) > still + 8, "episodes go on beside a stopped learner")
    learner.send_signal(signal.SIGCONT)
    p.until(lambda: p.played()[-1]["kept"] == 0, "what was kept is sent")
    sound = {row["number"] for row in p.played() if not row["reason"].startswith("policy_")}
    p.until(lambda: p.arrived() >= sound, "not one is lost that was played meanwhile")
    p.until((p.job / "out/checkpoints/last.safetensors").exists, "a checkpoint")

    learner.kill()
    learner.wait()
    dead = len(p.played())
    p.until(lambda: len(p.played()) > dead + 3, "episodes go on without a learner")
    seen = p.played()[-1]["weights"]
    p.learner()
    p.until(lambda: len(p.rows("ready")) == 2, "the next learner begins")
    before, after = p.rows("progress"), p.rows("ready")[-1]

    assert after["step"] > 0
    assert after["episodes"] >= before[-1]["episodes"]
    p.until(lambda: p.played()[-1]["weights"] != seen, "its weights are played")
    assert all(row["dropped"] == 0 for row in p.played())

    learned = len(list((p.job / "out" / "episodes").glob("*.course")))
    p.job = p.go_on()
    p.learner()
    p.until(lambda: p.rows("ready"), "another job resumes that one")
    assert p.rows("ready")[-1]["episodes"] >= learned


def one(number: int, source: str = "rl", *, success: bool = False) -> Course:
    return course(number, np.ones((6, 3)), np.ones((6, 2)), [source] * 6, success=success)


def test_episodes_are_kept_without_a_learner_and_the_oldest_dropped(tmp_path) -> None:
    actor = ActorEnd(tmp_path)
    for number in range(HELD + 5):
        actor.give(one(number))
    assert (actor.kept, actor.dropped) == (HELD, 5)

    learner = LearnerEnd(tmp_path)
    found: list[int] = []
    while len(found) < HELD:
        actor.flush()
        found += [each.number for each, _ in learner.take(50)]
    assert found == list(range(5, HELD + 5))
    actor.close()
    learner.close()


LISTENS = """
import sys
from pathlib import Path
from recipes.learning.stream import LearnerEnd
end = LearnerEnd(Path.cwd())
while True:
    for course, _ in end.take(100):
        print(course.number, flush=True)
"""


def test_a_learner_that_stands_still_loses_no_episode(tmp_path) -> None:
    long = (np.ones((250, 40)), np.ones((250, 8)), ["rl"] * 250)
    with (tmp_path / "told").open("wb") as told:
        learner = subprocess.Popen([sys.executable, "-c", LISTENS], cwd=tmp_path, stdout=told)
    actor = ActorEnd(tmp_path)

    def heard() -> set[int]:
        actor.flush()
        return {int(line) for line in (tmp_path / "told").read_text().split()}

    try:
        actor.give(course(0, *long, success=True))
        while heard() != {0}:
            time.sleep(0.05)
        learner.send_signal(signal.SIGSTOP)
        for number in range(1, 61):
            actor.give(course(number, *long, success=True))
            time.sleep(0.1)
        learner.send_signal(signal.SIGCONT)
        while len(heard()) < 61:
            time.sleep(0.05)
    finally:
        learner.kill()
        learner.wait()
        actor.close()
    assert (actor.kept, actor.dropped) == (0, 0)


def test_weights_are_the_newest_and_whole(tmp_path) -> None:
    learner, actor = LearnerEnd(tmp_path), ActorEnd(tmp_path)
    found = None
    while found is None:
        learner.publish(b"first")
        found = actor.newer(50)
    assert found[1] == b"first"
    learner.publish(b"first")
    assert actor.newer(200) is None

    last = b""
    for number in range(50):
        last = bytes([number]) * 100_000
        learner.publish(last)
    while actor.version != learner.publish(last):
        found = actor.newer(50) or found
    assert found[1] == last

    # What is not what its hash says is no version.
    learner._weights.send(bytes(32) + b"torn")
    while not actor.torn:
        assert actor.newer(50) is None
    actor.close()
    learner.close()


def test_what_is_no_episode_is_counted_and_left_out(tmp_path) -> None:
    learner, actor = LearnerEnd(tmp_path), ActorEnd(tmp_path)
    actor._kept.append(b"\xc1nonsense")
    actor.give(one(1))
    found: list = []
    while not found:
        actor.flush()
        found = learner.take(50)
    assert [each for each, _ in found] == [one(1)]
    assert learner.torn == 1
    actor.close()
    learner.close()
