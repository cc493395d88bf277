"""Inbox, card, control lease and hand-over with Pilot, on a hand-made fleet in setup that answers nobody."""

import msgspec
import pytest
from textual.widgets import Input

from enpire_tui.room import card, inbox
from enpire_tui.room.app import RoomApp
from enpire_tui.room.line_list import LineList
from enpire_tui.room.screens.dialogs import Dialog
from robots.wire import commands as c
from robots.wire import events as ev
from robots.wire.approvals import ApprovalState
from robots.wire.records import Mode
from tests.enpire_tui.room.sample import Journals
from tests.enpire_tui.room.setup_sample import FAILED, LABEL, PLAN, SetupFeed, card_of
from tests.enpire_tui.room.waiting import screen_text, wait_for


@pytest.fixture
def app() -> RoomApp:
    return RoomApp(feed=SetupFeed())


async def opened(pilot, app) -> None:
    """The inbox with its items."""
    await wait_for(pilot, lambda: app.seen is not None and app.seen.station)
    await pilot.press("2")
    await wait_for(pilot, lambda: app.seen.NAME == "inbox" and "APPROVAL" in screen_text(app))


async def on_card(pilot, app) -> None:
    """The card, long enough for its keys to count."""
    await opened(pilot, app)
    await pilot.press("end", "enter")
    await wait_for(pilot, lambda: "expires in" in screen_text(app))
    await settled(pilot, app)


async def settled(pilot, app) -> None:
    def counts() -> bool:
        where = app.where()
        return where.card is not None and not card.early(where.card, where.now_s)

    await wait_for(pilot, counts)


def answers(app) -> list[c.AnyCommand]:
    return [each for each in app.feed.sent if isinstance(each, c.Approve | c.Reject)]


async def test_the_inbox_opens_each_of_its_items(app):
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot, app)
        assert "3 need you, oldest 4m" in screen_text(app)
        assert "401 invalid x-api-key" in screen_text(app)
        for name, told in (
            (" a2 ", "Robot s2"),
            (" s3 ", "Robot s3"),
            (" s1 ", "Approval s1-try-7/1"),
        ):
            await wait_for(pilot, lambda name=name: name in screen_text(app))
            await pilot.press("enter")
            await wait_for(pilot, lambda told=told: told in screen_text(app))
            await pilot.press("2")
            await wait_for(pilot, lambda: app.seen.NAME == "inbox")
            await pilot.press("down")


async def test_an_item_that_is_dealt_with_leaves_and_the_count_with_it(app):
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot, app)
        journals = Journals(app.feed.state)
        journals._seqs = {"s1": 100}
        closed = ev.ApprovalClosed(
            approval_id="s1-try-7/1", state=ApprovalState.EXPIRED, by="station"
        )
        journals.add("s1", 560.0, closed)
        await wait_for(pilot, lambda: "2 need you" in screen_text(app))
        assert inbox.APPROVAL.upper() not in screen_text(app)


