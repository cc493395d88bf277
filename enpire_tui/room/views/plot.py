"""Curves of dots, eight to a cell, with their axes. Pure."""

import itertools
import math
from collections.abc import Mapping, Sequence

from enpire_tui.room.text import Line, Span, fit
from enpire_tui.room.views.pieces import runs

AXIS = 10
# Bits of a braille cell by column and row from the top.
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_BRAILLE = 0x2800
# From this ratio of the largest to the smallest on, a logarithm shows more.
_DECADES = 30.0
TONES = ("good", "work", "note", "warn")

Points = Sequence[tuple[float, float]]


def plot(curves: Mapping[str, Points], width: int, height: int) -> list[Line]:
    """Curves over one axis, `height` lines: names and last values above, steps below."""
    drawn = {name: points for name, points in curves.items() if points}
    if not drawn or height < 4 or width < AXIS + 8:
        return [(("no figures yet", "dim"),)]
    wide, high = width - AXIS, height - 2
    values = [value for points in drawn.values() for _, value in points]
    steps = [step for points in drawn.values() for step, _ in points]
    low, top = min(values), max(values)
    log = low > 0.0 and top / low > _DECADES
    scale = math.log10 if log else float
    bottom, span = scale(low), (scale(top) - scale(low)) or 1.0
    first, last = min(steps), max(steps)
    cells = [[0] * wide for _ in range(high)]
    tones = [[""] * wide for _ in range(high)]
    for number, points in reversed([*enumerate(drawn.values())]):
        places = [
            (
                round((step - first) / ((last - first) or 1.0) * (2 * wide - 1)),
                round((1.0 - (scale(value) - bottom) / span) * (4 * high - 1)),
            )
            for step, value in points
        ]
        for x, y in _joined(places):
            cells[y // 4][x // 2] |= _DOTS[x % 2][y % 4]
            tones[y // 4][x // 2] = TONES[number % len(TONES)]
    rows: list[Line] = [_legend(drawn, width, "log" if log else "")]
    for row in range(high):
        share = 1.0 - row / max(1, high - 1)
        value = bottom + share * span
        marked = row in (0, high - 1) or (row == high // 2 and high >= 5)
        label = f"{10**value if log else value:.3g}" if marked else ""
        head: Line = (
            (fit(label, AXIS - 2, right=True), "dim"),
            (" ┤" if marked else " │", "faint"),
        )
        glyphs = (chr(_BRAILLE + cell) if cell else " " for cell in cells[row])
        rows.append((*head, *runs(zip(glyphs, tones[row], strict=True))))
    ends = f"{last:,.0f} steps"
    begin = f"{first:,.0f}"
    rows.append(((" " * AXIS + begin + ends.rjust(max(0, wide - len(begin))), "dim"),))
    return rows


def _joined(places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Dots, and those between two that follow each other."""
    found = places[:1]
    for (x0, y0), (x1, y1) in itertools.pairwise(places):
        many = max(abs(x1 - x0), abs(y1 - y0))
        found += [
            (x0 + round((x1 - x0) * part / many), y0 + round((y1 - y0) * part / many))
            for part in range(1, many + 1)
        ]
    return found


def _legend(drawn: Mapping[str, Points], width: int, scale: str) -> Line:
    spans: list[Span] = []
    room = width - len(scale) - 1
    for number, (name, points) in enumerate(drawn.items()):
        told = f"{name} {points[-1][1]:.4g}"
        if len(told) + 4 > room:
            break
        room -= len(told) + 4
        spans += [("■ ", TONES[number % len(TONES)]), (f"{told}  ", "")]
    return (*spans, (" " * max(0, room) + scale, "dim"))


_SPARKS = " ▁▂▃▄▅▆▇█"


def spark(shares: Sequence[float], width: int) -> str:
    """The last shares in [0, 1], each as a column of one cell."""
    last = list(shares)[-width:] if width > 0 else []
    return "".join(
        _SPARKS[round(max(0.0, min(1.0, each)) * (len(_SPARKS) - 1))] for each in last
    ).rjust(max(0, width))
