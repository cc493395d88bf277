"""The room on a real fleet: every verb through keys, daemons and journals, and back on the screen."""

import asyncio
import contextlib
import subprocess
import sys

import pytest
from textual.widgets import Input

from enpire_tui import lifecycle
from enpire_tui.cli import USAGE
from enpire_tui.room.app import RoomApp
from enpire_tui.room.feed import Feed, connect
from enpire_tui.room.launch import Launch, Wanted
from enpire_tui.room.screens.dialogs import Dialog
from enpire_tui.run_spec import read_spec
from recipes.jobs.box import LocalBox
from robots.wire import commands as c
from robots.wire.clock import SystemClock
from robots.wire.transport import ZmqTransport
from tests.enpire_tui.room.waiting import screen_text, wait_for
from tests.enpire_tui.test_cli import run
from tests.recipes.test_jobs import spec

UP_S = 60.0


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A fleet of one station; its tests leave it as they found it."""
    folder = tmp_path_factory.mktemp("fleet") / "home"
    done = run("up", "--stations", "1", home=folder, timeout_s=110)
    assert done.returncode == 0, done.stderr
    yield folder
    run("down", home=folder)


@pytest.fixture
def app(home) -> RoomApp:
    """The room, attached."""
    return RoomApp(feed=connect(home, read_spec(home), SystemClock()))


async def attached(pilot, app) -> None:
    await wait_for(pilot, lambda: app.seen is not None and app.seen.station == "s1")
    await wait_for(pilot, lambda: "s1" in app.feed.moment().live)


async def typed(pilot, app, *answers: str) -> None:
    """Answers a dialog."""
    await wait_for(pilot, lambda: isinstance(app.screen, Dialog))
    for index, answer in enumerate(answers):
        app.screen.query_one(f"#answer-{index}", Input).value = answer
    app.screen.query_one(f"#answer-{len(answers) - 1}", Input).focus()
    await pilot.press("enter")
    await wait_for(pilot, lambda: not isinstance(app.screen, Dialog))


def word(app) -> str:
    return app.feed.moment().word("s1")


async def test_a_station_is_held_by_one_key_and_released_by_its_name(app):
    async with app.run_test(size=(100, 30)) as pilot:
        await attached(pilot, app)
        await pilot.press("exclamation_mark")
        assert "hold s1" in app.feed.orders[0].words
        assert word(app) != "HELD", "nothing is shown as done because a key was pressed"
        await wait_for(pilot, lambda: "acknowledged" in screen_text(app))
        await wait_for(
            pilot, lambda: "■ HELD" in screen_text(app) and "1 needs you" in screen_text(app)
        )
        await pilot.press("r")
        await typed(pilot, app, "s1", "nothing was wrong")
        await wait_for(pilot, lambda: "release s1 acknowledged" in screen_text(app))
        await wait_for(pilot, lambda: "■ HELD" not in screen_text(app))
        await wait_for(pilot, lambda: "released by operator" in screen_text(app))


async def test_the_fleet_is_held_and_released_from_any_screen(app):
    async with app.run_test(size=(100, 30)) as pilot:
        await attached(pilot, app)
        await pilot.press("5", "ctrl+g")
        await wait_for(pilot, lambda: "1 held" in screen_text(app))
        await wait_for(pilot, lambda: app.feed.state.run.held_by == "operator")
        await pilot.press("R")
        await typed(pilot, app, "push_t", "a test")
        await wait_for(pilot, lambda: "0 held" in screen_text(app))


async def test_a_second_press_is_an_emergency_stop_and_its_release_is_refused_with_the_reason(
    app, home
):
    async with app.run_test(size=(140, 30)) as pilot:
        await attached(pilot, app)
        await pilot.press("exclamation_mark")
        asked_s = app.feed.orders[-1].asked_s
        await wait_for(pilot, lambda: app.feed.clock.monotonic() - asked_s > 0.35)
        await pilot.press("exclamation_mark")
        assert app.feed.orders[-1].words == "EMERGENCY STOP s1"
        await wait_for(pilot, lambda: word(app) == "STOPPED")
        await pilot.press("r")
        await typed(pilot, app, "s1", "a test")
        await wait_for(pilot, lambda: "release s1 refused: estop_latched" in screen_text(app))
        assert word(app) == "STOPPED"
        clear = [sys.executable, "-m", "robots.station.cli", "--home", home, "--name", "s1"]
        await asyncio.to_thread(subprocess.run, [*clear, "--clear-stop"], check=True, timeout=60)
        await pilot.press("r")
        await typed(pilot, app, "s1", "a test")
        await wait_for(pilot, lambda: word(app) != "STOPPED")


async def test_an_agent_is_paused_told_and_resumed_and_the_transcript_shows_it(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await attached(pilot, app)
        await pilot.press("enter")
        await wait_for(pilot, lambda: "Agent a1" in screen_text(app))
        await pilot.press("p")
        await wait_for(pilot, lambda: "‖ PAUSED" in screen_text(app))
        await pilot.press("p")
        await wait_for(pilot, lambda: "a1 is paused already" in screen_text(app))
        await pilot.press("m")
        await typed(pilot, app, "look at s1")
        await wait_for(pilot, lambda: "@ look at s1" in screen_text(app))
        await pilot.press("u")
        await wait_for(pilot, lambda: "resume a1 acknowledged" in screen_text(app))
        await wait_for(pilot, lambda: "‖ PAUSED" not in screen_text(app))


async def test_an_agent_is_paused_from_the_list_of_agents(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await attached(pilot, app)
        await pilot.press("3")
        await wait_for(pilot, lambda: "Transcript of a1" in screen_text(app))
        await pilot.press("p")
        await wait_for(pilot, lambda: "‖ PAUSED" in screen_text(app))
        await pilot.press("a")
        await wait_for(pilot, lambda: "a1 asks nothing" in screen_text(app))
        await pilot.press("u")
        await wait_for(pilot, lambda: "‖ PAUSED" not in screen_text(app))


async def test_a_job_of_the_fleets_box_is_seen_and_cancelled(app, home):
    await LocalBox("local", home / "jobs").submit(spec("count-1", "5000", "0.02"))
    async with app.run_test(size=(120, 40)) as pilot:
        await attached(pilot, app)
        await pilot.press("4")
        await wait_for(pilot, lambda: "▶ RUNNING" in screen_text(app))
        await wait_for(pilot, lambda: "■ loss" in screen_text(app))
        await pilot.press("x")
        await typed(pilot, app, "cancel")
        await wait_for(pilot, lambda: "cancel count-1 on local acknowledged" in screen_text(app))
        await wait_for(pilot, lambda: "○ CANCELLED" in screen_text(app))
        await pilot.press("1", "enter")
        await wait_for(pilot, lambda: "count-1" in screen_text(app))


async def test_a_station_without_a_picture_says_so(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await attached(pilot, app)
        await pilot.press("enter", "c")
        await wait_for(pilot, lambda: "no picture: no_camera" in screen_text(app))


@contextlib.asynccontextmanager
async def another_room(home, label):
    """The connections of a second operator's room, without its screen."""
    spec = read_spec(home)
    feed = Feed(spec, ZmqTransport(home, SystemClock()), None, SystemClock(), label)
    following = asyncio.create_task(feed.run(lambda: None))
    try:
        yield feed
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


