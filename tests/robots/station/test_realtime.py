"""Real time: the control loop on a time of the test's own, and the robot as a real process."""

import os
import signal
import socket
import threading

import pytest

from robots.drivers import robot_wire as w
from robots.drivers.base import DriverError, Fault
from robots.drivers.robot_process import Firmware, listen
from robots.safety.table import Condition
from robots.station.latch import Latch
from robots.station.realtime import ControlLoop
from robots.station.tasks import read_task
from robots.wire import commands as c
from robots.wire.events import BatchFinished, EpisodeFinished, EpisodeStarted, StationHeld
from robots.wire.records import Outcome
from robots.wire.station_replies import Done
from tests.robots.station.conftest import measured, recipe, until
from tests.robots.station.scripted import REACH
from tests.robots.station.test_daemon import is_

SPEC = read_task(REACH).spec
TICK_S = 0.01


class Loop:
    """A control loop driven tick by tick."""

    def __init__(self):
        self.now_s = 0.0
        self.sent = []
        self.faults: list[Fault] = []
        self.may_move = True
        self.silent = False
        self.loop = ControlLoop(
            SPEC, [0.0, 0.0], lambda: self.may_move, self.send, self.faults.append
        )

    def send(self, setpoint):
        if self.silent:
            raise DriverError("silent")
        self.sent.append(setpoint)

    def tick(self, ticks=1, late_s=0.0):
        for _ in range(ticks):
            self.now_s += TICK_S
            self.loop.tick(self.now_s, self.now_s + late_s)

    def still_since(self):
        """Ticks at the end in which the set-point stood still."""
        last = self.sent[-1]
        return next(i for i, sent in enumerate(reversed(self.sent)) if sent != last) - 1


def test_a_set_point_is_sent_on_every_tick_and_moves_at_the_speed_limit():
    loop = Loop()
    loop.loop.act([0.2, 0.0], 0.0)
    loop.tick(5)

    assert [sent[0] for sent in loop.sent] == pytest.approx([0.005 * n for n in range(1, 6)])


def test_the_robot_holds_within_a_tenth_of_a_second_after_actions_stop():
    loop = Loop()
    loop.loop.act([0.3, 0.0], 0.0)
    loop.tick(30)

    # Three policy periods are 100 ms: ten ticks of motion, then none.
    assert loop.sent[9][0] > loop.sent[8][0]
    assert {tuple(sent) for sent in loop.sent[10:]} == {tuple(loop.sent[10])}
    assert loop.loop.had(Condition.ACTION_STALE)
    assert not loop.loop.had(Condition.ACTION_STALE)
    assert not loop.loop.had(Condition.ACTION_LOST)


def test_a_fresh_action_ends_the_hold():
    loop = Loop()
    loop.loop.act([0.3, 0.0], 0.0)
    loop.tick(20)
    loop.loop.act([0.3, 0.0], loop.now_s)
    loop.tick(2)

    assert loop.sent[-1][0] > loop.sent[-3][0]


def test_after_fifteen_periods_the_action_is_lost():
    loop = Loop()
    loop.loop.act([0.3, 0.0], 0.0)
    loop.tick(49)
    assert not loop.loop.had(Condition.ACTION_LOST)
    loop.tick(2)

    assert loop.loop.had(Condition.ACTION_LOST)


@pytest.mark.parametrize("cause", ["hold", "late"])
def test_the_robot_stops_within_one_tick(cause):
    loop = Loop()
    loop.loop.act([0.3, 0.0], 0.0)
    loop.tick(3)
    if cause == "hold":
        loop.may_move = False
        loop.tick(1)
    else:
        loop.tick(1, late_s=0.06)
    stopped_at = loop.sent[-1]
    loop.tick(3)

    assert loop.sent[-1] == stopped_at == loop.sent[2]


def test_a_tick_more_than_fifty_milliseconds_late_is_a_fault():
    loop = Loop()
    loop.tick(1, late_s=0.05)
    assert loop.faults == []
    loop.tick(1, late_s=0.051)

    assert [fault.condition for fault in loop.faults] == [Condition.TICK_LATE]


def test_a_silent_robot_is_a_fault():
    loop = Loop()
    loop.silent = True
    loop.tick(1)

    assert loop.faults[0].condition is Condition.BUS_STALE


def test_lateness_is_measured():
    loop = Loop()
    loop.tick(2, late_s=0.001)

    assert list(loop.loop.lateness_s) == pytest.approx([0.001, 0.001])


# --- the robot's own rules -----------------------------------------------------------------------


def test_the_firmware_holds_by_itself_when_set_points_stop(tmp_path):
    firmware = Firmware(Latch(tmp_path / "estop"))
    assert firmware.admit(10.0)
    firmware.tick(10.39, look=False)
    assert not firmware.holding
    firmware.tick(10.41, look=False)

    assert firmware.holding
    assert firmware.admit(11.0)
    assert not firmware.holding


