"""Approvals, by cases: what they are bound to, how they end, who may answer. Pure."""

import numpy as np
import pytest

from robots.station import plans, scenes
from robots.station.approvals import STATION, Approvals, Present
from robots.station.scenes import Scene
from robots.station.tasks import read_task
from robots.wire import commands as c
from robots.wire import roles
from robots.wire.approvals import ApprovalState, ResetResult, Scope
from robots.wire.events import ApprovalAsked, ApprovalClosed, ResetBegan, ResetTried, ScopeEnded
from robots.wire.records import Role
from tests.robots.station.scripted import REACH

TTL_S = 120.0
ASKED = ApprovalAsked(
    approval_id="s1/a1",
    try_id="s1/t1",
    number=1,
    plan_sha256="plan",
    code_sha256="code",
    scene_version="scene",
    ttl_s=TTL_S,
)
YES = c.Approve(approval_id="s1/a1", plan_sha256="plan", scene_version="scene")
NO = c.Reject(approval_id="s1/a1", words="too fast")
NOW = Present(now_s=10.0, code_sha256="code")


def asked(event: ApprovalAsked = ASKED, now_s: float = 0.0) -> Approvals:
    approvals = Approvals()
    approvals.apply(event, 1e9, now_s)
    return approvals


def answered(approvals: Approvals, command, person="ann", present=NOW):
    """Decide, and fold what follows, as the station does."""
    if isinstance(command, c.Approve):
        decision = approvals.approve(command, person, present)
    else:
        decision = approvals.reject(command, person)
    if decision.closes is not None:
        approvals.apply(decision.closes, 1e9, present.now_s)
    return decision


def scoped(count=3, seconds=60.0, code="code") -> c.Approve:
    scope = Scope(count=count, seconds=seconds, code_sha256=code)
    return c.Approve(approval_id="s1/a1", plan_sha256="plan", scene_version="scene", scope=scope)


def moved(approvals: Approvals, outcome="reached") -> None:
    approvals.apply(ResetBegan(try_id="s1/t1", number=1, approval_id="s1/a1"), 1e9, 0.0)
    result = ResetResult(number=1, approval_id="s1/a1", outcome=outcome, tries=1)
    approvals.apply(ResetTried(try_id="s1/t1", result=result), 1e9, 0.0)


def test_a_yes_to_what_the_card_shows_is_taken_with_the_name():
    approvals = asked()

    decision = answered(approvals, YES)

    assert decision.refusal == ""
    assert (decision.closes.state, decision.closes.by) == (ApprovalState.APPROVED, "ann")
    assert approvals.pending is None


@pytest.mark.parametrize(
    ("command", "present", "rule", "ends"),
    [
        (YES, NOW._replace(now_s=TTL_S), "expired", ApprovalState.EXPIRED),
        (YES, NOW._replace(code_sha256="other"), "stale", ApprovalState.VOID),
        (YES, NOW._replace(moved="something moved"), "stale", ApprovalState.VOID),
        (YES, NOW._replace(stopped="hold"), "held", None),
        (scoped(code="other"), NOW, "stale", None),
        (scoped(count=0), NOW, "invalid", None),
        (scoped(count=10_000), NOW, "invalid", None),
        (scoped(seconds=1e6), NOW, "invalid", None),
    ],
)
def test_what_is_no_longer_so_is_refused_and_says_why(command, present, rule, ends):
    approvals = asked()

    decision = answered(approvals, command, present=present)

    assert decision.refusal.startswith(rule)
    assert (decision.closes and decision.closes.state) == ends
    assert (approvals.pending is None) == (ends is not None)


@pytest.mark.parametrize("field", ["plan_sha256", "scene_version"])
def test_an_answer_to_another_card_is_refused_and_the_approval_waits_on(field):
    approvals = asked()
    other = c.Approve(
        **{"approval_id": "s1/a1", "plan_sha256": "plan", "scene_version": "scene", field: "old"}
    )

    assert answered(approvals, other).refusal.startswith("stale")
    assert answered(approvals, YES).refusal == ""


def test_a_failed_check_forbids_approval_and_allows_rejection():
    import msgspec

    approvals = asked(msgspec.structs.replace(ASKED, failed=("speed",)))

    assert answered(approvals, YES).refusal.startswith("check: speed")
    assert answered(approvals, NO).refusal == ""