async def test_a_card_is_approved_as_it_was_painted_and_stays_pending_until_it_is_not(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await on_card(pilot, app)
        shown = screen_text(app)
        for part in (
            "▀",
            "workspace",
            "✓ reached in 1 try",
            "self._speed = 0.12",
        ):
            assert part in shown
        await pilot.press("a")
        await wait_for(pilot, lambda: "approve one reset of s1 pending" in screen_text(app))
        assert "◈ pending" in screen_text(app)
        await pilot.press("a", "r")
        await wait_for(pilot, lambda: "an answer is on its way" in screen_text(app))
        expected = c.Approve(approval_id="s1-try-7/1", plan_sha256=PLAN, scene_version="scene-12")
        assert answers(app) == [expected]


async def test_enter_never_approves(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await on_card(pilot, app)
        await pilot.press("enter", "space", "tab", "enter")
        assert answers(app) == []


async def test_keys_typed_ahead_of_a_card_are_no_answers(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app)
        # A busy machine brings keys late; here no time passes between them.
        now_s = app.feed.clock.monotonic()
        app.feed.clock.monotonic = lambda: now_s
        await pilot.press("end", "enter", "a", "A", "r", "a")
        await wait_for(pilot, lambda: "expires in" in screen_text(app))
        await pilot.press("a", "A", "r")
        assert answers(app) == []
        assert not isinstance(app.screen, Dialog)


async def test_changed_evidence_is_looked_at_anew(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await on_card(pilot, app)
        app.feed.shown = card_of(scene_version="scene-13")
        await wait_for(pilot, lambda: app.where().card.card.scene_version == "scene-13")
        await pilot.press("a")
        assert answers(app) == []
        await wait_for(pilot, lambda: "only just appeared" in screen_text(app))
        await settled(pilot, app)
        await pilot.press("a")
        assert [each.scene_version for each in answers(app)] == ["scene-13"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"checks": FAILED}, "failed: velocity"),
        ({"refusal": "stale: the scene has moved; try again"}, "stale: the scene has moved"),
    ],
)  # fmt: skip
async def test_what_is_wrong_with_the_evidence_disables_approval_and_is_named(app, changed, said):
    app.feed.shown = msgspec.structs.replace(card_of(), **changed)
    async with app.run_test(size=(120, 40)) as pilot:
        await on_card(pilot, app)
        assert f"not to be approved: {said}" in screen_text(app)
        await pilot.press("a")
        await wait_for(pilot, lambda: f"approve once not possible: {said}" in screen_text(app))
        await pilot.press("A")
        assert answers(app) == []
        await pilot.press("r")
        await wait_for(pilot, lambda: isinstance(app.screen, Dialog))


