"""Policies that attack, in a station's real sandbox: each loses its episode, and all of it is told."""

import time

import pytest

from robots.drivers.mujoco import MujocoDriver
from robots.station.authority import Authority
from robots.station.rollout import Rig
from robots.station.sandboxed import SandboxedChildren
from robots.station.seeds import RandomSeeds
from robots.station.tasks import read_task
from robots.wire.events import BatchFinished, EpisodeFinished, PolicyBlocked
from robots.wire.records import Outcome
from tests.robots.station.conftest import Watched, plan, recipe
from tests.robots.station.scripted import REACH
from tests.robots.station.test_daemon import is_
from tests.robots.station.test_hostile_policies import hostile

# What would void a losing episode if the blame fell on the machine: body, reason.
EXHAUSTING = {
    "leaks": ("self.held = getattr(self, 'held', []) + [np.ones(1 << 21)]", "policy_memory"),
    "fills its scratch folder": (
        "for n in range(9999): open(f'/tmp/{n}', 'wb').write(bytes(1 << 20))",
        "policy_raised",
    ),
    "fills shared memory": (
        "for n in range(9999): open(f'/dev/shm/{n}', 'wb').write(bytes(1 << 20))",
        "policy_raised",
    ),
    "prints without end": ("while True: print('x' * 100_000)", "policy_raised"),
    "opens every descriptor": ("self.held = [open('/dev/null') for _ in range(9999)]", "policy_raised"),
    "starts threads": (
        "while True: threading.Thread(target=time.sleep, args=(99,), daemon=True).start()",
        "policy_raised",
    ),
    "forks without end": ("while True: os.fork()", "policy_raised"),
    "floods its answer": ("return np.zeros(1 << 27, np.uint8)", ""),
    "stops itself": ("os.kill(os.getpid(), signal.SIGSTOP)", "policy_timeout"),
}  # fmt: skip


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


@pytest.mark.parametrize("attack", EXHAUSTING)
def test_exhausting_the_station_loses_the_episode(rig, attack):
    body, reason = EXHAUSTING[attack]
    # It does not move either: were the episode void, the losing policy would get another.
    source = hostile(f"{body}\nreturn goal * 0")

    end = rig.run(plan(2, recipe=recipe(source)), Watched())

    assert [each.outcome for each in end.episodes] == [Outcome.FAILURE] * 2
    assert not end.void
    assert end.counts.void == 0
    if reason:
        assert {each.reason for each in end.episodes} == {reason}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("goal * np.nan", "action_not_finite"),
        ("goal + np.inf", "action_not_finite"),
        ("-goal - np.inf", "action_not_finite"),
        ("np.array([goal[0], np.nan])", "action_not_finite"),
        ("goal[:1]", "action_shape"),
        ("np.zeros((2, 2))", "action_shape"),
        ("np.float64(3.0)", "bad_reply"),
        ("goal.astype(str)", "bad_reply"),
        ("np.array([object(), object()])", "bad_reply"),
    ],
)
def test_an_action_that_is_none_fails_by_its_name(rig, value, reason):
    end = rig.run(plan(1, recipe=recipe(hostile(f"return {value}"))), Watched())

    (episode,) = end.episodes
    assert episode.outcome is Outcome.FAILURE
    assert episode.reason == reason
    assert not end.void


REACHING = """
import os, socket, subprocess
PLACES = {places}
class Policy:
    def __init__(self, knobs): pass
    def reset(self, observation):
        for place in PLACES:
            try: open(place).read()
            except OSError: continue
            raise SystemExit("read " + place)
        for port in ({port}, 22):
            try: socket.create_connection(("127.0.0.1", port), 1)
            except OSError: continue
            raise SystemExit("connected")
        try: subprocess.run(["/bin/sh", "-c", "id"])
        except OSError: pass
        else: raise SystemExit("ran")
    def act(self, observation): return observation["goal_position_m"]
"""


async def test_what_a_policy_reaches_for_is_blocked_and_in_the_journal(station):
    station.start()
    await station.grant()
    home = station.home
    places = [
        home / "stations" / "s1" / "station.toml",
        home / "stations" / "s1" / "seed_secret",
        home / "journals" / "s1.db",
        *sorted((home / "keys").rglob("*")),
        REACH / "verify.py",
        "/etc/shadow",
        "/proc/1/root/etc/shadow",
    ]
    source = REACHING.format(places=[str(place) for place in places], port=631)
    await station.batch(episodes=1, recipe=recipe(source))
    rows = [row.event for row in await station.rows(is_(BatchFinished))]

    (episode,) = [event.episode for event in rows if isinstance(event, EpisodeFinished)]
    assert episode.outcome is Outcome.SUCCESS, episode
    tried = [event.what for event in rows if isinstance(event, PolicyBlocked)]
    assert any("/etc/shadow" in what for what in tried)
    assert any("socket" in what for what in tried)
    assert any("subprocess" in what for what in tried)
    assert (await station.report()).blocked >= len(tried) > 0
