"""Drivers: the simulator's own rules that bite, and registered environments."""

import shutil
import threading

import numpy as np
import pytest

from robots.drivers.base import DriverError, load_driver
from robots.drivers.gymnasium import gym_task
from robots.drivers.mujoco import MujocoDriver
from robots.safety.table import Condition
from robots.station.authority import Authority
from robots.station.env import StationEnv
from robots.station.lockstep import Lockstep
from robots.station.rollout import Rig
from robots.station.seeds import RandomSeeds
from robots.station.tasks import TaskError, load_task, read_task
from robots.wire.records import Outcome
from tests.robots.station.conftest import Watched, plan
from tests.robots.station.scripted import REACH, ScriptedChildren


class Balance:
    def reset(self, observation):
        pass

    def act(self, observation):
        x, v, angle, rate = observation["observation"]
        return np.array(int(angle + 0.5 * rate + 0.05 * x + 0.1 * v > 0))


class Fall(Balance):
    def act(self, observation):
        return np.array(0)


class Torque(Balance):
    def act(self, observation):
        return np.array([0.5])


def copy(tmp_path, was, becomes):
    folder = tmp_path / "reach"
    shutil.copytree(REACH, folder)
    scene = (folder / "scene.xml").read_text()
    assert was in scene
    (folder / "scene.xml").write_text(scene.replace(was, becomes))
    return read_task(folder)


def test_an_actuator_without_a_control_range_is_refused(tmp_path):
    task = copy(tmp_path, ' ctrlrange="-0.4 0.4"', "")

    with pytest.raises(DriverError, match="ctrlrange"):
        MujocoDriver(task, 1)


def test_a_timestep_that_does_not_divide_the_tick_is_refused(tmp_path):
    task = copy(tmp_path, 'timestep="0.005"', 'timestep="0.003"')

    with pytest.raises(DriverError, match="timestep"):
        MujocoDriver(task, 1)


def test_a_diverging_world_is_a_fault_and_is_not_reset_behind_our_back():
    driver = MujocoDriver(read_task(REACH), 1)
    driver.advance(10)
    driver.data.qvel[:] = 1e12

    driver.advance(10)

    assert driver.fault().condition is Condition.SIMULATION_WARNING
    # Put back by the simulator, its time would have begun anew.
    assert driver.data.time == pytest.approx(0.2)
    driver.restore()
    assert driver.fault() is None


def test_two_stations_differ_and_stay_as_they_are():
    offsets = []
    for seed in (1, 2, 1):
        driver = MujocoDriver(read_task(REACH), seed)
        offsets.append(driver.simulation._offset)

    np.testing.assert_array_equal(offsets[0], offsets[2])
    assert not np.array_equal(offsets[0], offsets[1])


def camera_task(tmp_path):
    folder = tmp_path / "reach"
    shutil.copytree(REACH, folder)
    with (folder / "task.toml").open("a") as file:
        file.write('\n[[cameras]]\nname = "top"\nheight = 60\nwidth = 80\n')
    return read_task(folder)


def test_a_camera_sees_the_scene(tmp_path):
    driver = MujocoDriver(camera_task(tmp_path), 1)

    images = [driver.camera()["top"] for _ in range(3)]
    driver.close()

    assert images[0].shape == (60, 80, 3)
    assert images[0].dtype == np.uint8
    assert images[-1].std() > 1
    np.testing.assert_array_equal(images[0], images[-1])


def test_a_renderer_is_used_on_its_own_thread_only(tmp_path):
    driver = MujocoDriver(camera_task(tmp_path), 1)
    driver.camera()
    raised = []

    def render():
        try:
            driver.camera()
        except AssertionError as error:
            raised.append(error)

    thread = threading.Thread(target=render)
    thread.start()
    thread.join()
    driver.close()

    assert raised


def test_an_unknown_driver_is_said():
    with pytest.raises(DriverError, match="unknown driver 'teleport'"):
        load_driver("teleport", read_task(REACH), 1)


# --- registered environments ---------------------------------------------------------------------


def run(name, policy, episodes=2, **options):
    task = load_task(name, options)
    driver = load_driver("gymnasium", task, 1)
    rig = Rig(
        task,
        driver,
        ScriptedChildren(policy),
        Authority(lambda: 0.0, needs_grant=False),
        RandomSeeds(),
    )
    try:
        return rig.run(plan(episodes), Watched())
    finally:
        rig.close()


