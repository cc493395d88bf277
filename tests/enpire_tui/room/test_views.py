"""The room's state and its views are functions of journals, telemetry and time."""

import msgspec
import pytest

from enpire_tui.room import inbox, keys, orders, words
from enpire_tui.room.actions import ACTIONS, ANYWHERE, FLEET, WORKSPACE, Where
from enpire_tui.room.moment import NOTHING, Live, Moment
from enpire_tui.room.orders import Order, StopKey
from enpire_tui.room.text import width_of
from enpire_tui.room.views import agent, events, fleet, jobs, menus, research, robot, top
from enpire_tui.supervisor.state import RunState
from robots.station.tasks import load_task
from robots.wire import events as ev
from robots.wire.records import Mode
from robots.wire.rows import Row
from robots.wire.station_replies import CameraFrame
from robots.wire.telemetry import StationTelemetry
from tests.enpire_tui.room.sample import SampleFeed, state_of


@pytest.fixture(scope="module")
def moment() -> Moment:
    return SampleFeed().moment()


def text(lines) -> str:
    return "\n".join("".join(part for part, _ in line) for line in lines)


def test_those_who_need_a_person_come_first_and_say_why(moment):
    assert moment.by_need() == ["s3", "s1", "s2", "s4"]
    assert moment.need("s3").text == "held: glove on the table (by operator)"
    assert moment.need("s1") is NOTHING
    assert (moment.moving, moment.held, len(inbox.items(moment))) == (3, 1, 1)


@pytest.mark.parametrize("width", [56, 76, 116, 156])
def test_rows_fit_whatever_the_width(moment, width):
    for name in moment.state.stations:
        assert width_of(fleet.row(moment, name, width)) == width
    assert width_of(fleet.header(width)) <= width
    for line in top.lines(moment, width):
        assert width_of(line) <= width


def test_a_filter_takes_words_and_their_absence(moment):
    def names(wanted):
        return [key for key, _ in fleet.rows(moment, 118, wanted)]

    assert names("held") == ["s3"]
    assert names("executing !s1") == ["s2", "s4"]
    assert names("nobody") == []


def test_old_telemetry_is_a_lost_station():
    state = state_of()
    value = StationTelemetry(station="s1", word="EXECUTING")
    stale = Moment(state, {"s1": Live(value, 11.0)}, 0.0)
    assert stale.word("s1") == "LOST"
    assert stale.need("s1").rank < stale.need("s3").rank
    assert Moment(state, {"s1": Live(value, 0.2)}, 0.0).word("s1") == "EXECUTING"


def test_the_top_line_tells_mode_attention_and_figures(moment):
    told = text(top.lines(moment, 120))
    for part in ("AUTONOMOUS", "3/4 running", "1 held", "1 needs you", "MRU 83%", "9:26 of 15 min"):
        assert part in told
    assert "a2-3 90.0% [84%, 94%] of 160" in told


def test_a_replaced_journal_is_read_anew():
    state = state_of()
    assert state.run.champion == "a2-3"
    state.forget("supervisor")
    assert state.run == RunState()
    assert not any(each.source == "supervisor" for each in state.events)
    state.forget("s1")
    assert not state.stations["s1"].episodes


def test_tokens_come_from_the_gateway_and_are_told_by_the_minute():
    state = state_of()
    told = ev.TokensMetered(
        agent="a1",
        provider="p",
        model="m",
        fresh_input=900,
        cached_input=5000,
        output=100,
        reasoning=0,
        aborted=False,
        status=200,
    )
    state.apply("gateway", Row(1, 1000.0, "TokensMetered", told))
    started = ev.DaemonStarted(name="gateway", incarnation="i", pid=1, restarts=7, version="1")
    state.apply("gateway", Row(2, 1000.0, "DaemonStarted", started))
    assert state.agents["a1"].tokens_per_minute(1010.0) == 200.0
    assert state.agents["a1"].tokens_per_minute(2000.0) == 0.0
    assert state.run.restarts == 0, "the supervisor's own"
    state.forget("gateway")
    assert state.run.champion == "a2-3"


