"""The run's research: the hill climb above the ideas."""

from collections.abc import Iterable
from typing import ClassVar

from textual.widget import Widget

from enpire_tui.room.actions import RESEARCH
from enpire_tui.room.line_list import FixedRows, LineList, lines
from enpire_tui.room.moment import Moment
from enpire_tui.room.screens.base import RoomScreen, pane
from enpire_tui.room.views import research


class ResearchScreen(RoomScreen):
    """See the module."""

    NAME: ClassVar[str] = RESEARCH

    def body(self) -> Iterable[Widget]:
        yield pane(
            "Hill climb: the champion's rate over research time",
            LineList(cursor=False, id="climb").unfocusable(),
            LineList(cursor=False, id="figures", classes="one").unfocusable(),
            id="climb-pane",
        )
        yield pane(
            "Ideas",
            LineList(cursor=False, id="ideas-head", classes="one").unfocusable(),
            LineList(id="ideas", classes="main"),
            LineList(cursor=False, id="idea-detail").unfocusable(),
            id="ideas-pane",
        )

    def paint_body(self, moment: Moment) -> None:
        climb, ideas = self.list("climb"), self.list("ideas")
        width = ideas.wide
        climb.show(lines(research.climb(moment, climb.wide, climb.size.height)))
        self.list("figures").show(lines([research.figures(moment, climb.wide)]))
        self.list("ideas-head").show(lines([research.idea_header(width)]))
        ideas.show(FixedRows(research.ideas(moment, width)))
        self.list("idea-detail").show(lines(research.detail(moment, ideas.chosen, width)))
