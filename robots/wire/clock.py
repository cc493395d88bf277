"""Time, passed in. Monotonic seconds decide; wall seconds are for people and decide nothing."""

import asyncio
import time
from collections.abc import Awaitable
from typing import Protocol, TypeVar, cast

T = TypeVar("T")


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


def _expire(future: asyncio.Future[T]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())