def test_events_keep_the_order_of_time_over_journals():
    state = state_of()
    times = [each.wall_s for each in state.events]
    assert times == sorted(times)
    late = ev.Noted(level="error", text="late")
    state.apply("s2", Row(999, state.events[3].wall_s, "Noted", late))
    assert [each.wall_s for each in state.events] == sorted([*times, state.events[3].wall_s])
    shown = events.Events("late")
    shown.take(state)
    assert len(shown) == 1
    assert shown.key(0) == "s2/999"
    assert shown.find("s2/999") == 0
    assert shown.find("s2/1000") is None
    later = ev.Noted(level="error", text="later")
    state.apply("s2", Row(1000, state.events[-1].wall_s + 1, "Noted", later))
    shown.take(state)
    assert [shown.key(index) for index in range(len(shown))] == ["s2/999", "s2/1000"]


def test_every_kind_of_row_is_told_or_left_out_on_purpose():
    silent = {
        "GrantReceived",
        "EpisodeStarted",
        "BatchAccepted",
        "FleetMeasured",
        "BackendRecorded",
    }
    silent |= {"TokensMetered", "CandidateSubmitted"}
    for kind in ev.AnyEvent.__args__:
        hints = msgspec.structs.fields(kind)
        made = kind(**{each.name: _made(each.type) for each in hints if each.required})
        assert (words.event(made) is None) == (kind.__name__ in silent), kind.__name__


def _made(kind):
    from robots.wire.approvals import ApprovalState, ResetResult, Sighting, TryKind
    from robots.wire.records import Counts, Episode, Idea, Outcome, Purpose, RecipeArchive

    known = {
        str: "x",
        int: 1,
        float: 1.0,
        bool: False,
        bytes: b"",
        Mode: Mode.SETUP,
        Purpose: Purpose.EXPLORE,
        Outcome: Outcome.FAILURE,
        TryKind: TryKind.RESET,
        ApprovalState: ApprovalState.EXPIRED,
        ResetResult: ResetResult(number=1, approval_id="", outcome="expired"),
        Sighting: Sighting(),
        Counts: Counts(),
        RecipeArchive: RecipeArchive(files={}, sha256=""),
        Episode: Episode(index=0, outcome=Outcome.FAILURE, reason=""),
        Idea: Idea(
            idea_id="x", agent="", commit="", kind="", hypothesis="", prediction="", parent=""
        ),
    }
    if kind in known:
        return known[kind]
    if kind == tuple[float, float]:
        return (0.0, 1.0)
    return {} if str(kind).startswith("dict") else ()


def test_the_climb_shows_rate_interval_goal_and_adoptions(moment):
    told = research.climb(moment, 100, 14)
    assert len(told) == 14
    assert max(width_of(line) for line in told) <= 100
    assert "goal 98%" in text(told)
    assert all(f"★{idea}" in text(told[-1:]) for idea in ("a1-1", "a2-2", "a3-2", "a2-3"))
    assert any("band" in tone for line in told for _, tone in line)
    rates = [point.rate for point in research.steps(moment)]
    assert rates == sorted(rates)


def test_ideas_stand_by_what_is_to_be_decided(moment):
    order = [key for key, _ in research.ideas(moment, 100)]
    assert order[:4] == ["a2-3", "a3-3", "a4-3", "a1-4"]
    assert len(order) == len(set(order)) == 14
    assert "Prediction (a claim)" in text(research.detail(moment, "a3-3", 100))


def test_the_robot_pane_shows_pose_between_limits(moment):
    axes = robot.axes(load_task("push_t").spec)
    assert [axis.name for axis in axes] == [
        "tool x",
        "tool y",
        "object x",
        "object y",
        "object yaw",
    ]
    assert (axes[0].low, axes[0].high) == (-0.36, 0.36)
    told = robot.lines(moment, "s1", axes, 40)
    assert "tool x" in text(told)
    assert "●" in text(told)
    assert max(width_of(line) for line in told[:16]) <= 40


def test_a_picture_is_two_pixels_a_cell():
    frame = CameraFrame(camera="c", width=4, height=4, rgb=bytes([10] * 24 + [200] * 24))
    told = robot.picture(frame, 4)
    assert [width_of(line) for line in told] == [4, 4]
    assert told[0][0][1] == "#0a0a0a on #0a0a0a"
    assert told[1][0][1] == "#c8c8c8 on #c8c8c8"


