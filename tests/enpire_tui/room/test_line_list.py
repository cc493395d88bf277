"""The list: what it repaints, what its cursor is bound to, and a million rows."""

import time

from textual.app import App, ComposeResult
from textual.geometry import Region

from enpire_tui.room import themes
from enpire_tui.room.line_list import FixedRows, LineList
from enpire_tui.room.text import Line


class ListApp(App[None]):
    def __init__(self, **options) -> None:
        super().__init__()
        self.shown = LineList(**options)
        self.entered: list[str] = []
        self.register_theme(themes.THEMES[0])
        self.theme = themes.DARK

    def compose(self) -> ComposeResult:
        yield self.shown

    def on_line_list_entered(self, message: LineList.Entered) -> None:
        self.entered.append(message.key)


def rows(names, **texts: str) -> FixedRows:
    return FixedRows([(name, ((texts.get(name, f"row {name}"), "good"),)) for name in names])


def names(count: int) -> list[str]:
    return [f"k{number}" for number in range(count)]


async def test_only_rows_whose_text_changed_are_repainted():
    app = ListApp()
    async with app.run_test(size=(40, 10)) as pilot:
        app.shown.show(rows(names(100)))
        await pilot.pause()
        asked: list[Region] = []
        refresh = app.shown.refresh
        app.shown.refresh = lambda *regions: (asked.extend(regions), refresh(*regions))
        app.shown.show(rows(names(100)))
        assert asked == []
        app.shown.show(rows(names(100), k4="new", k50="not on the screen"))
        assert [region.y for region in asked] == [4]
        await pilot.pause()
        assert app.shown.render_line(4).text.startswith("new")
        asked.clear()
        app.shown.show(rows(names(100), k4="net", k50="not on the screen"))
        assert asked == [Region(2, 4, 1, 1)], "only the cell that differs"


async def test_the_cursor_stays_with_its_row_wherever_that_goes():
    app = ListApp()
    async with app.run_test(size=(40, 10)) as pilot:
        app.shown.show(rows(names(30)))
        await pilot.press("down", "down", "down")
        assert app.shown.chosen == "k3"
        app.shown.show(rows([*reversed(names(30))]))
        await pilot.pause()
        assert app.shown.chosen == "k3"
        shown = [app.shown.render_line(y).text.strip() for y in range(10)]
        assert "row k3" in shown, "it is still on the screen"
        await pilot.press("enter")
        await pilot.pause()
        assert app.entered == ["k3"]
        app.shown.show(rows(["k1", "k2"]))
        assert app.shown.chosen == "k2", "its row is gone: the nearest one"
        app.shown.show(rows([]))
        assert app.shown.chosen == ""
        await pilot.press("down", "enter")
        assert app.entered == ["k3"]


async def test_a_list_that_follows_its_end_stops_when_the_person_looks_back():
    app = ListApp(cursor=False, follow=True)
    async with app.run_test(size=(40, 10)) as pilot:
        app.shown.show(rows(names(30)))
        await pilot.pause()
        assert app.shown.render_line(9).text.strip() == "row k29"
        app.shown.show(rows(names(31)))
        await pilot.pause()
        assert app.shown.render_line(9).text.strip() == "row k30"
        await pilot.press("up")
        app.shown.show(rows(names(40)))
        await pilot.pause()
        assert app.shown.render_line(9).text.strip() == "row k29"
        await pilot.press("end")
        app.shown.show(rows(names(50)))
        await pilot.pause()
        assert app.shown.render_line(9).text.strip() == "row k49"


async def test_long_lines_are_cut_and_hostile_ones_are_harmless():
    app = ListApp()
    async with app.run_test(size=(20, 4)) as pilot:
        told: list[tuple[str, Line]] = [
            ("a", (("x" * 50, ""),)),
            ("b", (("\x1b[2Jgone[bold]", "bad"),)),
        ]
        app.shown.show(FixedRows(told))
        await pilot.pause()
        assert app.shown.render_line(0).text == "x" * 19 + "…"
        assert app.shown.render_line(1).text == "gone[bold]".ljust(20)


class Million:
    """A million rows of which none exists before it is asked for."""

    def __len__(self) -> int:
        return 1_000_000

    def key(self, index: int) -> str:
        return str(index)

    def find(self, key: str) -> int:
        return int(key)

    def line(self, index: int, width: int) -> Line:
        return ((f"line {index}", ""),)


async def test_a_million_rows_page_like_ten():
    app = ListApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.shown.show(Million())
        await pilot.pause()
        await pilot.press("end")
        assert app.shown.chosen == "999999"
        app.shown.choose("500000")
        began = time.perf_counter()
        for _ in range(20):
            app.shown.action_page(-1)
            [app.shown.render_line(y) for y in range(24)]
        assert (time.perf_counter() - began) / 20 < 0.05
        assert app.shown.chosen == str(500_000 - 20 * 23)


async def test_a_click_chooses_and_a_second_one_opens():
    app = ListApp()
    async with app.run_test(size=(40, 10)) as pilot:
        app.shown.show(rows(names(5)))
        await pilot.pause()
        await pilot.click(LineList, offset=(3, 2))
        assert app.shown.chosen == "k2"
        await pilot.click(LineList, offset=(3, 2))
        await pilot.pause()
        assert app.entered == ["k2"]
