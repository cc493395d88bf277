"""Real journals, live and ended, as one transcript."""

import sqlite3
import time

import pytest

from enpire_tui.fleet import FleetError
from enpire_tui.review.runs import Unreadable, choose, runs
from enpire_tui.review.search import PatternWrong, Query, Search, find
from enpire_tui.review.transcript import JUMPS, Filter, Selection, Transcript
from robots.wire import events as ev
from robots.wire.clock import SystemClock
from robots.wire.journal import SqliteJournal
from tests.enpire_tui.review.homes import RUN, SECRET, Home, a_story, ended


def read(transcript: Transcript) -> Transcript:
    while transcript.step():
        pass
    return transcript


def texts(transcript: Transcript) -> list[str]:
    return [transcript.text(line) for line in range(len(transcript))]


@pytest.fixture
def story(home):
    a_story(home)
    with Transcript(choose(home.folder)) as transcript:
        yield read(transcript)


# --- which run ----------------------------------------------------------------------------------


def test_the_newest_run_is_chosen_and_others_by_the_start_of_their_name(home, tmp_path):
    home.end("budget")
    home.put_away()
    later = Home(home.folder, "r20260202-000000")
    later.close()

    assert [each.run_id for each in runs(home.folder)] == ["r20260202-000000", RUN]
    assert choose(home.folder).live
    ended = choose(home.folder, "r20260101")
    assert (ended.run_id, ended.outcome, ended.live) == (RUN, "budget", False)
    assert ended.journals == home.run_folder / "journals"


def test_a_wrong_run_names_those_there_are(home):
    with pytest.raises(FleetError, match=f"'r9' is no run here.*\n  {RUN}  push_t  live"):
        choose(home.folder, "r9")


def test_a_home_without_runs_says_so(tmp_path):
    with pytest.raises(Unreadable, match="no run to review"):
        choose(tmp_path)


# --- reading ------------------------------------------------------------------------------------


def test_rows_of_all_daemons_come_in_the_order_of_time(story):
    found = texts(story)
    assert found[0] == "00:00:01 a1  state    a1 came up, restart 0"
    assert [each[:8] for each in found] == sorted(each[:8] for each in found)
    assert {each[9:12] for each in found} == {"a1 ", "a2 ", "run"}
    assert "00:00:07 a1  tokens   m: 1200 fresh, 10000 cached, 300 output" in found[6]


def test_secrets_and_escapes_do_not_reach_the_reader(story):
    everything = "\n".join(texts(story))
    assert SECRET not in everything
    assert "the key is [redacted]" in everything
    assert "[bold]not markup[/bold] red tab" in everything


def test_an_ended_run_reads_like_the_live_one(home, story):
    before = texts(story)
    home.end()
    home.put_away()
    with Transcript(choose(home.folder, RUN)) as transcript:
        assert not transcript.run.live
        assert texts(read(transcript)) == before


def test_rows_that_come_later_are_appended(home, story):
    known = len(story)
    home.line("a2", "one more", turn=3)
    read(story)
    assert len(story) == known + 1
    assert story.text(known).endswith("one more")
    assert story.turn(known) == 3


def test_a_run_that_ends_while_one_looks_is_live_no_longer(home, story):
    assert story.run.live
    home.say("supervisor", ended("stopped"))
    read(story)
    assert (story.run.outcome, story.run.live) == ("stopped", False)


def test_a_journal_that_appears_later_is_read(tmp_path):
    home = Home(tmp_path / "home")
    home.journals.pop("a2").close()
    for path in (home.folder / "journals").glob("a2.db*"):
        path.unlink()
    with Transcript(choose(home.folder)) as transcript:
        read(transcript)
        late = SqliteJournal.open(home.folder / "journals" / "a2.db", home.clock)
        late.append(ev.Noted(level="info", text="late"), durable=True)
        late.close()
        read(transcript)
        assert texts(transcript)[-1].endswith("a2  note     info: late")
    home.close()


def test_a_review_goes_on_while_the_journals_move_into_the_runs_folder(home, story):
    known = len(story)
    home.end()
    home.put_away()
    Home(home.folder, "r20260202-000000").close()
    read(story)
    assert len(story) == known
    assert story.run.journals == home.run_folder / "journals"
    assert story.row(0).kind == "DaemonStarted"


