"""The machine's own faults in real time: a robot that runs hot, lags or shows an old picture."""

import asyncio
import contextlib
import math
import shutil
import threading
import time

import pytest

from robots.drivers import drill
from robots.drivers import robot_wire as w
from robots.drivers.base import DriverError, Fault
from robots.drivers.mujoco import MujocoDriver
from robots.drivers.robot_process import Photographer
from robots.safety import health
from robots.safety.table import Condition
from robots.station.authority import Authority, BatchCancelled
from robots.station.children import Sight
from robots.station.realtime import Realtime
from robots.station.tasks import load_task, read_task
from robots.wire import commands as c
from robots.wire.events import BatchFinished, EpisodeStarted, StationHeld, StationQuarantined
from robots.wire.reception import Refused
from robots.wire.records import Outcome
from robots.wire.station_replies import Done
from tests.robots.station.conftest import REACHES, plan, recipe
from tests.robots.station.scripted import REACH, InProcess
from tests.robots.station.test_daemon import STAYS, is_

TASK = read_task(REACH)


@pytest.fixture
def seeing(tmp_path):
    """The test task with a camera."""
    folder = tmp_path / "reach"
    shutil.copytree(REACH, folder)
    with (folder / "task.toml").open("a") as file:
        file.write('[[cameras]]\nname = "top"\nheight = 48\nwidth = 64\n')
    return read_task(folder)


# --- what the readings amount to -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("motor_c", "found"), [(80.0, None), (80.1, Condition.OVERHEATED), (math.nan, "overheated")]
)
def test_a_motor_above_its_limit_is_overheated(motor_c, found):
    seen = health.Health().condition(motor_c, 0.0, 0.0)

    assert (seen and seen[0]) == (Condition(found) if found else None)


def test_a_drive_that_stays_away_from_its_command_does_not_follow():
    watch = health.Health()

    assert watch.condition(30.0, 0.21, 10.0) is None
    assert watch.condition(30.0, 0.21, 10.29) is None
    assert watch.condition(30.0, 0.21, 10.31)[0] is Condition.FOLLOWING_ERROR
    assert watch.condition(30.0, math.nan, 10.4)[0] is Condition.FOLLOWING_ERROR


def test_a_drive_that_trails_for_a_moment_follows():
    watch = health.Health()
    for now_s in (0.0, 0.2, 0.4, 0.6):
        assert watch.condition(30.0, 0.5, now_s) is None
        assert watch.condition(30.0, 0.2, now_s + 0.1) is None


@pytest.mark.parametrize(("age_s", "stale"), [(0.5, False), (0.51, True), (math.nan, True)])
def test_an_old_picture_is_stale(age_s, stale):
    assert (health.picture(age_s) is not None) is stale


@pytest.mark.parametrize("name", ["push_t", "pin_insertion"])
def test_a_shipped_arm_at_full_speed_follows(name):
    task = load_task(name)
    driver = MujocoDriver(task, 1)
    here = driver.setpoint()
    speed = task.spec.limits.max_velocity
    worst = 0.0
    for tick in range(40):
        reach = (tick + 1) * task.spec.tick_s
        driver.drive([here[0] + speed[0] * reach * 0.5, *here[1:]], 1)
        worst = max(worst, driver.deviation())
    driver.close()

    assert 0.0 < worst < health.FOLLOWING_LIMIT / 2


def test_a_drill_that_cannot_be_read_is_none(tmp_path, caplog):
    (tmp_path / "drill.toml").write_text("motor_f = 200.0")

    assert drill.read(tmp_path / "drill.toml") == drill.read(tmp_path / "nothing") == drill.WELL
    assert "motor_f" in caplog.text


# --- a driver and its robot, on threads of this process ------------------------------------------


def practise(folder, text):
    (folder / "new").write_text(text)
    (folder / "new").rename(folder / "drill.toml")


def faulted(driver, setpoint=(0.0, 0.0)):
    """The fault that set-points bring to light, within ten seconds."""
    end_s = time.monotonic() + 10.0
    while driver.sound() and time.monotonic() < end_s:
        driver.exchange(setpoint)
        time.sleep(0.01)
    return driver.fault()


def test_a_hot_motor_is_seen_by_the_driver(simulated, tmp_path):
    _, driver = simulated
    practise(tmp_path, "motor_c = 95.0")

    assert faulted(driver).condition is Condition.OVERHEATED


def test_dead_drives_are_seen_by_the_driver(simulated, tmp_path):
    _, driver = simulated
    practise(tmp_path, "drives_dead = true")
    here = driver.exchange(driver.setpoint()).setpoint

    assert faulted(driver, (-0.38 if here[0] > 0 else 0.38, 0.0)).condition is (
        Condition.FOLLOWING_ERROR
    )


def test_a_robot_that_was_put_right_is_well_after_a_restore(simulated, tmp_path):
    robot, driver = simulated
    practise(tmp_path, "drives_dead = true")
    here = driver.exchange(driver.setpoint()).setpoint
    faulted(driver, (-0.38 if here[0] > 0 else 0.38, 0.0))
    (tmp_path / "drill.toml").unlink()
    while robot._drill != drill.WELL:
        time.sleep(0.01)
    driver.restore()

    measured = driver.exchange(driver.setpoint())
    assert driver.fault() is None
    assert measured.deviation < 0.01


def test_the_robots_latched_stop_is_a_fault(simulated):
    robot, driver = simulated
    robot.firmware.stop("its button")

    assert faulted(driver).condition is Condition.EMERGENCY_STOP


def test_a_silent_robot_is_a_stale_bus(simulated):
    robot, driver = simulated
    robot.end()
    while robot.thread.is_alive():
        time.sleep(0.01)

    with pytest.raises(RuntimeError, match="silent"):
        driver.observe()
    assert driver.fault().condition is Condition.BUS_STALE


