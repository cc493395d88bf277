import pytest

from enpire_tui.supervisor import confirm as confirms
from enpire_tui.supervisor.confirm import (
    WishKind,
    admitted,
    fixed_seeds,
    next_seeds,
    objection,
    outcome_of,
    wish,
)
from enpire_tui.supervisor.state import CONFIRM
from robots.wire.records import Outcome
from tests.enpire_tui.supervisor.states import Story

LONG_S, CONFIRM_S = 600.0, 20.0
SEEDS = fixed_seeds(b"entropy", 50)


def story(success: int, failure: int) -> Story:
    made = Story()
    made.adopted("a1-1", success, failure)
    return made


@pytest.mark.parametrize(
    ("success", "failure", "passes"),
    [(98, 2, True), (97, 3, False), (99, 0, False), (196, 4, True), (195, 5, False)],
)
def test_the_gate_is_98_of_100_fresh_episodes(success, failure, passes):
    assert admitted(story(success, failure).state.candidates["a1-1"]) is passes


def test_screening_episodes_do_not_open_the_gate():
    made = Story()
    made.queued("a1-1")
    made.counted("a1-1", "screen", 100, 0)
    assert not admitted(made.state.candidates["a1-1"])


def test_evidence_is_bought_before_a_confirm_is_spent():
    found = wish(story(99, 1).state, LONG_S, CONFIRM_S)
    assert found.kind is WishKind.MEASURE
    assert found.idea_id == "a1-1"
    assert found.episodes == 300


def test_a_well_measured_champion_is_confirmed():
    found = wish(story(299, 1).state, LONG_S, CONFIRM_S)
    assert found.kind is WishKind.START
    assert found.chance > 0.75


def test_a_champion_that_will_hardly_pass_is_improved_first():
    assert wish(story(392, 8).state, LONG_S, CONFIRM_S).kind is WishKind.NOTHING


def test_one_in_doubt_that_is_measured_out_leaves_the_turn_to_the_next():
    made = story(398, 2)
    made.queued("a2-1")
    made.counted("a2-1", "promote", 99, 1)
    made.decided("a2-1", "discarded")
    found = wish(made.state, LONG_S, CONFIRM_S)
    assert (found.kind, found.idea_id) == (WishKind.MEASURE, "a2-1")


def test_what_would_be_lost_at_the_end_is_spent():
    assert wish(story(98, 2).state, 60.0, CONFIRM_S).kind is WishKind.START


def test_nothing_below_the_gate_is_confirmed_even_at_the_end():
    assert wish(story(97, 3).state, 1.0, CONFIRM_S).kind is WishKind.NOTHING


def test_a_run_has_three_confirms():
    made = story(200, 0)
    for _ in range(3):
        made.confirm_started("a1-1", SEEDS)
        made.confirm_finished(Outcome.FAILURE)
    assert wish(made.state, LONG_S, CONFIRM_S).kind is WishKind.NOTHING


def test_one_confirm_at_a_time():
    made = story(200, 0)
    made.confirm_started("a1-1", SEEDS)
    assert wish(made.state, LONG_S, CONFIRM_S).kind is WishKind.NOTHING


def test_a_lost_confirm_lowers_what_the_next_promises():
    made = story(200, 0)
    before = confirms.row_chance(made.state.candidates["a1-1"])
    made.confirm_started("a1-1", SEEDS)
    made.counted("a1-1", CONFIRM, 12, 1, seeds=SEEDS[:13])
    assert confirms.row_chance(made.state.candidates["a1-1"]) < before


def test_fifty_seeds_are_distinct_and_fixed_by_their_entropy():
    assert len(set(SEEDS)) == 50
    assert fixed_seeds(b"entropy", 50) == SEEDS
    assert fixed_seeds(b"other", 50) != SEEDS


def test_a_void_is_replaced_by_a_seed_not_used_before():
    made = story(200, 0)
    made.confirm_started("a1-1", SEEDS)
    made.counted("a1-1", CONFIRM, 49, 0, void=1, seeds=SEEDS)
    confirm = made.state.confirms[0]
    assert confirms.shortfall(made.state, confirm) == 1
    (fresh,) = next_seeds(confirm, 1)
    assert fresh not in SEEDS
    made.counted("a1-1", CONFIRM, 1, 0, seeds=(fresh,))
    assert outcome_of(confirm) is Outcome.SUCCESS


