"""The agents screen: what each spent and has left, its transcript, and what is done to it."""

import msgspec

from enpire_tui.room.app import RoomApp
from enpire_tui.room.moment import Moment
from enpire_tui.room.screens.dialogs import Dialog
from enpire_tui.room.state import RoomState
from enpire_tui.room.views import agents
from enpire_tui.supervisor.budgets import Budget
from robots.wire import events as ev
from tests.enpire_tui.room.sample import ELAPSED_S, START_WALL_S, Journals, SampleFeed, spec_of
from tests.enpire_tui.room.waiting import screen_text, wait_for


def metered(fresh: int, cached: int, output: int) -> ev.TokensMetered:
    return ev.TokensMetered(
        agent="a2",
        provider="anthropic",
        model="model-of-a2",
        fresh_input=fresh,
        cached_input=cached,
        output=output,
        reasoning=0,
        aborted=False,
        status=200,
    )


def text_of(line) -> str:
    return "".join(text for text, _ in line)


async def test_the_chosen_agent_is_seen_spoken_to_and_stopped_by_its_name():
    app = RoomApp(feed=SampleFeed())
    async with app.run_test(size=(160, 50)) as pilot:
        await wait_for(pilot, lambda: app.seen is not None)
        await pilot.press("3")
        await wait_for(pilot, lambda: "Transcript of a1" in screen_text(app))
        await pilot.press("down", "down")
        await wait_for(pilot, lambda: "Transcript of a3" in screen_text(app))
        assert app.seen.station == "s3"
        assert "please look at the last centimetre" in screen_text(app)
        await pilot.press("p")
        await wait_for(pilot, lambda: app.feed.orders)
        assert app.feed.orders[-1].words == "pause a3"
        await pilot.press("i")
        await wait_for(pilot, lambda: app.feed.orders[-1].words == "interrupt a3")
        await pilot.press("X")
        await wait_for(pilot, lambda: isinstance(app.screen, Dialog))
        await pilot.press(*"a1", "enter")
        await wait_for(pilot, lambda: "type a3 to confirm" in screen_text(app))
        await pilot.press("backspace", "3", "enter")
        await wait_for(pilot, lambda: app.feed.orders[-1].words == "stop a3")
        await pilot.press("enter")
        await wait_for(pilot, lambda: app.seen.NAME == "transcripts")


async def test_an_agent_is_interrupted_from_the_palette_of_any_screen():
    app = RoomApp(feed=SampleFeed())
    async with app.run_test(size=(160, 50)) as pilot:
        await wait_for(pilot, lambda: app.seen is not None)
        chosen = app.seen.station
        await pilot.press("colon")
        await pilot.press(*"interrupt")
        await wait_for(pilot, lambda: "interrupt agent" in screen_text(app))
        await pilot.press("down", "enter")
        await wait_for(pilot, lambda: app.feed.orders)
        assert app.feed.orders[-1].words == f"interrupt a{chosen.removeprefix('s')}"


def test_tokens_are_counted_by_class_and_the_rest_of_the_share_is_told():
    spec = msgspec.structs.replace(spec_of(), budget=Budget(minutes=15.0, tokens=400_000))
    state = RoomState(spec)
    journals = Journals(state)
    journals.add("gateway", ELAPSED_S - 400, metered(70_000, 0, 1000))
    journals.add("gateway", ELAPSED_S - 20, metered(12_000, 65_000, 3_000))
    journals.add("a2", ELAPSED_S, ev.ToolCalled(call_id="c", tool="submit", summary="a2-4"))
    moment = Moment(state, {}, START_WALL_S + ELAPSED_S)
    told = text_of(dict(agents.rows(moment, 150))["a2"]).split()
    # Of 100,000: 86,000 spent; 15,000 uncached of them within five minutes.
    assert told[-7:] == ["82k", "65k", "4000", "14k", "3000", "submit", "a2-4"]
    assert "model-of-a2" in told
    assert agents.left_of(moment, state.agents["a1"]) == 100_000


def test_an_agent_without_a_bound_has_no_rest_and_rows_fit():
    feed = SampleFeed()
    moment = feed.moment()
    assert agents.left_of(moment, moment.state.agents["a1"]) is None
    for width in (56, 76, 100, 156):
        for _, line in agents.rows(moment, width):
            assert len(text_of(line)) == len(text_of(agents.header(width))) <= width
