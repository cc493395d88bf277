"""Pictures for people: drawn on request, refused to agents, and without a trace in what is scored."""

import struct
import threading
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from robots.drivers.mujoco import MujocoDriver
from robots.station.recording import Moment
from robots.station.stills import HEIGHT, WIDTH, Stills, Studio, chosen
from robots.station.tasks import load_task
from robots.wire import commands as c
from robots.wire.reception import Refused
from robots.wire.records import Episode, Outcome, Purpose
from robots.wire.station_replies import CameraFrame, EpisodeEvidence, EpisodeFrames
from tests.robots.station.conftest import REACHES, plan, recipe
from tests.robots.station.scripted import REACH, GoThere

EPISODES = 12


class Looker(threading.Thread):
    """Draws what it sees of a driver's world for as long as that moves."""

    def __init__(self, driver) -> None:
        super().__init__()
        self.pictures: set[bytes] = set()
        self.over = threading.Event()
        self._driver = driver

    def run(self) -> None:
        studio = Studio(self._driver.task)
        while not self.over.is_set():
            self.pictures.add(studio.draw(self._driver.scene()).rgb)
        # Once more at the end: a short run may fit between two pictures.
        self.pictures.add(studio.draw(self._driver.scene()).rgb)
        studio.close()


def scored(end) -> list:
    """Episodes without what the machine's speed decides."""
    return [msgspec.structs.replace(each, wall_s=0.0, policy_cpu_s=0.0) for each in end.episodes]


def test_looking_changes_no_episode(make_rig, watched):
    unseen = scored(make_rig(GoThere(), folder=REACH).run(plan(EPISODES), watched))
    rig = make_rig(GoThere(), folder=REACH)
    looker = Looker(rig.driver)
    looker.start()
    # Somebody is already looking when the first episode begins.
    while not looker.pictures and looker.is_alive():
        looker.join(0.01)
    seen = scored(rig.run(plan(EPISODES), watched))
    looker.over.set()
    looker.join(10)
    assert seen == unseen
    assert len(looker.pictures) > 1, "the scene was never seen to move"


@pytest.mark.parametrize("task", ["push_t", "push_t_simple"])
def test_a_picture_shows_where_things_are(task):
    studio = Studio(load_task(task))
    positions = np.zeros(studio.size)
    here = studio.draw(positions)
    positions[:3] = 0.1
    there = studio.draw(positions)
    studio.close()
    assert here.rgb != there.rgb
    assert len(here.rgb) == WIDTH * HEIGHT * 3


async def test_a_picture_is_for_people_and_comes_once_there_is_a_robot(station):
    station.start()
    with pytest.raises(Refused, match="no_camera"):
        await station.call("viewer", c.GetFrame())
    await station.grant()
    await station.batch(episodes=1)
    await station.finished()
    picture = await station.call("viewer", c.GetFrame(), CameraFrame)
    assert (picture.width, picture.height) == (WIDTH, HEIGHT)
    assert len(set(picture.rgb)) > 1
    with pytest.raises(Refused, match="role"):
        await station.call("agent", c.GetFrame())


def png_size(content: bytes) -> tuple[int, int]:
    """Width and height that stand in a PNG's header."""
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    return width, height


async def test_an_agent_sees_pictures_of_its_explorations_and_none_of_sealed_episodes(station):
    station.start()
    await station.grant()
    await station.batch("x", by="agent", purpose=Purpose.EXPLORE, seeds=(3, 4))
    failing = recipe(REACHES.replace('observation["goal_position_m"]', "None"))
    await station.batch("e", recipe=failing)
    assert (await station.finished("e")).counts.failure == 3

    seen = await station.call("agent", c.GetFrames(batch_id="x", index=1), EpisodeFrames)
    assert seen.episode.seed == 4
    last = seen.frames[-1]
    assert last.step == seen.episode.steps
    assert last.time_s == seen.episode.robot_s
    assert png_size(last.png) == (last.width, last.height)
    # Failures of sealed episodes may be read in figures; no picture of them may be seen.
    await station.call("agent", c.GetEpisode(batch_id="e", index=0), EpisodeEvidence)
    with pytest.raises(Refused, match="sealed: of sealed batches no pictures"):
        await station.call("agent", c.GetFrames(batch_id="e", index=0))
    with pytest.raises(Refused, match="role"):
        await station.call("viewer", c.GetFrames(batch_id="x", index=1))
    with pytest.raises(Refused, match="unknown_episode"):
        await station.call("agent", c.GetFrames(batch_id="x", index=99))

    station.kill()
    station.start()
    with pytest.raises(Refused, match="no longer kept"):
        await station.call("agent", c.GetFrames(batch_id="x", index=1))


def test_moments_are_the_last_ones_or_spread_or_the_nearest_to_those_asked_for():
    moments = [Moment(step, step / 30, np.zeros(2)) for step in (1, 16, 31, 46, 61, 70)]

    def steps(**asked) -> list[int]:
        return [each.step for each in chosen(moments, c.GetFrames(batch_id="x", index=0, **asked))]

    assert steps() == [46, 61, 70]
    assert steps(spread=True) == [1, 31, 70]
    assert steps(steps=(70, 20, 18)) == [16, 70]
    assert steps(count=99) == [1, 16, 31, 46, 61, 70]
    moments.append(Moment(80, 3.0, np.array([0.0, np.nan])))
    assert steps(count=1) == [70]


def test_pictures_of_an_episode_show_its_course_and_cost_it_nothing(make_rig, watched):
    traces = []
    watched.episode_finished = lambda episode, audit, trace: traces.append((episode, trace))
    rig = make_rig(GoThere(), folder=REACH)
    rig.run(plan(1), watched)
    (episode, trace), studio = traces[0], Studio(rig.task, most_width=64)
    moments = trace.moments
    assert (moments[0].step, moments[-1].step) == (1, episode.steps)
    first, last = (studio.render(each.positions) for each in (moments[0], moments[-1]))
    studio.close()
    assert first.shape[1] == 64
    assert (first != last).any()
    assert not {"moments", "scene", "positions"} & set(trace.arrays())


@pytest.mark.parametrize("task", ["zip_tie_cutting", "gpu_insertion"])
def test_a_picture_shows_what_a_task_places_by_itself(task):
    driver = MujocoDriver(load_task(task), station_seed=1)
    assert driver.model.nmocap
    driver.start_episode(3)
    studio = Studio(driver.task, most_width=128)
    here = studio.render(driver.scene())
    driver.data.mocap_pos[0] += 0.03
    there = studio.render(driver.scene())
    studio.close()
    driver.close()
    assert (here != there).any()


async def test_each_of_a_tasks_cameras_may_be_looked_through_and_no_other():
    task = load_task("pin_insertion")
    first, second = (each.name for each in task.spec.cameras)
    driver = MujocoDriver(task, station_seed=1)
    driver.start_episode(3)
    rig, moments = SimpleNamespace(task=task), [Moment(1, 0.1, driver.scene())]
    driver.close()
    episode = Episode(index=0, outcome=Outcome.FAILURE, reason="episode_limit")
    stills = Stills()

    async def seen(camera: str) -> EpisodeFrames:
        asked = c.GetFrames(batch_id="x", index=0, camera=camera)
        return await stills.frames(rig, asked, episode, moments)

    try:
        found = [await seen(camera) for camera in ("", second, "", first)]
        with pytest.raises(Refused, match=f"no_camera: 'roof'; there are {first}, {second}"):
            await seen("roof")
    finally:
        await stills.close()
    assert [each.camera for each in found] == [first, second, first, first]
    one, other, again, named = (each.frames[0].png for each in found)
    assert one == again == named != other
