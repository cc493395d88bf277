"""One station's link: grants and batches go out, its journal and its signed records come in.

Everything sent is repeated until it is answered, and everything sent is harmless when repeated:
grants by their serial, batches by their id. So the courier keeps nothing that a restart would miss.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection

from enpire_tui.supervisor import counting, station_fold
from enpire_tui.supervisor import state as folding
from enpire_tui.supervisor.conductor import LOST, ONLINE, Conductor
from enpire_tui.supervisor.state import CONFIRM, WITHDRAWN, Batch
from robots.wire import commands as c
from robots.wire.approvals import ApprovalAnswer, TryState
from robots.wire.client import Client, Refused, Unreachable
from robots.wire.clock import Clock
from robots.wire.events import BatchCounted, BatchWithdrawn, Noted, ResetBegan
from robots.wire.records import Counts, Mode, MotionGrant, Signed
from robots.wire.rows import JournalFull, JournalReplaced
from robots.wire.signing import SignatureRefused, SigningKey
from robots.wire.station_replies import BatchPhase, BatchState, StationReport

log = logging.getLogger(__name__)

GRANT_TTL_S = 180.0
GRANT_RENEW_S = 45.0
# In setup a grant covers one approved motion: it is short, and lapses when nobody is there to see.
SETUP_TTL_S = 10.0
SETUP_RENEW_S = 3.0
# Taking autonomy back: a grant of the other mode that is over at once supersedes the long one.
REVOKED_S = 0.05
REQUEST_S = 5.0
# A station that did not answer for so long is lost, and asked again at this pace.
LOST_AFTER_S = 3.0
PAUSE_S = 1.0
# Serials grow over supervisors by this much, so that no two of them use one.
SERIALS_PER_LIFE = 1_000_000


class Courier:
    """Keeps one station in step with the run.

    Args:
        trusted: Public keys that may sign this station's ledger.
        changed: Called whenever the run may have to decide something.
        attended: Whether an operator holds the control lease now.
    """

    def __init__(
        self,
        station: str,
        client: Client,
        conductor: Conductor,
        clock: Clock,
        signer: SigningKey,
        trusted: Collection[bytes],
        changed: Callable[[], None],
        attended: Callable[[], bool],
    ) -> None:
        self.station = station
        self._client = client
        self._conductor = conductor
        self._clock = clock
        self._signer = signer
        self._trusted = frozenset(trusted)
        self._changed = changed
        self._attended = attended
        self._wake = asyncio.Event()
        self._sent: set[str] = set()
        self._cancelled: set[str] = set()
        self._serial = 0
        self._granted: tuple[float, str, str] = (float("-inf"), "", "")
        self._answered_s = clock.monotonic() - PAUSE_S

    def wake(self) -> None:
        """Something is to be sent or fetched."""
        self._wake.set()

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name=f"follow {self.station}")
            tasks.create_task(self._work(), name=f"courier {self.station}")

    async def clear(self) -> None:
        """Cancels whatever the station still works on; the run has ended."""
        for batch_id in tuple(self._conductor.folds[self.station].open):
            command = c.CancelBatch(batch_id=batch_id, reason="run_ended")
            try:
                await self._client.request(command, REQUEST_S)
            except (Refused, Unreachable) as error:
                log.info("%s: cancel %s: %s", self.station, batch_id, error)

    async def hold(self, reason: str) -> None:
        """Holds the station now.

        Raises:
            Refused, Unreachable: It does not hold, or nobody knows.
        """
        await self._client.request(c.Hold(reason=reason), REQUEST_S)

    async def release(self, cause: str) -> None:
        """Releases the station's hold.

        Raises:
            Refused, Unreachable: It is still held, or nobody knows.
        """
        await self._client.request(c.Release(station=self.station, cause=cause), REQUEST_S)

    async def report(self) -> StationReport:
        """What the station says of itself now.

        Raises:
            Refused, Unreachable: Nothing.
        """
        found = await self._client.call(c.GetStatus(), StationReport, REQUEST_S)
        self._answered()
        return found

    async def relay(self, command: c.OnBehalf) -> TryState | ApprovalAnswer:
        """Has the station execute an operator's command.

        Raises:
            Refused, Unreachable: With its reason, or nobody knows.
        """
        tries = isinstance(command.command, c.TryReset | c.TryVerify)
        found = await self._client.call(command, TryState if tries else ApprovalAnswer, REQUEST_S)
        self.wake()
        return found

    # --- what comes in --------------------------------------------------------------------

    async def _follow(self) -> None:
        fold = self._conductor.folds[self.station]
        while True:
            try:
                async for row in self._client.follow(fold.figures.seq):
                    before = fold.incarnation
                    station_fold.apply(fold, row.seq, row.event)
                    if fold.incarnation != before:
                        # A restarted station has its batches, but no grant.
                        self._granted = (float("-inf"), "", "")
                        self.wake()
                    if fold.finished or isinstance(row.event, ResetBegan):
                        self.wake()
                    self._changed()
            except JournalReplaced as error:
                # The station's past is lost; what was counted of it stands in our own journal.
                self._conductor.append(Noted(level="error", text=f"{self.station}: {error}"))
                fold = self._conductor.renew_fold(self.station)

    async def _work(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._round()
            except (Unreachable, JournalFull) as error:
                self._missed(str(error))
                await self._clock.sleep(PAUSE_S)
                continue
            with contextlib.suppress(TimeoutError):
                await self._clock.wait_for(self._wake.wait(), PAUSE_S)

    def _missed(self, detail: str) -> None:
        if self._clock.monotonic() - self._answered_s >= LOST_AFTER_S:
            self._conductor.seen(self.station, LOST, detail)
            self._changed()

    def _answered(self) -> None:
        self._answered_s = self._clock.monotonic()
        if self._conductor.link(self.station) != ONLINE:
            self._conductor.seen(self.station, ONLINE)
            self._changed()

    # --- what goes out --------------------------------------------------------------------

    async def _round(self) -> None:
        await self._grant()
        for batch in self._withdrawn():
            await self._cancel(batch)
        for batch in self._conductor.state.open_batches(self.station):
            if batch.batch_id not in self._sent:
                await self._start(batch)
        fold = self._conductor.folds[self.station]
        for batch_id in tuple(fold.finished):
            batch = self._conductor.state.batches.get(batch_id)
            if batch is not None:
                await self._fetch(batch)
            # Forgotten only now: a fetch that failed is tried again in the next round.
            fold.finished.remove(batch_id)
        if self._clock.monotonic() - self._answered_s >= PAUSE_S:
            await self._client.request(c.GetStatus(), REQUEST_S)
            self._answered()

    async def _grant(self) -> None:
        """Sends the grant that is due: to go on, for a try, or to end what is left of autonomy."""
        state, fold = self._conductor.state, self._conductor.folds[self.station]
        if state.mode is Mode.AUTONOMOUS:
            if state.run is not None and state.ended is None:
                await self._send_grant(GRANT_TTL_S, GRANT_RENEW_S)
        elif fold.moving and self._attended():
            await self._send_grant(SETUP_TTL_S, SETUP_RENEW_S)
        elif fold.granted is Mode.AUTONOMOUS:
            # SAFETY: setup holds now; the long grant of autonomy must not go on.
            await self._send_grant(REVOKED_S, SETUP_RENEW_S)

    async def _send_grant(self, ttl_s: float, renew_s: float) -> None:
        state, now = self._conductor.state, self._clock.monotonic()
        since, mode, incarnation = self._granted
        fold = self._conductor.folds[self.station]
        if now - since < renew_s and mode == state.mode.value and incarnation == fold.incarnation:
            return
        self._serial += 1
        grant = MotionGrant(
            station=self.station,
            run_id=self._conductor.spec.run_id,
            mode=state.mode,
            serial=max(0, state.restarts) * SERIALS_PER_LIFE + self._serial,
            ttl_s=ttl_s,
        )
        command = c.RenewGrant(grant=self._signer.sign(grant))
        granted = (now, state.mode.value, fold.incarnation)
        try:
            await self._client.request(command, REQUEST_S)
        except Refused as error:
            self._note("warning", f"motion grant refused: {error.reason}")
            granted = (now - renew_s + PAUSE_S, *granted[1:])
        self._granted = granted
        self._answered()

    def _withdrawn(self) -> list[Batch]:
        """Batches the station still has, or may have, and nobody wants."""
        there = {*self._conductor.folds[self.station].open, *self._sent} - self._cancelled
        batches = self._conductor.state.batches
        return [
            batches[each]
            for each in sorted(there)
            if each in batches and batches[each].status == WITHDRAWN
        ]

    async def _cancel(self, batch: Batch) -> None:
        command = c.CancelBatch(batch_id=batch.batch_id, reason="withdrawn")
        try:
            await self._client.request(command, REQUEST_S)
        except Refused as error:
            log.info("%s: cancel %s: %s", self.station, batch.batch_id, error.reason)
        self._cancelled.add(batch.batch_id)
        self._answered()

    async def _start(self, batch: Batch) -> None:
        candidate = self._conductor.state.candidates[batch.idea_id]
        assert candidate.recipe is not None, f"{batch.batch_id} was dispatched without a recipe"
        command = c.StartBatch(
            batch_id=batch.batch_id,
            purpose=batch.purpose,
            commit=candidate.idea.commit,
            recipe=candidate.recipe,
            idea_id=batch.idea_id,
            episodes=batch.episodes,
            seeds=batch.seeds,
            stop_at_failure=batch.stage == CONFIRM,
        )
        try:
            found = await self._client.call(command, BatchState, REQUEST_S)
        except Refused as error:
            self._answered()
            self._refused(batch, error.reason)
            return
        self._answered()
        self._sent.add(batch.batch_id)
        if found.phase is BatchPhase.FINISHED:
            await self._fetch(batch)

    def _refused(self, batch: Batch, reason: str) -> None:
        """A batch the station will never take is void; any other is offered again."""
        if reason.startswith(("invalid", "unknown_task", "wrong_task")):
            self._note("error", f"refused {batch.batch_id}: {reason}")
            self._conductor.append(_void(batch))
            self._changed()
        else:
            log.info("%s: %s put off: %s", self.station, batch.batch_id, reason)

    async def _fetch(self, batch: Batch) -> None:
        if batch.status != folding.OPEN:
            return
        command = c.GetBatch(batch_id=batch.batch_id)
        try:
            found = await self._client.call(command, BatchState, REQUEST_S)
        except Refused as error:
            self._answered()
            self._note("error", f"no record of {batch.batch_id}: {error.reason}")
            self._sent.discard(batch.batch_id)
            return
        self._answered()
        if found.signed is not None and batch.status == folding.OPEN:
            self._count(batch, found.signed)

    def _count(self, batch: Batch, signed: Signed) -> None:
        state = self._conductor.state
        assert state.run is not None
        candidate = state.candidates[batch.idea_id]
        try:
            event = counting.counted(signed, self._trusted, batch, candidate, state.run.task)
        except (SignatureRefused, counting.RecordRefused) as error:
            self._note("error", f"record of {batch.batch_id} not counted: {error}")
            self._conductor.append(
                BatchWithdrawn(
                    batch_id=batch.batch_id, station=self.station, reason="record refused"
                )
            )
        else:
            self._conductor.append(event)
        self._changed()

    def _note(self, level: str, text: str) -> None:
        self._conductor.append(Noted(level=level, text=f"{self.station}: {text}"), durable=False)


def _void(batch: Batch) -> BatchCounted:
    return BatchCounted(
        batch_id=batch.batch_id,
        station=batch.station,
        idea_id=batch.idea_id,
        stage=batch.stage,
        counts=Counts(),
        void=True,
        robot_s=0.0,
        wall_s=0.0,
    )
