"""Stops and holds where they take effect: in the authority, a reset, an episode and between them."""

import asyncio
import math
import threading
import time

import msgspec
import numpy as np
import pytest

from robots.drivers.remote import RemoteDriver
from robots.safety.table import RAMP_DOWN_S, TASK_LIMITS_IN_A_ROW, Condition, Verdict
from robots.station import latch as latches
from robots.station.authority import Authority, MotionStopped
from robots.station.config import ClockKind, StationConfig
from robots.station.daemon import Station
from robots.station.labels import Labels
from robots.station.ledger import Ledger
from robots.station.realtime import Realtime
from robots.station.service import answer_cap_s
from robots.station.tasks import read_task
from robots.wire import commands as c
from robots.wire.clock import SystemClock
from robots.wire.events import (
    EpisodeFinished,
    EpisodeStarted,
    StationHeld,
    StationQuarantined,
    StationReleased,
)
from robots.wire.reception import Refused
from robots.wire.records import Mode, Outcome
from robots.wire.signing import SigningKey
from robots.wire.station_replies import BatchPhase, Done
from tests.robots.station.conftest import plan, recipe
from tests.robots.station.scripted import REACH, GoThere
from tests.robots.station.test_daemon import STAYS, is_
from tests.robots.wire.memory import MemoryJournal

CORNER = """
import numpy as np
class Policy:
    def __init__(self, knobs): pass
    def reset(self, observation): pass
    def act(self, observation): return np.array([0.3, 0.3])
"""


class Corner(GoThere):
    def act(self, observation):
        return np.array([0.3, 0.3])


# --- the authority -------------------------------------------------------------------------------


def test_the_control_thread_may_move_only_while_nothing_stops_it_and_a_grant_lasts():
    now = [0.0]
    authority = Authority(lambda: now[0], needs_grant=True)
    assert not authority.may_move()
    authority.grant(Mode.SETUP, 10.0)
    # In setup a grant covers what a person approved, and nothing else.
    assert not authority.may_move()
    authority.attend(grant_within_s=0.0)
    assert authority.may_move()
    authority.leave()
    assert not authority.may_move()
    authority.attend(grant_within_s=0.0)
    authority.stop(Condition.HOLD, "look")
    assert not authority.may_move()
    authority.release()
    now[0] = 10.0
    assert not authority.may_move()
    # Autonomous finishes its episode; the next one is not admitted.
    authority.grant(Mode.AUTONOMOUS, 5.0)
    assert authority.may_move()


def test_a_person_outranks_an_agent_and_an_emergency_stop_outranks_both(authority):
    authority.stop(Condition.HOLD, "agent", by_agent=True)
    authority.stop(Condition.HOLD, "person")
    authority.stop(Condition.HOLD, "agent again", by_agent=True)
    with pytest.raises(MotionStopped) as stopped:
        authority.check(during_policy=True)
    assert stopped.value.detail == "person"
    assert stopped.value.decision.verdict is Verdict.VOID_BATCH

    authority.stop(Condition.EMERGENCY_STOP, "smoke", by_agent=True)
    authority.stop(Condition.HOLD, "person")
    assert authority.stopped is Condition.EMERGENCY_STOP


@pytest.mark.parametrize("what", ["held", "without a grant"])
def test_no_episode_is_admitted_to_a_robot_that_may_not_move(what):
    authority = Authority(time.monotonic, needs_grant=True)
    authority.grant(Mode.AUTONOMOUS, math.inf if what == "held" else -math.inf)
    if what == "held":
        authority.stop(Condition.HOLD, "look")
    admitted, looked = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: (authority.admit_episode(looked.set), admitted.set()))
    thread.start()
    early = admitted.wait(0.5)
    authority.release()
    authority.grant(Mode.AUTONOMOUS, math.inf)
    thread.join(10)

    assert not early
    assert looked.is_set()
    assert admitted.is_set()


