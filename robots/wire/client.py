"""Sends commands to one daemon and follows its journal, over any number of reconnects.

No command is executed late: nothing is queued while the daemon is away, each command names the
incarnation it is meant for and a deadline on the daemon's own monotonic clock (learnt by `Hello`).
A command whose connection broke is sent again with the same request id, to the same incarnation
only, which executes it once.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Self, TypeVar

from robots.wire import codec, envelopes
from robots.wire import commands as c
from robots.wire.channel import UP, Channel, ZmqChannel
from robots.wire.clock import Clock
from robots.wire.journal import JournalPage, JournalReplaced, Row
from robots.wire.keys import KeyPair
from robots.wire.reception import Refused
from robots.wire.rows import decode_row
from robots.wire.sockets import DEFAULT_TIMES, MESSAGE_BYTES, LinkTimes

__all__ = ["Client", "Refused", "Unreachable"]

T = TypeVar("T")

REFRESH_S = 60.0  # Clocks of two hosts drift apart; `Hello` is said again after this long.
HELLO_AGAIN_S = 1.0
TRIES = 5  # Times a command is sent, all told.
FOLLOW_WAIT_S = 10.0
FOLLOW_GRACE_S = 5.0
FOLLOW_PAUSE_S = 0.05
PASSING = ("busy", "incarnation", "deadline")  # Refusals after which a read is simply repeated.


class Unreachable(Exception):
    """No answer in time; whether the command was executed is not known."""


@dataclass(frozen=True, slots=True)
class _Session:
    welcome: envelopes.Welcome
    offset_s: float  # At most what the daemon's monotonic clock is ahead of ours.
    at_s: float


class _Pending:
    """A command on its way."""

    def __init__(
        self, request_id: str, command: c.AnyCommand, deadline_s: float, lease_epoch: int | None
    ) -> None:
        self.request_id = request_id
        self.command = command
        self.deadline_s = deadline_s
        self.lease_epoch = lease_epoch
        self.sent_to = ""
        self.tries = 0
        self.reply: asyncio.Future[envelopes.Reply] = asyncio.get_running_loop().create_future()

    def fail(self, reason: str) -> None:
        if not self.reply.done():
            self.reply.set_exception(Unreachable(reason))


class Client:
    """A connection to one daemon; connects at its first use and again whenever it breaks.

    Use it on one event loop. `detail` says in words how the connection stands.
    """

    def __init__(
        self,
        endpoint: str,
        server_public_key: bytes,
        keypair: KeyPair,
        clock: Clock,
        *,
        channel: Channel | None = None,
        times: LinkTimes = DEFAULT_TIMES,
    ) -> None:
        self.endpoint = endpoint
        self.detail = "not yet connected"
        self._clock = clock
        self._channel = channel or ZmqChannel(endpoint, server_public_key, keypair, times)
        self._open = False
        self._closed = False
        self._up = False
        self._session: _Session | None = None
        self._arrived: list[asyncio.Future[None]] = []
        self._pending: dict[str, _Pending] = {}
        self._id = secrets.token_hex(8)
        self._asked = 0
        self._hello_id = ""

    @property
    def connected(self) -> bool:
        """Whether a session stands, as far as is known."""
        return self._session is not None

    async def hello(self, timeout_s: float) -> envelopes.Welcome:
        """Who answers at the endpoint; waits for the first connection.

        Raises:
            Unreachable: Nobody within `timeout_s`.
        """
        return (await self._reach(self._clock.monotonic() + timeout_s)).welcome

    async def request(
        self,
        command: c.AnyCommand,
        timeout_s: float,
        request_id: str | None = None,
        lease_epoch: int | None = None,
    ) -> bytes:
        """Have a command executed and return the result's bytes, b"" if it has none.

        Args:
            command: The command.
            timeout_s: Also the command's deadline: it is not executed later than that.
            request_id: To repeat an earlier request; the daemon answers it from memory.
            lease_epoch: Of the operator's control lease, where the daemon keeps one.

        Raises:
            Refused: It was not executed; says why.
            Unreachable: No answer in time; it may have been executed.
        """
        deadline_s = self._clock.monotonic() + timeout_s
        session = await self._reach(deadline_s)
        pending = _Pending(request_id or self._new_id(), command, deadline_s, lease_epoch)
        if pending.request_id in self._pending:
            raise Refused("invalid: a request of this id is under way")
        self._pending[pending.request_id] = pending
        try:
            self._send(pending, session)
            reply = await self._clock.wait_for(pending.reply, deadline_s - self._clock.monotonic())
        except TimeoutError:
            raise Unreachable(
                f"{self.endpoint}: no answer to {type(command).__name__} in {timeout_s:g} s"
                f" ({self.detail})"
            ) from None
        finally:
            del self._pending[pending.request_id]
        if not reply.ok:
            raise Refused(reply.reason)
        return reply.body

    async def call(
        self,
        command: c.AnyCommand,
        result: type[T],
        timeout_s: float,
        request_id: str | None = None,
        lease_epoch: int | None = None,
    ) -> T:
        """`request` with its result decoded as `result`."""
        return codec.decode(await self.request(command, timeout_s, request_id, lease_epoch), result)

    async def follow(
        self, after_seq: int = 0, journal_id: str = "", limit: int = 1000
    ) -> AsyncIterator[Row]:
        """Every row of the daemon's journal after `after_seq`, once and in order, for ever.

        Args:
            after_seq: The last row that is already known.
            journal_id: The journal it was read from, where known.
            limit: Rows asked for at a time.

        Raises:
            JournalReplaced: The daemon keeps another journal now; start again from 0.
            Refused: The daemon does not let us read.
        """
        while not self._closed:
            command = c.ReadJournal(after_seq=after_seq, limit=limit, wait_s=FOLLOW_WAIT_S)
            try:
                page = await self.call(command, JournalPage, FOLLOW_WAIT_S + FOLLOW_GRACE_S)
            except Unreachable:
                await self._clock.sleep(FOLLOW_PAUSE_S)
                continue
            except Refused as refused:
                if refused.reason not in PASSING:
                    raise
                await self._clock.sleep(FOLLOW_PAUSE_S)
                continue
            journal_id = journal_id or page.journal_id
            if page.journal_id != journal_id or page.last_seq < after_seq:
                raise JournalReplaced(page.journal_id)
            for row in page.rows:
                if row.seq > after_seq:
                    after_seq = row.seq
                    yield decode_row(row)

    def close(self) -> None:
        """Hang up; what is under way ends in `Unreachable`."""
        self._closed = True
        self._lose("closed")
        for pending in self._pending.values():
            pending.fail(f"{self.endpoint}: closed")
        for waiter in self._arrived:
            if not waiter.done():
                waiter.set_exception(Unreachable(f"{self.endpoint}: closed"))
        self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def _reach(self, deadline_s: float) -> _Session:
        """The session, waiting for one until `deadline_s`."""
        if self._closed:
            raise Unreachable(f"{self.endpoint}: closed")
        if not self._open:
            self._open = True
            self._channel.open(self._on_message, self._on_change)
        now_s = self._clock.monotonic()
        if self._session is not None and now_s - self._session.at_s > REFRESH_S:
            self._say_hello()
        while self._session is None:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._arrived.append(waiter)
            left_s = deadline_s - self._clock.monotonic()
            try:
                await self._clock.wait_for(waiter, min(left_s, HELLO_AGAIN_S))
            except TimeoutError:
                if self._clock.monotonic() >= deadline_s:
                    text = f"{self.endpoint}: nobody answers ({self.detail})"
                    raise Unreachable(text) from None
                self._say_hello()
            finally:
                self._arrived.remove(waiter)
        return self._session

    def _send(self, pending: _Pending, session: _Session) -> None:
        incarnation = session.welcome.incarnation
        if pending.sent_to not in ("", incarnation):
            pending.fail(f"{self.endpoint}: restarted while {type(pending.command).__name__} ran")
            return
        if pending.tries >= TRIES:
            pending.fail(f"{self.endpoint}: connection broke {pending.tries} times")
            return
        payload = codec.encode(
            envelopes.Request(
                request_id=pending.request_id,
                incarnation=incarnation,
                deadline_s=pending.deadline_s + session.offset_s,
                command=pending.command,
                lease_epoch=pending.lease_epoch,
            )
        )
        if len(payload) > MESSAGE_BYTES:
            raise Refused(f"too_large: {len(payload)} bytes, at most {MESSAGE_BYTES}")
        if self._channel.send(payload):
            pending.sent_to = incarnation
            pending.tries += 1

    def _on_change(self, change: str) -> None:
        if change != UP:
            self._lose(change)
            return
        self._up = True
        self.detail = "connected, not yet greeted"
        self._session = None
        self._say_hello()

    def _new_id(self) -> str:
        self._asked += 1
        return f"{self._id}-{self._asked}"

    def _lose(self, why: str) -> None:
        self._up = False
        self._session = None
        self.detail = why

    def _say_hello(self) -> None:
        if not self._up:
            return
        self._hello_id = self._new_id()
        request = envelopes.Request(
            request_id=self._hello_id, incarnation="", deadline_s=0.0, command=c.Hello()
        )
        self._channel.send(codec.encode(request))

    def _on_message(self, payload: bytes) -> None:
        try:
            reply = codec.decode_reply(payload)
        except codec.DecodeError:
            return  # Not an answer: dropped; what was asked for ends by its deadline.
        if reply.request_id == self._hello_id:
            self._on_welcome(reply)
            return
        pending = self._pending.get(reply.request_id)
        if pending is None or pending.reply.done():
            return
        if not reply.ok and self._missed(pending, reply.reason):
            # Refused because of what we believed of the daemon, hence not executed: ask who it
            # is, and by which clock, and send it once more.
            pending.sent_to = ""
            self._session = None
            self._say_hello()
            return
        pending.reply.set_result(reply)

    def _missed(self, pending: _Pending, reason: str) -> bool:
        if pending.tries != 1:
            return False
        early = reason == "deadline" and self._clock.monotonic() < pending.deadline_s
        return reason == "incarnation" or early

    def _on_welcome(self, reply: envelopes.Reply) -> None:
        if not reply.ok:
            self.detail = reply.reason
            return
        welcome = codec.decode(reply.body, envelopes.Welcome)
        now_s = self._clock.monotonic()
        # The daemon read its clock before now: this offset is never too large, so a deadline
        # comes early by the way back at most, never late.
        before = self._session
        self._session = _Session(welcome, welcome.monotonic_s - now_s, now_s)
        self.detail = "connected"
        if before is not None and before.welcome.incarnation == welcome.incarnation:
            return  # Only the clock was asked for; nothing was lost on the way.
        for pending in tuple(self._pending.values()):
            if not pending.reply.done():
                self._send(pending, self._session)
        for waiter in self._arrived:
            if not waiter.done():
                waiter.set_result(None)