def test_a_journal_that_was_replaced_is_not_mixed_with_the_old_one(home, story):
    home.journals["a1"].close()
    for path in (home.folder / "journals").glob("a1.db*"):
        path.unlink()
    home.journals["a1"] = SqliteJournal.open(home.folder / "journals" / "a1.db", home.clock)
    with pytest.raises(Unreadable, match="open the review again"):
        read(story)


def test_a_writer_is_not_kept_from_checkpointing_by_a_reader(home, story):
    journal = home.journals["a1"]
    for n in range(50):
        home.line("a1", f"line {n}")
    database = journal._database
    busy, _, _ = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert busy == 0


def test_a_damaged_row_says_so_in_its_place(home):
    home.line("a1", "before")
    home.journals["a1"]._database.execute(
        "INSERT INTO rows VALUES (2, ?, 'TranscriptLine', ?)", (home.clock.now_s + 1, b"\xc1")
    )
    with Transcript(choose(home.folder)) as transcript:
        read(transcript)
        assert "row not understood" in transcript.text(1)
        assert transcript.is_error(1)


def test_a_file_that_is_no_journal_is_named(home):
    home.journals.pop("a2").close()
    path = home.folder / "journals" / "a2.db"
    path.write_bytes(b"no database, but long enough to be read as one" * 100)
    with Transcript(choose(home.folder)) as transcript, pytest.raises(Unreadable, match=r"a2\.db"):
        read(transcript)


def test_a_clock_that_steps_back_keeps_a_journals_order(home):
    home.line("a1", "first")
    home.clock.now_s -= 100
    home.line("a1", "second")
    home.line("a2", "before both")
    with Transcript(choose(home.folder)) as transcript:
        found = [each.rsplit(" ", 1)[1] for each in texts(read(transcript))]
        assert found.index("first") < found.index("second")


# --- one row ------------------------------------------------------------------------------------


def test_ideas_are_told_with_decision_and_score(story):
    first, second = story.ideas["a1-1"], story.ideas["a2-1"]
    assert (first.decision, first.score) == ("adopted", "45/100 [0.36, 0.55]")
    assert first.hypothesis == "a longer stroke helps"
    assert (second.decision, second.detail) == ("refused", "duplicate: a1-1")


def test_tokens_belong_to_the_turn_they_were_spent_in(story):
    assert story.tokens() == 1500
    assert story.tokens("a1") == 1500
    assert story.tokens("a1", turn=1) == 1500
    assert story.tokens("a1", turn=2) == 0
    assert story.tokens("a2") == 0


# --- many rows ----------------------------------------------------------------------------------


def test_a_filter_lets_lines_through_by_agent_kind_and_idea(story):
    def found(**wanted: str) -> list[str]:
        return [story.text(line) for line in Selection(story, Filter(**wanted))]

    assert all(each[9:11] == "a2" for each in found(agent="a2"))
    assert len(found(kind="decision")) == 2
    assert len(found(idea="a1-1")) == 6
    assert found(agent="a2", idea="a1-1") == []
    assert found(idea="a9-9") == []


def test_a_selection_grows_with_the_transcript(home, story):
    selection = Selection(story, Filter(agent="a2"))
    known = len(selection)
    home.line("a1", "not this")
    home.line("a2", "but this")
    read(story)
    assert selection.grow() == 1
    assert story.text(selection[known]).endswith("but this")


def test_jumps_stop_where_they_should(story):
    everything = Selection(story)
    stops = {
        jump: [
            place
            for place in range(len(story))
            if everything.jump(place - 1, jump, forward=True) == place
        ]
        for jump in JUMPS
    }
    assert [story.kind(each) for each in stops["tool"]] == ["tool"]
    assert [story.idea(each) for each in stops["idea"]] == ["a1-1", "a2-1"]
    assert [story.kind(each) for each in stops["error"]] == ["decision", "note"]
    assert [(story.agent(each), story.turn(each)) for each in stops["turn"]] == [
        ("a1", 1),
        ("a2", 1),
        ("a2", 2),
        ("a1", 2),
    ]
    last = len(story) - 1
    assert everything.jump(last, "decision", forward=True) is None
    assert everything.jump(last, "decision", forward=False) == stops["decision"][-1]


