"""Text on its way to the screen: harmless, cut and padded to cells. Pure.

Agents, logs and papers write what they like; nothing of it may move the cursor, colour the screen
or turn the reading direction.
"""

import re
from collections.abc import Iterable

from rich.cells import cell_len, set_cell_size

Span = tuple[str, str]
"""A piece of text and its tone: a name of `tones`, with "bold" and the like before it."""

Line = tuple[Span, ...]

# Terminal sequences go as a whole (CSI, OSC with its end, single escapes), then what is left of
# control, direction, joiner and line separators.
_SEQUENCES = re.compile(
    "\x1b\\[[0-?]*[ -/]*[@-~]|\x1b[\\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\\\)?|\x1b[ -/]*[0-~]?|"
    "\x9b[0-?]*[ -/]*[@-~]"
)
_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
ELLIPSIS = "…"
FAR = 2**31
"""Beyond any row and any cell."""


def clean(text: str) -> str:
    """One line of harmless text: no terminal sequences, no control characters."""
    if text.isascii() and text.isprintable():
        return text
    text = _SEQUENCES.sub("", text).replace("\t", "  ")
    return _CONTROLS.sub(" ", text)


def cut(text: str, width: int) -> str:
    """At most `width` cells, with an ellipsis where something is missing."""
    text = clean(text)
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + ELLIPSIS if width > 0 else ""


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Exactly `width` cells: cut or padded."""
    text = cut(text, width)
    room = " " * max(0, width - cell_len(text))
    return room + text if right else text + room


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` cells, broken at spaces where there are any; never empty."""
    lines: list[str] = []
    for paragraph in text.splitlines() or [""]:
        lines += _wrap_one(clean(paragraph).rstrip(), max(1, width))
    return lines


def _wrap_one(text: str, width: int) -> Iterable[str]:
    if cell_len(text) <= width:
        return [text]
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        while cell_len(word) > width:
            if line:
                lines.append(line)
                line = ""
            head = set_cell_size(word, width).rstrip()
            lines.append(head)
            word = word[max(1, len(head)) :]
        joined = f"{line} {word}" if line else word
        if cell_len(joined) <= width:
            line = joined
        else:
            lines.append(line)
            line = word
    return [*lines, line]


def width_of(line: Line) -> int:
    """Cells of a line."""
    return sum(cell_len(text) for text, _ in line)


def changed_cells(before: Line, after: Line) -> tuple[int, int]:
    """First cell in which two lines differ, and one behind the last; a mark differs everywhere."""
    longest = max(width_of(before), width_of(after))
    if [each for each in before if not each[0]] != [each for each in after if not each[0]]:
        return 0, FAR
    old, new = _cells(before), _cells(after)
    start = _alike(old, new)
    if width_of(before) != width_of(after):
        return start, longest
    return start, max(start, longest - _alike(old[::-1], new[::-1]))


def _cells(line: Line) -> list[Span]:
    return [(char, tone) for text, tone in line for char in clean(text)]


def _alike(one: list[Span], other: list[Span]) -> int:
    """Cells that two lines have in common at their beginning."""
    width = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        width += cell_len(left[0])
    return width
