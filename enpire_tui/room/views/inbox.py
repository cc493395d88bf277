"""The inbox as a list: what waits for a person, the oldest first. Pure."""

from enpire_tui.room.inbox import APPROVAL, Item, waited
from enpire_tui.room.text import Line, fit, wrap
from enpire_tui.room.views.pieces import field, word

AGE, STATE, WHO, WIDE = 6, 14, 10, 110


def header(width: int) -> Line:
    """Names of the columns."""
    asked = "asked of you" if width >= WIDE else ""
    told = width - AGE - STATE - WHO - (len(asked) and width // 3)
    names = fit("waits", AGE) + fit("what", STATE) + fit("who", WHO) + fit("why", told) + asked
    return ((names, "dim"),)


def rows(items: list[Item], now_wall_s: float, width: int) -> list[tuple[str, Line]]:
    """Rows by the item's key."""
    third = width // 3 if width >= WIDE else 0
    told = max(1, width - AGE - STATE - WHO - third)
    return [
        (
            each.key,
            (
                (fit(waited(each, now_wall_s), AGE), "dim"),
                word(each.word, STATE),
                (fit(each.station if each.kind == APPROVAL else each.subject, WHO), "bold"),
                (fit(each.text, told - 1) + " ", "bold warn" if each.urgent else ""),
                (fit(each.asked, third) if third else "", "dim"),
            ),
        )
        for each in items
    ]


def detail(item: Item | None, width: int, height: int) -> list[Line]:
    """The chosen item in full."""
    if item is None:
        return [(("nobody waits for you", "dim"),)]
    told = wrap(item.text, max(8, width - 10))[: max(1, height - 1)]
    lines = [field("why" if index == 0 else "", part) for index, part in enumerate(told)]
    return [*lines, field("asked", item.asked, "note")]
