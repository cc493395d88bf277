"""What a hand-over to autonomy needs, item by item. Pure."""

from enpire_tui.room.text import Line, fit, wrap
from robots.wire.replies import Checklist

NAME, WIDTH = 16, 66
_GLYPHS = {"OK": ("✓", "good"), "WAIVED": ("~", "dim"), "MISSING": ("✖", "bad")}


def lines(found: Checklist) -> list[Line]:
    """Missing ones first, with what to do about them; each with its glyph and word."""
    told, before = list[Line](), ""
    for item in sorted(found.items, key=lambda item: item.state != "MISSING"):
        glyph, tone = _GLYPHS.get(item.state, ("?", "warn"))
        head = (fit(f"{glyph} {item.state.lower()}", 10), tone), (fit(item.name, NAME), "bold")
        detail = "likewise" if item.detail == before else item.detail
        parts, before = wrap(detail, WIDTH - 10 - NAME), item.detail
        told.append((*head, (parts[0], "")))
        told += [((" " * (10 + NAME), ""), (part, "")) for part in parts[1:]]
        if item.state == "MISSING" and item.remedy:
            told += [
                ((" " * 10, ""), (part, "note")) for part in wrap(f"do: {item.remedy}", WIDTH - 10)
            ]
    return told


def objection(found: Checklist) -> str:
    """Why the fleet cannot be handed over, "" if it can."""
    missing = [item.name for item in found.items if item.state == "MISSING"]
    if missing or not found.ready:
        return f"not yet: {', '.join(missing) or 'the checklist is not complete'}"
    return ""