def test_all_fifty_or_nothing():
    made = story(200, 0)
    made.confirm_started("a1-1", SEEDS)
    made.counted("a1-1", CONFIRM, 49, 0, seeds=SEEDS[:49])
    assert outcome_of(made.state.confirms[0]) is None
    made.counted("a1-1", CONFIRM, 0, 1, seeds=SEEDS[49:])
    assert outcome_of(made.state.confirms[0]) is Outcome.FAILURE


def test_a_void_batch_cannot_erase_a_lost_confirm():
    made = story(200, 0)
    made.confirm_started("a1-1", SEEDS)
    batch = made.dispatched("a1-1", CONFIRM, 13, seeds=SEEDS[:13])
    made.count(batch, 3, 1, 1, whole_void=True)
    assert outcome_of(made.state.confirms[0]) is Outcome.FAILURE


def test_endless_voids_end_in_a_void_confirm():
    made = story(200, 0)
    made.confirm_started("a1-1", SEEDS)
    confirm = made.state.confirms[0]
    while outcome_of(confirm) is None:
        seeds = next_seeds(confirm, 10)
        batch = made.dispatched("a1-1", CONFIRM, 10, seeds=seeds)
        made.count(batch, 0, 0, 10, whole_void=True)
    assert outcome_of(confirm) is Outcome.VOID
    assert confirm.given <= 50 + confirms.DEFAULT_CONFIRM.replacements + 10


@pytest.mark.parametrize(("count", "stations"), [(50, 4), (50, 3), (1, 4), (50, 64)])
def test_shares_are_even_and_whole(count, stations):
    found = confirms.shares(count, stations)
    assert sum(found) == count
    assert max(found) - min(found) <= 1


def test_a_nominated_idea_is_confirmed_on_less_evidence():
    made = story(100, 0)
    assert wish(made.state, LONG_S, CONFIRM_S).kind is WishKind.MEASURE
    made.nominated("a1-1")
    found = wish(made.state, LONG_S, CONFIRM_S)
    assert (found.kind, found.idea_id) == (WishKind.START, "a1-1")


def test_a_nomination_opens_no_gate_and_starts_nothing_unlikely():
    below = story(97, 3)
    below.nominated("a1-1")
    assert wish(below.state, LONG_S, CONFIRM_S).kind is WishKind.NOTHING
    unlikely = story(392, 8)
    unlikely.nominated("a1-1")
    assert wish(unlikely.state, LONG_S, CONFIRM_S).kind is WishKind.NOTHING


def test_a_nomination_is_used_up_by_its_confirm():
    made = story(100, 0)
    made.nominated("a1-1")
    made.confirm_started("a1-1", SEEDS)
    assert made.state.nominations["n1"].confirm == 1
    made.confirm_finished(Outcome.VOID)
    assert wish(made.state, LONG_S, CONFIRM_S).kind is WishKind.MEASURE


def test_the_last_confirm_is_begun_on_evidence_alone():
    made = story(100, 0)
    for number in (1, 2):
        made.nominated("a1-1", f"n{number}", agent=f"a{number}")
        made.confirm_started("a1-1", SEEDS)
        made.confirm_finished(Outcome.VOID)
    made.nominated("a1-1", "n3", agent="a3")
    assert wish(made.state, LONG_S, CONFIRM_S).kind is WishKind.MEASURE


@pytest.mark.parametrize(
    ("success", "failure", "refused"),
    [(100, 0, ""), (99, 1, ""), (98, 2, "not_better: 98 of 100 promise"), (97, 3, "not_better"),
     (45, 55, "not_better: a1-1 has 45 of 100 fresh successes")],
)  # fmt: skip
def test_only_what_may_well_pass_is_nominated(success, failure, refused):
    told = objection(story(success, failure).state, "a1", "a1-1")
    assert told.startswith(refused)
    assert bool(told) == bool(refused)


def test_an_agent_nominates_decided_ideas_of_its_own_and_few():
    made = story(100, 0)
    assert objection(made.state, "a2", "a1-1").startswith("foreign_idea")
    assert objection(made.state, "a1", "a1-9").startswith("unknown_idea")
    made.queued("a1-2")
    assert objection(made.state, "a1", "a1-2").startswith("undecided")
    made.nominated("a1-1", "n1")
    made.nominated("a1-1", "n2")
    assert objection(made.state, "a1", "a1-1").startswith("spent: a1 has made its 2")


def test_what_lost_a_confirm_is_not_nominated_again():
    made = story(300, 0)
    made.confirm_started("a1-1", SEEDS)
    made.counted("a1-1", CONFIRM, 49, 1, seeds=SEEDS)
    made.confirm_finished(Outcome.FAILURE)
    assert objection(made.state, "a1", "a1-1").startswith("lost")
