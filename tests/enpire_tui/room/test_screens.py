"""The screens with Pilot, on a hand-made fleet: where keys lead, and what small terminals keep."""

import pytest
from textual.widgets import Input

from enpire_tui.room import themes
from enpire_tui.room.app import RoomApp
from enpire_tui.room.keys import DEFAULT, merged
from enpire_tui.room.screens.dialogs import Dialog, HelpScreen
from enpire_tui.room.themes import DARK
from tests.enpire_tui.room.sample import SampleFeed
from tests.enpire_tui.room.waiting import screen_text, wait_for


@pytest.fixture
def app() -> RoomApp:
    return RoomApp(feed=SampleFeed())


async def test_the_cursor_starts_on_the_station_that_needs_a_person(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: app.seen is not None and app.seen.station)
        assert app.seen.station == "s3"
        assert "1 needs you" in screen_text(app)
        assert "held: glove on" in screen_text(app)


async def test_a_large_fleet_scrolls_with_its_cursor():
    app = RoomApp(feed=SampleFeed(64))
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for(pilot, lambda: app.seen is not None and app.seen.station)
        await pilot.press("pagedown", "pagedown", "down")
        chosen = app.seen.station
        await wait_for(pilot, lambda: f"  {chosen} " in screen_text(app))
        await pilot.press("end")
        await wait_for(pilot, lambda: app.seen.station == "s64" and "  s64 " in screen_text(app))
        assert "Latest" in screen_text(app)


async def test_numbers_enter_and_escape_lead_from_screen_to_screen(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: app.seen is not None and app.seen.station)
        for key, name, told in (
            ("enter", "workspace", "Robot s3"),
            ("escape", "fleet", "Latest"),
            ("3", "agents", "Transcript of a"),
            ("4", "jobs", "no training jobs"),
            ("5", "research", "Hill climb"),
            ("7", "events", "Events: "),
            ("1", "fleet", "Latest"),
            ("2", "inbox", "Inbox: 1 waiting"),
            ("enter", "workspace", "Agent a3"),
            ("1", "fleet", "Latest"),
            ("w", "workspace", "Agent a3"),
        ):
            await pilot.press(key)
            await wait_for(
                pilot,
                lambda name=name, told=told: name == app.seen.NAME and told in screen_text(app),
            )
        await pilot.press("right_square_bracket")
        await wait_for(pilot, lambda: app.seen.station == "s4" and "Robot s4" in screen_text(app))
        await pilot.press("left_square_bracket", "left_square_bracket")
        await wait_for(pilot, lambda: "Agent a2" in screen_text(app))


async def test_a_filter_narrows_the_fleet_and_escape_clears_it(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: app.seen is not None and app.seen.station)
        await pilot.press("slash", *"executing", "space", "exclamation_mark", *"s1", "enter")
        await wait_for(pilot, lambda: app.seen.station == "s2")
        shown = screen_text(app)
        assert "EXECUTING     s1" not in shown
        assert "HELD " not in shown
        await pilot.press("slash", "escape")
        await wait_for(pilot, lambda: "■ HELD" in screen_text(app))
        assert app.seen.station == "s2", "the cursor stays with its station"


async def test_events_hide_the_small_ones_until_asked(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: app.seen is not None)
        await pilot.press("7")
        await wait_for(pilot, lambda: "without the many" in screen_text(app))
        assert "episode 9 of" not in screen_text(app)
        await pilot.press("a")
        await wait_for(pilot, lambda: "every row" in screen_text(app))
        await pilot.press("slash", *"episodefinished", "enter")
        await wait_for(pilot, lambda: "Events: 280" in screen_text(app))


