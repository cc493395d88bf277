"""What a line says, and what of an agent's text never reaches a screen."""

import pytest

from enpire_tui.review.words import KINDS, LINE_CHARACTERS, SHOWN, plain_lines, redact, said
from robots.wire import events as ev
from tests.enpire_tui.review.homes import SECRET


def line(text: str, role: str = "agent") -> ev.TranscriptLine:
    return ev.TranscriptLine(turn=3, role=role, text=text, idea_id="a1-7")


def test_a_line_says_its_idea_once():
    assert said(line("works")).text == "a1-7: works"
    assert said(line("a1-7 was adopted")).text == "a1-7 was adopted"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("two\nlines\ttab", "two lines tab"),
        ("\u202eright to left", " right to left"),
        ("[bold]kept[/bold]", "[bold]kept[/bold]"),
        ("nul\x00 bell\x07 c1\x9b", "nul  bell  c1 "),
    ],
)
def test_text_becomes_one_printable_line(text, shown):
    found = said(ev.Noted(level="info", text=text)).text
    assert found == f"info: {shown}"
    assert found.isprintable()


def test_a_long_line_is_cut_and_says_how_much_is_missing():
    found = said(line("x" * (LINE_CHARACTERS + 500))).text
    assert len(found) < LINE_CHARACTERS + 100
    assert found.endswith("more characters")


@pytest.mark.parametrize(
    "secret",
    [
        SECRET,
        "ghp_0123456789abcdefghijABCDEFGHIJ",
        "AKIAABCDEFGHIJKLMNOP",
        "hf_abcdefghijklmnopqrstuvwx",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abcdefghijk",
        "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----",
    ],
)
def test_what_looks_like_a_key_is_redacted(secret):
    assert redact(f"before {secret} after") == "before [redacted] after"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ANTHROPIC_API_KEY=abc123def456", "ANTHROPIC_API_KEY=[redacted]"),
        ('"token": "abc123def456"', '"token": "[redacted]"'),
        ("Authorization: Bearer abc123def456", "Authorization: Bearer [redacted]"),
        ("password: correcthorse", "password: [redacted]"),
    ],
)
def test_a_named_secret_keeps_its_name(text, shown):
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text", ["tokens: 12345678", "max_token=limit", "the key insight: strokes", "task-force-one"]
)
def test_plain_words_are_not_redacted(text):
    assert redact(text) == text


def test_an_opened_text_keeps_its_lines():
    assert plain_lines("a\n\tb\x1b[1m") == ["a", "    b"]


def test_an_escape_inside_a_key_does_not_hide_it():
    split = f"{SECRET[:9]}\x1b[0m{SECRET[9:]}"
    assert plain_lines(f"a {split} b") == ["a [redacted] b"]
    assert redact(said(ev.Noted(level="info", text=split)).text) == "info: [redacted]"


def test_errors_and_refusals_are_marked():
    assert said(ev.Noted(level="error", text="x")).error
    assert said(ev.AgentStateChanged(state="FAILED")).error
    assert said(ev.RequestRefused(agent="a1", reason="budget")).error
    assert said(ev.DecisionLearned(idea_id="a1-1", decision="refused", detail="")).error
    assert said(line("refused: duplicate", role="result")).error
    assert not said(line("refused: I said")).error
    assert not said(ev.Noted(level="info", text="x")).error


def test_every_shown_kind_is_an_event_and_has_a_known_word():
    assert {each.__name__ for each in ev.AnyEvent.__args__} >= SHOWN
    assert said(line("x", role="made up")).kind in KINDS
    # What backends keep for themselves and what the supervisor counts by the second is no transcript.
    assert not SHOWN & {"BackendRecorded", "FleetMeasured", "CandidateQueued"}


def test_a_question_and_its_answer_are_an_agents_and_a_persons_words():
    asked = said(ev.AgentAsked(question_id="q1", text="Which gripper?", choices=("short", "long")))
    assert (asked.kind, asked.text) == ("agent", "asks: Which gripper? [short | long]")
    answered = said(ev.AgentAnswered(question_id="q1", text="long", by="operator"))
    assert (answered.kind, answered.text) == ("person", "operator answers: long")
