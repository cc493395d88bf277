"""Time, passed in. Monotonic seconds decide; wall seconds are for people and decide nothing."""

import asyncio
import contextlib
import heapq
import itertools
import time
from collections.abc import Awaitable, Generator
from typing import Protocol, TypeVar, cast

T = TypeVar("T")

# Rounds of the event loop without which virtual time does not advance: longer than any chain of
# callbacks between a message and the wait that follows it.
SETTLE_ROUNDS = 40


class Clock(Protocol):
    """What anything that waits or stamps is given."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never jumps."""
        ...

    def wall(self) -> float:
        """Unix seconds; may jump either way."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of this clock."""
        ...

    async def wait_for(self, awaitable: Awaitable[T], timeout_s: float) -> T:
        """Wait for a result, at most `timeout_s` of this clock.

        Raises:
            TimeoutError: It did not come; the awaitable was cancelled.
        """
        ...


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def wait_for(self, awaitable: Awaitable[T], timeout_s: float) -> T:
        if type(awaitable) is not asyncio.Future:
            async with asyncio.timeout(timeout_s):
                return await awaitable
        # Every command waits here: a timer on its bare future costs half of `asyncio.timeout`.
        future = cast("asyncio.Future[T]", awaitable)
        timer = asyncio.get_running_loop().call_later(timeout_s, _expire, future)
        try:
            return await future
        finally:
            timer.cancel()


class VirtualClock:
    """Time that jumps to the next wake-up as soon as nothing else is left to do.

    It advances when every task of its event loop waits. Work outside the loop (threads,
    processes) is invisible to it: wrap it in `hold`.
    """

    def __init__(self, wall_s: float = 1_700_000_000.0) -> None:
        self._now_s = 0.0
        self._wall_s = wall_s
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._holds = 0
        self._pumping = False

    def monotonic(self) -> float:
        return self._now_s

    def wall(self) -> float:
        return self._wall_s + self._now_s

    def jump_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back, as NTP or a person would."""
        self._wall_s += seconds

    @contextlib.contextmanager
    def hold(self) -> Generator[None]:
        """Stop time while work goes on outside the event loop."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            self._start_pump()

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now_s + seconds, next(self._order), woken))
        self._start_pump()
        await woken

    async def wait_for(self, awaitable: Awaitable[T], timeout_s: float) -> T:
        waited = asyncio.ensure_future(awaitable)
        timer = asyncio.ensure_future(self.sleep(timeout_s))
        try:
            await asyncio.wait({waited, timer}, return_when=asyncio.FIRST_COMPLETED)
            if not waited.done():
                raise TimeoutError
            return waited.result()
        finally:
            timer.cancel()
            waited.cancel()

    def _start_pump(self) -> None:
        if not self._pumping and self._holds == 0 and self._sleepers:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump, SETTLE_ROUNDS)

    def _pump(self, rounds: int) -> None:
        if self._holds:
            self._pumping = False
            return
        if rounds:
            asyncio.get_running_loop().call_soon(self._pump, rounds - 1)
            return
        self._pumping = False
        while self._sleepers:
            at_s, _, woken = heapq.heappop(self._sleepers)
            if woken.done():
                continue
            # One sleeper at a time, so that equal wake-ups keep the order they were asked in.
            self._now_s = max(self._now_s, at_s)
            woken.set_result(None)
            break
        self._start_pump()


def _expire(future: asyncio.Future[T]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())
