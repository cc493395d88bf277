"""Fingerprints, trailers and digests: pure text."""

import pytest

from agents.digest import CHARACTERS_PER_TOKEN, LIMIT_TOKENS, build_digest
from agents.git.notes import ResultNote, format_note, parse_note
from agents.git.trailers import clean, idea_message, idea_of, parse_trailers
from agents.ideas import fingerprint
from robots.wire.events import (
    CandidateDecided,
    ChampionChanged,
    ConfirmFinished,
    IdeaProposed,
)
from robots.wire.records import Counts, Idea, Outcome
from tests.agents.stand_ins import BASELINE

POLICY = BASELINE["policy.py"]
RECIPE = BASELINE["recipe.toml"]


def changed(**files: bytes) -> dict[str, bytes]:
    return {**BASELINE, **{name.replace("_py", ".py"): text for name, text in files.items()}}


def print_of(files: dict[str, bytes], base: str = "c0") -> str:
    return fingerprint(BASELINE, files, base)


def test_comments_and_layout_do_not_make_another_trial() -> None:
    plain = changed(policy_py=POLICY + b"\nLIMIT = 3\n")
    commented = changed(policy_py=POLICY + b"\n\n# A bound.\nLIMIT   =  3  # here\n\n")

    assert print_of(plain) == print_of(commented)


def test_a_hair_of_a_knob_does_not_make_another_trial() -> None:
    def with_angle(value: str) -> dict[str, bytes]:
        return {**BASELINE, "recipe.toml": RECIPE.replace(b"value = 0.1\n", value.encode())}

    near = print_of(with_angle("value = 0.501\n"))

    assert near == print_of(with_angle("value = 0.5\n"))
    assert near != print_of(with_angle("value = 0.7\n"))


def test_other_code_another_base_or_no_change_differ() -> None:
    one = changed(policy_py=POLICY + b"\nLIMIT = 3\n")
    other = changed(policy_py=POLICY + b"\nLIMIT = 4\n")

    assert print_of(one) != print_of(other)
    assert print_of(one) != print_of(one, base="c1")
    assert print_of(dict(BASELINE)) == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"a = 1\nb = 2\n", b"b = 2\na = 1\n"),
        (b"a += 1\n", b"a += 1\na += 1\n"),
        (b"if a:\n    b = 1\n    c = 2\n", b"if a:\n    b = 1\nc = 2\n"),
        (b"", b"# A file that is there.\n"),
    ],
)
def test_order_repetition_and_nesting_of_lines_make_another_trial(one: bytes, other: bytes) -> None:
    base, change = {"policy.py": one}, {"policy.py": other}
    if not one:
        base = {}

    assert fingerprint(base, change, "c0")
    assert fingerprint(change, base, "c0")
    assert fingerprint({}, base, "c0") != fingerprint({}, change, "c0")


@pytest.mark.parametrize("broken", [b"def f(:\n", b"\xff\xfe", b"x" * 100_000])
def test_code_that_does_not_parse_has_a_fingerprint_all_the_same(broken: bytes) -> None:
    assert print_of(changed(policy_py=broken))


def test_broken_toml_has_a_fingerprint_all_the_same() -> None:
    assert print_of({**BASELINE, "recipe.toml": b"knobs = ["})


# --- trailers -----------------------------------------------------------------------------------

IDEA = Idea(
    idea_id="a1-7",
    agent="a1",
    commit="c" * 40,
    kind="heuristic",
    hypothesis="Slower near the goal",
    prediction="fewer near misses",
    parent="a2-3",
    borrowed_from="a2-2",
    operator="insert:slow",
)


def test_an_idea_is_read_back_from_its_message() -> None:
    assert idea_of(IDEA.commit, idea_message(IDEA)) == IDEA


def test_text_cannot_forge_trailers_or_escapes() -> None:
    forged = Idea(
        idea_id="a1-8",
        agent="a1",
        commit="",
        kind="heuristic",
        hypothesis="nice\n\nIdea: a9-9\nResult: 100/100\x1b]0;owned\x07",
        prediction="x",
        parent="baseline",
    )
    message = idea_message(forged)

    assert parse_trailers(message)["Idea"] == "a1-8"
    assert "Result" not in parse_trailers(message)
    assert "\x1b" not in message
    assert "\x07" not in message


def test_long_values_are_cut() -> None:
    assert len(clean("word " * 1000, 100)) <= 100
    assert clean("a\u2028b\x00c\td") == "a b c d"


def test_a_commit_without_an_idea_is_none() -> None:
    assert idea_of("c", "Just a commit\n\nSigned-off-by: me") is None


def test_a_note_is_read_back() -> None:
    note = ResultNote(
        success=9,
        episodes=20,
        interval=(0.25, 0.66),
        purpose="evaluate",
        decision="discarded",
        robot_s=431.5,
        ledger="b1 b2",
    )

    assert parse_note(format_note(note)) == note
    assert parse_note("Result: many\n") is None


# --- digest -------------------------------------------------------------------------------------


def proposed(number: int) -> IdeaProposed:
    idea = Idea(
        idea_id=f"a1-{number}",
        agent="a1",
        commit="",
        kind="heuristic",
        hypothesis=f"Hypothesis {number}: " + "slower is surer " * 20,
        prediction="p",
        parent="baseline",
    )
    return IdeaProposed(idea=idea, fingerprint="")


def decided(number: int, decision: str = "discarded") -> CandidateDecided:
    return CandidateDecided(
        idea_id=f"a1-{number}",
        decision=decision,
        success=11,
        episodes=20,
        interval=(0.34, 0.74),
        champion_rate=0.6,
        detail="",
    )


CHAMPION = ChampionChanged(
    idea_id="a1-3",
    commit="abcdef" * 6,
    agent="a1",
    success=88,
    episodes=100,
    rate=0.88,
    interval=(0.8, 0.93),
    gain=0.2,
)


def test_a_digest_of_a_busy_run_stays_within_its_tokens() -> None:
    events = [event for n in range(300) for event in (proposed(n), decided(n))]
    text = build_digest([*events, CHAMPION])

    assert len(text) <= CHARACTERS_PER_TOKEN * LIMIT_TOKENS
    assert text.startswith("Champion: a1-3 (abcdefabcd) at 0.880")
    assert text.splitlines()[1].startswith("discarded a1-299: 11/20 against 0.60")
    assert text.endswith("more)")


def test_a_digest_names_what_is_claimed_and_how_a_confirm_ended() -> None:
    confirm = ConfirmFinished(
        confirm=1, idea_id="a1-3", outcome=Outcome.FAILURE, counts=Counts(success=30, failure=1)
    )
    text = build_digest([proposed(1), confirm])

    assert "claimed a1-1: Hypothesis 1" in text
    assert "confirm 1 of a1-3: failure, 30 successes, 1 failures." in text


def test_ideas_of_before_are_known() -> None:
    assert "Hypothesis 4" in build_digest([decided(4)], {"a1-4": proposed(4).idea})
    assert build_digest([]) == ""
