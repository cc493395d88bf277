from enpire_tui.supervisor.confirm import fixed_seeds
from enpire_tui.supervisor.state import CONFIRM, DISCARDED, WITHDRAWN, RunState, apply
from robots.wire import codec
from robots.wire import events as ev
from robots.wire.records import Outcome
from tests.enpire_tui.supervisor.states import Story

SEEDS = fixed_seeds(b"entropy", 50)


def whole() -> Story:
    made = Story()
    made.adopted("a1-1", 60, 40)
    made.queued("a2-1", agent="a2")
    made.counted("a2-1", "screen", 3, 7)
    made.decided("a2-1", "discarded")
    made.adopted("a1-2", 99, 1)
    made.confirm_started("a1-2", SEEDS)
    made.counted("a1-2", CONFIRM, 10, 1, seeds=SEEDS[:13])
    made.confirm_finished(Outcome.FAILURE)
    return made


def test_replaying_the_journal_gives_the_same_state():
    made = whole()
    again = RunState()
    for seq, event in enumerate(made.events, start=1):
        apply(again, seq, codec.decode_event(codec.encode(event)))
    assert again == made.state


def test_screening_never_counts_as_fresh():
    made = Story()
    made.queued("a1-1")
    made.counted("a1-1", "screen", 20, 0)
    assert made.state.candidates["a1-1"].fresh.episodes == 0


def test_re_measurement_is_pooled_with_the_promotion():
    made = whole()
    made.counted("a1-2", "measure", 18, 2)
    assert made.state.champion_tally().success == 117
    assert made.state.champion_tally().episodes == 120


def test_a_record_counts_once():
    made = Story()
    made.queued("a1-1")
    batch = made.counted("a1-1", "screen", 8, 2)
    made.count(batch, 8, 2)
    assert made.state.candidates["a1-1"].screen.episodes == 10


def test_a_late_result_of_a_withdrawn_batch_is_not_counted():
    made = Story()
    made.queued("a1-1")
    batch = made.dispatched("a1-1", "screen", 10)
    made.tell(ev.BatchWithdrawn(batch_id=batch, station="s1", reason="lost"))
    made.count(batch, 10, 0)
    assert made.state.batches[batch].status == WITHDRAWN
    assert made.state.candidates["a1-1"].screen.episodes == 0


def test_a_candidate_queued_twice_keeps_its_evidence():
    made = whole()
    made.queued("a2-1", agent="a2")
    assert made.state.candidates["a2-1"].phase == DISCARDED


def test_a_new_run_begins_empty_but_knows_its_links():
    made = whole()
    made.tell(made.events[0])
    assert made.state.confirms == []
    assert list(made.state.candidates) == ["baseline"]
    assert made.state.links["s1"] == "ONLINE"
