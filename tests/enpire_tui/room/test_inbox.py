"""Who waits for a person, and when somebody who looks elsewhere is called."""

import msgspec
import pytest

from enpire_tui.room import inbox, tries
from enpire_tui.room.app import RoomApp
from enpire_tui.room.bell import BELL, Bell, sequence
from enpire_tui.room.moment import Live, Moment
from enpire_tui.room.screens.dialogs import Dialog
from enpire_tui.room.verbs import chosen
from robots.wire import events as ev
from robots.wire.approvals import ApprovalState, ResetResult, Sighting
from robots.wire.records import Counts
from robots.wire.telemetry import StationTelemetry
from tests.enpire_tui.room.sample import START_WALL_S, Journals, SampleFeed
from tests.enpire_tui.room.setup_sample import SetupFeed, setup_state
from tests.enpire_tui.room.waiting import screen_text, wait_for


@pytest.fixture
def moment() -> Moment:
    return SetupFeed().moment()


def later(moment: Moment, source: str, event: ev.AnyEvent, seq_from: int = 100) -> Moment:
    """The moment after one more row."""
    journals = Journals(moment.state)
    journals._seqs[source] = seq_from
    journals.add(source, 570.0, event)
    return moment._replace(now_wall_s=START_WALL_S + 571.0)


def test_the_oldest_comes_first_each_with_what_is_asked(moment):
    found = inbox.items(moment)
    assert [(each.kind, each.station, each.word) for each in found] == [
        (inbox.AGENT, "s2", "FAILED"),
        (inbox.STATION, "s3", "HELD"),
        (inbox.APPROVAL, "s1", "APPROVAL"),
    ]
    assert [inbox.waited(each, moment.now_wall_s) for each in found] == ["4m", "2m", "<1m"]
    assert found[2].subject == "s1-try-7/1"
    assert all(each.asked and each.urgent for each in found)


def test_what_was_answered_or_ran_out_waits_no_more(moment):
    assert len(inbox.items(moment._replace(now_wall_s=START_WALL_S + 646.0))) == 2
    closed = ev.ApprovalClosed(
        approval_id="s1-try-7/1", state=ApprovalState.REJECTED, by="operator/ann", reason="no"
    )
    after = later(moment, "s1", closed)
    assert inbox.APPROVAL not in [each.kind for each in inbox.items(after)]
    assert after.state.stations["s1"].tries.pending is None


def test_an_approval_ranks_behind_what_stands_still_and_before_agents(moment):
    assert moment.by_need()[:3] == ["s3", "s1", "s2"]
    assert moment.need("s1").text == "asks for your approval: 84 steps in 2.8 s, reset.py changed"


def test_everyone_is_called_once_for_each_transition(moment):
    bell = Bell(START_WALL_S)
    first = bell.calls(moment, inbox.items(moment))
    assert len(first) == 3
    assert "s3: held: following error of joint 2" in first[1]
    assert "then answer" in first[2]
    assert bell.calls(moment, inbox.items(moment)) == []
    again = later(moment, "s3", ev.StationReleased(cause="x", by="operator:ann"))
    again = again._replace(live={**again.live, "s3": Live(StationTelemetry(station="s3"), 0.0)})
    assert bell.calls(again, inbox.items(again)) == []
    held = later(again, "s3", ev.StationHeld(reason="estop", by="robot", latched=True), 101)
    word = StationTelemetry(station="s3", word="STOPPED", held="estop")
    held = held._replace(live={**held.live, "s3": Live(word, 0.0)})
    assert len(bell.calls(held, inbox.items(held))) == 1


def test_what_waited_before_the_room_was_opened_calls_nobody(moment):
    bell = Bell(START_WALL_S + 500.0)
    assert [call[:3] for call in bell.calls(moment, inbox.items(moment))] == ["s1:"]


def test_a_persons_own_hold_calls_nobody(moment):
    by_hand = ev.StationHeld(reason="glove (by operator)", by="operator:ann", latched=False)
    held = later(moment, "s4", by_hand)
    word = StationTelemetry(station="s4", word="HELD", held="glove")
    held = held._replace(live={**held.live, "s4": Live(word, 0.0)})
    item = next(each for each in inbox.items(held) if each.station == "s4")
    assert not item.urgent