async def test_a_second_operator_is_seen_and_control_is_taken_explicitly(app, home):
    async with another_room(home, "bob@lab2:pts/0") as bob, app.run_test(size=(140, 30)) as pilot:
        await attached(pilot, app)
        bob.order("take control", {"supervisor": c.TakeLease(force=True)})
        await wait_for(pilot, lambda: "bob@lab2:pts/0 controls" in screen_text(app))
        await pilot.press("enter", "T")
        await wait_for(pilot, lambda: "bob@lab2:pts/0 holds the control lease" in screen_text(app))
        assert len(app.feed.orders) == 1, "it was refused here, nothing was sent"
        await pilot.press("C")
        await typed(pilot, app, "take")
        await wait_for(pilot, lambda: "you control" in screen_text(app))
        late = bob.order("release fleet", {"supervisor": c.ReleaseFleet()})
        await wait_for(pilot, lambda: late.state != "pending")
        assert late.state == "refused"
        assert f"held by {app.feed.me}" in late.detail
        # Stopping is everyone's.
        stop = bob.order("hold s1", {"s1": c.Hold(reason="bob")})
        await wait_for(pilot, lambda: stop.state == "acknowledged" and word(app) == "HELD")
        await pilot.press("r")
        await typed(pilot, app, "s1", "a test")
        await wait_for(pilot, lambda: word(app) != "HELD")
        await pilot.press("q")
        await wait_for(pilot, lambda: bob.state.lease_holder == "")


async def test_the_fleet_is_handed_over_from_the_room_and_taken_back(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await attached(pilot, app)
        await pilot.press("H")
        await wait_for(pilot, lambda: "type simulated; enter confirms" in screen_text(app))
        assert "~ waived  manifest" in screen_text(app)
        await typed(pilot, app, "simulated")
        await wait_for(pilot, lambda: "AUTONOMOUS" in screen_text(app))
        assert "you control" in screen_text(app)
        await pilot.press("enter", "T")
        await wait_for(pilot, lambda: "only in setup; B takes the fleet back" in screen_text(app))
        await pilot.press("B")
        await wait_for(pilot, lambda: "AUTONOMOUS" not in screen_text(app))
        await wait_for(pilot, lambda: "back to setup acknowledged" in screen_text(app))


async def test_leaving_ends_nothing_and_a_launch_finds_the_fleet(home):
    launch = Launch(lambda: Wanted(home, "demo fleet"))
    app = RoomApp(launch)
    async with app.run_test(size=(80, 24)) as pilot:
        await attached(pilot, app)
        await pilot.press("q")
    assert app.return_code == 0
    assert lifecycle.running(home)


async def test_a_fleet_that_does_not_come_up_is_told_on_the_first_screen(tmp_path):
    launch = Launch(
        lambda: Wanted(tmp_path / "home", "lab", ("--fleet", str(tmp_path / "none.toml")))
    )
    app = RoomApp(launch)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: "the fleet did not come up" in screen_text(app))
        # A long path is broken over two lines, wherever it ends.
        assert "cannot be read" in screen_text(app)
        await pilot.press("q")
    assert app.return_code == USAGE
