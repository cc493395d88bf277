"""An approval's card, and its answer; see `enpire_tui.room.card` for what a key may answer.

The station is asked anew every second. Whatever a person decides on restarts the time for which
keys are ignored, and is what an answer is bound to.
"""

# Textual leaves the type of an app's result open in places.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

import asyncio
from collections.abc import Iterable
from typing import ClassVar

import msgspec
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widget import Widget

from enpire_tui.room import card
from enpire_tui.room.actions import APPROVAL, INBOX, Where
from enpire_tui.room.line_list import LineList, lines
from enpire_tui.room.moment import Moment
from enpire_tui.room.orders import PENDING
from enpire_tui.room.screens.base import RoomScreen, pane, room_of
from enpire_tui.room.text import width_of
from enpire_tui.room.views import approval as view
from robots.wire.approvals import ApprovalCard
from robots.wire.client import Refused, Unreachable
from robots.wire.events import ApprovalClosed

ASK_EVERY_S, ASK_EVERY_REMOTE_S = 1.0, 2.0
LEAST_ROWS = 4


class ApprovalScreen(RoomScreen):
    """See the module."""

    NAME: ClassVar[str] = APPROVAL

    def __init__(self) -> None:
        super().__init__()
        self._station = self._approval = self._fault = ""
        self._from = INBOX
        self._shown: card.Shown | None = None
        self._sight: tuple[object, ...] = ()

    def body(self) -> Iterable[Widget]:
        yield pane(
            "Approval",
            LineList(cursor=False, id="card-head").unfocusable(),
            Vertical(
                LineList(cursor=False, id="sight").unfocusable(),
                LineList(cursor=False, id="evidence", classes="main"),
                id="shown",
            ),
            id="card-pane",
        )
        yield pane("Change", LineList(cursor=False, id="diff"), id="diff-pane")

    @property
    def station(self) -> str:
        return self._station

    def where(self, moment: Moment) -> Where:
        """With the card as it is painted."""
        shown, feed = self._shown, room_of(self).connected
        if shown is not None:
            order = feed.answers.get(self._approval)
            shown = shown._replace(answering=order is not None and order.state == PENDING)
            closed = self._ended_as(moment)
            if closed is not None:
                ended = msgspec.structs.replace(shown.card, state=closed.state)
                shown = shown._replace(card=ended)
        return Where(moment, self.NAME, self._station, shown, feed.clock.monotonic())

    def _ended_as(self, moment: Moment) -> ApprovalClosed | None:
        """How it ended, None if it still waits."""
        ended = moment.station(self._station).tries.closed if self._station else ()
        return next((each for each in ended if each.approval_id == self._approval), None)

    def choose(self, station: str, approval_id: str, back_to: str) -> None:
        """Show this approval from now on."""
        self._from = back_to
        if (station, approval_id) != (self._station, self._approval):
            self._station, self._approval = station, approval_id
            self._shown, self._fault, self._sight = None, "", ()
        if self.is_attached and self.is_current:
            self._follow()

    def do_back(self) -> None:
        """To where one came from."""
        room_of(self).show(self._from, self._station)

    def do_camera(self) -> None:
        """The picture as large as the screen allows, or no longer."""
        self.toggle_class("-large")
        if not self.has_class("-large"):
            self.call_after_refresh(self.list("evidence").focus)
        self.repaint_soon()

    # --- the card ---------------------------------------------------------------------------

    def on_screen_resume(self) -> None:
        """It appears, also from under a dialog: what was typed before that is no answer."""
        if self._shown is not None:
            self._shown = self._shown._replace(since_s=float("inf"))
        self._follow()
        super().on_screen_resume()

    def on_screen_suspend(self) -> None:
        """Nobody looks any more; below a dialog it is still looked at."""
        if isinstance(self.app.screen, ModalScreen):
            return
        self.workers.cancel_group(self, "card")
        self._shown = None

    def _follow(self) -> None:
        self.run_worker(self._ask(self._station, self._approval), group="card", exclusive=True)

    async def _ask(self, station: str, approval_id: str) -> None:
        room = room_of(self)
        while self._shown is None or self._ended_as(room.moment()) is None:
            asked_s = room.connected.clock.monotonic()
            try:
                self._take(await room.connected.card(station, approval_id), asked_s)
                self._fault = ""
            except (Refused, Unreachable) as fault:
                self._fault = str(fault)
            self._repaint()
            await asyncio.sleep(ASK_EVERY_REMOTE_S if room.remote else ASK_EVERY_S)

    def _take(self, found: ApprovalCard, got_s: float) -> None:
        before = self._shown
        same = before is not None and card.same_evidence(before.card, found)
        # The time of painting comes with the paint.
        since_s = before.since_s if before is not None and same else float("inf")
        self._shown = card.Shown(found, got_s, since_s)

    # --- painting ---------------------------------------------------------------------------

    def paint_body(self, moment: Moment) -> None:
        self.head("card-pane", f"Approval {self._approval} of {self._station}")
        where = self.where(moment)
        head, evidence, diff = self.list("card-head"), self.list("evidence"), self.list("diff")
        if where.card is None:
            told = f"no card: {self._fault}" if self._fault else "asking the station for its card"
            head.show(lines([((told, "bad" if self._fault else "dim"),)]))
            for each in (evidence, diff, self.list("sight")):
                each.show(lines([]))
            return
        shown = where.card
        simulated = moment.state.spec.simulated
        reason = card.objection(shown, moment.lease, where.now_s, simulated=simulated)
        told = view.head(shown, reason, where.now_s, head.wide)
        if head.styles.height is None or head.styles.height.value != len(told):
            head.styles.height = len(told)
        head.show(lines(told))
        happened = moment.station(self._station).tries.told
        evidence.show(lines(view.evidence(shown, moment.now_wall_s, happened, evidence.wide)))
        diff.show(lines(view.diff(shown.card)))
        since = shown.card.diff_base[:10]
        whole = "The whole code: none of it was approved before"
        self.head("diff-pane", f"Change since the approved {since}" if since else whole)
        self._paint_sight(shown.card)
        if self._shown is not None and self._shown.since_s == float("inf"):
            self._shown = self._shown._replace(since_s=where.now_s)

    def _paint_sight(self, found: ApprovalCard) -> None:
        """The picture, drawn anew where it or its place is another."""
        sight, most = self.list("sight"), self.list("card-head").wide
        most = most if self.has_class("-large") else most * 3 // 5
        drawn = (found.image, found.plan, most, sight.size.height)
        if drawn != self._sight:
            self._sight = drawn
            # Of a few pixels nothing can be seen; there `c` shows it alone.
            seen = sight.size.height >= LEAST_ROWS
            told = view.sight(found, most, sight.size.height) if seen else []
            sight.styles.width = max((width_of(line) + 1 for line in told), default=1)
            sight.show(lines(told))
