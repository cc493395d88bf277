"""What stands between a message and its execution, the same for every transport.

A command runs only if its sender's role admits it, it was meant for this incarnation, its
deadline has not passed on our monotonic clock, an operator's lease is in date, and its request id
is new. Each refusal says why and is counted.
"""

import asyncio
import logging
import secrets
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec

from robots.wire import codec, envelopes, roles
from robots.wire import commands as c
from robots.wire import lease as leases
from robots.wire.clock import Clock
from robots.wire.journal import Journal, JournalFull, JournalPage
from robots.wire.keys import Identity
from robots.wire.records import Role
from robots.wire.sockets import MESSAGE_BYTES

log = logging.getLogger(__name__)

REMEMBERED = 65_536  # Replies kept for repeated request ids, each until its deadline has passed.
IN_FLIGHT = 256  # Commands executing at once; stops are admitted beyond it.
READERS = 256  # Long polls of the journal; beyond it the oldest is answered early.
LONGEST_WAIT_S = 30.0
LONGEST_DEADLINE_S = 600.0  # A reply is remembered until then at the latest.
PAGE_ROWS = 5000

Answer = Callable[[bytes], None]
LeaseWatch = Callable[[leases.Lease, leases.Lease, str], None]
"""Told of the lease before and after it changed hands, and how: taken, forced, released, lapsed."""


