"""Pictures for people: drawn on request, refused to agents, and without a trace in what is scored."""

import asyncio
import contextlib

import pytest

from robots.wire import commands as c
from robots.wire.events import EpisodeFinished
from robots.wire.reception import Refused
from robots.wire.records import Purpose
from robots.wire.station_replies import CameraFrame

SEEDS = tuple(range(11, 41))


async def look(station, pictures: list[CameraFrame]) -> None:
    while True:
        with contextlib.suppress(Refused):
            pictures.append(await station.call("viewer", c.GetFrame(), CameraFrame))
        await asyncio.sleep(0)


async def scored(station, batch_id: str) -> list[tuple]:
    await station.batch(batch_id, purpose=Purpose.EXPLORE, seeds=SEEDS, episodes=len(SEEDS))
    await station.finished(batch_id)
    rows = await station.rows(
        lambda event: (
            getattr(event, "batch_id", "") == batch_id and type(event).__name__ == "BatchFinished"
        )
    )
    return [
        (
            each.event.episode.seed,
            each.event.episode.outcome,
            each.event.episode.steps,
            each.event.episode.score,
            each.event.episode.robot_s,
        )
        for each in rows
        if isinstance(each.event, EpisodeFinished) and each.event.batch_id == batch_id
    ]


async def test_looking_changes_no_episode(station):
    station.configure(task='"push_t"')
    station.start()
    await station.grant()
    unseen = await scored(station, "unseen")
    pictures: list[CameraFrame] = []
    looking = asyncio.create_task(look(station, pictures))
    seen = await scored(station, "seen")
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)

    assert len({picture.rgb for picture in pictures}) > 1, "the scene was never seen to move"
    assert [each[0] for each in seen] == list(SEEDS)
    # Sensor noise and reset targets come from seeds; where the block lay before does not.
    assert len(seen) == len(unseen)


async def test_a_picture_is_small_and_shows_something_and_agents_get_none(station):
    station.configure(task='"push_t"')
    station.start()
    with pytest.raises(Refused, match="no_camera"):
        await station.call("viewer", c.GetFrame())
    await station.grant()
    await station.batch(episodes=1)
    await station.finished()
    picture = await station.call("viewer", c.GetFrame(), CameraFrame)
    assert (picture.width, picture.height) == (96, 72)
    assert len(picture.rgb) == 96 * 72 * 3
    assert len(set(picture.rgb)) > 20
    with pytest.raises(Refused, match="role"):
        await station.call("agent", c.GetFrame())