def test_it_expires_at_its_time_and_not_before():
    approvals = asked()

    assert approvals.expired(TTL_S - 0.01) is None
    due = approvals.expired(TTL_S)
    assert (due.state, due.by) == (ApprovalState.EXPIRED, STATION)
    approvals.apply(due, 1e9, TTL_S)
    assert approvals.expired(TTL_S + 1) is None
    assert answered(approvals, YES).refusal.startswith("answered: expired")


def test_the_same_answer_twice_is_taken_once():
    approvals = asked()
    answered(approvals, YES)

    again = answered(approvals, YES, person="bob")

    assert again == (None, "")
    assert approvals.closed("s1/a1").by == "ann"
    assert approvals.counts().approved == 1


def test_the_other_answer_after_the_first_is_refused():
    approvals = asked()
    answered(approvals, NO)

    decision = answered(approvals, YES, person="bob")

    assert decision.closes is None
    assert decision.refusal == "answered: rejected by ann: too fast"


def test_an_answer_to_nothing_is_refused():
    assert answered(Approvals(), YES).refusal.startswith("unknown_approval")
    assert answered(Approvals(), NO).refusal.startswith("unknown_approval")


def test_a_rejection_carries_the_words():
    approvals = asked()

    closed = answered(approvals, NO).closes

    assert (closed.state, closed.reason, closed.by) == (ApprovalState.REJECTED, "too fast", "ann")
    assert approvals.past[-1].reason == "too fast"


def test_without_a_scope_the_next_reset_asks_again():
    approvals = asked()
    answered(approvals, YES)
    moved(approvals)

    assert approvals.covering() == ""


def test_a_scope_covers_its_count_and_no_more():
    approvals = asked()
    answered(approvals, scoped(count=3))

    for _ in range(3):
        assert approvals.scope_over(20.0, "code") is None
        assert approvals.covering() == "s1/a1"
        moved(approvals)

    over = approvals.scope_over(20.0, "code")
    assert "used up" in over.reason
    approvals.apply(over, 1e9, 20.0)
    assert approvals.covering() == ""


def test_a_scope_runs_out():
    approvals = asked()
    answered(approvals, scoped(seconds=60.0))

    assert approvals.scope_over(NOW.now_s + 59.9) is None
    assert "passed" in approvals.scope_over(NOW.now_s + 60.0).reason


def test_another_hash_voids_a_scope():
    approvals = asked()
    answered(approvals, scoped())

    assert "changed" in approvals.scope_over(20.0, "other").reason
    assert approvals.scope_over(20.0) is None


def test_the_station_can_end_whatever_waits_or_covers():
    approvals = asked()
    assert approvals.void("held").state is ApprovalState.VOID
    assert approvals.end_scope("held") is None
    answered(approvals, scoped())
    assert approvals.void("held") is None
    assert approvals.end_scope("held") == ScopeEnded(approval_id="s1/a1", reason="held")


def test_history_counts_by_code():
    approvals = asked()
    answered(approvals, scoped(count=5))
    moved(approvals)
    moved(approvals, "missed")
    second = ApprovalAsked(
        approval_id="s1/a2",
        try_id="s1/t2",
        number=1,
        plan_sha256="p",
        code_sha256="newer",
        scene_version="s",
        ttl_s=TTL_S,
    )
    approvals.apply(second, 1e9, 30.0)
    approvals.apply(
        ApprovalClosed(approval_id="s1/a2", state=ApprovalState.REJECTED, by="bob"), 1e9, 31.0
    )

    old, both = approvals.counts("code"), approvals.counts()
    assert (old.approved, old.resets, old.reached, old.rejected) == (1, 2, 1, 0)
    assert (both.approved, both.rejected) == (1, 1)
    assert [past.approval_id for past in approvals.past] == ["s1/a1", "s1/a2"]
    assert (approvals.past[0].outcome, approvals.past[0].reached) == ("missed", 1)


@pytest.mark.parametrize("command", [c.TryReset, c.TryVerify, c.Approve, c.Reject])
def test_only_an_operators_key_may_ask_or_answer(command):
    assert roles.ADMITTED[command] == {Role.OPERATOR}
    assert command in roles.LEASED
    assert roles.ADMITTED[c.OnBehalf] == {Role.SUPERVISOR}
    assert Role.AGENT not in roles.ADMITTED[c.GetApproval]