@pytest.mark.parametrize(("word", "urgent"), [("EXECUTING", True), ("IDLE", False)])
def test_a_lost_link_calls_where_the_robot_moved(moment, word, urgent):
    lost = moment._replace(live={"s4": Live(StationTelemetry(station="s4", word=word), 30.0)})
    item = next(each for each in inbox.items(lost) if each.station == "s4")
    assert (item.word, item.urgent) == ("LOST", urgent)
    assert item.since_wall_s == lost.now_wall_s - 30.0


def test_a_goal_that_is_reached_is_called_once():
    state = setup_state()
    moment = Moment(state, {}, START_WALL_S + 600.0)
    bell = Bell(START_WALL_S + 550.0)
    bell.calls(moment, [])
    ended = ev.RunEnded(
        outcome="success", seconds=600.0, champion="a1-3", confirm=Counts(success=50), mru=0.5,
        confirms_failed=0, gpu_utilisation=0.0, mtu={}, tokens={}, ideas=1, adopted=1,
    )  # fmt: skip
    after = later(moment, "supervisor", ended)
    assert bell.calls(after, []) == ["goal reached: push_t by a1-3"]
    assert bell.calls(after, []) == []


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TERM_PROGRAM": "WezTerm"}, "\x1b]9;enpire: s1, stop\a"),
        ({"TERM": "foot"}, "\x1b]777;notify;enpire;s1, stop\a"),
        ({"TERM": "xterm-256color"}, ""),
        ({"TERM_PROGRAM": "WezTerm", "TMUX": "/tmp/x"}, ""),
    ],
)
def test_a_notification_is_sent_where_the_terminal_has_them(environment, expected):
    assert sequence("s1; stop\x1b]0;evil\a", environment) == BELL + expected


def test_what_became_of_a_try_is_told_in_words():
    sight = Sighting(success=True, score=0.981, latency_ms=12.4)
    result = ResetResult(
        number=2, approval_id="x", outcome="reached", tries=2, robot_s=2.74, sight=sight
    )
    tone, words = tries.told(ev.ResetTried(try_id="t", result=result)) or ("", "")
    assert tone == "good"
    assert words == "reset 2 reached in 2 tries, 2.7 s; the verifier says success 0.981, 12 ms"
    rejected = msgspec.structs.replace(
        result, outcome="rejected", detail="too near", tries=0, sight=None
    )
    assert tries.told(ev.ResetTried(try_id="t", result=rejected)) == (
        "warn",
        "reset 2 rejected: too near",
    )


ASKED = ev.AgentAsked(
    question_id="q1",
    text="Is the gripper of s1 the short or the long one?",
    choices=("short", "long"),
)


async def test_an_agents_question_stands_in_the_inbox_and_is_answered_by_a_choices_number():
    feed = SampleFeed()
    journals = Journals(feed.state)
    journals._seqs["a1"] = 100
    journals.add("a1", 560.0, ASKED)
    app = RoomApp(feed=feed, call=False)
    async with app.run_test(size=(100, 30)) as pilot:
        await wait_for(pilot, lambda: "2 need you" in screen_text(app))
        await pilot.press("2")
        await wait_for(pilot, lambda: "◈ QUESTION" in screen_text(app))
        await pilot.press("end", "enter")
        await wait_for(pilot, lambda: isinstance(app.screen, Dialog))
        await wait_for(pilot, lambda: "2: long" in screen_text(app))
        await pilot.press("2", "enter")
        await wait_for(pilot, lambda: feed.orders)
        assert feed.orders[0].words == "answer to a1"
        answered = ev.AgentAnswered(question_id="q1", text="long", by="operator")
        journals.add("a1", 561.0, answered)
        await wait_for(pilot, lambda: "QUESTION" not in screen_text(app))
        await pilot.press("a")
        await wait_for(pilot, lambda: "asks nothing" in screen_text(app))


def test_a_number_is_a_choice_only_where_there_is_one():
    assert chosen("2", ("short", "long")) == "long"
    assert chosen("3", ("short", "long")) == "3"
    assert chosen("0", ("short", "long")) == "0"
    assert chosen("12 mm", ()) == "12 mm"


def test_nobody_is_asked_to_answer_an_agent_that_is_gone():
    feed = SampleFeed()
    journals = Journals(feed.state)
    journals._seqs["a1"] = 100
    journals.add("a1", 560.0, ASKED)
    assert feed.state.agents["a1"].question is not None
    journals.add("a1", 561.0, ev.AgentStateChanged(state="STOPPED", detail="by ann"))
    assert feed.state.agents["a1"].question is None
