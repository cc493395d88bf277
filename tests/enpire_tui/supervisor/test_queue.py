from enpire_tui.supervisor import queue
from enpire_tui.supervisor.confirm import Wish, WishKind, fixed_seeds
from enpire_tui.supervisor.queue import StationLoad, decide, plan, unwanted
from enpire_tui.supervisor.selection import DEFAULT_RULE
from robots.wire import events as ev
from robots.wire.records import Purpose
from tests.enpire_tui.supervisor.states import Story

NOTHING = Wish(kind=WishKind.NOTHING)
SEEDS = fixed_seeds(b"entropy", 50)


def idle(count: int = 4, **changes) -> tuple[StationLoad, ...]:
    return tuple(
        StationLoad(station=f"s{number}", ready=True, sealed_left=0, **changes)
        for number in range(1, count + 1)
    )


def test_the_champion_is_measured_before_anything_is_judged():
    made = Story(baseline=(0, 0))
    made.queued("a1-1")
    planned = plan(made.state, idle(2), NOTHING)
    assert {each.idea_id for each in planned} == {"baseline"}
    assert {each.stage for each in planned} == {"measure"}
    assert decide(made.state) == ()


def test_nothing_is_measured_twice_while_batches_are_out():
    made = Story(baseline=(0, 0))
    for each in plan(made.state, idle(8, explore_open=1), NOTHING):
        made.tell(each)
    out = sum(batch.episodes for batch in made.state.open_batches())
    assert out == DEFAULT_RULE.champion_least


def test_a_screen_waits_for_its_first_look():
    made = Story()
    made.queued("a1-1")
    planned = plan(made.state, idle(4, explore_open=1), NOTHING)
    assert {(each.idea_id, each.stage) for each in planned} == {("a1-1", "screen")}
    assert len({each.station for each in planned}) == len(planned) > 1
    assert sum(each.episodes for each in planned) == DEFAULT_RULE.screen_batch


def test_a_promotion_is_spread_over_stations_and_goes_before_screens():
    made = Story()
    made.queued("a1-1")
    made.queued("a2-1", agent="a2")
    made.counted("a1-1", "screen", 18, 2)
    made.decided("a1-1", "promoted")
    planned = plan(made.state, idle(4), NOTHING)
    assert [each.idea_id for each in planned] == ["a1-1"] * 4
    assert {each.station for each in planned} == {"s1", "s2", "s3", "s4"}
    assert sum(each.episodes for each in planned) == 4 * DEFAULT_RULE.promote_batch


def test_the_candidate_most_likely_better_is_promoted_first():
    made = Story()
    for name, success in (("a1-1", 8), ("a2-1", 16)):
        made.queued(name, agent=name[:2])
        made.counted(name, "screen", success, 20 - success)
        made.decided(name, "promoted")
    assert plan(made.state, idle(1), NOTHING)[0].idea_id == "a2-1"


def test_a_station_gets_its_next_batch_only_when_nearly_done():
    made = Story()
    made.queued("a1-1")
    busy = StationLoad(station="s1", ready=True, sealed_left=queue.LOOK_AHEAD_EPISODES + 1)
    nearly = StationLoad(station="s1", ready=True, sealed_left=queue.LOOK_AHEAD_EPISODES)
    assert plan(made.state, (busy,), NOTHING) == ()
    assert len(plan(made.state, (nearly,), NOTHING)) == 1


def test_a_station_that_may_not_move_gets_nothing():
    made = Story()
    made.queued("a1-1")
    held = StationLoad(station="s1", ready=False, sealed_left=0)
    assert plan(made.state, (held,), NOTHING) == ()


def test_the_champion_is_measured_again_only_where_nothing_else_waits():
    made = Story()
    assert plan(made.state, idle(1, explore_open=1), NOTHING) == ()
    (planned,) = plan(made.state, idle(1), NOTHING)
    assert (planned.idea_id, planned.stage) == ("baseline", "measure")


def test_evidence_for_a_confirm_goes_before_promotions():
    made = Story()
    made.adopted("a1-1", 99, 1)
    made.counted("a1-1", "measure", 59, 1)
    made.queued("a2-1", agent="a2")
    wish = Wish(kind=WishKind.MEASURE, idea_id="a1-1", episodes=20)
    planned = plan(made.state, idle(3), wish)
    assert [each.idea_id for each in planned] == ["a1-1", "a1-1", "a2-1"]


def test_a_confirm_takes_every_station_at_once_with_the_fixed_seeds():
    made = Story()
    made.adopted("a1-1", 200, 0)
    made.confirm_started("a1-1", SEEDS)
    loads = tuple(
        StationLoad(station=f"s{number}", ready=True, sealed_left=9) for number in range(1, 5)
    )
    planned = plan(made.state, loads, NOTHING)
    assert sorted(each.episodes for each in planned) == [12, 12, 13, 13]
    assert tuple(seed for each in planned for seed in each.seeds) == SEEDS
    assert {each.purpose for each in planned} == {Purpose.CONFIRM}
    for each in planned:
        made.tell(each)
    assert [each for each in plan(made.state, idle(4), NOTHING) if each.seeds] == []


def test_after_an_adoption_others_face_the_new_champion():
    made = Story()
    for name in ("a1-1", "a2-1"):
        made.queued(name, agent=name[:2])
        made.counted(name, "screen", 16, 4)
        made.decided(name, "promoted")
    made.counted("a1-1", "promote", 60, 40)
    made.counted("a2-1", "promote", 80, 20)
    (first,) = decide(made.state)
    assert (first.idea_id, first.decision) == ("a2-1", "adopted")
    made.tell(first)
    made.champion("a2-1")
    # The winner of two is lucky: nothing is judged by it until it is measured again.
    assert decide(made.state) == ()
    assert plan(made.state, idle(1), NOTHING)[0].stage == "measure"
    made.counted("a2-1", "measure", 45, 15)
    (second,) = decide(made.state)
    assert (second.idea_id, second.decision) == ("a1-1", "discarded")
    made.tell(second)
    assert decide(made.state) == ()


def test_batches_of_a_discarded_candidate_are_withdrawn():
    made = Story()
    made.queued("a1-1")
    made.counted("a1-1", "screen", 18, 2)
    made.decided("a1-1", "promoted")
    batch = made.dispatched("a1-1", "promote", 20)
    made.decided("a1-1", "discarded")
    (gone,) = unwanted(made.state)
    assert gone.batch_id == batch
    made.tell(gone)
    assert unwanted(made.state) == ()


def test_a_candidate_whose_batches_are_void_is_given_up():
    made = Story()
    made.queued("a1-1")
    for _ in range(queue.MOST_VOID_BATCHES):
        made.count(made.dispatched("a1-1", "screen", 10), 0, 0, 10, whole_void=True)
    (decided,) = decide(made.state)
    assert isinstance(decided, ev.CandidateDecided)
    assert decided.decision == "discarded"


def test_batch_ids_are_never_used_twice():
    made = Story()
    made.queued("a1-1")
    seen: set[str] = set()
    for _ in range(3):
        (planned,) = plan(made.state, idle(1), NOTHING)
        assert planned.batch_id not in seen
        seen.add(planned.batch_id)
        made.tell(planned)
        made.tell(ev.BatchWithdrawn(batch_id=planned.batch_id, station="s1", reason="lost"))
