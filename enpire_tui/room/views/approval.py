"""A card: where the robot would go, what was checked, what changed, what came of it before. Pure."""

import itertools
import math
from collections.abc import Iterator, Sequence

from enpire_tui.room.card import Shown
from enpire_tui.room.text import Line, fit, wrap
from enpire_tui.room.tries import person
from enpire_tui.room.views.pieces import age, clock, field, title
from enpire_tui.room.views.robot import picture
from robots.wire.approvals import ApprovalCard, ApprovalCounts, ApprovalState, PastApproval

Marks = dict[tuple[int, int], str]
# Cells of the picture, two above each other in a line, and their colours: the way, and its end.
WAY, BEGIN, END = "#ff4fd8", "#ffffff", "#ffe14f"
GLYPH, NAME = 9, 12
_STATES = {
    ApprovalState.PENDING: ("◈", "bold warn"),
    ApprovalState.APPROVED: ("✓", "bold good"),
    ApprovalState.REJECTED: ("✗", "bold warn"),
    ApprovalState.EXPIRED: ("~", "bold warn"),
    ApprovalState.VOID: ("~", "bold warn"),
}
_DIFF = (("+++", "bold"), ("---", "bold"), ("@@", "note"), ("+", "good"), ("-", "bad"))


def head(shown: Shown, objection: str, now_s: float, width: int) -> list[Line]:
    """What is asked, how long it stands, and whether it can be approved: two or three lines."""
    card = shown.card
    glyph, tone = _STATES[card.state]
    number = f" {card.number} of {card.count}" if card.count > 1 else ""
    asked = f"  reset{number}, asked by {person(card.asked_by)}"
    left = f", expires in {clock(shown.left_s(now_s))}" if _pending(card) else ""
    told: list[Line] = [((f"{glyph} {card.state.value}", tone), (left, "warn"), (asked, ""))]
    if not _pending(card):
        return told
    if not objection and card.plan is None:
        return [*told, (("a approves it without a plan to look at, r rejects it", "bold warn"),)]
    if not objection:
        return [*told, (("✓ a approves it, r rejects it", "good"),)]
    parts = wrap(f"✖ not to be approved: {objection}", width)
    return [*told, *(((part, "bad"),) for part in parts[:3])]


def _pending(card: ApprovalCard) -> bool:
    return card.state is ApprovalState.PENDING


def evidence(
    shown: Shown, now_wall_s: float, happened: Sequence[tuple[str, str]], width: int
) -> list[Line]:
    """Rehearsal, envelope and history; before them, once it was answered, what came of it.

    Args:
        shown: The card.
        now_wall_s: Unix seconds.
        happened: Tone and words of the station's last rows about tries.
        width: Cells.
    """
    card, told = shown.card, list[Line]()
    if not _pending(card):
        told.append(title("since then", width))
        told += [((part, tone),) for tone, text in happened for part in wrap(text, width)]
    told += [title("envelope", width), *_checks(card, width)]
    told += [title("rehearsal", width), *_rehearsal(card, width)]
    told += [title("history", width), *_history(card, now_wall_s, width)]
    return told


def _checks(card: ApprovalCard, width: int) -> list[Line]:
    told: list[Line] = []
    for check in sorted(card.checks, key=lambda check: check.ok):
        glyph, word, tone = ("✓", "ok", "good") if check.ok else ("✖", "failed", "bold bad")
        name = max(NAME, len(check.name) + 1)
        parts = wrap(check.detail, max(8, width - GLYPH - name))
        head = (fit(f"{glyph} {word}", GLYPH), tone), (fit(check.name, name), "bold")
        told.append((*head, (parts[0], "" if check.ok else "bad")))
        told += [((" " * (GLYPH + name), ""), (part, "")) for part in parts[1:]]
    return told or [(("no check was made: there is no plan", "bad"),)]