class Refused(Exception):
    """A command that was not executed, with its named reason; raised on either side."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Peer:
    """Who sent a command.

    Attributes:
        name: Name of the key.
        deadline_s: On our monotonic clock; work that cannot end by then may refuse.
    """

    name: str
    role: Role
    request_id: str
    deadline_s: float


Handle = Callable[[c.AnyCommand, Peer], Awaitable[msgspec.Struct | None]]


@dataclass(slots=True)
class _Remembered:
    kind: type
    deadline_s: float
    reply: bytes | None = None
    waiting: list[Answer] = field(default_factory=list[Answer])


class _RequestId(msgspec.Struct):
    request_id: str


class Reception:
    """Checks, executes and answers one daemon's commands."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        handle: Handle,
        journal: Journal | None = None,
        *,
        leased: bool = False,
    ) -> None:
        self.name = name
        self.incarnation = secrets.token_hex(8)
        self.counts: Counter[str] = Counter()
        self.lease = leases.Lease()
        self.on_lease: LeaseWatch = _unwatched
        self._leased = leased
        self._clock = clock
        self._handle = handle
        self._journal = journal
        self._remembered: OrderedDict[tuple[str, str], _Remembered] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._executing = 0
        self._readers: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self._unsubscribe = journal.subscribe(self._committed) if journal else None

    def receive(self, payload: bytes, identity: Identity | None, answer: Answer) -> None:
        """Take one message; `answer` may be called now, later, or never (dropped and counted)."""
        if identity is None:
            self.counts["unknown_key"] += 1
            return
        if len(payload) > MESSAGE_BYTES:
            self.counts["oversized"] += 1
            return
        try:
            request = codec.decode_request(payload)
        except codec.DecodeError as error:
            self._misunderstood(payload, error, answer)
            return
        command = request.command
        if isinstance(command, c.Hello):
            answer(self._reply(request, self._welcome(identity)))
            return
        key = (identity.name, request.request_id)
        known = self._remembered.get(key)
        if known is not None:
            self._repeat(known, request, answer)
            return
        reason = self._objection(request, identity)
        if reason:
            answer(self._refusal(request, reason))
            return
        self._admit(request, key, identity, answer)

    async def close(self) -> None:
        """Cancel what executes; unanswered senders learn it from the broken connection."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _objection(self, request: envelopes.Request, identity: Identity) -> str:
        """Why this request is not executed, "" if it is."""
        now_s = self._clock.monotonic()
        command = request.command
        if not roles.admits(command, identity.role):
            return f"role: {identity.role.value} may not send {type(command).__name__}"
        if request.incarnation != self.incarnation:
            return "incarnation"
        if now_s >= request.deadline_s:
            return "deadline"
        if request.deadline_s - now_s > LONGEST_DEADLINE_S:
            return f"invalid: a deadline is at most {LONGEST_DEADLINE_S:.0f} s ahead"
        if self._leased and identity.role is Role.OPERATOR and isinstance(command, roles.LEASED):
            return leases.objection(self.lease, identity.name, request.lease_epoch, now_s)
        return ""

    def _admit(
        self, request: envelopes.Request, key: tuple[str, str], identity: Identity, answer: Answer
    ) -> None:
        match request.command:
            case c.ReadJournal() as command:
                self._start_reading(request, command, answer)
            case c.ReadSnapshot():
                answer(self._snapshot(request))
            case c.TakeLease() as command:
                answer(self._take_lease(request, command, identity))
            case c.ReleaseLease(epoch=epoch):
                answer(self._release_lease(request, epoch, identity))
            case command:
                stops = isinstance(command, roles.STOPS)
                if not stops and (self._executing >= IN_FLIGHT or not self._make_room()):
                    answer(self._refusal(request, "busy"))
                    return
                kept = _Remembered(type(command), request.deadline_s, waiting=[answer])
                self._remembered[key] = kept
                self._spawn(self._execute(request, identity, key, kept))

    async def _execute(
        self,
        request: envelopes.Request,
        identity: Identity,
        key: tuple[str, str],
        kept: _Remembered,
    ) -> None:
        peer = Peer(identity.name, identity.role, request.request_id, request.deadline_s)
        self._executing += 1
        try:
            # The loop may have stood still since the message was read.
            if self._clock.monotonic() >= request.deadline_s:
                reply = self._refusal(request, "deadline")
            else:
                reply = self._reply(request, await self._handle(request.command, peer))
        except Refused as refused:
            reply = self._refusal(request, refused.reason)
        except JournalFull as fault:
            reply = self._refusal(request, f"journal: {fault}")
        except Exception as fault:
            log.exception("%s failed at %s", self.name, type(request.command).__name__)
            reply = self._refusal(request, f"fault: {type(fault).__name__}: {fault}")
        finally:
            self._executing -= 1
        if isinstance(request.command, roles.READS):
            self._remembered.pop(key, None)
        kept.reply = reply
        for answer in kept.waiting:
            answer(reply)
        kept.waiting.clear()

    def _repeat(self, known: _Remembered, request: envelopes.Request, answer: Answer) -> None:
        self.counts["repeated"] += 1
        if known.kind is not type(request.command):
            answer(self._refusal(request, "invalid: request id was used for another command"))
        elif known.reply is not None:
            answer(known.reply)
        else:
            known.waiting.append(answer)

    def _make_room(self) -> bool:
        """Forget replies that nobody can ask for any more; whether there is room for one."""
        now_s = self._clock.monotonic()
        for _ in range(2):
            if not self._remembered:
                break
            key, oldest = next(iter(self._remembered.items()))
            if oldest.reply is None or oldest.deadline_s > now_s:
                break
            # A repeat after its deadline is refused for that, so it cannot execute twice.
            del self._remembered[key]
        return len(self._remembered) < REMEMBERED

    def _misunderstood(self, payload: bytes, error: Exception, answer: Answer) -> None:
        self.counts["malformed"] += 1
        try:
            request_id = codec.decode(payload, _RequestId).request_id
        except codec.DecodeError:
            return
        reply = envelopes.Reply(request_id=request_id, ok=False, reason=f"invalid: {error}")
        answer(codec.encode(reply))

    def _welcome(self, identity: Identity) -> envelopes.Welcome:
        return envelopes.Welcome(
            name=self.name,
            incarnation=self.incarnation,
            monotonic_s=self._clock.monotonic(),
            role=identity.role,
            journal_id=self._journal.journal_id if self._journal else "",
            last_seq=self._journal.committed_seq if self._journal else 0,
        )

    def _snapshot(self, request: envelopes.Request) -> bytes:
        if self._journal is None:
            return self._refusal(request, "no_journal")
        state, seq = self._journal.load_snapshot() or (b"", 0)
        found = envelopes.Snapshot(seq=seq, state=state, journal_id=self._journal.journal_id)
        return self._reply(request, found)

    def _take_lease(
        self, request: envelopes.Request, command: c.TakeLease, identity: Identity
    ) -> bytes:
        if not self._leased:
            return self._refusal(request, "no_lease: this daemon keeps none")
        self.lapse_lease()
        now_s, before = self._clock.monotonic(), self.lease
        who = leases.name_of(identity.name, command.label)
        taken = leases.take(before, who, now_s, force=command.force)
        if taken is None:
            left_s = before.until_s - now_s
            return self._refusal(
                request, f"lease: held by {before.holder} for {left_s:.0f} s more; force takes it"
            )
        how = "forced" if before.holder and before.holder != who else "taken"
        self._change_lease(taken, how)
        return self._reply(
            request, envelopes.LeaseTaken(epoch=taken.epoch, ttl_s=taken.until_s - now_s)
        )

    def _release_lease(self, request: envelopes.Request, epoch: int, identity: Identity) -> bytes:
        held = self.lease.holder.partition("/")[0] == identity.name
        if held and epoch == self.lease.epoch:
            self._change_lease(leases.ended(self.lease), "released")
        return self._reply(request, None)

    def lapse_lease(self) -> None:
        """End a lease that nobody renewed in time."""
        if self.lease.holder and self._clock.monotonic() >= self.lease.until_s:
            self._change_lease(leases.ended(self.lease), "lapsed")

    def _change_lease(self, lease: leases.Lease, how: str) -> None:
        before, self.lease = self.lease, lease
        if before.holder != lease.holder:
            self.on_lease(before, lease, how)

    def _start_reading(
        self, request: envelopes.Request, command: c.ReadJournal, answer: Answer
    ) -> None:
        if self._journal is None:
            answer(self._refusal(request, "no_journal"))
        elif command.wait_s <= 0 or self._journal.committed_seq != command.after_seq:
            # Rows are there, or the reader is ahead of a journal that was replaced.
            answer(self._page(request, self._journal, command))
        else:
            self._spawn(self._read_later(request, self._journal, command, answer))

    async def _read_later(
        self, request: envelopes.Request, journal: Journal, command: c.ReadJournal, answer: Answer
    ) -> None:
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._readers[committed] = None
        if len(self._readers) > READERS:
            _wake(next(iter(self._readers)))
        try:
            await self._clock.wait_for(committed, min(command.wait_s, LONGEST_WAIT_S))
        except TimeoutError:
            pass
        finally:
            self._readers.pop(committed, None)
        answer(self._page(request, journal, command))

    def _page(self, request: envelopes.Request, journal: Journal, command: c.ReadJournal) -> bytes:
        rows = journal.raw_rows(command.after_seq, min(command.limit, PAGE_ROWS))
        last = journal.committed_seq
        return self._reply(
            request, JournalPage(journal_id=journal.journal_id, last_seq=last, rows=rows)
        )

    def _committed(self, seq: int) -> None:
        del seq
        for reader in tuple(self._readers):
            _wake(reader)

    def _reply(self, request: envelopes.Request, result: msgspec.Struct | None) -> bytes:
        body = b"" if result is None else codec.encode(result)
        if len(body) > MESSAGE_BYTES:
            return self._refusal(request, f"too_large: the answer has {len(body)} bytes")
        return codec.encode(envelopes.Reply(request_id=request.request_id, ok=True, body=body))

    def _refusal(self, request: envelopes.Request, reason: str) -> bytes:
        self.counts[reason.partition(":")[0]] += 1
        return codec.encode(envelopes.Reply(request_id=request.request_id, ok=False, reason=reason))

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _unwatched(before: leases.Lease, after: leases.Lease, how: str) -> None:
    """Nobody keeps a record of the lease here."""


def _wake(reader: asyncio.Future[None]) -> None:
    if not reader.done():
        reader.set_result(None)
