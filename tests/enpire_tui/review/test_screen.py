"""The transcripts screen with Pilot, on real journals; every wait is for what is on the screen."""

import asyncio

import pytest
from textual.events import Key

from enpire_tui.review import transcript
from enpire_tui.room import actions
from enpire_tui.room.app import RoomApp
from enpire_tui.room.launch import Launch, Wanted
from enpire_tui.room.review_app import ReviewApp
from tests.enpire_tui.review.homes import RUN, SECRET, Home, a_story
from tests.enpire_tui.room.sample import SampleFeed
from tests.enpire_tui.room.waiting import screen_text, wait_for


@pytest.fixture(autouse=True)
async def quick_loop() -> None:
    asyncio.get_running_loop().set_debug(False)


@pytest.fixture
def told(home) -> Home:
    a_story(home)
    return home


def sees(app, *words: str):
    return lambda: all(word in screen_text(app) for word in words)


def chosen(app) -> str:
    screen = app.review
    session = screen.session
    return session.transcript.text(session.selection[screen.place]) if session else ""


async def test_an_ended_run_opens_at_its_start_without_secrets(told):
    told.end()
    told.put_away()
    app = ReviewApp(told.folder)
    async with app.run_test(size=(120, 30)) as pilot:
        await wait_for(pilot, sees(app, RUN, "success 1 of 14", "GitFailed: no"))
        assert "[bold]not markup[/bold] red tab" in screen_text(app)
        assert SECRET not in screen_text(app)
        assert "00:00:01 a1" in chosen(app)


async def test_a_live_run_is_followed_at_its_end_until_one_looks_back(told):
    app = ReviewApp(told.folder)
    async with app.run_test(size=(120, 30)) as pilot:
        await wait_for(pilot, sees(app, "live 14 of 14"))
        told.line("a2", "one more", turn=3)
        await wait_for(pilot, sees(app, "one more", "15 of 15"))
        await pilot.press("up")
        await wait_for(pilot, sees(app, "14 of 15"))
        told.line("a2", "and another", turn=3)
        await wait_for(pilot, sees(app, "14 of 16", "and another"))
        await pilot.press("end")
        told.line("a2", "the last", turn=3)
        await wait_for(pilot, sees(app, "17 of 17", "the last"))


async def test_search_next_and_previous_lead_to_the_hits(told):
    told.end()
    app = ReviewApp(told.folder)
    async with app.run_test(size=(120, 30)) as pilot:
        await wait_for(pilot, sees(app, "1 of 14"))
        await pilot.press("slash", *"adopted", "enter")
        await wait_for(pilot, lambda: "a1-1 adopted: 45/100" in chosen(app))
        await pilot.press("n")
        await wait_for(pilot, lambda: "it was adopted" in chosen(app))
        assert "2 of 2 hits of adopted" in screen_text(app)
        await pilot.press("n")
        await wait_for(pilot, sees(app, "from the start again", "1 of 2 hits"))
        await pilot.press("N")
        await wait_for(pilot, lambda: "it was adopted" in chosen(app))
        await pilot.press("slash", *"zebra", "enter")
        await wait_for(pilot, sees(app, "not found"))
        await pilot.press("slash", "slash", "left_parenthesis", "enter")
        await wait_for(pilot, sees(app, "no regular expression"))


async def test_words_typed_in_one_burst_are_searched_and_do_nothing_else(told):
    told.end()
    app = ReviewApp(told.folder)
    async with app.run_test(size=(120, 30)) as pilot:
        await wait_for(pilot, sees(app, "1 of 14"))
        for each in "/explored":
            app.post_message(Key("slash" if each == "/" else each, each))
        app.post_message(Key("enter", None))
        await wait_for(pilot, sees(app, "1 of 1 hits of explored"))
        assert "explored a1-1/x0: 5/8" in chosen(app)


def test_every_jump_has_its_keys():
    assert actions.JUMPS == transcript.JUMPS
    for jump in actions.JUMPS:
        assert {f"next_{jump}", f"previous_{jump}"} <= set(actions.BY_NAME)


async def test_jump_keys_stop_at_errors_ideas_decisions_and_turns(told):
    told.end()
    app = ReviewApp(told.folder)
    async with app.run_test(size=(120, 30)) as pilot:
        await wait_for(pilot, sees(app, "1 of 14"))
        for key, words in (
            ("i", "a1-1 opened"),
            ("l", "explore a1-1/x0"),
            ("e", "a2-1 refused"),
            ("e", "GitFailed"),
            ("D", "a1-1 adopted"),
            ("W", "the key is [redacted]"),
            ("I", "a1-1 opened"),
        ):
            await pilot.press(key)
            await wait_for(pilot, lambda words=words: words in chosen(app))
        await pilot.press("I")
        await wait_for(pilot, sees(app, "no earlier idea"))


