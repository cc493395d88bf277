"""Policies that break things, end to end in real sandboxes: each a failure with a named reason."""

import time

import pytest

from robots.drivers.mujoco import MujocoDriver
from robots.station import sandboxed
from robots.station.authority import Authority
from robots.station.rollout import Rig
from robots.station.sandboxed import SandboxedChildren, read_knobs
from robots.station.scoring import Scorer
from robots.station.seeds import RandomSeeds
from robots.station.tasks import read_task
from robots.wire.records import Outcome
from tests.robots.station.conftest import REACHES, Watched, plan, recipe
from tests.robots.station.scripted import REACH

FRAME = """
import os, sys, time, signal, socket, subprocess, threading
import numpy as np

class Policy:
    def __init__(self, knobs): self.knobs = knobs
    def reset(self, observation): self.steps = 0
    def act(self, observation):
        self.steps += 1
        goal = observation["goal_position_m"]
        {body}
        return goal
"""


def hostile(body: str) -> str:
    return FRAME.replace("{body}", body.strip().replace("\n", "\n        "))


HOSTILE = [
    ("raises", 'raise ValueError("no idea")', "policy_raised", "ValueError: no idea"),
    ("nan", "return goal * np.nan", "action_not_finite", ""),
    ("shape", "return np.zeros(3)", "action_shape", ""),
    ("none", "return None", "action_shape", ""),
    ("list", "return [0.0, 0.0]", "bad_reply", ""),
    ("object", "return object()", "bad_reply", ""),
    ("sleeps", "time.sleep(60)", "policy_timeout", ""),
    ("spins", "while True: pass", "policy_timeout", ""),
    ("exits", "os._exit(0)", "policy_exited", ""),
    ("kills itself", "os.kill(os.getpid(), signal.SIGKILL)", "policy_exited", ""),
    ("hangs up", "os.closerange(3, 1000)", "policy_exited", ""),
    ("eats memory", "self.hog = [b'x' * (1 << 20) for _ in range(4000)]", "policy_memory", ""),
    ("forks", "os.fork()", "policy_raised", "PermissionError"),
    ("runs", "subprocess.run(['/bin/sh', '-c', 'true'])", "policy_raised", ""),
    ("opens a socket", "socket.socket(socket.AF_INET)", "policy_raised", "PermissionError"),
    ("reads a scene", "open('" + str(REACH / "scene.xml") + "')", "policy_raised", "FileNotFoundError"),
    ("imports the physics", "import mujoco", "policy_raised", "ModuleNotFoundError"),
    ("imports the verifier", "import robots.tasks.push_t.verify", "policy_raised", ""),
]  # fmt: skip


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    task = read_task(REACH)
    authority = Authority(time.monotonic, needs_grant=False)
    children = SandboxedChildren(
        task, tmp_path_factory.mktemp("work"), memory_bytes=128 << 20, timeout_s=2.0
    )
    rig = Rig(task, MujocoDriver(task, 1), children, authority, RandomSeeds())
    yield rig
    rig.close()


@pytest.mark.parametrize(
    ("body", "reason", "said"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE]
)
def test_a_hostile_policy_fails_with_a_named_reason(rig, body, reason, said):
    end = rig.run(plan(1, recipe=recipe(hostile(body))), Watched())

    (episode,) = end.episodes
    assert (episode.outcome, episode.reason) == (Outcome.FAILURE, reason)
    assert said in " ".join(episode.tags)
    assert not end.void
    assert episode.wall_s < 10


def test_the_station_goes_on_after_a_hostile_policy(rig):
    rig.run(plan(1, recipe=recipe(hostile("os._exit(3)"))), Watched())

    end = rig.run(plan(2, recipe=recipe(REACHES)), Watched())

    assert end.counts.success == 2


def test_a_killed_policy_is_replaced_for_the_next_episode(rig):
    source = hostile("if observation['goal_position_m'][0] > 0: os._exit(1)")

    end = rig.run(plan(6, recipe=recipe(source)), Watched())

    reasons = {episode.reason for episode in end.episodes}
    assert reasons <= {"policy_exited", "verified"}
    assert end.counts.void == 0


def test_what_was_blocked_is_told(rig):
    watched = Watched()

    rig.run(plan(1, recipe=recipe(hostile("socket.socket(socket.AF_INET)"))), watched)

    assert any("socket" in what for what in watched.tried)


def test_sleeping_just_under_the_cap_is_charged_to_the_episode(rig, monkeypatch):
    monkeypatch.setattr(sandboxed, "IDLE_BUDGET_S", 0.5)

    end = rig.run(plan(1, recipe=recipe(hostile("time.sleep(0.2); return -goal"))), Watched())

    (episode,) = end.episodes
    assert (episode.outcome, episode.reason) == (Outcome.FAILURE, "policy_timeout")
    assert episode.steps < 10


def test_dying_right_after_being_loaded_is_the_policys_own_failure(rig):
    source = """
import os, threading
class Policy:
    def __init__(self, knobs): threading.Timer({delay}, os._exit, (0,)).start()
    def reset(self, observation): pass
    def act(self, observation): return observation["goal_position_m"]
"""
    for delay in ("0.0", "0.0005", "0.002"):
        end = rig.run(plan(2, recipe=recipe(source.replace("{delay}", delay))), Watched())

        assert end.counts.void == 0
        assert not end.void


def test_a_syntax_error_fails_every_episode_by_its_line(rig):
    end = rig.run(plan(2, recipe=recipe("class Policy:\n  def")), Watched())

    assert [episode.reason for episode in end.episodes] == ["policy_raised"] * 2
    assert "SyntaxError" in end.episodes[0].tags[0]


def test_what_a_policy_says_cannot_command_a_terminal(rig):
    end = rig.run(plan(1, recipe=recipe(hostile("raise ValueError('\\x1b[2J gone')"))), Watched())

    assert "\x1b" not in " ".join(end.episodes[0].tags)
    assert "gone" in " ".join(end.episodes[0].tags)


def test_computing_longer_than_fifteen_periods_is_a_timeout_in_simulated_time(rig):
    spin = "t = time.process_time()\nwhile self.steps == 2 and time.process_time() - t < 0.6: pass"

    end = rig.run(plan(1, recipe=recipe(hostile(spin))), Watched())

    assert end.episodes[0].reason == "policy_timeout"


def test_a_policy_gets_its_knobs(rig):
    toml = "[knobs.gain]\nvalue = 1.0\nlow = 0.5\nhigh = 2.0\n"
    body = "if self.knobs != {'gain': 1.0}: raise KeyError(self.knobs)"

    end = rig.run(plan(1, recipe=recipe(hostile(body), recipe_toml=toml)), Watched())

    assert end.counts.success == 1


@pytest.mark.parametrize(
    "text", ["[knobs", "[knobs.gain]\nlow = 1", "knobs = 3", "[knobs.a]\nvalue = []"]
)
def test_a_wrong_recipe_file_is_the_policys_failure(text):
    with pytest.raises(sandboxed.ChildFailed, match="recipe_invalid"):
        read_knobs(recipe(REACHES, recipe_toml=text))


def test_scoring_in_process_uses_the_same_code():
    seen = []

    with Scorer(str(REACH)) as scorer:
        score = scorer.run(recipe(REACHES), 2, progress=lambda episode, counts: seen.append(counts))

    assert score.counts.success == 2
    assert seen[-1] == score.counts
    assert score.cpu_seconds_per_episode > 0
    assert not score.simulator_reset