def test_an_answer_that_comes_late_is_not_taken_for_a_later_ones(simulated, monkeypatch):
    robot, driver = simulated
    execute = robot._execute

    def slow(ask, link):
        monkeypatch.setattr(robot, "_execute", execute)
        time.sleep(0.3)
        return execute(ask, link)

    monkeypatch.setattr(robot, "_execute", slow)
    with pytest.raises(DriverError, match="silent"):
        driver.exchange((0.01, 0.0))
    end_s = time.monotonic() + 10.0
    answer = None
    while answer is None and time.monotonic() < end_s:
        with contextlib.suppress(DriverError):
            answer = driver.exchange((0.02, 0.0))

    assert answer.setpoint == (0.02, 0.0)


def test_a_broken_task_limit_hides_nothing_graver(simulated):
    _, driver = simulated
    driver.report(Fault(Condition.TASK_LIMIT, "workspace"))
    assert driver.sound()
    driver.report(Fault(Condition.OVERHEATED, "hot"))
    driver.report(Fault(Condition.TASK_LIMIT, "workspace"))

    assert driver.fault().condition is Condition.OVERHEATED
    assert not driver.sound()


def test_a_task_limit_that_a_reset_began_with_is_not_the_policys(simulated):
    _, driver = simulated
    driver.report(Fault(Condition.TASK_LIMIT, "workspace"))
    driver.begin()
    assert driver.fault() is None

    driver.report(Fault(Condition.OVERHEATED, "hot"))
    driver.begin()
    assert driver.fault() is not None


def test_a_fault_stops_the_set_point_without_waiting_for_the_policy(simulated):
    _, driver = simulated
    motion = Realtime(driver, TASK.spec, Authority(time.monotonic, needs_grant=False), print)
    motion.begin()
    driver.report(Fault(Condition.OVERHEATED, "hot"))
    here = list(motion.loop.limiter.setpoint)
    far = [here[0] - math.copysign(0.2, here[0]), here[1]]
    for _ in range(10):
        motion.loop.act(far, time.monotonic())
        time.sleep(0.02)
    stayed = list(motion.loop.limiter.setpoint)
    motion.close()

    assert stayed == here


def test_the_robots_stop_ignores_set_points(simulated, tmp_path):
    robot, driver = simulated
    before = driver.exchange(driver.setpoint()).setpoint
    robot.firmware.stop("its button")
    driver.exchange((0.1, 0.1))

    assert driver.exchange((0.1, 0.1)).setpoint == before


def test_a_frozen_camera_tells_its_pictures_age(seeing):
    photographer = Photographer(MujocoDriver(seeing, 1), seeing)
    photographer.frozen = True
    ages = []
    for _ in range(2):
        answered = threading.Event()
        photographer.photograph(lambda seen, e=answered: (ages.append(seen.age_s), e.set()))
        assert answered.wait(20)
        time.sleep(0.3)

    assert ages[1] > ages[0] + 0.29


def test_a_driver_tells_of_an_old_picture(simulated, monkeypatch):
    _, driver = simulated
    monkeypatch.setattr(driver, "_ask", lambda ask, kind: w.Seen({}, 0.6))
    driver.camera()

    assert driver.fault().condition is Condition.CAMERA_STALE


def test_no_verdict_is_asked_of_an_old_picture(make_rig, watched, authority):
    class Verifier(InProcess):
        asked = 0

        def verify(self, images, proprioception):
            self.asked += 1
            return Sight(True, 1.0)

    verifier = Verifier()
    rig = make_rig()
    rig.children.verify = lambda: verifier
    camera, fault = rig.driver.camera, rig.driver.fault
    stale = []

    def old():
        stale.append(Fault(Condition.CAMERA_STALE, "old"))
        return camera()

    rig.driver.camera = old
    rig.driver.fault = lambda: stale[0] if stale else fault()
    watched.on_stop = authority.close
    with pytest.raises(BatchCancelled):
        rig.run(plan(1), watched)

    assert verifier.asked == 0
    assert watched.finished[0].outcome is Outcome.VOID
    assert watched.stops == [(Condition.CAMERA_STALE, "old")]


# --- a station and its robot, as processes -------------------------------------------------------


async def stopped_for(station, condition, source):
    """Wait until the station has stopped itself for this; what a busy machine does is undone."""
    after, number = 0, 1
    async with asyncio.timeout(100):
        while True:
            what = is_((StationHeld, StationQuarantined, BatchFinished))
            row = (await station.rows(what, after))[-1]
            after = row.seq
            if isinstance(row.event, BatchFinished):
                number += 1
                await station.batch(f"b{number}", episodes=200, recipe=recipe(source))
            elif row.event.reason.startswith(condition):
                return
            else:
                await station.call("operator", c.Release(station="s1", cause="busy"), Done)


async def test_a_station_stops_for_its_robots_heat_until_the_cause_is_named(station, robot):
    station.start()
    await station.batch(episodes=200, recipe=recipe(STAYS))
    await station.grant()
    await station.rows(is_(EpisodeStarted))
    practise(station.folder, "motor_c = 95.0")

    await stopped_for(station, "overheated", STAYS)
    with pytest.raises(Refused, match="cause"):
        await station.call("operator", c.Release(station="s1"))


async def test_a_camera_that_shows_what_was_stops_the_station(station, robot_of, seeing):
    station.configure(clock='"realtime"', task=f'"{seeing.folder}"')
    practise(station.folder, "camera_frozen = true")
    robot_of(station)
    station.start()
    await station.batch(episodes=200)
    await station.grant()

    await stopped_for(station, "camera_stale", REACHES)
    assert "camera_stale" in (await station.report()).detail
