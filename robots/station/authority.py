"""Who lets the robot move: grant, holds and latches, shared between the daemon and its batch thread.

The daemon's loop writes, the batch thread asks once a policy step. The answer is a decision of the
safety table; this file only remembers what is in force and waits.
"""

import threading
from collections.abc import Callable

from robots.safety.table import Condition, Decision, Reaction, Verdict, decide
from robots.wire.records import Mode

_WAIT_S = 0.2
_FINISH = Reaction.FINISH_THEN_HOLD


class MotionStopped(Exception):
    """The robot has to stop and the episode cannot go on.

    Attributes:
        decision: The row that fired.
        detail: What happened, in words.
    """

    def __init__(self, decision: Decision, detail: str) -> None:
        super().__init__(f"{decision.condition.value}: {detail}")
        self.decision = decision
        self.detail = detail


class BatchCancelled(Exception):
    """The batch in work was cancelled, or the daemon is closing (`closing`)."""

    def __init__(self, reason: str, *, closing: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.closing = closing


class Authority:
    """What is in force now.

    Args:
        monotonic: The station's monotonic clock, seconds.
        needs_grant: Whether motion needs a grant; False only for scoring in process.
    """

    def __init__(self, monotonic: Callable[[], float], *, needs_grant: bool) -> None:
        self._monotonic = monotonic
        self._needs_grant = needs_grant
        self._changed = threading.Condition()
        self._mode = Mode.SETUP
        self._grant_until_s = float("-inf")
        self._stop: tuple[Condition, str, bool] | None = None
        self._cancelled: BatchCancelled | None = None
        self._to_cancel: dict[str, BatchCancelled] = {}
        self._batch_id = ""

    # --- the daemon's side ------------------------------------------------------------------

    @property
    def mode(self) -> Mode:
        """Mode of the grant in force, or of the last one."""
        return self._mode

    @property
    def stopped(self) -> Condition | None:
        """The latched condition in force, if any."""
        return None if self._stop is None else self._stop[0]

    def granted(self) -> bool:
        """Whether a grant is in force."""
        return not self._needs_grant or self._monotonic() < self._grant_until_s

    def grant(self, mode: Mode, until_s: float) -> None:
        """Take a grant into force, until a moment of the station's monotonic clock."""
        with self._changed:
            self._mode, self._grant_until_s = mode, until_s
            self._changed.notify_all()

    def stop(self, condition: Condition, detail: str, *, by_agent: bool = False) -> None:
        """Latch a hold or a stop; people's outrank an agent's, an emergency stop outranks all."""
        with self._changed:
            outranked = self._stop is None or (self._stop[2] and not by_agent)
            if self.stopped is Condition.EMERGENCY_STOP:
                outranked = False
            if outranked or condition is Condition.EMERGENCY_STOP:
                self._stop = (condition, detail, by_agent)
            self._changed.notify_all()

    def release(self) -> None:
        """End what is latched."""
        with self._changed:
            self._stop = None
            self._changed.notify_all()

    def cancel(self, batch_id: str, reason: str) -> None:
        """End a batch at its next step, or as soon as it begins."""
        with self._changed:
            self._to_cancel[batch_id] = BatchCancelled(reason)
            if batch_id == self._batch_id and self._cancelled is None:
                self._cancelled = self._to_cancel.pop(batch_id)
            self._changed.notify_all()

    def closing(self) -> bool:
        """Whether the daemon ends."""
        return self._cancelled is not None and self._cancelled.closing

    def close(self) -> None:
        """End whatever waits or runs, for good."""
        with self._changed:
            self._cancelled = BatchCancelled("station_closing", closing=True)
            self._changed.notify_all()

    # --- the batch thread's side ------------------------------------------------------------

    def begin_batch(self, batch_id: str) -> None:
        """Forget a cancellation that was meant for the batch before."""
        with self._changed:
            self._batch_id = batch_id
            if self._cancelled is None or not self._cancelled.closing:
                self._cancelled = self._to_cancel.pop(batch_id, None)

    def admit_episode(self) -> None:
        """Wait until the robot may move; between episodes, where a hold costs nothing.

        Raises:
            BatchCancelled: The batch was cancelled or the daemon closes.
        """
        with self._changed:
            while True:
                if self._cancelled is not None:
                    raise self._cancelled
                if self._stop is None and self.granted():
                    return
                self._changed.wait(_WAIT_S)

    def check(self, *, during_policy: bool) -> None:
        """Go on, wait (a lapsed grant in setup), or stop.

        Raises:
            MotionStopped: The table says that the episode ends here.
            BatchCancelled: The batch was cancelled or the daemon closes.
        """
        # Twice a policy step, on every step: three attribute reads and one clock.
        if self._stop is None and self._cancelled is None and self.granted():
            return
        with self._changed:
            while True:
                if self._cancelled is not None:
                    raise self._cancelled
                if self._stop is not None:
                    condition, detail, by_agent = self._stop
                    decision = self._decide(condition, during_policy, by_agent=by_agent)
                    if decision.verdict is not Verdict.COUNTS_ON:
                        raise MotionStopped(decision, detail)
                    # An agent's hold between policies: wait where the robot is, then go on.
                elif (
                    self.granted()
                    or self._decide(Condition.GRANT_LAPSED, during_policy).reaction is _FINISH
                ):
                    return
                # Setup holds now: in lockstep the world stands still while this waits.
                self._changed.wait(_WAIT_S)

    def may_move(self) -> bool:
        """Whether the robot may move at this moment; never waits. For the control thread."""
        if self._stop is not None:
            return False
        return self.granted() or self._mode is Mode.AUTONOMOUS

    def judge(self, condition: Condition, *, during_policy: bool) -> Decision:
        """What the table says about a condition under the mode in force."""
        return self._decide(condition, during_policy)

    def _decide(
        self, condition: Condition, during_policy: bool, *, by_agent: bool = False
    ) -> Decision:
        return decide(condition, mode=self._mode, during_policy=during_policy, by_agent=by_agent)
