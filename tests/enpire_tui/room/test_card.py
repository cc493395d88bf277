"""What may be approved, and when a key counts: functions of card, lease and time."""

import itertools

import msgspec
import pytest

from enpire_tui.room import card
from enpire_tui.room.card import Shown
from enpire_tui.room.moment import Lease
from enpire_tui.room.text import width_of
from enpire_tui.room.views import approval as view
from robots.wire.approvals import ApprovalState
from tests.enpire_tui.room.setup_sample import FAILED, PLAN, card_of

MINE = Lease("operator/ann", "operator/ann")


def shown(checks=None, got_s=100.0, **changed) -> Shown:
    made = card_of(**changed) if checks is None else card_of(checks, **changed)
    return Shown(made, got_s, since_s=90.0)


def text(lines) -> str:
    return "\n".join("".join(part for part, _ in line) for line in lines)


def test_a_whole_card_may_be_approved_and_the_answer_is_bound_to_it():
    assert card.objection(shown(), MINE, 101.0) == ""
    answer = card.approval(shown())
    assert (answer.approval_id, answer.plan_sha256, answer.scene_version, answer.scope) == (
        "s1-try-7/1",
        PLAN,
        "scene-12",
        None,
    )
    scope = card.approval(shown(), 5, 10.0).scope
    assert scope is not None
    assert (scope.count, scope.seconds, scope.code_sha256) == (5, 600.0, shown().card.code_sha256)


@pytest.mark.parametrize(
    ("seen", "lease", "now_s", "said"),
    [
        (shown(FAILED), MINE, 101.0, "failed: velocity"),
        (shown(refusal="scene: the robot moved"), MINE, 101.0, "the robot moved"),
        (shown(), Lease("", "operator/ann"), 101.0, "nobody holds the control lease"),
        (shown(), Lease("operator/bob", "operator/ann"), 101.0, "bob holds the control lease"),
        (shown(), MINE, 106.0, "evidence is 6 s old"),
        (shown(left_s=2.0), MINE, 103.0, "expired"),
        (shown(state=ApprovalState.REJECTED), MINE, 101.0, "rejected already"),
        (shown()._replace(answering=True), MINE, 101.0, "on its way"),
        (None, MINE, 101.0, "no card"),
    ],
)  # fmt: skip
def test_what_forbids_an_approval_is_named(seen, lease, now_s, said):
    assert said in card.objection(seen, lease, now_s)


def test_a_failing_card_can_still_be_rejected():
    assert card.closed(shown(FAILED)) == ""
    assert card.controls(MINE) == ""


def test_keys_count_from_300_ms_after_the_evidence_was_painted():
    assert card.early(shown()._replace(since_s=float("inf")), 1e9), "nothing was painted yet"
    assert card.early(shown(), 90.29)
    assert not card.early(shown(), 90.31)


@pytest.mark.parametrize(
    "change",
    [
        {"plan_sha256": "other"},
        {"scene_version": "scene-13"},
        {"code_sha256": "other"},
        {"checks": FAILED},
        {"image": None},
        {"diff": ""},
        {"refusal": "scene: moved"},
    ],
)
def test_whatever_is_decided_on_is_evidence(change):
    assert not card.same_evidence(card_of(), msgspec.structs.replace(card_of(), **change))


def test_a_clock_that_runs_down_is_none():
    later = msgspec.structs.replace(card_of(), left_s=12.0, age_s=108.0)
    assert card.same_evidence(card_of(), later)


@pytest.mark.parametrize("width", [34, 49, 84])
def test_a_card_tells_checks_rehearsal_and_history_within_its_width(width):
    told = view.evidence(shown(FAILED), 1_790_000_566.0, [], width)
    assert all(width_of(line) <= width for line in told)
    whole = " ".join(text(told).split())
    for said in (
        "✖ failed",
        "velocity",
        "✓ reached in 1 try",
        "84 steps",
        "1 of 1 resets",
        "clamp",
    ):
        assert said in whole


def test_a_missing_rehearsal_is_said():
    bare = shown((), plan=None, plan_sha256="", plan_missing="this driver has no copy of its world")
    told = text(view.evidence(bare, 0.0, [], 60))
    assert "no copy of its world" in told
    assert "no check was made" in told
    assert "copy of its world" in card.objection(bare, MINE, 101.0)
    # A real robot may have none; then a person decides by the rest.
    assert card.objection(bare, MINE, 101.0, simulated=False) == ""
    assert "without a plan" in text(view.head(bare, "", 101.0, 80))


def test_a_diff_is_coloured_by_what_its_lines_do():
    tones = {
        line[0][0][:1]: line[0][1]
        for line in view.diff(card_of())
        if line[0][0][:2] not in ("++", "--")
    }
    assert (tones["+"], tones["-"], tones["@"]) == ("good", "bad", "note")
    assert "nothing changed" in text(view.diff(card_of(diff="")))


def test_the_way_is_drawn_over_the_picture_without_gaps():
    marks = view.way(((0, 0), (95, 71)), 96, 48)
    assert marks[0, 0] == view.BEGIN
    assert marks[47, 35] == view.END
    cells = sorted(marks)
    assert all(
        abs(a[0] - b[0]) <= 1 and abs(a[1] - b[1]) <= 1 for a, b in itertools.pairwise(cells)
    )
    drawn = view.sight(card_of(), 40, 12)
    tones = " ".join(tone for line in drawn for _, tone in line)
    assert all(colour in tones for colour in (view.WAY, view.BEGIN, view.END))
    assert max(width_of(line) for line in drawn) <= 40
    assert len(drawn) <= 12


def test_a_way_far_outside_the_picture_costs_nothing():
    assert len(view.way(((0, 0), (1e7, 1e7)), 96, 48)) < 2000