def test_a_jump_stays_among_the_filtered_lines(story):
    selection = Selection(story, Filter(agent="a2"))
    place = selection.jump(-1, "idea", forward=True)
    assert place is not None
    assert story.idea(selection[place]) == "a2-1"


# --- search -------------------------------------------------------------------------------------


def test_search_finds_both_cases_unless_a_capital_is_asked_for(story):
    assert len(find(story, Query(text="gitfailed"))) == 1
    assert len(find(story, Query(text="GitFailed"))) == 1
    assert len(find(story, Query(text="GITFAILED"))) == 0
    assert len(find(story, Query(text=r"GIT\w+", regex=True))) == 0
    assert len(find(story, Query(text=r"git\S+ no$", regex=True))) == 1


def test_search_agrees_with_python_line_by_line(story):
    # (Search looks behind the redaction: no query here matches inside the secret.)
    for query in (
        Query(text="a1-1"),
        Query(text="a2"),
        Query(text=r"^00:00:1\d", regex=True),
        Query(text=r"a\d-1.*adopted", regex=True),
        Query(text=r"\s+\S+$", regex=True),
        Query(text=r"x*", regex=True),
        Query(text=r"[^q]\s00:", regex=True),
        Query(text=r"\Z", regex=True),
    ):
        pattern = query.pattern()
        expected = [n for n, text in enumerate(texts(story)) if pattern.search(text)]
        if query.text != r"\Z":
            assert list(find(story, query)) == expected, query


def test_a_search_goes_on_over_lines_that_come_later(home, story):
    search = Search(story, Query(text="needle"))
    assert not search.step()
    home.line("a1", "a needle at last")
    read(story)
    assert search.progress < 1
    search.step()
    assert list(search.hits) == [len(story) - 1]


def test_hits_are_given_as_places_among_filtered_lines(story):
    selection = Selection(story, Filter(agent="a2"))
    hits = find(story, Query(text="a1-1"))
    assert [story.agent(selection[place]) for place in selection.among(hits)] == ["a2"]
    assert list(Selection(story).among(hits)) == list(hits)
    nothing = Selection(story, Filter(idea="a9-9"))
    assert list(nothing.among(hits)) == []


@pytest.mark.parametrize("text", ["(", "[a", ""])
def test_a_pattern_that_is_none_is_refused(story, text):
    with pytest.raises(PatternWrong):
        Search(story, Query(text=text, regex=True))


# --- long ones ----------------------------------------------------------------------------------


def fill(home: Home, lines: int) -> None:
    """So many lines of two agents, with a tool call every fifth and a needle at nine tenths."""
    for agent in ("a1", "a2"):
        journal = SqliteJournal.open(home.folder / "journals" / f"{agent}.db", SystemClock())
        for n in range(lines // 2):
            text = f"step {n}: the pusher stops short of the goal when the block turns"
            if n == lines * 9 // 20:
                text += " needle"
            event: ev.AnyEvent = ev.TranscriptLine(turn=n // 50, role="agent", text=text)
            if n % 5 == 1:
                event = ev.ToolCalled(call_id=f"{agent}-1/x{n}", tool="explore", summary=text)
            journal.append(event, durable=False)
        journal.close()


@pytest.mark.parametrize(
    "lines", [50_000, pytest.param(1_000_000, marks=[pytest.mark.long, pytest.mark.timeout(600)])]
)
def test_many_lines_are_searched_and_jumped_through_at_once(home, lines):
    home.close()
    fill(home, lines)
    with Transcript(choose(home.folder)) as transcript:
        read(transcript)
        assert len(transcript) == lines
        began_s = time.process_time()
        hits = find(transcript, Query(text="needle"))
        assert time.process_time() - began_s < 1.0
        assert [transcript.agent(line) for line in hits] == ["a1", "a2"]
        selection = Selection(transcript)
        began_s = time.process_time()
        place = selection.jump(lines // 2, "tool", forward=True)
        assert time.process_time() - began_s < 0.1
        assert place is not None
        assert place - lines // 2 <= 10
        assert len(list(transcript.matching(Filter(kind="tool")))) == lines // 5


def test_a_reader_opens_nothing_for_writing(home, story):
    reader = story._journals.readers[0]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._database.execute("DELETE FROM rows")