async def test_help_and_palette_list_every_action(app):
    async with app.run_test(size=(120, 50)) as pilot:
        await wait_for(pilot, lambda: app.seen is not None)
        await pilot.press("question_mark")
        await wait_for(pilot, lambda: isinstance(app.screen, HelpScreen))
        await wait_for(pilot, lambda: "open a station first (enter)" in screen_text(app))
        await pilot.press("escape", "ctrl+p")
        await wait_for(pilot, lambda: "hold fleet  ^g" in screen_text(app))
        await pilot.press(*"pause")
        await wait_for(pilot, lambda: "pause agent  p" in screen_text(app))
        await pilot.press("escape")


async def test_the_camera_shows_a_picture_and_goes_away(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: app.seen is not None and app.seen.station)
        await pilot.press("c")
        await wait_for(
            pilot, lambda: "camera not possible: open a station first" in screen_text(app)
        )
        await pilot.press("enter")
        await wait_for(pilot, lambda: "Robot s3" in screen_text(app))
        await pilot.press("c")
        await wait_for(pilot, lambda: "camera top" in screen_text(app) and "▀" in screen_text(app))
        await pilot.press("c")
        await wait_for(pilot, lambda: "▀" not in screen_text(app))


@pytest.mark.parametrize("size", [(59, 24), (80, 15), (20, 4)])
async def test_below_60_by_16_only_a_message_and_the_stop_keys_are_left(app, size):
    async with app.run_test(size=size) as pilot:
        await wait_for(pilot, lambda: "hold fleet" in screen_text(app))
        shown = screen_text(app)
        assert "Latest" not in shown
        assert "hold station" in shown
        await pilot.press("ctrl+g")
        await wait_for(pilot, lambda: app.feed.orders)
        assert app.feed.orders[0].words.startswith("hold fleet")
        await pilot.resize_terminal(80, 24)
        await wait_for(pilot, lambda: "Latest" in screen_text(app))


async def test_the_fleet_is_held_from_under_a_dialog_and_nothing_else_is(app):
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for(pilot, lambda: app.seen is not None and app.seen.station)
        await pilot.press("r")
        await wait_for(pilot, lambda: isinstance(app.screen, Dialog))
        await pilot.press("exclamation_mark", "p")
        assert app.screen.query_one("#answer-0", Input).value == "!p"
        assert not app.feed.orders
        await pilot.press("ctrl+g")
        await wait_for(pilot, lambda: app.feed.orders)
        assert app.feed.orders[0].words.startswith("hold fleet")


async def test_a_release_needs_the_name_typed(app):
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for(pilot, lambda: app.seen is not None and app.seen.station)
        await pilot.press("r")
        await wait_for(pilot, lambda: isinstance(app.screen, Dialog))
        await pilot.press("s", "4", "enter")
        await wait_for(pilot, lambda: "type s3 to confirm" in screen_text(app))
        assert isinstance(app.screen, Dialog)
        await pilot.press("backspace", "3", "enter", *"glove", "enter")
        await wait_for(pilot, lambda: app.feed.orders)
        assert app.feed.orders[0].words == "release s3"
        await pilot.press("down", "r")
        await wait_for(pilot, lambda: "s1 is not held" in screen_text(app))


async def test_themes_change_colours_and_no_word(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: app.seen is not None and app.seen.station)
        before, colours = screen_text(app), set()
        for _ in themes.NAMES:
            colours.add(app.theme)
            await pilot.press("t")
            await pilot.pause()
            assert screen_text(app) == before
        assert colours == set(themes.NAMES)
        assert app.theme == DARK


async def test_keys_are_remapped_in_footer_and_deed():
    app = RoomApp(feed=SampleFeed(), keys=merged({"show_research": "f5", "detach": "z"}, "x"))
    async with app.run_test(size=(120, 30)) as pilot:
        await wait_for(pilot, lambda: "f5 research" in screen_text(app))
        await pilot.press("5")
        assert app.seen.NAME == "fleet"
        await pilot.press("f5")
        await wait_for(pilot, lambda: app.seen.NAME == "research")
        await pilot.press("z")
    assert app.return_code == 0
    assert DEFAULT["detach"] == ("q",)
