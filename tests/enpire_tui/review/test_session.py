"""A look at a run without a screen: what a person asks for, and when the answer is known."""

import itertools

import pytest

from enpire_tui.review.runs import choose
from enpire_tui.review.session import Session
from tests.enpire_tui.review.homes import a_story


@pytest.fixture
def session(home):
    a_story(home)
    made = Session(choose(home.folder))
    work(made)
    yield made
    made.close()


def work(session: Session) -> None:
    ticks = itertools.count()
    while session.work(5, lambda: float(next(ticks))):
        pass


def shown(session: Session) -> list[str]:
    return [session.transcript.text(line) for line in session.selection]


def test_the_first_hit_is_at_or_after_the_cursor(session):
    session.find("a1-1", 0)
    work(session)
    first = session.take_target()
    assert first is not None
    assert session.transcript.kind(session.selection[first]) == "idea"
    session.find("a1-1", first)
    work(session)
    assert session.take_target() == first
    assert session.take_target() is None


def test_hits_go_round_and_say_so(session):
    session.find("gitfailed", 0)
    work(session)
    only = session.take_target()
    session.seek(only, forward=True)
    assert session.take_target() == only
    assert "from the start again" in session.notice
    session.seek(only, forward=False)
    assert session.take_target() == only
    assert "from the end again" in session.notice


def test_a_text_that_is_nowhere_is_told(session):
    session.find("zebra", 0)
    work(session)
    assert session.take_target() is None
    assert session.notice == "not found"


def test_a_broken_pattern_is_told_and_nothing_is_searched(session):
    session.find("/(", 0)
    assert "no regular expression" in session.notice
    assert session.search is None


def test_a_regular_expression_follows_a_slash(session):
    session.find(r"/a\d-1 (refused|adopted)", 0)
    work(session)
    assert len(session.hits()) == 2


def test_a_search_under_way_can_be_given_up(session):
    session.find("a1-1", 0)
    assert session.searching
    assert session.give_up()
    assert not session.searching
    assert not session.give_up()


def test_words_narrow_by_agent_kind_and_idea_in_any_order(session):
    session.narrow("decision a2")
    assert [each[9:11] for each in shown(session)] == ["a2"]
    session.narrow("a1-1 run")
    assert len(shown(session)) == 1
    session.narrow("")
    assert len(shown(session)) == len(session.transcript)


def test_an_unknown_word_changes_nothing_and_is_told(session):
    session.narrow("a2")
    before = shown(session)
    session.narrow("a2 thoughts")
    assert "called thoughts" in session.notice
    assert shown(session) == before


def test_hits_and_jumps_stay_among_narrowed_lines(session):
    session.find("a1-1", 0)
    session.narrow("a2")
    work(session)
    assert [session.transcript.agent(session.selection[p]) for p in session.hits()] == ["a2"]
    found = session.jump(-1, "error", forward=True)
    assert session.transcript.kind(session.selection[found]) == "decision"
    assert session.jump(0, "tool", forward=True) is None
    assert session.notice == "no later tool"


def test_rows_that_come_while_one_looks_are_searched_as_well(home, session):
    session.find("needle", 0)
    work(session)
    assert session.notice == "not found"
    home.line("a1", "the needle")
    work(session)
    assert list(session.hits()) == [len(session.selection) - 1]


def test_tokens_of_a_turn_are_told_beside_its_lines(session):
    lines = range(len(session.transcript))
    of_turn = next(n for n in lines if session.transcript.kind(n) == "tool")
    assert session.turn_tokens(of_turn) == 1500
    assert session.turn_tokens(len(session.transcript) - 1) == 0
