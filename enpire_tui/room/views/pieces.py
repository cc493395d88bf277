"""Small pieces of lines that several views share. Pure."""

import itertools
import operator
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from enpire_tui.room.text import Line, Span, cut, fit, width_of
from enpire_tui.room.tones import state

EIGHTHS = " ▏▎▍▌▋▊▉█"
# Of a text that is cut, fewer cells than these tell nothing.
LEAST = 6


class Column(NamedTuple):
    """A column: its width (0 takes what is left) and from which width of the list it is shown."""

    name: str
    width: int
    least: int
    right: bool = False


def shown(columns: Sequence[Column], width: int, gap: int = 1) -> list[tuple[Column, int]]:
    """The columns that fit, each with its width; `gap` cells are between two."""
    chosen = [each for each in columns if width >= each.least]
    used = sum(each.width for each in chosen) + gap * (len(chosen) - 1)
    return [(each, each.width or max(8, width - used)) for each in chosen]


def header_of(columns: Sequence[Column], width: int, gap: int = 1) -> Line:
    """Names of the columns that fit."""
    cells = [
        fit(column.name, wide, right=column.right) for column, wide in shown(columns, width, gap)
    ]
    return (((" " * gap).join(cells), "dim"),)


def runs(cells: Iterable[Span]) -> list[Span]:
    """Cells with neighbours of one tone as one span."""
    return [
        ("".join(text for text, _ in alike), tone)
        for tone, alike in itertools.groupby(cells, operator.itemgetter(1))
    ]


def bar(share: float, width: int, tone: str = "good") -> Line:
    """A bar of `width` cells filled by `share` in [0, 1], to an eighth of a cell."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    filled = "█" * full + (EIGHTHS[rest] if rest else "")
    return ((filled, f"{tone} bar"), (" " * (width - len(filled)), "bar"))


def needle(share: float, width: int, tone: str = "work") -> Line:
    """Where a value stands between its limits, in [0, 1]; outside, it sticks to the end in red."""
    inside = 0.0 <= share <= 1.0
    at = round(max(0.0, min(1.0, share)) * (width - 1))
    return (
        ("▕", "faint"),
        ("─" * at, "faint"),
        ("●", tone if inside else "bad"),
        ("─" * (width - 1 - at), "faint"),
        ("▏", "faint"),
    )


def age(seconds: float | None) -> str:
    """How long ago, in at most five cells."""
    if seconds is None:
        return "-"
    # Tenths would change at every paint and tell nothing.
    if seconds < 1.0:
        return "<1s"
    if seconds < 100:
        return f"{seconds:.0f}s"
    if seconds < 6000:
        return f"{seconds / 60:.0f}m"
    return f"{seconds / 3600:.0f}h"


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    whole = int(max(0.0, seconds))
    return f"{whole // 60}:{whole % 60:02d}"


def percent(share: float | None) -> str:
    """A share as a percentage, or a dash."""
    return "-" if share is None else f"{share:.0%}"


def word(name: str, width: int) -> Span:
    """Glyph and state word, with their tone."""
    glyph, tone = state(name)
    return fit(f"{glyph} {name}", width), tone


def spread(left: Line, right: Line, width: int) -> Line:
    """One line: `left` at its beginning, `right` at its end; the left one gives way."""
    room = width - width_of(right)
    kept: list[Span] = []
    for text, tone in left:
        if room < LEAST and len(text) >= room:
            break
        shown = cut(text, room - 1)
        kept.append((shown, tone))
        room -= width_of(((shown, tone),))
    return (*kept, (" " * max(0, room), ""), *right)


def field(name: str, value: str, tone: str = "") -> Line:
    """A named value of a pane."""
    return ((fit(name, 10), "dim"), (value, tone))


def title(text: str, width: int, tone: str = "bold") -> Line:
    """A heading with a rule to the pane's end."""
    return ((f"{text} ", tone), ("─" * max(0, width - len(text) - 1), "faint"))
