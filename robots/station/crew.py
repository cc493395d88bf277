"""The batch thread: runs one batch or try after another and hands what happens over to the daemon's loop.

It touches neither journal nor sockets. What must be on record before the robot moves, an episode's
beginning, waits for the loop's word; a loop that cannot write (disk full) thereby holds the robot.
"""

import asyncio
import concurrent.futures
import logging
import queue
import threading
import time
from collections.abc import Callable

import msgspec

from robots.safety.table import Condition
from robots.station.authority import Authority, BatchCancelled
from robots.station.children import printable
from robots.station.glimpses import Glimpses
from robots.station.ledger import Ledger, sha256_of
from robots.station.recording import Recorder, RecordingInfo, Trace
from robots.station.reports import finished_event, ledger_record
from robots.station.rollout import BatchPlan, Rig
from robots.station.trying import Desk, Errand, Trier
from robots.wire.clock import Clock
from robots.wire.events import (
    AnyEvent,
    EpisodeFinished,
    EpisodeStarted,
    Noted,
    PolicyBlocked,
    SafetyActed,
)
from robots.wire.records import MANIFEST_CHANGED, Episode

log = logging.getLogger(__name__)

BLOCKED_ROWS = 20
"""Rows a batch may fill with what its policy tried; the rest is counted."""

_RETRY_S = 0.5

Post = Callable[[AnyEvent, bool], "concurrent.futures.Future[None]"]


