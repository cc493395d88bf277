"""Pictures for people: drawn on request, refused to agents, and without a trace in what is scored."""

import threading

import msgspec
import numpy as np
import pytest

from robots.station.stills import HEIGHT, WIDTH, Studio
from robots.station.tasks import load_task
from robots.wire import commands as c
from robots.wire.reception import Refused
from robots.wire.station_replies import CameraFrame
from tests.robots.station.conftest import plan
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
