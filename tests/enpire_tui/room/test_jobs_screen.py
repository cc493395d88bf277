"""The jobs screen: what it shows of jobs in every state, and a real job seen, followed, cancelled."""

import asyncio

import msgspec

from enpire_tui.room.app import RoomApp
from enpire_tui.room.box_watch import BoxWatch
from enpire_tui.room.screens.dialogs import Dialog
from enpire_tui.room.training import LINE_KEPT, POINTS_KEPT, Curve, JobDetail, Jobs, JobSeen
from enpire_tui.room.views import job_list, plot
from recipes.jobs.box import Box, LocalBox, ShellBroken
from recipes.jobs.records import JobState
from robots.wire.clock import SystemClock
from tests.enpire_tui.room.jobs_sample import JOBS, SampleBoxes
from tests.enpire_tui.room.sample import SampleFeed
from tests.enpire_tui.room.waiting import screen_text, wait_for
from tests.recipes.test_jobs import spec


class BreakableBox(LocalBox):
    """A box whose link can be cut."""

    cut = False

    async def all(self):
        if self.cut:
            raise ShellBroken("gpu1: the link broke")
        return await super().all()


def feed_of(box: Box) -> SampleFeed:
    feed = SampleFeed()
    feed.boxes = BoxWatch(lambda: {box.name: box}, SystemClock())
    return feed


def text_of(line) -> str:
    return "".join(text for text, _ in line)


# --- real jobs ----------------------------------------------------------------------------------


async def test_a_real_job_is_seen_to_run_and_is_cancelled_with_the_word(tmp_path):
    box = LocalBox("local", tmp_path / "jobs")
    await box.submit(spec("count-1", "5000", "0.02"))
    app = RoomApp(feed=feed_of(box))
    async with app.run_test(size=(160, 50)) as pilot:
        await wait_for(pilot, lambda: app.seen is not None)
        await pilot.press("4")
        await wait_for(pilot, lambda: "▶ RUNNING" in screen_text(app))
        await wait_for(pilot, lambda: "■ loss" in screen_text(app))
        assert "count-1" in screen_text(app)
        await pilot.press("x")
        await wait_for(pilot, lambda: isinstance(app.screen, Dialog))
        await pilot.press(*"yes", "enter")
        await wait_for(pilot, lambda: "type cancel to confirm" in screen_text(app))
        assert not app.feed.orders
        await pilot.press(*["backspace"] * 3, *"cancel", "enter")
        await wait_for(pilot, lambda: "○ CANCELLED" in screen_text(app))
        await pilot.press("x")
        await wait_for(pilot, lambda: "count-1 has cancelled" in screen_text(app))
    assert (await box.status("count-1")).state is JobState.CANCELLED


async def test_an_ended_job_shows_its_log_and_a_broken_link_makes_the_open_ones_unknown(tmp_path):
    box = BreakableBox("gpu1", tmp_path / "jobs")
    await box.submit(spec("done-1", "3", "0.01"))
    while not (await box.status("done-1")).state.ended:  # noqa: ASYNC110 - a box is asked
        await asyncio.sleep(0.1)
    await box.submit(spec("runs-1", "5000", "0.02"))
    app = RoomApp(feed=feed_of(box))
    async with app.run_test(size=(160, 50)) as pilot:
        await wait_for(pilot, lambda: app.seen is not None)
        await pilot.press("4")
        await wait_for(pilot, lambda: "▶ RUNNING" in screen_text(app))
        await pilot.press("down")
        await wait_for(pilot, lambda: "step 3 of 3" in screen_text(app))
        await wait_for(pilot, lambda: "│ done" in screen_text(app))
        box.cut = True
        await wait_for(pilot, lambda: "? UNKNOWN" in screen_text(app))
        assert "● SUCCEEDED" in screen_text(app), "what has ended has ended"
        await wait_for(pilot, lambda: "the link broke" in screen_text(app))
        box.cut = False
        await wait_for(pilot, lambda: "▶ RUNNING" in screen_text(app))
        await wait_for(pilot, lambda: "the link broke" not in screen_text(app))
    await box.cancel("runs-1")


async def test_nothing_is_read_of_a_job_that_nobody_looks_at(tmp_path):
    box = LocalBox("local", tmp_path / "jobs")
    await box.submit(spec("count-1", "3", "0.01"))
    app = RoomApp(feed=feed_of(box))
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: app.seen is not None and app.moment().jobs.seen)
        assert app.moment().jobs.detail is None
        await pilot.press("4")
        await wait_for(pilot, lambda: app.moment().jobs.detail is not None)
        await pilot.press("1")
        await wait_for(pilot, lambda: app.seen.NAME == "fleet")
        assert not app.feed.boxes._watched


# --- hand-made ones -----------------------------------------------------------------------------