def test_a_registered_environment_is_a_task_by_its_id():
    end = run("gym:CartPole-v1", Balance())

    assert [e.outcome for e in end.episodes] == [Outcome.SUCCESS] * 2
    assert {e.steps for e in end.episodes} == {500}
    assert end.episodes[0].figures == {"return": 500.0}


def test_a_world_that_ends_without_success_is_a_failure():
    end = run("gym:CartPole-v1", Fall())

    assert [e.reason for e in end.episodes] == ["world_failure"] * 2
    assert max(e.steps for e in end.episodes) < 20


def test_a_failure_at_the_worlds_own_limit_is_tagged_so():
    assert run("gym:Pendulum-v1", Torque(), 1).episodes[0].tags == ("timeout",)
    assert run("gym:CartPole-v1", Fall(), 1).episodes[0].tags == ()


def test_success_by_a_rule_of_the_options():
    assert run("gym:Pendulum-v1", Torque(), success_return=-5000.0).counts.success == 2
    assert run("gym:Pendulum-v1", Torque(), success_return=0.0).counts.failure == 2
    assert run("gym:CartPole-v1", Fall(), success_reward=1.0).episodes[0].steps == 1


def test_an_action_out_of_a_box_is_clipped_and_of_no_choice_refused():
    class Wild(Torque):
        def act(self, observation):
            return np.array([99.0])

    class Other(Fall):
        def act(self, observation):
            return np.array(7)

    assert run("gym:Pendulum-v1", Wild(), 1, success_return=-5000.0).counts.success == 1
    assert run("gym:CartPole-v1", Other(), 1).episodes[0].reason == "action_shape"


def test_its_reset_is_marked_as_the_simulators():
    task = load_task("gym:CartPole-v1")
    driver = load_driver("gymnasium", task, 1)

    assert driver.capabilities.simulator_reset
    assert task.manifest_sha256() != load_task("gym:Pendulum-v1").manifest_sha256()
    driver.close()


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("gym:Nothing-v9", {}, "no such registered environment"),
        ("gym:no_such_module:Thing-v0", {}, "no such registered environment"),
        ("gym:CartPole-v1", {"colour": 3}, "unknown option 'colour'"),
        ("gym:CartPole-v1", {"policy_hz": -1}, "policy_hz"),
    ],
)
def test_what_is_wrong_with_an_environment_is_said(name, options, said):
    with pytest.raises(TaskError, match=said):
        gym_task(name, options)


def test_a_task_folder_takes_no_options():
    with pytest.raises(TaskError, match="task options"):
        load_task("push_t", {"success_return": 1.0})


# --- the station as an environment ---------------------------------------------------------------


def test_the_station_is_a_gymnasium_environment():
    task = read_task(REACH)
    driver = MujocoDriver(task, 1)
    env = StationEnv(
        driver,
        task.spec,
        Lockstep(driver, task.spec, lambda condition: None),
        Authority(lambda: 0.0, needs_grant=False),
        ScriptedChildren(),
    )
    observation, info = env.reset(seed=3)
    terminated = truncated = False
    rewards = []
    while not (terminated or truncated):
        observation, reward, terminated, truncated, info = env.step(observation["goal_position_m"])
        rewards.append(reward)
    env.close()

    assert rewards[-1] == 1.0
    assert set(rewards[:-1]) == {0.0}
    assert (terminated, truncated) == (True, False)
    assert info == {"reason": "verified"}


def test_an_episode_that_runs_out_of_time_is_truncated():
    task = read_task(REACH)
    driver = MujocoDriver(task, 1)
    env = StationEnv(
        driver,
        task.spec,
        Lockstep(driver, task.spec, lambda condition: None),
        Authority(lambda: 0.0, needs_grant=False),
        ScriptedChildren(),
    )
    observation, _ = env.reset(seed=3)
    here = observation["tool_position_m"]
    truncated = False
    while not truncated:
        _, reward, terminated, truncated, info = env.step(here)
        assert not terminated
    env.close()

    assert reward == 0.0
    assert info["condition"] is Condition.EPISODE_LIMIT
