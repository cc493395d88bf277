"""The first screen where no fleet is up: what is being started, and how far it is."""

from collections.abc import Iterable

from textual.app import ComposeResult
from textual.screen import Screen

from enpire_tui.room.line_list import LineList, lines
from enpire_tui.room.text import Line, fit, wrap
from enpire_tui.room.tones import state

RUNNING = "RUNNING"


class StartingScreen(Screen[object]):
    """See the module."""

    def compose(self) -> ComposeResult:
        yield LineList(cursor=False, id="starting")

    def on_mount(self) -> None:
        """The first words come with the first paint."""
        self.query_one(LineList).show(lines(told("", "looking for the fleet", (), "", 0)))

    def paint(
        self, words: str, detail: str, daemons: Iterable[tuple[str, str]], fault: str
    ) -> None:
        """Show how the start stands."""
        shown = self.query_one(LineList)
        shown.show(lines(told(words, detail, daemons, fault, shown.size.width)))


def told(
    words: str, detail: str, daemons: Iterable[tuple[str, str]], fault: str, width: int
) -> list[Line]:
    """The lines of the screen."""
    found: list[Line] = [(), ((" enpire ", "bold"), (f" {words}", "")), ()]
    if fault:
        found.append(((" ✖ the fleet did not come up", "bold bad"),))
        found += [((f"   {part}", ""),) for part in wrap(fault, max(8, width - 4))]
        return [*found, (), ((" q ", "bold key"), ("leave", ""))]
    found.append(((f" … {detail}", "note"),))
    for name, how in daemons:
        glyph, tone = ("●", "good") if how == RUNNING else state("STARTING")
        found.append(((f"   {glyph} ", tone), (fit(name, 12), ""), (how, "dim")))
    note = " Leaving ends nothing: daemons go on, and the next `enpire-tui` attaches."
    return [*found, (), ((note, "dim"),), ((" q ", "bold key"), ("detach", ""))]
