"""A station's workspace: its robot, its training and evaluation, and its agent, side by side."""

# Textual leaves the type of an app's result open in places.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import asyncio
from collections.abc import Iterable
from typing import ClassVar

from textual.containers import Vertical
from textual.widget import Widget

from enpire_tui.room.actions import WORKSPACE
from enpire_tui.room.line_list import LineList, lines
from enpire_tui.room.moment import Moment
from enpire_tui.room.screens.base import RoomScreen, pane, room_of
from enpire_tui.room.text import Line
from enpire_tui.room.views import agent, jobs, robot
from robots.station.tasks import TaskError, load_task
from robots.wire.client import Refused, Unreachable

CAMERA_EVERY_S = 0.5


class WorkspaceScreen(RoomScreen):
    """See the module."""

    NAME: ClassVar[str] = WORKSPACE

    def __init__(self) -> None:
        super().__init__()
        self._station = ""
        self._transcript = agent.Transcript()
        self._axes: tuple[robot.Axis, ...] | None = None
        self._frame: list[Line] = []

    def body(self) -> Iterable[Widget]:
        yield Vertical(
            pane("Robot", LineList(cursor=False, id="robot"), id="robot-pane"),
            pane("Training", LineList(cursor=False, id="jobs"), id="jobs-pane"),
            id="left",
        )
        yield pane(
            "Agent",
            LineList(cursor=False, id="agent-head").unfocusable(),
            LineList(cursor=False, follow=True, id="transcript", classes="main"),
            id="right",
        )

    @property
    def station(self) -> str:
        return self._station

    def choose(self, station: str) -> None:
        """Show another station from now on."""
        if station == self._station:
            return
        self._station = station
        self._transcript = agent.Transcript()
        self._stop_looking()
        if self.composed:
            self.list("transcript").following = True
            self._repaint()

    def do_next_station(self) -> None:
        """The station after this one, in the fleet's order."""
        self._step(1)

    def do_previous_station(self) -> None:
        """The one before it."""
        self._step(-1)

    def _step(self, by: int) -> None:
        names = list(room_of(self).moment().state.stations)
        self.choose(names[(names.index(self._station) + by) % len(names)])

    # --- camera -----------------------------------------------------------------------------

    def do_camera(self) -> None:
        """Look through the station's camera, or no longer."""
        if self._frame:
            self._stop_looking()
        else:
            self._frame = [(("looking", "dim"),)]
            self.run_worker(self._look(self._station), group="camera", exclusive=True)

    def on_screen_suspend(self) -> None:
        """Nobody looks any more."""
        self._stop_looking()

    def _stop_looking(self) -> None:
        self._frame = []
        if self.composed:
            self.workers.cancel_group(self, "camera")

    async def _look(self, station: str) -> None:
        """Ask for one picture after the other; over SSH for a single one."""
        room = room_of(self)
        while True:
            try:
                frame = await room.connected.frame(station)
            except (Refused, Unreachable) as fault:
                self._frame = [((f"no picture: {fault}", "warn"),)]
                return
            shown = self.list("robot")
            # All of it is seen without scrolling: a cell is one pixel wide and two high.
            width = min(shown.wide, 2 * max(6, shown.size.height - 4) * frame.width // frame.height)
            head = f"camera {frame.camera}, c closes it"
            self._frame = [((head, "dim"),), *robot.picture(frame, width)]
            self._repaint()
            if room.remote:
                return
            await asyncio.sleep(CAMERA_EVERY_S)

    def paint_body(self, moment: Moment) -> None:
        name = self._station
        if name not in moment.state.stations:
            return
        self.head("robot-pane", f"Robot {name}")
        if self._axes is None:
            self._axes = _axes(moment.state.spec.task)
        pane_ = self.list("robot")
        told = robot.lines(moment, name, self._axes, pane_.wide, self._frame)
        pane_.show(lines(told))
        self.list("jobs").show(lines(jobs.lines(moment, name, self.list("jobs").wide)))
        said = self.list("transcript")
        self.list("agent-head").show(lines(agent.head(moment, name, said.wide)))
        who = moment.agent(name)
        if who is not None:
            self.head("right", f"Agent {who.name}")
            self._transcript.take(who, said.wide)
            said.show(self._transcript)


def _axes(task: str) -> tuple[robot.Axis, ...]:
    try:
        return robot.axes(load_task(task).spec)
    except TaskError:
        # A task of another host: its numbers are shown without names and limits.
        return ()
