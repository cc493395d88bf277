"""Metrics, budgets, the station fold and the views of a run."""

import pytest

from enpire_tui.supervisor import budgets, metrics, report, station_fold
from enpire_tui.supervisor.budgets import Budget
from enpire_tui.supervisor.station_fold import StationFold
from robots.wire import events as ev
from robots.wire.records import Counts, Episode, Outcome, Purpose, StationFigures, TokenCounts
from tests.enpire_tui.fakes import recipe
from tests.enpire_tui.supervisor.states import Story

FIGURES = (
    StationFigures(station="s1", busy_s=50.0, reset_s=10.0),
    StationFigures(station="s2", busy_s=100.0, reset_s=50.0),
)


def test_mru_is_the_mean_share_of_time_in_episodes_with_their_resets():
    assert metrics.robot_utilisation(FIGURES, 100.0) == pytest.approx(0.75)
    assert metrics.robot_utilisation_without_reset(FIGURES, 100.0) == pytest.approx(0.45)
    assert metrics.robot_utilisation((), 100.0) == 0.0
    assert metrics.robot_utilisation(FIGURES, 0.0) == 0.0


def test_mtu_is_told_uncached_and_in_total():
    tokens = TokenCounts(fresh_input=600, cached_input=3000, output=600, reasoning=100)
    found = metrics.token_utilisation(tokens, 120.0)
    assert (found.uncached, found.total) == (600.0, 2100.0)


@pytest.mark.parametrize(
    ("budget", "elapsed_s", "word"),
    [
        (Budget(minutes=1.0), 59.0, ""),
        (Budget(minutes=1.0), 60.0, "time"),
        (Budget(minutes=9.0, robot_minutes=2.5), 1.0, "robots"),
        (Budget(minutes=9.0, robot_minutes=2.6), 1.0, ""),
        (Budget(minutes=9.0, tokens=1200), 1.0, "tokens"),
        (Budget(minutes=9.0, tokens=1201), 1.0, ""),
        (Budget(minutes=9.0, ideas=1), 1.0, "ideas"),
        (Budget(minutes=9.0, ideas=2), 1.0, ""),
    ],
)
def test_each_bound_ends_the_run_by_itself(budget, elapsed_s, word):
    made = Story()
    made.queued("a1-1")
    made.decided("a1-1", "discarded")
    tokens = TokenCounts(fresh_input=600, cached_input=9000, output=600)
    made.tell(
        ev.FleetMeasured(
            elapsed_s=0.0, monotonic_s=0.0, boot_id="", stations=FIGURES, tokens=tokens
        )
    )
    assert budgets.spent(budget, made.state, elapsed_s).partition(":")[0] == word


def test_an_undecided_idea_is_waited_for():
    made = Story()
    made.queued("a1-1")
    assert budgets.spent(Budget(minutes=9.0, ideas=1), made.state, 1.0) == ""
    assert not budgets.admits_idea(Budget(minutes=9.0, ideas=1), made.state)


def folded(*events: ev.AnyEvent) -> StationFold:
    fold = StationFold("s1", StationFigures(station="s1"))
    for seq, event in enumerate(events, start=1):
        station_fold.apply(fold, seq, event)
    return fold


def accepted(batch_id: str, purpose: Purpose) -> ev.BatchAccepted:
    return ev.BatchAccepted(
        batch_id=batch_id,
        purpose=purpose,
        commit="c",
        idea_id="a1-1",
        recipe=recipe(0.5),
        episodes=2,
        seeds=None,
        stop_at_failure=False,
        record=False,
        requested_by="a1",
    )


def finished(batch_id: str, outcome: Outcome, index: int = 0) -> ev.EpisodeFinished:
    episode = Episode(index=index, outcome=outcome, reason="", robot_s=6.0, reset_s=2.0, wall_s=4.0)
    return ev.EpisodeFinished(batch_id=batch_id, episode=episode)


def test_a_station_is_what_its_journal_says():
    started = ev.EpisodeStarted(batch_id="b", index=0, number=0)
    events = [accepted("b", Purpose.EVALUATE)]
    assert folded(*events).word == station_fold.QUEUED
    events.append(started)
    assert folded(*events).word == station_fold.EXECUTING
    events += [finished("b", Outcome.SUCCESS), finished("b", Outcome.VOID, 1)]
    fold = folded(*events)
    assert fold.done_of("b") == 1
    assert fold.figures.busy_s == 8.0
    assert fold.figures.reset_s == pytest.approx(2.0)
    assert fold.figures.episodes == 2
    events.append(
        ev.BatchFinished(
            batch_id="b",
            purpose=Purpose.EVALUATE,
            commit="c",
            idea_id="a1-1",
            counts=Counts(),
            void=False,
            void_reason="",
            seconds=0.0,
            ledger_sha256="",
        )
    )
    fold = folded(*events)
    assert (fold.word, fold.finished) == (station_fold.IDLE, ["b"])


def test_holds_and_quarantines_outrank_what_runs():
    base = [accepted("b", Purpose.EXPLORE), ev.EpisodeStarted(batch_id="b", index=0, number=0)]
    assert folded(*base).word == station_fold.EXPLORING
    held = [*base, ev.StationHeld(reason="look", by="operator", latched=False)]
    assert folded(*held).word == station_fold.HELD
    stuck = [*held, ev.StationQuarantined(reason="reset")]
    assert folded(*stuck).word == station_fold.QUARANTINED
    freed = [*stuck, ev.StationReleased(cause="mended", by="operator")]
    assert folded(*freed).word == station_fold.EXPLORING


def test_the_leaderboard_ranks_by_fresh_evidence():
    made = Story()
    made.adopted("a1-1", 90, 10)
    made.queued("a2-1", agent="a2")
    made.counted("a2-1", "screen", 10, 0)
    found = report.leaderboard(made.state)
    assert found.champion == "a1-1"
    assert [row.idea_id for row in found.rows] == ["a1-1", "baseline", "a2-1"]
    assert found.rows[0].success == 90
    assert found.rows[2].episodes == 0
    assert found.rows[2].screen_episodes == 10