def test_no_training_job_is_made_up(moment):
    told = text(jobs.lines(moment, "s1", 40))
    assert "heuristic" in told
    assert "no train.py" in told.replace("\n", " ").replace("  ", " ") or "train.py" in told
    assert "promote" in told


def test_a_transcript_grows_without_being_wrapped_anew(moment):
    who = moment.state.agents["a1"]
    rows = agent.Transcript()
    rows.take(who, 50)
    before = len(rows)
    first = rows.line(0, 50)
    line = ev.TranscriptLine(turn=9, role="agent", text="word " * 40)
    moment.state.apply("a1", Row(999, 1e9, "TranscriptLine", line))
    rows.take(who, 50)
    assert len(rows) > before + 3
    assert rows.line(0, 50) is first
    assert rows.find(rows.key(len(rows) - 1)) == len(rows) - 1
    rows.take(who, 120)
    assert len(rows) < before + 4


def test_every_action_has_keys_and_no_key_two_actions_of_one_screen(moment):
    assert {action.name for action in ACTIONS} == set(keys.DEFAULT)
    assert keys.merged({}, "x") == keys.DEFAULT
    owned = [key for wanted in keys.DEFAULT.values() for key in wanted]
    for screen in ANYWHERE:
        here = [
            key for each in ACTIONS if screen in each.screens for key in keys.DEFAULT[each.name]
        ]
        assert len(here) == len(set(here))
    assert not [key for key in owned if key.startswith(("alt+", "ctrl+shift", "ctrl+a", "ctrl+b"))]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"fly": "f"}, "no such action"),
        ({"pause_agent": "q"}, "belongs to"),
        ({"approve": "B"}, "belongs to take_back"),
        ({"pause_agent": "enter"}, "the lists"),
        ({"hold_fleet": []}, "at least one key"),
        ({"theme": 3}, "must be a key"),
    ],
)
def test_wrong_keys_are_refused_by_name(given, said):
    with pytest.raises(keys.KeysError, match=said):
        keys.merged(given, "keys.toml")


def test_keys_are_read_from_the_persons_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert keys.load() == keys.DEFAULT
    (tmp_path / "enpire").mkdir()
    (tmp_path / "enpire" / "keys.toml").write_text('pause_agent = ["z"]\n')
    assert keys.load()["pause_agent"] == ("z",)


@pytest.mark.parametrize("screen", [FLEET, WORKSPACE])
@pytest.mark.parametrize("width", [60, 80, 160])
def test_a_footer_has_at_most_seven_keys_and_help(moment, screen, width):
    line = menus.footer(Where(moment, screen, "s1"), keys.DEFAULT, width)
    shown = [part for part, tone in line if tone == "bold key"]
    assert len(shown) <= 8
    assert shown[-1].strip() == "?"
    assert width_of(line) <= width


def test_what_cannot_be_done_says_why(moment):
    told = text(menus.help_lines(Where(moment, FLEET, "s1"), keys.DEFAULT, 80))
    assert "s1 is not held" in told
    assert "the agent is not paused" in told
    assert "Releasing needs the name typed" in told


def test_a_second_press_escalates_within_three_seconds_of_the_first():
    key = StopKey()
    assert not key.press("s1", 0.0)
    assert not key.press("s1", 0.1), "a key that repeats is no decision"
    assert key.press("s1", 2.0)
    assert not StopKey().press("s1", 2.0)
    other = StopKey()
    assert not other.press("s1", 0.0)
    assert not other.press("s2", 1.0), "another station is not the same stop"
    late = StopKey()
    assert not late.press("s1", 0.0)
    assert not late.press("s1", 3.5)


def test_an_order_is_shown_until_it_was_answered_and_a_little_longer():
    pending = Order("hold s1", 0.0)
    assert "pending" in text([top.order_line([pending], 100.0, 80)])
    done = Order("hold s1", 0.0, orders.DONE, "", 10.0)
    assert "acknowledged" in text([top.order_line([done], 12.0, 80)])
    assert text([top.order_line([done], 30.0, 80)]).strip() == ""
    refused = Order("release s1", 0.0, orders.REFUSED, "cause: name it", 10.0)
    assert "refused: cause: name it" in text([top.order_line([refused], 11.0, 80)])