def test_the_robots_stop_is_latched_until_its_file_is_taken_away(tmp_path):
    latch = Latch(tmp_path / "estop")
    firmware = Firmware(latch)
    firmware.stop("button")

    assert not firmware.admit(0.0)
    assert Firmware(latch).stopped
    (tmp_path / "estop").unlink()
    firmware.tick(0.1, look=True)
    assert firmware.admit(0.2)


def test_a_press_while_the_latch_is_read_is_not_undone(tmp_path):
    class Reading(Latch):
        def read(self):
            found = super().read()
            # The button's signal arrives between the look at the file and what is made of it.
            if asked:
                asked.pop()()
            return found

    asked = []
    firmware = Firmware(Reading(tmp_path / "estop"))
    asked.append(lambda: firmware.stop("button"))
    firmware.tick(0.1, look=True)

    assert firmware.stopped


def test_a_second_robot_on_the_same_socket_leaves(tmp_path):
    first = listen(tmp_path / "r")
    with pytest.raises(DriverError, match="another robot"):
        listen(tmp_path / "r")
    first.close()

    listen(tmp_path / "r").close()


def test_arrays_travel_between_station_and_robot():
    import numpy as np

    ours, theirs = (w.Link(end) for end in socket.socketpair())
    image = np.arange(480 * 640 * 3, dtype=np.uint8).reshape(480, 640, 3)
    sender = threading.Thread(target=ours.send, args=(w.Seen({"top": image}, 0.0), 5.0))
    sender.start()
    seen = theirs.receive_answer(5.0)
    sender.join()
    ours.send(w.SetPoint((0.1, 0.2)), 1.0)

    np.testing.assert_array_equal(seen.images["top"], image)
    assert theirs.receive_ask(1.0) == w.SetPoint((0.1, 0.2))
    ours.close()
    with pytest.raises(w.Disconnected, match="closed"):
        theirs.receive_answer(1.0)
    theirs.close()


# --- processes -----------------------------------------------------------------------------------


async def test_a_batch_runs_in_real_time(station, robot):
    station.start()
    await station.batch(episodes=1)
    await station.grant()
    rows = await station.rows(is_((BatchFinished, StationHeld)))
    if isinstance(rows[-1].event, StationHeld):
        # A machine too busy for real time is stopped for it, and says so.
        assert rows[-1].event.reason.startswith("tick_late")
        return

    state = await station.finished()
    (episode,) = [row.event.episode for row in rows if isinstance(row.event, EpisodeFinished)]
    assert state.counts.success + state.counts.failure == 1
    assert episode.robot_s > 0.2
    assert (await station.report()).clock == "realtime"


STAYS = """
class Policy:
    def __init__(self, knobs): pass
    def reset(self, observation): self.here = observation["tool_position_m"]
    def act(self, observation): return self.here
"""


async def test_the_robot_holds_by_itself_when_its_station_is_killed_or_frozen(station, robot):
    station.start()
    await station.batch(episodes=50, recipe=recipe(STAYS))
    await station.grant()
    await station.rows(is_(EpisodeStarted))
    assert not (await measured(station)).holding

    os.kill(station.process.pid, signal.SIGSTOP)

    async def holds() -> bool:
        return (await measured(station)).holding

    await until(holds)
    station.kill()
    station.start()
    await station.grant()
    rows = await station.rows(is_(EpisodeFinished))
    assert rows[-1].event.episode.outcome in (Outcome.VOID, Outcome.FAILURE)


async def test_a_dead_robot_stops_the_station_until_someone_names_the_cause(station, robot):
    station.start()
    await station.batch(episodes=50, recipe=recipe(STAYS))
    await station.grant()
    await station.rows(is_(EpisodeStarted))
    robot.kill()
    robot.wait(10)

    rows = await station.rows(is_(StationHeld))

    assert rows[-1].event.by == "station"
    with pytest.raises(Exception, match="cause"):
        await station.call("operator", c.Release(station="s1"))


async def test_the_robots_own_button_stops_the_station(station, robot):
    station.start()
    await station.batch(episodes=50, recipe=recipe(STAYS))
    await station.grant()
    await station.rows(is_(EpisodeStarted))

    robot.send_signal(signal.SIGUSR1)
    state = await station.finished()

    assert state.void
    assert state.counts.success == 0
    assert "emergency_stop" in state.void_reason
    assert (await station.report()).word == "STOPPED"
    assert (await measured(station)).stopped


async def test_an_emergency_stop_reaches_the_robot(station, robot):
    station.start()
    await station.report()
    await station.call("viewer", c.EmergencyStop(reason="smoke"), Done)

    async def stopped() -> bool:
        return (await measured(station)).stopped

    await until(stopped)
    assert (await station.report()).word == "STOPPED"
