"""Selection under noise, checked by simulation with fixed seeds."""

import random

import pytest

from enpire_tui.supervisor import selection
from enpire_tui.supervisor.selection import (
    DEFAULT_RULE,
    Tally,
    Verdict,
    chance_better,
    chance_of_row,
    judge_promotion,
    judge_screen,
    predicted_adoption,
    wilson_interval,
)


def drawn(rng: random.Random, rate: float, episodes: int) -> Tally:
    success = sum(rng.random() < rate for _ in range(episodes))
    return Tally(success=success, failure=episodes - success)


def campaign(
    rng: random.Random, rate: float, champion_rate: float, pooled: int
) -> tuple[bool, int]:
    """Whether one idea of true rate `rate` is adopted, and what it cost in episodes."""
    champion, screen, promote = drawn(rng, champion_rate, pooled), Tally(), Tally()
    while (judged := judge_screen(screen, champion)).verdict is Verdict.SCREEN:
        screen = screen.plus(drawn(rng, rate, DEFAULT_RULE.screen_batch))
    if judged.verdict is Verdict.DISCARD:
        return False, screen.episodes
    while (judged := judge_promotion(promote, champion)).verdict is Verdict.PROMOTE:
        promote = promote.plus(drawn(rng, rate, min(DEFAULT_RULE.promote_batch, judged.needed)))
    return judged.verdict is Verdict.ADOPT, screen.episodes + promote.episodes


def adopted_share(rate: float, champion_rate: float, pooled: int, trials: int = 1500) -> float:
    rng = random.Random(7)
    return sum(campaign(rng, rate, champion_rate, pooled)[0] for _ in range(trials)) / trials


@pytest.mark.parametrize("champion_rate", [0.3, 0.5, 0.8, 0.92, 0.96])
def test_a_worthless_idea_is_adopted_in_fewer_than_four_of_a_hundred(champion_rate):
    # Keep-if-better on twenty episodes accepts 41 of a hundred.
    assert adopted_share(champion_rate, champion_rate, pooled=140) <= 0.04


@pytest.mark.parametrize("champion_rate", [0.3, 0.6, 0.9])
def test_a_harmful_idea_is_practically_never_adopted(champion_rate):
    assert adopted_share(champion_rate - 0.1, champion_rate, pooled=140) <= 0.005


@pytest.mark.parametrize(
    ("champion_rate", "rate", "power"),
    [(0.3, 0.5, 0.7), (0.5, 0.7, 0.7), (0.8, 0.95, 0.8), (0.92, 0.99, 0.65)],
)
def test_a_real_gain_is_found(champion_rate, rate, power):
    assert adopted_share(rate, champion_rate, pooled=140) >= power


def test_every_adoption_rests_on_a_hundred_fresh_episodes():
    champion = Tally(success=30, failure=70)
    for episodes in range(20, 100, 20):
        clean = Tally(success=episodes, failure=0)
        assert judge_promotion(clean, champion).verdict is Verdict.PROMOTE
    assert judge_promotion(Tally(success=100, failure=0), champion).verdict is Verdict.ADOPT


def test_a_hopeless_screen_stops_at_its_first_batch():
    judged = judge_screen(Tally(success=1, failure=9), Tally(success=70, failure=30))
    assert judged.verdict is Verdict.DISCARD
    assert "futile" in judged.detail


def test_a_screen_without_a_success_promotes_nobody():
    judged = judge_screen(Tally(success=0, failure=20), Tally(success=0, failure=80))
    assert judged.verdict is Verdict.DISCARD


def test_a_hopeless_promotion_stops_at_a_batch_bound():
    judged = judge_promotion(Tally(success=10, failure=30), Tally(success=50, failure=50))
    assert judged.verdict is Verdict.DISCARD
    assert "hopeless" in judged.detail


def test_near_the_top_an_undecided_candidate_gets_another_look():
    champion = Tally(success=192, failure=8)
    judged = judge_promotion(Tally(success=98, failure=2), champion)
    assert judged.verdict is Verdict.PROMOTE
    assert judged.needed == 100


def test_in_the_middle_of_the_climb_an_undecided_candidate_is_let_go():
    judged = judge_promotion(Tally(success=55, failure=45), Tally(success=100, failure=100))
    assert judged.verdict is Verdict.DISCARD


def test_the_chance_of_being_better_agrees_with_sampled_posteriors():
    rng = random.Random(3)
    candidate, champion = Tally(success=45, failure=5), Tally(success=120, failure=40)
    wins = sum(rng.betavariate(46, 6) > rng.betavariate(121, 41) for _ in range(20_000))
    assert chance_better(candidate, champion) == pytest.approx(wins / 20_000, abs=0.01)


@pytest.mark.parametrize("tally", [Tally(), Tally(success=5, failure=5), Tally(success=99)])
def test_equal_evidence_is_an_even_chance(tally):
    assert chance_better(tally, tally) == pytest.approx(0.5)


def test_predicted_adoption_agrees_with_played_out_promotions():
    rng = random.Random(5)
    candidate, champion = Tally(success=30, failure=10), Tally(success=100, failure=60)
    least = DEFAULT_RULE.adopt[0]
    won = 0
    for _ in range(4000):
        rate = rng.betavariate(31, 11)
        won += chance_better(candidate.plus(drawn(rng, rate, 60)), champion) >= least
    assert predicted_adoption(candidate, champion, 100, least) == pytest.approx(
        won / 4000, abs=0.03
    )


def test_the_chance_of_fifty_in_a_row_grows_with_evidence():
    few, many = Tally(success=100), Tally(success=300)
    assert chance_of_row(few, 50) < chance_of_row(many, 50) < 1.0
    assert chance_of_row(Tally(success=98, failure=2), 50) == pytest.approx(0.36, abs=0.02)


@pytest.mark.parametrize(
    ("tally", "low", "high"),
    [
        (Tally(), 0.0, 1.0),
        (Tally(success=0, failure=10), 0.0, 0.2775),
        (Tally(success=50, failure=50), 0.4038, 0.5962),
        (Tally(success=100, failure=0), 0.9630, 1.0),
    ],
)
def test_wilsons_interval_has_its_published_values(tally, low, high):
    assert wilson_interval(tally) == pytest.approx((low, high), abs=1e-3)


def test_fifty_in_a_row_bound_the_rate_at_ninety_four_percent():
    assert selection.lower_bound_of_row(50) == pytest.approx(0.942, abs=1e-3)
    assert selection.lower_bound_of_row(299) == pytest.approx(0.99, abs=1e-3)


def test_a_clean_screen_is_not_futile_under_a_champion_near_the_top():
    champion = Tally(success=97, failure=3)
    half = judge_screen(Tally(success=10, failure=0), champion)
    whole = judge_screen(Tally(success=20, failure=0), champion)
    assert half.verdict is Verdict.SCREEN
    assert whole.verdict is Verdict.PROMOTE
    assert judge_screen(Tally(success=9, failure=1), champion).verdict is Verdict.DISCARD
