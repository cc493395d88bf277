"""Virtual time: jumps when nothing is left to do, and only then."""

import asyncio

import pytest

from robots.wire.clock import SystemClock
from tests.robots.wire.memory import VirtualClock


async def test_sleepers_wake_in_the_order_of_their_times() -> None:
    clock = VirtualClock()
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as tasks:
        for name, seconds in (("c", 3600), ("a", 1), ("b", 2), ("a2", 1)):
            tasks.create_task(sleep(name, seconds))

    assert woken == [("a", 1), ("a2", 1), ("b", 2), ("c", 3600)]


async def test_time_stands_while_work_is_done_elsewhere() -> None:
    clock = VirtualClock()
    sleeper = asyncio.create_task(clock.sleep(10))

    with clock.hold():
        await asyncio.to_thread(sum, range(1000))
        assert clock.monotonic() == 0
        assert not sleeper.done()

    await sleeper
    assert clock.monotonic() == 10


async def test_a_chain_of_callbacks_ends_before_time_moves() -> None:
    clock = VirtualClock()
    times: list[float] = []

    async def chain() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        times.append(clock.monotonic())

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(clock.sleep(5))
        tasks.create_task(chain())

    assert times == [0]


@pytest.mark.parametrize("make", [SystemClock, VirtualClock])
async def test_a_wait_ends_at_its_time_out_or_with_its_result(make) -> None:
    clock = make()
    loop = asyncio.get_running_loop()
    never, soon = loop.create_future(), loop.create_future()
    loop.call_soon(soon.set_result, 7)

    assert await clock.wait_for(soon, 10) == 7
    with pytest.raises(TimeoutError):
        await clock.wait_for(never, 0.01)
    with pytest.raises(TimeoutError):
        await clock.wait_for(clock.sleep(5), 0.01)
    assert never.done()


async def test_setting_the_wall_clock_moves_no_deadline() -> None:
    clock = VirtualClock(wall_s=1000.0)
    clock.jump_wall(-300)
    await clock.sleep(1)

    assert (clock.monotonic(), clock.wall()) == (1.0, 701.0)
