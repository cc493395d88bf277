"""The room's connections: journals in, telemetry in, verbs out. No Textual here.

Journals are followed by the wire's long poll, each into the one folded state; telemetry is read
when the screen is painted, the latest value only. Whatever is on its way is bounded and ends with
`run`.
"""

import asyncio
import contextlib
import getpass
import os
import socket
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

from enpire_tui.home import GATEWAY, OPERATOR, SUPERVISOR
from enpire_tui.room import orders
from enpire_tui.room.box_watch import BoxWatch, boxes_of
from enpire_tui.room.moment import Lease, Live, Moment
from enpire_tui.room.orders import Order
from enpire_tui.room.state import RoomState
from enpire_tui.room.training import Jobs, JobSeen
from enpire_tui.run_spec import RunSpec
from recipes.jobs.records import JobRefused
from robots.wire import commands as c
from robots.wire.approvals import ApprovalAnswer, ApprovalCard
from robots.wire.client import Client, Refused, Unreachable
from robots.wire.clock import Clock
from robots.wire.codec import DecodeError
from robots.wire.envelopes import LeaseTaken
from robots.wire.journal import JournalReplaced
from robots.wire.lease import LEASE_TTL_S, name_of
from robots.wire.replies import Checklist
from robots.wire.roles import LEASED
from robots.wire.station_replies import CameraFrame, LabelKept
from robots.wire.telemetry import Seen, StationTelemetry
from robots.wire.transport import Transport

# Also how long after the key a command may still be executed.
ANSWER_S = 10.0
FRAME_S = 20.0
GIVE_BACK_S = 1.0
# Rows a page: what is folded in one go must not hold up the keys.
PAGE_ROWS = 200
AGAIN_S = 1.0
MOST_UNDER_WAY = 16


class Telemetry(Protocol):
    """The latest value of each station; see `TelemetrySubscriber`."""

    def drain(self) -> None: ...
    def latest(self, name: str) -> Seen[StationTelemetry] | None: ...
    def close(self) -> None: ...


