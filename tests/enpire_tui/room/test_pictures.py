"""The screens as pictures: whoever changes one sees it, and says so by `ROOM_PICTURES=write`."""

import os
import time
from pathlib import Path

import pytest

from enpire_tui.room import themes
from enpire_tui.room.app import RoomApp
from tests.enpire_tui.room.jobs_sample import SampleBoxes
from tests.enpire_tui.room.sample import SampleFeed
from tests.enpire_tui.room.setup_sample import SetupFeed
from tests.enpire_tui.room.waiting import screen_text, settled, wait_for

FOLDER = Path(__file__).with_name("pictures")
SIZES = ((60, 16), (80, 24), (120, 40), (160, 50))
KEYS = {"fleet": "1", "workspace": "w", "agents": "3", "jobs": "4", "research": "5", "events": "7"}


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def compared(path: Path, shown: str) -> list[str]:
    """The picture's name, if it is not what it was; writes it where that is asked for."""
    if os.environ.get("ROOM_PICTURES") == "write":
        FOLDER.mkdir(exist_ok=True)
        path.write_text(shown)
    return [] if path.exists() and path.read_text() == shown else [path.name]


@pytest.mark.parametrize("size", SIZES)
async def test_screens_look_as_they_did(size):
    app, different = RoomApp(feed=SampleFeed()), []
    app.feed.boxes = SampleBoxes()
    async with app.run_test(size=size) as pilot:
        await wait_for(pilot, lambda: app.seen is not None and app.seen.station)
        for name, key in KEYS.items():
            await pilot.press(key)
            await wait_for(pilot, lambda name=name: app.seen is not None and name == app.seen.NAME)
            shown = await settled(pilot, app)
            different += compared(FOLDER / f"{name}-{size[0]}x{size[1]}.svg", shown)
    assert not different, "these look different; ROOM_PICTURES=write keeps them"


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_inbox_and_card_look_as_they_did(size):
    app, different = RoomApp(feed=SetupFeed()), []
    # The card's time would run on.
    app.feed.clock.monotonic = lambda: 100.0
    async with app.run_test(size=size) as pilot:
        await wait_for(pilot, lambda: app.seen is not None and app.seen.station)
        for name, keys, told in (
            ("inbox", ("2",), "APPROVAL"),
            ("approval", ("end", "enter"), "expires in 1:19"),
        ):
            await pilot.press(*keys)
            await wait_for(pilot, lambda told=told: told in screen_text(app))
            shown = await settled(pilot, app)
            different += compared(FOLDER / f"{name}-{size[0]}x{size[1]}.svg", shown)
    assert not different, "these look different; ROOM_PICTURES=write keeps them"


async def test_themes_look_as_they_did():
    app, different = RoomApp(feed=SampleFeed()), []
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: app.seen is not None and app.seen.station)
        for theme in themes.NAMES[1:]:
            await pilot.press("t")
            shown = await settled(pilot, app)
            assert app.theme == theme
            different += compared(FOLDER / f"fleet-80x24-{theme.removeprefix('room-')}.svg", shown)
    assert not different, "these look different; ROOM_PICTURES=write keeps them"