def test_a_disk_that_takes_nothing_still_latches(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(latches, "write_durably", full)
    latch = latches.Latch(tmp_path / "estop")
    latch.set("smoke")

    assert latch.read() == "emergency stop"


async def test_a_station_begins_stopped_where_the_latch_is(tmp_path):
    (tmp_path / "estop").write_text("smoke")
    key, clock = SigningKey.generate(), SystemClock()
    station = Station(
        "s1",
        tmp_path,
        StationConfig(task="reach", grants="none"),
        MemoryJournal(clock),
        Ledger(tmp_path / "ledger", key),
        clock,
        lambda authority: pytest.fail("nothing was to be run"),
        Labels(tmp_path / "environments", read_task(REACH)),
        public_key=key.public,
    )
    station.start("first")

    assert station.authority.stopped is Condition.EMERGENCY_STOP
    await station.close()


@pytest.mark.parametrize(
    ("clock", "cap_s"), [(ClockKind.LOCKSTEP, 5.0), (ClockKind.REALTIME, 18 * 0.1)]
)
def test_a_worker_is_killed_once_its_answer_is_worth_nothing(clock, cap_s):
    config = StationConfig(task="reach", clock=clock)

    assert answer_cap_s(config, 0.1) == pytest.approx(cap_s)


# --- an episode ----------------------------------------------------------------------------------


def test_a_hold_that_comes_while_the_policy_thinks_lets_no_action_through(
    make_rig, watched, authority
):
    class Slow(GoThere):
        def act(self, observation):
            authority.stop(Condition.HOLD, "by hand")
            return super().act(observation)

    rig = make_rig(Slow())
    end = rig.run(plan(1), watched)

    assert end.void
    assert end.episodes[0].robot_s == 0.0


def test_a_hold_stops_a_reset(make_rig, watched, authority):
    rig = make_rig()
    observe = rig.driver.observe

    def seen():
        if rig.motion.time_s > 0.1:
            authority.stop(Condition.HOLD, "by hand")
        return observe()

    rig.driver.observe = seen
    end = rig.run(plan(1), watched)

    assert end.void_reason == "hold: by hand"
    assert end.episodes[0].reset_s < 0.3
    assert end.episodes[0].steps == 0


def test_a_rejected_action_leaves_the_robot_where_it_is_commanded_to_be(make_rig, watched):
    class Breaks(GoThere):
        def reset(self, observation):
            self.steps = 0

        def act(self, observation):
            self.steps += 1
            away = np.sign(-observation["tool_position_m"][0]) * 0.15
            here = observation["tool_position_m"]
            return np.array([np.nan, 0.0]) if self.steps == 3 else here + np.array([away, 0.0])

    rig = make_rig(Breaks())
    end = rig.run(plan(1), watched)

    assert end.episodes[0].reason == "action_not_finite"
    assert rig.motion.limiter.target == rig.motion.limiter.setpoint


def test_a_broken_task_limit_is_ramped_down_from_in_a_fifth_of_a_second(make_rig, watched):
    episode = make_rig(Corner()).run(plan(1), watched).episodes[0]

    assert episode.reason == "task_limit: workspace"
    assert episode.robot_s == pytest.approx(episode.steps / 30 + RAMP_DOWN_S, abs=0.02)


def test_after_forty_broken_task_limits_in_a_row_the_station_is_quarantined(make_rig, watched):
    end = make_rig(Corner()).run(plan(TASK_LIMITS_IN_A_ROW + 5), watched)

    assert len(end.episodes) == TASK_LIMITS_IN_A_ROW
    assert "in a row" in end.quarantine
    assert end.void_reason.startswith("quarantined")


def test_a_sound_episode_between_broken_task_limits_begins_the_count_anew(make_rig, watched):
    rig = make_rig(Corner())
    broken = rig.run(plan(1), watched).episodes[0]
    for _ in range(TASK_LIMITS_IN_A_ROW - 2):
        assert not rig.limit_broken(broken)
    rig.limit_broken(msgspec.structs.replace(broken, reason="verified"))

    assert not rig.limit_broken(broken)


def poisoned(rig, during_policy):
    """Let the world diverge, in the reset or in the policy's part."""
    done = []
    observe = rig.driver.observe

    def later():
        in_policy = bool(rig.env.history)
        if not done and in_policy is during_policy and rig.motion.time_s > 0.05:
            done.append(True)
            rig.driver.data.qvel[:] = np.nan
        return observe()

    rig.driver.observe = later


@pytest.mark.parametrize(("during_policy", "outcome"), [(True, "failure"), (False, "void")])
def test_a_diverged_world_latches_a_protective_stop(
    make_rig, watched, authority, during_policy, outcome
):
    rig = make_rig()
    poisoned(rig, during_policy)
    latched = []

    def on_stop():
        latched.append(authority.stopped)
        threading.Timer(0.05, authority.release).start()

    watched.on_stop = on_stop
    end = rig.run(plan(1), watched)

    assert latched == [Condition.SIMULATION_WARNING]
    assert end.episodes[0].outcome is Outcome(outcome)
    assert end.episodes[0].reason.startswith("simulation_warning")
    assert not end.void
    if not during_policy:
        assert end.episodes[-1].outcome is Outcome.SUCCESS


# --- real time -----------------------------------------------------------------------------------


def test_a_policy_that_was_silent_for_fifteen_periods_has_lost_in_real_time(simulated):
    _, driver = simulated
    told = []
    motion = Realtime(
        driver, read_task(REACH).spec, Authority(time.monotonic, needs_grant=False), told.append
    )
    motion.begin()
    first = motion.step([9.0, 0.0], 0.0)
    while Condition.ACTION_LOST not in motion.loop.seen:
        time.sleep(0.01)
    second = motion.step([0.0, 0.0], 0.0)
    held = motion.loop.limiter.target == motion.loop.limiter.setpoint
    motion.close()

    assert (first, second, held) == (True, False, True)
    assert told == [Condition.ACTION_CLIPPED, Condition.ACTION_STALE, Condition.ACTION_LOST]


def test_a_robots_task_limit_reaches_the_driver(simulated):
    _, driver = simulated
    assert isinstance(driver, RemoteDriver)
    end_s = time.monotonic() + 20.0
    while driver.fault() is None and time.monotonic() < end_s:
        here = [
            now + math.copysign(min(0.01, abs(0.3 - now)), 0.3 - now) for now in driver.setpoint()
        ]
        driver.exchange(here)
        time.sleep(0.01)

    assert driver.fault().condition is Condition.TASK_LIMIT


# --- processes -----------------------------------------------------------------------------------


async def test_an_agents_hold_is_a_failure_and_voids_no_batch(station):
    station.start()
    await station.batch(episodes=400, recipe=recipe(STAYS))
    await station.grant()
    await station.rows(is_(EpisodeStarted))
    ended: list = []
    number = 0
    # One that falls between two episodes ends none.
    while not ended:
        number += 1
        assert (await station.call("agent", c.Hold(reason="strange"), Done)).word == "HELD"
        await asyncio.sleep(0.1)
        await station.call("operator", c.Release(station="s1"), Done)
        rows = [row.event for row in await station.rows(is_(StationReleased, number))]
        finished = [event.episode for event in rows if isinstance(event, EpisodeFinished)]
        ended = [episode for episode in finished if episode.reason.startswith("held")]

    assert ended[0].outcome is Outcome.FAILURE
    assert (await station.state()).phase is BatchPhase.RUNNING


async def test_a_quarantined_station_takes_no_batch_until_it_is_released(station):
    station.start()
    await station.batch(episodes=60, recipe=recipe(CORNER))
    await station.grant()
    await station.rows(is_(StationQuarantined))
    await station.finished()

    assert (await station.report()).word == "QUARANTINED"
    with pytest.raises(Refused, match="quarantined"):
        await station.batch("b2")
    station.kill()
    station.start()
    assert (await station.report()).word == "QUARANTINED"
    await station.call("operator", c.Release(station="s1", cause="a bad policy"), Done)
    await station.grant()
    await station.batch("b2")
    assert (await station.finished("b2")).counts.success == 3


async def test_a_driver_that_breaks_stops_the_station_and_voids_the_episode(station, tmp_path):
    folder, broken = tmp_path / "reach", tmp_path / "broken"
    folder.mkdir()
    for path in REACH.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    code = (folder / "simulation.py").read_text()
    trap = f"    def observe(self, model, data, rng):\n        open({str(broken)!r}).close()\n"
    (folder / "simulation.py").write_text(
        code.replace("    def observe(self, model, data, rng):\n", trap)
    )
    broken.touch()
    station.configure(task=f'"{folder}"')
    station.start()
    await station.batch(episodes=400, recipe=recipe(CORNER))
    await station.grant()
    await station.rows(is_(EpisodeFinished))
    broken.unlink()
    rows = await station.rows(is_(StationHeld))

    assert rows[-1].event.reason.startswith("driver_error")
    assert (await station.report()).word == "HELD"
    with pytest.raises(Refused, match="cause"):
        await station.call("operator", c.Release(station="s1"))
    broken.touch()
    await station.call("operator", c.Release(station="s1", cause="a loose plug"), Done)
    cut = await station.rows(
        lambda event: isinstance(event, EpisodeFinished) and event.episode.reason == "driver_error"
    )
    assert cut[-1].event.episode.outcome is Outcome.VOID
    await station.rows(is_(EpisodeFinished), cut[-1].seq)
