"""What others wrote is harmless before it is drawn."""

import pytest

from enpire_tui.room.text import FAR, changed_cells, clean, cut, fit, wrap


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain", "plain"),
        ("a\x1b[31mred\x1b[0m", "ared"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("bell\x07 back\x08space", "bell  back space"),
        ("\u202eturned\u202c", " turned "),
        ("zero\u200bwidth", "zero width"),
        ("two\nlines\r", "two lines "),
        ("[bold]markup[/bold]", "[bold]markup[/bold]"),
        ("\x9b31mc1", "c1"),
    ],
)
def test_nothing_moves_the_cursor_or_turns_the_text(given, shown):
    assert clean(given) == shown


def test_text_is_cut_by_cells_and_says_so():
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdefg", 6) == "abcde…"
    assert cut("日本語", 5) == "日本…"
    assert fit("ab", 4) == "ab  "
    assert fit("ab", 4, right=True) == "  ab"


def test_wrapped_lines_are_never_too_wide_and_lose_nothing():
    text = "a word and averyveryverylongword in it"
    lines = wrap(text, 10)
    assert max(map(len, lines)) <= 10
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert wrap("", 5) == [""]


PLAIN = (("state ", "dim"), ("5/10", "bold"), (" s1", ""))


@pytest.mark.parametrize(
    ("after", "cells"),
    [
        ((("state ", "dim"), ("6/10", "bold"), (" s1", "")), (6, 7)),
        ((("state ", "dim"), ("5/10", "good"), (" s1", "")), (6, 10)),
        ((("state ", "dim"), ("10/10", "bold"), (" s1", "")), (6, 14)),
        ((("state 5/10 s1", "dim"),), (6, 13)),
        ((("state ", "dim"), ("5/10", "bold"), (" s\uff12", "")), (12, 14)),
        ((*PLAIN, ("", "cursor")), (0, FAR)),
        (PLAIN, (13, 13)),
    ],
)
def test_only_the_cells_that_differ_are_named(after, cells):
    assert changed_cells(PLAIN, after) == cells