class Feed:
    """Follows one fleet and speaks to it as an operator.

    Args:
        spec: The fleet's run.
        transport: Makes clients.
        telemetry: Latest values, joined to the stations already; None if there are none.
        clock: Time.
        label: Tells this room from others of the same operator's key.
        boxes: Asks for training jobs; None where there are no boxes.

    Attributes:
        me: Name under which this room holds the control lease.
        person: Who looks, as labels name them.
        answers: What this room answered last to each approval.
    """

    def __init__(
        self,
        spec: RunSpec,
        transport: Transport,
        telemetry: Telemetry | None,
        clock: Clock,
        label: str = "",
        boxes: BoxWatch | None = None,
    ) -> None:
        self.state = RoomState(spec)
        self.orders: list[Order] = []
        self.answers: dict[str, Order] = {}
        self.clock = clock
        self.me = name_of(OPERATOR, label)
        self.person = label.partition("@")[0] or OPERATOR
        self._label = label
        self._epoch: int | None = None
        self._telemetry = telemetry
        self.boxes = boxes
        self._sources = _sources(spec)
        self._clients: dict[str, Client] = {
            name: transport.client(OPERATOR, name) for name in self._sources
        }
        self._tasks: asyncio.TaskGroup | None = None
        self._told: Callable[[], None] = _nobody

    async def run(self, told: Callable[[], None]) -> None:
        """Follow everything until cancelled.

        Args:
            told: Called when an order was answered, which is painted at once.
        """
        self._told = told
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for name in self._sources:
                    tasks.create_task(self._follow(name))
                tasks.create_task(self._renew())
                if self.boxes is not None:
                    tasks.create_task(self.boxes.run())
        finally:
            self._tasks = None
            for client in self._clients.values():
                client.close()
            if self._telemetry is not None:
                self._telemetry.close()

    def moment(self, notice: str = "") -> Moment:
        """What is known now; reads the telemetry that has arrived."""
        lease = Lease(self.state.lease_holder, self.me)
        jobs = self.boxes.jobs() if self.boxes is not None else Jobs(asked=True)
        return Moment(self.state, self._live(), self.clock.wall(), notice, lease, jobs)

    def _live(self) -> dict[str, Live]:
        found: dict[str, Live] = {}
        if self._telemetry is None:
            return found
        self._telemetry.drain()
        for name in self.state.stations:
            # A station of another version: its journal still tells how it stands.
            with contextlib.suppress(DecodeError):
                seen = self._telemetry.latest(name)
                if seen is not None:
                    found[name] = Live(seen.value, seen.held_s + seen.value.age_s)
        return found

    # --- verbs ------------------------------------------------------------------------------

    def order(self, words: str, sends: Mapping[str, c.AnyCommand]) -> Order:
        """Send a command to each of some daemons; the order is pending until all have answered.

        Stops are always sent; others wait for nothing but are refused here when too many are
        under way.
        """
        order = Order(words, self.clock.monotonic())
        self.orders = [*self.orders, order][-orders.KEPT :]
        stop = any(
            isinstance(each, c.Hold | c.EmergencyStop | c.HoldFleet) for each in sends.values()
        )
        under_way = sum(each.state == orders.PENDING for each in self.orders)
        if self._tasks is None:
            self._answer(order, orders.REFUSED, "the room is not connected")
        elif under_way > MOST_UNDER_WAY and not stop:
            self._answer(order, orders.REFUSED, f"{MOST_UNDER_WAY} orders are under way")
        else:
            self._tasks.create_task(self._carry(order, sends))
        return order

    def answer(self, approval_id: str, words: str, command: c.Approve | c.Reject) -> None:
        """Send a person's answer to an approval; the latest of each is kept."""
        order = self.order(words, {SUPERVISOR: command})
        self.answers = {**dict(list(self.answers.items())[1 - orders.KEPT :]), approval_id: order}

    def cancel_job(self, job: JobSeen) -> None:
        """Have a training job ended by its box; it first gets time to write a checkpoint."""
        order = Order(f"cancel {job.status.job_id} on {job.box}", self.clock.monotonic())
        self.orders = [*self.orders, order][-orders.KEPT :]
        if self._tasks is None or self.boxes is None:
            self._answer(order, orders.REFUSED, "the room is not connected")
        else:
            self._tasks.create_task(self._cancel(order, job, self.boxes))

    async def _cancel(self, order: Order, job: JobSeen, boxes: BoxWatch) -> None:
        from recipes.jobs.box import ShellBroken

        try:
            told = await boxes.cancel(job.box, job.status.job_id)
        except JobRefused as refused:
            self._answer(order, orders.REFUSED, str(refused))
        except ShellBroken as broken:
            self._answer(order, orders.UNKNOWN, str(broken))
        else:
            self._answer(order, orders.DONE, told)

    async def _carry(self, order: Order, sends: Mapping[str, c.AnyCommand]) -> None:
        answers = await asyncio.gather(
            *(self._send(name, command) for name, command in sends.items())
        )
        failed = [(state, detail) for state, detail in answers if state != orders.DONE]
        if failed:
            self._answer(order, failed[0][0], "; ".join(detail for _, detail in failed))
        else:
            told = "; ".join(detail for _, detail in answers if detail)
            self._answer(order, orders.DONE, told)

    async def _send(self, name: str, command: c.AnyCommand) -> tuple[str, str]:
        client = self._clients[name]
        try:
            if isinstance(command, c.TakeLease):
                await self._take(force=command.force)
                return orders.DONE, ""
            epoch = None
            if name == SUPERVISOR and isinstance(command, LEASED):
                epoch = await self._take()
            if isinstance(command, c.Approve | c.Reject):
                answer = await client.call(command, ApprovalAnswer, ANSWER_S, lease_epoch=epoch)
                return orders.DONE, f"{answer.state.value} by {answer.by} {answer.note}".rstrip()
            if isinstance(command, c.LabelScene | c.WithdrawLabel):
                return orders.DONE, _counted(await client.call(command, LabelKept, ANSWER_S))
            await client.request(command, ANSWER_S, lease_epoch=epoch)
        except Refused as refused:
            return orders.REFUSED, refused.reason
        except Unreachable:
            return orders.UNKNOWN, f"{name} gave no answer in {ANSWER_S:g} s"
        return orders.DONE, ""

    # --- the control lease ------------------------------------------------------------------

    async def _take(self, *, force: bool = False) -> int:
        """Epoch of our control lease, taken or renewed; never from another unless by `force`."""
        command = c.TakeLease(force=force, label=self._label)
        taken = await self._clients[SUPERVISOR].call(command, LeaseTaken, ANSWER_S)
        self._epoch = taken.epoch
        return taken.epoch

    async def _renew(self) -> None:
        """Keep the lease for as long as this room is open and nobody took it."""
        while True:
            await self.clock.sleep(LEASE_TTL_S / 3.0)
            if self._epoch is not None and self.state.lease_holder == self.me:
                with contextlib.suppress(Refused, Unreachable):
                    await self._take()

    async def give_back(self) -> None:
        """Let others have the lease at once, if it is ours; tried for a moment only."""
        if self._epoch is not None and self.state.lease_holder == self.me:
            with contextlib.suppress(Refused, Unreachable):
                released = c.ReleaseLease(epoch=self._epoch)
                await self._clients[SUPERVISOR].request(released, GIVE_BACK_S)

    def refuse(self, words: str, reason: str) -> None:
        """Say that something cannot be done, in the place where orders stand."""
        now_s = self.clock.monotonic()
        refused = Order(words, now_s, orders.IMPOSSIBLE, reason, now_s)
        self.orders = [*self.orders, refused][-orders.KEPT :]

    def _answer(self, order: Order, state: str, detail: str) -> None:
        order.state, order.detail, order.ended_s = state, detail, self.clock.monotonic()
        self._told()

    async def frame(self, station: str) -> CameraFrame:
        """A picture of a station's scene.

        Raises:
            Refused: It has none.
            Unreachable: It does not answer.
        """
        return await self._clients[station].call(c.GetFrame(), CameraFrame, FRAME_S)

    async def card(self, station: str, approval_id: str) -> ApprovalCard:
        """What a person is asked to decide on.

        Raises:
            Refused: There is no such approval.
            Unreachable: The station does not answer.
        """
        asked = c.GetApproval(approval_id=approval_id)
        return await self._clients[station].call(asked, ApprovalCard, ANSWER_S)

    async def checklist(self) -> Checklist:
        """What a hand-over needs, now.

        Raises:
            Refused, Unreachable: The supervisor told nothing.
        """
        return await self._clients[SUPERVISOR].call(c.GetChecklist(), Checklist, ANSWER_S)

    # --- journals ---------------------------------------------------------------------------

    async def _follow(self, name: str) -> None:
        while True:
            try:
                async for row in self._clients[name].follow(0, limit=PAGE_ROWS):
                    self.state.apply(name, row)
                    if row.seq % PAGE_ROWS == 0:
                        await asyncio.sleep(0)
            except JournalReplaced:
                self.state.forget(name)
            except Refused:
                # A daemon that keeps no journal, or does not let us read it yet.
                await self.clock.sleep(AGAIN_S)