# --- plans -------------------------------------------------------------------------------------

SPEC = read_task(REACH).spec
LINE = np.column_stack([np.linspace(0.0, 0.2, 61), np.zeros(61)])


def test_a_plans_hash_follows_its_setpoints():
    assert plans.plan_sha256(LINE) == plans.plan_sha256(LINE + 1e-9)
    assert plans.plan_sha256(LINE) != plans.plan_sha256(LINE + 1e-3)
    assert plans.plan_sha256(LINE) != plans.plan_sha256(LINE[:-1])
    assert plans.plan_sha256(LINE * 0.0) == plans.plan_sha256(LINE * -0.0)


def test_the_tube_lets_dwell_and_hurry_and_nothing_else():
    tube = plans.Tube(LINE, (0.01, 0.01), ahead=10)
    assert tube.outside((0.0, 0.0)) == ""
    assert tube.outside((0.0, 0.009)) == ""
    assert tube.outside(LINE[8]) == ""
    assert tube.outside(LINE[8]) == ""
    assert "number 1" in tube.outside((LINE[9][0], 0.02))
    # Not where it is far ahead, although the plan comes by there.
    assert tube.outside(LINE[40]) != ""
    # Nor back where it was.
    assert tube.outside(LINE[0]) != ""


def test_the_next_setpoint_is_known_before_it_is_driven():
    ahead = plans.following(SPEC.limits, 0.01, (0.0, 0.0), [0.1, 0.0], 4)
    assert ahead == pytest.approx([0.02, 0.0])
    assert plans.following(SPEC.limits, 0.01, (0.0, 0.0), [9.0, 0.0], 100)[0] == pytest.approx(0.2)


def test_an_envelope_that_is_broken_says_where():
    times_s = np.arange(61) / 30.0
    good = {check.name: check for check in plans.envelope(SPEC, LINE, times_s, "", (), {})}
    assert all(check.ok for check in good.values())
    assert "0.1" in good["workspace"].detail

    bad = {
        check.name: check.ok
        for check in plans.envelope(SPEC, LINE * 4.0, times_s, "BADQACC", (), {"f": 9.0})
    }
    assert bad == {"workspace": False, "speed": True, "faults": False, "force": True}
    fast = plans.envelope(SPEC, LINE, times_s / 10.0, "", (), {})
    assert [check.name for check in fast if not check.ok] == ["speed"]


def test_points_are_projected_as_the_renderer_draws_them():
    level = plans.View(np.array([0.0, 0.0, 2.0]), np.eye(3), 90.0, parallel=False)
    points = np.array([[0.0, 0.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 3.0]])
    assert plans.project(points, level, 100, 200) == ((100.0, 50.0), (150.0, 0.0))
    flat = plans.View(np.array([0.0, 0.0, 2.0]), np.eye(3), 4.0, parallel=True)
    assert plans.project(points[:2], flat, 100, 200) == ((100.0, 50.0), (150.0, 0.0))


# --- scenes ------------------------------------------------------------------------------------


def scene(setpoint=(0.0,), positions=None, level=100, patch=0) -> Scene:
    image = np.full((120, 120, 3), level, np.uint8)
    image[:10, :10] += np.uint8(patch)
    return Scene(setpoint, positions, {"top": image})


def test_a_scene_that_moved_is_told_from_joints_setpoint_or_picture():
    joints = np.zeros(3)
    assert scenes.moved(scene(positions=joints), scene(positions=joints)) == ""
    assert "moved" in scenes.moved(scene(positions=joints), scene(positions=joints + 0.01))
    assert "robot" in scenes.moved(scene((0.0,)), scene((0.01,)))
    assert "camera top" in scenes.moved(scene(), scene(patch=60))
    # Noise of a camera, spread over a block, is no change.
    noisy = scene()
    noisy.images["top"][::2] += 6
    assert scenes.moved(scene(), noisy) == ""


def test_a_scenes_name_changes_with_scene_and_life():
    first = scenes.version(scene(positions=np.zeros(2)), "life-1")
    assert first == scenes.version(scene(positions=np.zeros(2)), "life-1")
    assert first != scenes.version(scene(positions=np.ones(2)), "life-1")
    assert first != scenes.version(scene(positions=np.zeros(2)), "life-2")