async def test_a_rejection_sends_its_words(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await on_card(pilot, app)
        await pilot.press("r")
        await wait_for(pilot, lambda: isinstance(app.screen, Dialog))
        await pilot.press("enter")
        await wait_for(pilot, lambda: "there is nothing to send" in screen_text(app))
        await pilot.press(*"too", "space", *"near", "enter")
        await wait_for(pilot, lambda: answers(app))
        assert answers(app) == [c.Reject(approval_id="s1-try-7/1", words="too near")]


async def test_several_are_approved_by_count_time_and_code(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await on_card(pilot, app)
        await pilot.press("A")
        await wait_for(pilot, lambda: isinstance(app.screen, Dialog))
        fields = [app.screen.query_one(f"#answer-{index}", Input) for index in range(3)]
        await pilot.press(*"yes", "enter")
        await wait_for(pilot, lambda: "type approve to confirm" in screen_text(app))
        fields[0].value, fields[1].value, fields[2].value = "approve", "500", "10"
        fields[2].focus()
        await pilot.press("enter")
        await wait_for(pilot, lambda: "2 to 50 resets, got 500" in screen_text(app))
        fields[1].value = "5"
        fields[2].focus()
        await pilot.press("enter")
        await wait_for(pilot, lambda: answers(app))
        scope = answers(app)[0].scope
        assert (scope.count, scope.seconds, scope.code_sha256) == (5, 600.0, card_of().code_sha256)


async def test_who_does_not_hold_the_lease_watches_and_takes_it_explicitly():
    app = RoomApp(feed=SetupFeed("bob@lab2:pts/0"))
    async with app.run_test(size=(120, 40)) as pilot:
        await on_card(pilot, app)
        assert f"{LABEL} controls" in screen_text(app)
        assert "holds the control lease (C takes it)" in screen_text(app)
        await pilot.press("a", "r")
        assert answers(app) == []
        await pilot.press("C")
        await wait_for(pilot, lambda: isinstance(app.screen, Dialog))
        await pilot.press(*"yes", "enter")
        await wait_for(pilot, lambda: "type take to confirm" in screen_text(app))
        app.screen.query_one("#answer-0", Input).value = "take"
        await pilot.press("enter")
        await wait_for(pilot, lambda: app.feed.sent)
        assert app.feed.sent == [c.TakeLease(force=True)]
        journals = Journals(app.feed.state)
        journals._seqs = {"supervisor": 100}
        changed = ev.LeaseChanged(
            holder="operator/bob@lab2:pts/0", epoch=4, how="forced", before="x"
        )
        journals.add("supervisor", 566.0, changed)
        await wait_for(pilot, lambda: "you control" in screen_text(app))
        await wait_for(pilot, lambda: "a approves it" in screen_text(app))


async def test_the_fleet_is_handed_over_by_a_whole_checklist_and_a_word(app):
    async with app.run_test(size=(100, 40)) as pilot:
        await opened(pilot, app)
        await pilot.press("H")
        await wait_for(pilot, lambda: "✖ missing" in screen_text(app))
        shown = screen_text(app)
        for part in ("✓ ok", "~ waived", "do: release s3 (r)", "not yet: stop"):
            assert part in shown
        await pilot.press(*"simulated", "enter")
        assert isinstance(app.screen, Dialog)
        assert app.feed.sent == []
        whole = await app.feed.checklist()
        items = tuple(msgspec.structs.replace(each, state="OK") for each in whole.items)
        ready = msgspec.structs.replace(whole, items=items, ready=True)

        async def checklist():
            return ready

        app.feed.checklist = checklist
        await wait_for(pilot, lambda: "type simulated; enter confirms" in screen_text(app))
        await pilot.press("x", "enter")
        await wait_for(pilot, lambda: "type simulated to confirm" in screen_text(app))
        await pilot.press("backspace", "enter")
        await wait_for(pilot, lambda: app.feed.sent)
        assert app.feed.sent == [c.HandOver(mode=Mode.AUTONOMOUS, word="simulated")]


async def test_an_autonomous_fleet_is_taken_back_by_one_key(app):
    journals = Journals(app.feed.state)
    journals._seqs = {"supervisor": 100}
    journals.add("supervisor", 560.0, ev.ModeChanged(mode=Mode.AUTONOMOUS, by="operator"))
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot, app)
        await pilot.press("H")
        await wait_for(pilot, lambda: "autonomous already" in screen_text(app))
        await pilot.press("B")
        assert app.feed.sent == [c.HandOver(mode=Mode.SETUP)]


async def test_a_station_in_setup_tries_and_is_labelled_by_one_key_each(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app)
        await pilot.press("T")
        await wait_for(pilot, lambda: "try reset not possible: open a station" in screen_text(app))
        await pilot.press("1", "end", "enter")
        await wait_for(pilot, lambda: "Robot s4" in screen_text(app))
        await pilot.press("T", "V", "plus", "minus", "backspace")
        assert app.feed.sent == [
            c.TryReset(station="s4"),
            c.TryVerify(station="s4"),
            c.LabelScene(success=True, by="ann"),
            c.LabelScene(success=False, by="ann"),
            c.WithdrawLabel(by="ann"),
        ]


async def test_the_bell_rings_once_and_not_where_it_is_switched_off(app):
    for room, expected in ((app, 1), (RoomApp(feed=SetupFeed(), call=False), 0)):
        rung: list[str] = []
        room.call_out = rung.append
        async with room.run_test(size=(100, 30)) as pilot:
            await opened(pilot, room)
            journals = Journals(room.feed.state)
            journals._seqs = {"a4": 100}
            journals.add("a4", 566.5, ev.AgentStateChanged(state="FAILED", detail="401"))
            await wait_for(pilot, lambda room=room: "4 need you" in screen_text(room))
            for _ in range(3):
                room.paint()
            assert len(rung) == expected


async def test_picture_and_change_are_enlarged_on_a_small_screen(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await on_card(pilot, app)
        await pilot.press("c")
        await wait_for(pilot, lambda: "envelope" not in screen_text(app))
        await wait_for(pilot, lambda: screen_text(app).count("▀") > 500)
        await pilot.press("c")
        await wait_for(pilot, lambda: "envelope" in screen_text(app))
        assert "self._speed = 0.12" not in screen_text(app)
        await pilot.press("tab")
        await wait_for(pilot, lambda: "self._speed = 0.12" in screen_text(app))


@pytest.mark.parametrize("go", [opened, on_card])
async def test_nothing_is_painted_where_nothing_changed(app, go, monkeypatch):
    painted: list[str] = []
    render = LineList.render_line
    monkeypatch.setattr(
        LineList, "render_line", lambda self, y: painted.append(self.id) or render(self, y)
    )
    async with app.run_test(size=(120, 40)) as pilot:
        await go(pilot, app)
        now_s = app.feed.clock.monotonic()
        app.feed.clock.monotonic = lambda: now_s
        before = -1
        while before != len(painted):
            before = len(painted)
            await pilot.pause()
        for _ in range(10):
            app.paint()
            await pilot.pause()
        assert painted[before:] == []