def _sources(spec: RunSpec) -> tuple[str, ...]:
    gateway = (GATEWAY,) if spec.gateway else ()
    return (SUPERVISOR, *spec.stations, *spec.agents, *gateway)


def _counted(kept: LabelKept) -> str:
    counts = kept.counts
    held_out = counts.held_out_success + counts.held_out_failure
    labels = counts.success + counts.failure
    return f"{counts.success} of {labels} labels are successes, {held_out} held out"


def _nobody() -> None:
    """Nobody listens yet."""


def connect(home: Path, spec: RunSpec, clock: Clock) -> Feed:
    """A feed over the real wire.

    Raises:
        KeyFileError: The home has no operator's key.
    """
    from robots.wire.endpoints import telemetry_endpoint
    from robots.wire.keys import load_keypair, load_public
    from robots.wire.telemetry import TelemetrySubscriber
    from robots.wire.transport import ZmqTransport

    telemetry = TelemetrySubscriber(StationTelemetry, load_keypair(home, OPERATOR), clock)
    for name in spec.stations:
        telemetry.add(telemetry_endpoint(home, name), load_public(home, name))
    boxes = BoxWatch(partial(boxes_of, home), clock)
    return Feed(spec, ZmqTransport(home, clock), telemetry, clock, own_label(), boxes)


def own_label() -> str:
    """Who looks at this room from where: person, machine and terminal."""
    try:
        terminal = os.ttyname(0).removeprefix("/dev/")
    except OSError:
        terminal = str(os.getpid())
    return f"{getpass.getuser()}@{socket.gethostname()}:{terminal}"
