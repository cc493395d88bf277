"""The station daemon as a real process: real ZeroMQ with CURVE, SQLite, bubblewrap and SIGKILL."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
from collections import Counter

import psutil
import pytest

from robots.station.ledger import read_ledger
from robots.wire import commands as c
from robots.wire.events import (
    BatchFinished,
    DaemonStarted,
    EpisodeFinished,
    EpisodeStarted,
    GrantLapsed,
    PolicyBlocked,
    StationHeld,
)
from robots.wire.reception import Refused
from robots.wire.records import Counts, LedgerRecord, Outcome, Purpose
from robots.wire.signing import verify
from robots.wire.station_replies import BatchPhase, BatchState, Done, EpisodeEvidence
from tests.robots.station.conftest import recipe

STAYS = """
class Policy:
    def __init__(self, knobs): pass
    def reset(self, observation): self.here = observation["tool_position_m"]
    def act(self, observation): return self.here
"""


def is_(kind, count=1):
    """Whether the `count`-th event of a kind was met."""
    seen = []

    def met(event):
        seen.extend([event] if isinstance(event, kind) else [])
        return len(seen) >= count

    return met


async def test_a_batch_runs_under_a_grant_and_its_record_is_signed(station):
    station.start()
    await station.batch(episodes=4)
    assert (await station.report()).word == "WAITING"

    await station.grant()
    state = await station.finished()

    report = await station.report()
    record = verify(state.signed, LedgerRecord, {report.public_key})
    assert state.counts == record.counts == Counts(success=4)
    assert report.word == "IDLE"
    assert len(record.manifest_sha256) == len(record.safety_sha256) == 64
    assert set(record.audit) == {"0", "1", "2", "3"}
    assert all(episode.seed is None for episode in record.episodes)
    assert read_ledger(station.folder / "ledger", {report.public_key}) == [record]


async def test_a_batch_id_is_run_once(station):
    station.start()
    await station.grant()
    await station.batch()
    first = await station.finished()

    again = await station.batch(episodes=50)

    assert again == first
    assert again.counts == Counts(success=3)


async def test_a_station_killed_in_mid_batch_finishes_it_with_one_outcome_an_episode(station):
    station.start()
    await station.batch(episodes=12, recipe=recipe(STAYS))
    await station.grant()
    rows = await station.rows(is_(EpisodeStarted, 2))
    station.kill()

    station.start()
    await station.grant()
    await station.rows(is_(EpisodeStarted, 6), after=rows[-1].seq)
    station.kill()
    station.start()
    await station.grant()
    state = await station.finished()

    rows = await station.rows(is_(BatchFinished))
    finished = [row.event.episode for row in rows if isinstance(row.event, EpisodeFinished)]
    voids = [episode for episode in finished if episode.outcome is Outcome.VOID]
    assert set(Counter(episode.index for episode in finished).values()) == {1}
    assert {episode.reason for episode in voids} <= {"station_restarted"}
    record = verify(state.signed, LedgerRecord, {(await station.report()).public_key})
    assert sorted(e.index for e in record.episodes) == sorted(e.index for e in finished)
    assert len(read_ledger(station.folder / "ledger", {(await station.report()).public_key})) == 1
    assert state.void is (len(voids) > 1)


async def test_seeds_do_not_repeat_when_the_station_is_killed(station):
    station.start()
    await station.batch(episodes=500, recipe=recipe(STAYS))
    await station.grant()
    await station.rows(is_(EpisodeStarted, 3))
    station.kill()
    before = int((station.folder / "counter").read_text())
    station.start()
    await station.grant()
    restarted = (await station.rows(is_(DaemonStarted, 2)))[-1].seq
    await station.rows(is_(EpisodeFinished, 2), after=restarted)

    assert int((station.folder / "counter").read_text()) > before


async def test_a_policy_worker_killed_from_outside_is_a_failure_and_the_batch_goes_on(station):
    source = """
import os, signal
class Policy:
    def __init__(self, knobs): pass
    def reset(self, observation): self.steps = 0
    def act(self, observation):
        self.steps += 1
        if self.steps == 5: os.kill(os.getpid(), signal.SIGKILL)
        return observation["goal_position_m"]