class Crew:
    """One thread with one rig.

    Args:
        station: The station's name.
        make_rig: Makes the rig, on the thread, since a driver belongs to it.
        authority: Shared with the daemon.
        ledger: Written here, read by the daemon after it was told of a batch's end.
        recorder: Where recordings go; None for none.
        record_all: Record batches that did not ask for it too.
        clock: For wall times.
        post: Has the loop journal an event; the future is done when it is.
        evidence: Takes an episode's course on the loop.
        stopped: Told of a protective stop (its condition) or a quarantine (None).
        gave_up: Told that the rig broke and the batch is left where it was.
        desk: What tries ask and tell.
    """

    def __init__(
        self,
        *,
        station: str,
        make_rig: Callable[[], Rig],
        authority: Authority,
        ledger: Ledger,
        recorder: Recorder | None,
        record_all: bool,
        clock: Clock,
        post: Post,
        evidence: Callable[[str, int, Trace], None],
        stopped: Callable[[Condition | None, str], None],
        gave_up: Callable[[], None],
        desk: Desk,
    ) -> None:
        self._station = station
        self._make_rig = make_rig
        self._authority = authority
        self._ledger = ledger
        self._recorder = recorder
        self._record_all = record_all
        self._clock = clock
        self._post = post
        self._evidence = evidence
        self.stopped = stopped
        self._gave_up = gave_up
        self._desk = desk
        self.glimpses = Glimpses()
        self._plans: queue.Queue[tuple[BatchPlan, float] | Errand | None] = queue.Queue(maxsize=2)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"{station}-batches", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def hand_over(self, plan: BatchPlan, started_wall_s: float) -> None:
        """Give the idle thread its next batch."""
        self._plans.put_nowait((plan, started_wall_s))

    def send_on(self, errand: Errand) -> None:
        """Give the idle thread a try to make."""
        self._plans.put_nowait(errand)

    async def close(self, timeout_s: float) -> None:
        """End the batch in work, unfinished, and the thread."""
        self._closing.set()
        self._authority.close()
        self._plans.put_nowait(None)
        await asyncio.to_thread(self._thread.join, timeout_s)
        if self._thread.is_alive():
            log.error("%s: the batch thread did not end in %.0f s", self._station, timeout_s)

    def _work(self) -> None:
        rig: Rig | None = None
        try:
            while True:
                try:
                    handed = self._plans.get(timeout=_RETRY_S)
                except queue.Empty:
                    rig = self._look(rig)
                    continue
                if handed is None:
                    break
                name = f"try {handed.try_id}" if isinstance(handed, Errand) else handed[0].batch_id
                try:
                    rig = rig or self._made()
                    if isinstance(handed, Errand):
                        Trier(rig, self._authority, self._desk).run(handed)
                    else:
                        self._run(rig, *handed)
                except BatchCancelled:
                    break
                except Exception as fault:
                    # The process's edge of this thread: a broken driver must not end the daemon.
                    log.exception("%s: %s", self._station, name)
                    rig = self._discard(rig)
                    self._fault(name, fault)
        finally:
            self._discard(rig)

    def _made(self) -> Rig:
        rig = self._make_rig()
        rig.env.glimpses = self.glimpses
        return rig

    def _look(self, rig: Rig | None) -> Rig | None:
        """Show the scene to whoever asked for it, while there is no batch."""
        if not self.glimpses.asked:
            return rig
        try:
            rig = rig or self._made()
        except Exception as fault:
            # The process's edge of this thread: the next batch tells what is wrong with the robot.
            log.exception("%s: nothing to be seen", self._station)
            self.glimpses.refuse(fault)
            return None
        rig.look()
        return rig

    def _run(self, rig: Rig, plan: BatchPlan, started_wall_s: float) -> None:
        end = rig.run(plan, _Journalled(self, plan, rig))
        record = ledger_record(
            plan,
            end,
            station=self._station,
            task=rig.task.spec.name,
            started_wall_s=started_wall_s,
            now_wall_s=self._clock.wall(),
        )
        while True:
            try:
                signed = self._ledger.append(record)
                break
            except OSError:
                # Without its record a batch is not finished: wait for space.
                log.exception("%s: the ledger cannot be written", self._station)
                self._pause()
        if end.quarantine:
            self.stopped(None, end.quarantine)
        if end.void_reason == MANIFEST_CHANGED:
            text = f"ALARM: the environment of {rig.task.spec.name} was edited in {rig.task.folder}"
            self.send(Noted(level="error", text=text))
        self.tell(finished_event(record, sha256_of(signed)), durable=True)

    def _fault(self, name: str, fault: Exception) -> None:
        """The rig broke: stop, tell, and leave a batch to go on after a release."""
        detail = f"{type(fault).__name__}: {fault}"
        self._authority.stop(Condition.DRIVER_ERROR, detail)
        self.stopped(Condition.DRIVER_ERROR, detail)
        self.send(Noted(level="error", text=f"{name}: {detail}"[:500]))
        self._gave_up()

    def _discard(self, rig: Rig | None) -> None:
        if rig is not None:
            try:
                rig.close()
            except Exception:
                log.exception("%s: closing the rig", self._station)

    def _pause(self) -> None:
        if self._closing.wait(_RETRY_S):
            raise BatchCancelled("station_closing", closing=True)

    def tell(self, event: AnyEvent, *, durable: bool) -> None:
        """Have the loop journal an event, and wait until it has.

        Raises:
            BatchCancelled: The daemon closes.
        """
        done = self._post(event, durable)
        while True:
            try:
                return done.result(_RETRY_S)
            except TimeoutError:
                if self._closing.is_set():
                    raise BatchCancelled("station_closing", closing=True) from None

    def send(self, event: AnyEvent) -> None:
        """Have the loop journal an observation soon."""
        self._post(event, False)

    def record(self, plan: BatchPlan, rig: Rig, episode: Episode, trace: Trace | None) -> None:
        """Keep an episode's course: on disk if it is to be recorded, and as evidence."""
        if trace is None:
            return
        if self._recorder is not None and (plan.record or self._record_all):
            self._write(self._recorder, plan, rig, episode, trace)
        trace.forget_pictures()
        self._evidence(plan.batch_id, episode.index, trace)

    def _write(
        self, recorder: Recorder, plan: BatchPlan, rig: Rig, episode: Episode, trace: Trace
    ) -> None:
        name = f"{int(self._clock.wall() * 1000):013d}-{plan.recipe.sha256[:8]}-{episode.index:04d}"
        info = RecordingInfo(
            batch_id=plan.batch_id,
            commit=plan.commit,
            task=rig.task.spec.name,
            station=self._station,
            episode=msgspec.structs.replace(episode, seed=episode.seed),
            label_source="verifier" if rig.driver.capabilities.verifies else "world",
        )
        try:
            recorder.write(name, trace, info)
        except OSError as error:
            self.send(Noted(level="warning", text=f"recording not written: {error}"))


class _Journalled:
    """Watches one batch for the journal."""

    def __init__(self, crew: Crew, plan: BatchPlan, rig: Rig) -> None:
        self._crew = crew
        self._plan = plan
        self._rig = rig
        self._blocked = 0
        self._begun_s = time.monotonic()

    def episode_started(self, index: int, number: int) -> None:
        event = EpisodeStarted(batch_id=self._plan.batch_id, index=index, number=number)
        self._crew.tell(event, durable=False)

    def episode_finished(
        self, episode: Episode, audit: dict[str, float], trace: Trace | None
    ) -> None:
        del audit
        self._crew.record(self._plan, self._rig, episode, trace)
        event = EpisodeFinished(batch_id=self._plan.batch_id, episode=episode)
        self._crew.tell(event, durable=False)

    def safety_acted(self, index: int, condition: Condition, action: str) -> None:
        self._crew.send(
            SafetyActed(
                batch_id=self._plan.batch_id, index=index, condition=condition.value, action=action
            )
        )

    def blocked(self, what: str) -> None:
        self._blocked += 1
        if self._blocked <= BLOCKED_ROWS:
            self._crew.send(PolicyBlocked(batch_id=self._plan.batch_id, what=printable(what[:300])))

    def protective_stop(self, condition: Condition, detail: str) -> None:
        self._crew.stopped(condition, detail)