def _rehearsal(card: ApprovalCard, width: int) -> list[Line]:
    plan = card.plan
    if plan is None:
        return [((part, "bad"),) for part in wrap(card.plan_missing or "no plan", width)]
    tries = f"in {plan.tries} {'try' if plan.tries == 1 else 'tries'}" if plan.tries else ""
    outcome = (f"✓ reached {tries}", "good") if plan.reached else (f"✖ missed {tries}", "bold bad")
    way = f"{plan.steps} steps, {plan.seconds:.1f} s"
    tube = (
        f"keeps to {' '.join(f'{each:g}' for each in plan.tube)} about the plan"
        if plan.tube
        else ""
    )
    drawn = f"drawn from white to yellow: the way of {plan.tool}" if plan.pixels else plan.tool
    said = (way, tube, drawn)
    return [(outcome,), *(((part, ""),) for text in said if text for part in wrap(text, width))]


def _history(card: ApprovalCard, now_wall_s: float, width: int) -> list[Line]:
    told = [
        *_counts("this code", card.same_code, width),
        *_counts("all code", card.all_code, width),
    ]
    for past in card.past:
        told += _past(past, past.code_sha256 == card.code_sha256, now_wall_s, width)
    return told


def _counts(name: str, counts: ApprovalCounts, width: int) -> list[Line]:
    ended = (
        (counts.approved, "approved"),
        (counts.rejected, "rejected"),
        (counts.expired, "expired"),
        (counts.void, "void"),
    )
    text = ", ".join(f"{count} {word}" for count, word in ended if count) or "never asked before"
    moved = f"; {counts.reached} of {counts.resets} resets reached" if counts.resets else ""
    parts = wrap(text + moved, max(8, width - 10))
    return [field("" if index else name, part) for index, part in enumerate(parts)]


def _past(past: PastApproval, same: bool, now_wall_s: float, width: int) -> list[Line]:
    glyph, tone = _STATES[past.state]
    ago = age(60.0 * ((now_wall_s - past.wall_s) // 60.0))
    who = person(past.by)
    came = f", {past.outcome}" if past.outcome else ""
    why = f": {past.reason}" if past.reason else ""
    text = f"{past.state.value} by {who} {ago} ago{'' if same else ', other code'}{came}{why}"
    parts = wrap(text, max(8, width - 2))
    return [
        ((f"{glyph} " if index == 0 else "  ", tone.removeprefix("bold ")), (part, "dim"))
        for index, part in enumerate(parts)
    ]


def diff(card: ApprovalCard) -> list[Line]:
    """What changed since the last approved version."""
    if not card.diff:
        return [(("nothing changed since the last approved version", "dim"),)]
    return [
        (
            (
                line.expandtabs(4),
                next((tone for mark, tone in _DIFF if line.startswith(mark)), "dim"),
            ),
        )
        for line in card.diff.splitlines()
    ]


def sight(card: ApprovalCard, width: int, height: int) -> list[Line]:
    """The scene with the planned way over it, as large as there is room."""
    frame = card.image
    if frame is None:
        return [((part, "warn"),) for part in wrap(card.image_missing or "no picture", width)]
    wide = min(width, 2 * height * frame.width // frame.height)
    pixels = card.plan.pixels if card.plan is not None else ()
    return picture(frame, wide, way(pixels, frame.width, wide))


def way(pixels: Sequence[tuple[float, float]], of: int, wide: int) -> Marks:
    """The cells of a picture `wide` cells wide that a way through `of` pixels' width crosses."""
    cells = [(math.floor(x * wide / of), math.floor(y * wide / of)) for x, y in pixels]
    marks: Marks = {}
    for one, other in itertools.pairwise(cells):
        marks |= dict.fromkeys(_between(one, other), WAY)
    if cells:
        marks[cells[0]], marks[cells[-1]] = BEGIN, END
    return marks


def _between(one: tuple[int, int], other: tuple[int, int]) -> Iterator[tuple[int, int]]:
    steps = max(abs(other[0] - one[0]), abs(other[1] - one[1]), 1)
    # A point far outside the image is no reason to draw for ever.
    for step in range(min(steps, 1000) + 1):
        share = step / steps
        yield (
            round(one[0] + share * (other[0] - one[0])),
            round(one[1] + share * (other[1] - one[1])),
        )