"""
    station.start()
    await station.batch(recipe=recipe(source))
    await station.grant()
    state = await station.finished()

    record = verify(state.signed, LedgerRecord, {(await station.report()).public_key})
    assert [episode.reason for episode in record.episodes] == ["policy_exited"] * 3
    assert not state.void


async def test_a_hold_voids_the_batch_and_a_release_needs_the_stations_name(station):
    station.start()
    await station.batch(episodes=500, recipe=recipe(STAYS))
    await station.grant()
    # Within an episode: between two of them a hold costs nothing, and the batch waits.
    await station.rows(is_(EpisodeStarted))

    done = await station.call("viewer", c.Hold(reason="look"), Done)
    state = await station.finished()

    assert done.word == "HELD"
    assert state.void
    assert "look" in state.void_reason
    with pytest.raises(Refused, match="role"):
        await station.call("viewer", c.Release(station="s1"))
    with pytest.raises(Refused, match="confirmation"):
        await station.call("operator", c.Release(station="s2"))
    released = await station.call("operator", c.Release(station="s1"), Done)
    assert released.word == "IDLE"
    await station.batch("b2")
    assert (await station.finished("b2")).counts == Counts(success=3)


async def test_a_hold_outlives_a_restart(station):
    station.start()
    await station.call("operator", c.Hold(reason="night"), Done)
    station.kill()
    station.start()
    await station.grant()

    report = await station.report()

    assert report.word == "HELD"
    assert "night" in report.detail


async def test_an_emergency_stop_is_latched_until_a_person_at_the_robot_clears_it(station):
    station.start()
    await station.grant()
    await station.call("agent", c.EmergencyStop(reason="smoke"), Done)
    with pytest.raises(Refused, match="estop_latched"):
        await station.call("operator", c.Release(station="s1"))
    station.kill()
    station.start()
    assert (await station.report()).word == "STOPPED"

    command = [sys.executable, "-m", "robots.station.cli", "--home", station.home, "--name", "s1"]
    await asyncio.to_thread(
        subprocess.run, [*command, "--clear-stop"], check=True, capture_output=True, timeout=60
    )
    # Clearing the latch restarts nothing: an operator still has to release.
    await station.grant()
    assert (await station.report()).word == "STOPPED"
    released = await station.call("operator", c.Release(station="s1", cause="toast"), Done)
    assert released.word == "IDLE"


async def test_a_grant_lapses_and_the_next_episode_waits_for_a_new_one(station):
    station.start()
    await station.batch(episodes=200, recipe=recipe(STAYS))
    await station.grant(ttl_s=1.0)
    rows = await station.rows(is_(GrantLapsed))
    assert (await station.report()).word == "WAITING"

    await station.grant()

    await station.rows(is_(EpisodeStarted), after=rows[-1].seq)


async def test_an_old_grant_is_refused_even_after_a_restart(station):
    station.start()
    await station.grant()
    station.kill()
    station.start()
    station.serial = 0

    with pytest.raises(Refused, match="replay"):
        await station.grant()


async def test_what_a_policy_tries_is_on_record(station):
    source = """
import socket
class Policy:
    def __init__(self, knobs): pass
    def reset(self, observation):
        try: open("/etc/shadow")
        except OSError: pass
    def act(self, observation): return observation["goal_position_m"]