async def test_enter_opens_a_row_with_its_idea_and_the_ideas_change(told):
    told.end()
    app = ReviewApp(told.folder)
    async with app.run_test(size=(160, 50)) as pilot:
        await wait_for(pilot, sees(app, "1 of 14"))
        await pilot.press("i", "enter")
        await wait_for(pilot, sees(app, "IdeaOpened", "prediction: more successes"))
        await wait_for(pilot, sees(app, "score: 45/100", "-0.3", "+0.9", "recipe/rate"))
        assert "1500 fresh input and output" in screen_text(app)
        await pilot.press("escape")
        await wait_for(pilot, lambda: "IdeaOpened" not in screen_text(app))


async def test_only_the_lines_of_an_agent_or_kind_are_shown_when_asked(told):
    told.end()
    app = ReviewApp(told.folder)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, sees(app, "1 of 14"))
        await pilot.press("f", *"a2", "space", *"decision", "enter")
        await wait_for(pilot, sees(app, "only a2 decision", "1 of 1"))
        assert "GitFailed" not in screen_text(app)
        await pilot.press("f", "enter")
        await wait_for(pilot, sees(app, "of 14", "GitFailed"))
        await pilot.press("f", *"nobody", "enter")
        await wait_for(pilot, sees(app, "called nobody"))


async def test_another_run_is_a_key_away_and_the_first_is_followed_by_the_newest(told):
    told.end()
    told.put_away()
    later = Home(told.folder, "r20260202-000000")
    later.line("a1", "of the later run")
    app = ReviewApp(told.folder)
    async with app.run_test(size=(120, 30)) as pilot:
        await wait_for(pilot, sees(app, "r20260202-000000 live", "of the later run"))
        await pilot.press("o")
        await wait_for(pilot, sees(app, f"{RUN} success", "GitFailed"))
        await pilot.press("o")
        await wait_for(pilot, sees(app, "r20260202-000000 live", "of the later run"))
    later.close()


async def test_a_journal_that_cannot_be_read_is_told_on_the_screen(told):
    told.journals.pop("a2").close()
    path = told.folder / "journals" / "a2.db"
    path.write_bytes(b"no database, but long enough to be read as one" * 100)
    app = ReviewApp(told.folder)
    async with app.run_test(size=(120, 30)) as pilot:
        await wait_for(pilot, sees(app, "a2.db cannot be read"))


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (160, 50)])
async def test_every_size_shows_lines_and_keys(told, size):
    app = ReviewApp(told.folder)
    async with app.run_test(size=size) as pilot:
        await wait_for(pilot, sees(app, "GitFailed", "search"))


async def test_help_lists_every_key_and_leaving_ends_it(told):
    app = ReviewApp(told.folder)
    async with app.run_test(size=(100, 40)) as pilot:
        await wait_for(pilot, sees(app, "14 of 14"))
        await pilot.press("question_mark")
        await wait_for(pilot, sees(app, "previous decision", "an earlier run", "next theme"))
        await pilot.press("escape", "t", "q")
        await wait_for(pilot, lambda: app.return_code is not None or not app.is_running)
    assert app.return_value == 0


async def test_six_is_the_transcripts_screen_of_the_room(told):
    launch = Launch(lambda: Wanted(told.folder, "a fleet"))
    launch.wanted = Wanted(told.folder, "a fleet")
    app = RoomApp(launch, feed=SampleFeed())
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: app.seen is not None and app.seen.station)
        await pilot.press("6")
        await wait_for(pilot, sees(app, f"{RUN} live 14 of 14", "GitFailed", "search"))
        await pilot.press("slash", *"explored", "enter")
        await wait_for(pilot, sees(app, "1 of 1 hits of explored"))
        await pilot.press("1")
        await wait_for(pilot, lambda: app.seen.NAME == "fleet")
        told.line("a1", "while nobody looked")
        await pilot.press("6")
        await wait_for(pilot, sees(app, "of 15"))


async def test_the_room_says_so_where_the_fleets_folder_is_not_known():
    app = RoomApp(feed=SampleFeed())
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: app.seen is not None and app.seen.station)
        await pilot.press("6")
        await wait_for(pilot, lambda: "Transcripts" in screen_text(app))
        assert "folder is not known" in screen_text(app)
        await pilot.press("escape")
        await wait_for(pilot, lambda: app.seen.NAME == "fleet")
