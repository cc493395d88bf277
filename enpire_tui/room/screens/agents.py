"""Every agent with what it is on and what it spent, above the chosen one's transcript as it grows."""

from collections.abc import Iterable
from typing import ClassVar

from textual.widget import Widget

from enpire_tui.room.actions import AGENTS
from enpire_tui.room.line_list import FixedRows, LineList, lines
from enpire_tui.room.moment import Moment
from enpire_tui.room.screens.base import RoomScreen, pane, room_of
from enpire_tui.room.views import agent, agents

# Lines of the pane beside its rows, and by which part of the screen it is bounded.
FRAME, PART = 3, 3


class AgentsScreen(RoomScreen):
    """See the module."""

    NAME: ClassVar[str] = AGENTS

    def __init__(self) -> None:
        super().__init__()
        self._given = 0
        self._shown = ""
        self._transcript = agent.Transcript()

    def body(self) -> Iterable[Widget]:
        yield pane(
            "Agents",
            LineList(cursor=False, id="agents-head", classes="one").unfocusable(),
            LineList(id="agents", classes="main"),
            id="agents-pane",
        )
        yield pane(
            "Transcript",
            LineList(cursor=False, id="agent-detail").unfocusable(),
            LineList(cursor=False, follow=True, id="said"),
            id="said-pane",
        )

    @property
    def station(self) -> str:
        """The chosen agent's: what is done to an agent is done by way of its station."""
        return room_of(self).moment().station_of(self.list("agents").chosen)

    def paint_body(self, moment: Moment) -> None:
        seen, listed, said = moment.state.agents, self.list("agents"), self.list("said")
        given = min(max(1, len(seen)) + FRAME, max(FRAME + 2, self.size.height // PART))
        if given != self._given:
            self._given = given
            self.pane("agents-pane").styles.height = given
        width = listed.wide
        self.list("agents-head").show(lines([agents.header(width)]))
        listed.show(FixedRows(agents.rows(moment, width)))
        who = seen.get(listed.chosen)
        if who is None:
            said.show(lines([(("this fleet has no agents", "dim"),)]))
            return
        if who.name != self._shown:
            self._shown, self._transcript = who.name, agent.Transcript()
            said.following = True
            self.head("said-pane", f"Transcript of {who.name}")
        self.list("agent-detail").show(lines(agents.detail(moment, who, said.wide)))
        self._transcript.take(who, said.wide)
        said.show(self._transcript)

    def on_line_list_moved(self) -> None:
        self.paint_body(room_of(self).moment())

    def on_line_list_entered(self, message: LineList.Entered) -> None:
        room_of(self).show_transcript(message.key)