async def test_every_state_has_its_row_those_that_work_first():
    feed = SampleFeed()
    feed.boxes = SampleBoxes()
    app = RoomApp(feed=feed)
    async with app.run_test(size=(160, 50)) as pilot:
        await wait_for(pilot, lambda: app.seen is not None)
        await pilot.press("4")
        await wait_for(pilot, lambda: "3 open of 6 jobs; cluster: conn" in screen_text(app))
        shown = screen_text(app)
        for word in ("RUNNING", "QUEUED", "UNKNOWN", "FAILED", "SUCCEEDED", "CANCELLED"):
            assert word in shown
        assert "★ best" in shown
        assert "GPU 97% 32.9 GiB" in shown
        assert "wrote out/checkpoints/best.safetensors" in shown


async def test_no_jobs_say_how_to_start_one():
    feed = SampleFeed()
    feed.boxes = SampleBoxes(())
    app = RoomApp(feed=feed)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: app.seen is not None)
        await pilot.press("4")
        await wait_for(pilot, lambda: "enpire-tui train RECIPE" in screen_text(app))
        await pilot.press("x")
        await wait_for(pilot, lambda: "there is no job" in screen_text(app))


def test_rows_are_as_wide_as_the_list():
    for width in (56, 76, 100, 156):
        for job in JOBS:
            assert len(text_of(job_list.row(job, width))) == width
        assert len(text_of(job_list.header(width))) == width


def test_a_failed_job_says_why_and_how_long_it_took():
    failed = next(each for each in JOBS if each.status.state is JobState.FAILED)
    told = [text_of(line) for line in job_list.facts(failed, None, 100)]
    assert "the reward is not finite" in told[0]
    assert "step 410 of 4,000, 3:08 in all" in told[1]
    assert "no checkpoint yet" in told[0]


def test_jobs_that_work_come_first_and_then_the_newest():
    states = [each.status.state.name for each in Jobs(JOBS).ordered]
    assert states == ["RUNNING", "QUEUED", "UNKNOWN", "CANCELLED", "FAILED", "SUCCEEDED"]


def test_a_curve_stays_small_and_keeps_its_ends_of_time():
    curve = Curve()
    for step in range(50_000):
        curve.add(step, 1.0)
    assert POINTS_KEPT / 4 < len(curve.points) < POINTS_KEPT
    assert curve.points[0][0] == 0
    assert curve.points[-1][0] > 49_000


def test_a_falling_curve_is_drawn_from_the_upper_left_to_the_lower_right():
    points = [(float(step), 100.0 - step) for step in range(101)]
    drawn = [text_of(line) for line in plot.plot({"loss": points}, 60, 12)]
    assert len(drawn) == 12
    rows = [line[plot.AXIS :] for line in drawn[1:-1]]
    firsts = [len(row) - len(row.lstrip()) for row in rows]
    assert firsts == sorted(firsts)
    assert rows[0][0] != " "
    assert rows[-1][-1] != " "


def test_a_loss_over_many_decades_is_drawn_by_its_logarithm_and_a_flat_one_is_drawn():
    steep = [(float(step), 10.0 ** (-step / 10.0)) for step in range(40)]
    assert text_of(plot.plot({"loss": steep}, 60, 12)[0]).rstrip().endswith("log")
    flat = plot.plot({"loss": [(1.0, 0.0), (2.0, 0.0)]}, 60, 12)
    assert any(glyph > "⠀" for line in flat[1:-1] for glyph in text_of(line)[plot.AXIS :])
    assert text_of(plot.plot({}, 60, 12)[0]) == "no figures yet"


def test_a_log_keeps_the_last_of_a_rewritten_line_and_the_line_being_written():
    detail = JobDetail("local", "j")
    detail.take_console("one\n10%\r50%\r100%\r\nha")
    detail.take_console("lf")
    assert detail.tail == ["one", "100%", "half"]


def test_a_bar_that_is_rewritten_for_ever_stays_small():
    detail = JobDetail("local", "j")
    for share in range(5_000):
        detail.take_console(f"\r{share / 50:.2f}% of a long run")
    assert detail.tail == ["99.98% of a long run"]
    assert len(detail._open) < 100
    detail.take_console("\r" + "x" * 100_000)
    assert len(detail._open) == LINE_KEPT


def test_rows_that_are_no_progress_or_no_numbers_draw_nothing():
    detail = JobDetail("local", "j")
    detail.take_row({"kind": "note", "step": 1, "loss": 1.0})
    detail.take_row({"kind": "progress", "step": "x", "loss": 1.0})
    detail.take_row({"kind": "progress", "step": 2, "loss": None, "word": "a", "rate_hz": 3.0})
    for odd in (10**400, -(10**400), 1e308, -1e308):
        detail.take_row({"kind": "progress", "step": 2, "loss": odd})
        detail.take_row({"kind": "progress", "step": odd, "loss": 1.0})
    assert detail.curves == {}
    status = msgspec.structs.replace(
        JOBS[0].status, progress={"step": 10**400, "seconds_left": 1e308}
    )
    assert job_list.left(JobSeen("local", status)) == "-"