"""
    station.start()
    await station.batch(episodes=1, recipe=recipe(source))
    await station.grant()
    rows = await station.rows(is_(BatchFinished))

    tried = [row.event.what for row in rows if isinstance(row.event, PolicyBlocked)]
    assert any("/etc/shadow" in what for what in tried)
    assert (await station.report()).blocked == len(tried)


async def test_an_agent_sees_its_explorations_fully_and_of_evaluations_failures_only(station):
    station.start()
    await station.grant()
    await station.batch("x", by="agent", purpose=Purpose.EXPLORE, seeds=(3, 4, 5))
    await station.batch("e")
    await station.finished("x")
    await station.finished("e")

    seen = await station.call("agent", c.GetEpisode(batch_id="x", index=1), EpisodeEvidence)

    assert seen.episode.seed == 4
    assert seen.trace
    assert len(seen.trace[0].values["observation.tool_position_m"]) == 2
    with pytest.raises(Refused, match="sealed"):
        await station.call("agent", c.GetEpisode(batch_id="e", index=0))
    with pytest.raises(Refused, match="unknown_episode"):
        await station.call("agent", c.GetEpisode(batch_id="x", index=99))
    with pytest.raises(Refused, match="unknown_batch"):
        await station.state("nothing")


async def test_an_agent_cannot_take_back_an_evaluation(station):
    station.start()
    await station.batch(episodes=100, recipe=recipe(STAYS))

    with pytest.raises(Refused, match="explore batches only"):
        await station.call("agent", c.CancelBatch(batch_id="b1", reason="losing"))
    await station.call("supervisor", c.CancelBatch(batch_id="b1", reason="enough"), BatchState)
    await station.grant()
    state = await station.finished()
    assert state.void
    assert state.void_reason == "cancelled: enough (by supervisor)"


async def test_the_queue_is_bounded_and_says_so(station):
    station.start()
    for number in range(9):
        await station.batch(f"b{number}", episodes=1)

    with pytest.raises(Refused, match="queue_full"):
        await station.batch("b9", episodes=1)


async def test_a_recording_is_made_when_asked_for(station):
    station.start()
    await station.grant()
    await station.batch("plain")
    await station.batch("kept", record=True)
    await station.finished("plain")
    await station.finished("kept")

    assert len(list((station.folder / "recordings").glob("*.npz"))) == 3


async def test_a_station_that_is_told_to_end_ends_and_goes_on_later(station):
    station.start()
    await station.batch(episodes=8, recipe=recipe(STAYS))
    await station.grant()
    await station.rows(is_(EpisodeStarted, 2))
    station.process.send_signal(signal.SIGTERM)
    assert station.process.wait(20) == 0

    station.start()
    await station.grant()
    state = await station.finished()

    assert state.counts.failure == 8
    assert state.phase is BatchPhase.FINISHED


async def test_a_second_station_of_the_same_name_leaves(station):
    station.start()
    await station.report()
    command = [sys.executable, "-m", "robots.station.cli", "--home", station.home, "--name", "s1"]

    second = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=60
    )

    assert second.returncode == 1
    assert "s1" in second.stderr
    assert (await station.report()).word == "WAITING"


async def test_a_hold_is_on_record_with_who_sent_it(station):
    station.start()
    await station.call("agent", c.Hold(reason="strange"), Done)

    (row,) = [r for r in await station.rows(is_(StationHeld)) if isinstance(r.event, StationHeld)]

    assert row.event.by == "agent:agent"
    assert not row.event.latched


async def test_a_stop_file_made_by_hand_stops_the_station(station):
    station.start()
    await station.batch(episodes=200, recipe=recipe(STAYS))
    await station.grant()
    await station.rows(is_(EpisodeStarted))
    (station.folder / "estop").write_text("red button")

    state = await station.finished()

    assert state.void
    assert "red button" in state.void_reason
    assert (await station.report()).word == "STOPPED"


def workers_of(station):
    """Processes of the station's sandboxed children."""
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in psutil.Process(station.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if any("child.py" in word for word in process.cmdline()):
                    found.append(process)
    return found


async def one_outcome_each(station, state):
    """Every episode that began has one outcome, and the ledger says the same as the journal."""
    rows = await station.rows(is_(BatchFinished))
    started = [row.event.index for row in rows if isinstance(row.event, EpisodeStarted)]
    finished = [row.event.episode for row in rows if isinstance(row.event, EpisodeFinished)]
    record = verify(state.signed, LedgerRecord, {(await station.report()).public_key})
    assert sorted(started) == sorted(episode.index for episode in finished)
    assert len(set(started)) == len(started)
    assert sorted(episode.index for episode in record.episodes) == sorted(started)
    return finished


async def test_workers_killed_from_outside_leave_one_outcome_an_episode(station):
    station.start()
    await station.batch(episodes=12, recipe=recipe(STAYS))
    await station.grant()
    await station.rows(is_(EpisodeStarted))
    killed = 0
    while killed < 6 and (await station.state()).phase is BatchPhase.RUNNING:
        for process in workers_of(station)[:1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
                killed += 1
        await asyncio.sleep(0.2)

    state = await station.finished()
    episodes = await one_outcome_each(station, state)

    # One that is killed while its sandbox is made never ran any code of a policy.
    reasons = {episode.reason.split(":")[0] for episode in episodes}
    blameless = {"reset_died", "verifier_died", "sandbox_failed"}
    # Now and then the draw puts a robot that stays upon its goal.
    assert reasons <= {"episode_limit", "verified", "policy_exited", *blameless}


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_twenty_kills_of_a_station_leave_one_outcome_an_episode(station):
    rng = random.Random(0)
    station.start()
    await station.batch(episodes=40, recipe=recipe(STAYS))
    await station.grant()
    for _ in range(20):
        await asyncio.sleep(rng.uniform(0.0, 2.0))
        station.kill()
        station.start()
        await station.grant()

    state = await station.finished()
    episodes = await one_outcome_each(station, state)

    voids = [episode for episode in episodes if episode.outcome is Outcome.VOID]
    assert {episode.reason for episode in voids} <= {"station_restarted"}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
async def test_a_full_disk_stops_episodes_and_nothing_else(station, tmp_path):
    full = station.home / "journals"
    full.mkdir()
    await run("mount", "-t", "tmpfs", "-o", "size=4m", "none", full)
    try:
        station.start()
        await station.batch(episodes=4, recipe=recipe(STAYS))
        ballast = full / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        refusals = []
        for number in range(5):
            try:
                await station.batch(f"more{number}", purpose=Purpose.EXPLORE, by="agent")
            except Refused as refused:
                refusals.append(refused.reason)
        assert refusals
        assert all(reason.startswith("journal") for reason in refusals)
        assert (await station.report()).word == "WAITING"
        held = await station.call("viewer", c.Hold(reason="still works"), Done)
        assert held.word in ("FULL", "HELD")
        assert (await station.state()).phase is BatchPhase.RUNNING

        ballast.unlink()
        await until_released(station)
        await station.grant()
        state = await station.finished()
        assert state.counts.failure == 4
    finally:
        station.close()
        await run("umount", full)


async def run(*command):
    done = await asyncio.create_subprocess_exec(*command)
    assert await done.wait() == 0


async def until_released(station):
    """Release the station once its journal takes rows again."""
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(Refused):
                await station.call("operator", c.Release(station="s1", cause="space"), Done)
                return
            await asyncio.sleep(0.1)
