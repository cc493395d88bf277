"""One pace for a fleet: in turn, within a minute's limits, parked for all by one refusal."""

import asyncio

import pytest

from agents.gateway.limiter import WINDOW_S, Limiter, retry_after_s
from robots.wire.events import ProviderParked, RequestRefused
from tests.agents.test_gateway import Setup, setup  # noqa: F401 - a fixture.


class Hand:
    """A clock set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


async def order(limiter: Limiter, hand: Hand, agents: list[str]) -> list[str]:
    """Who goes when, each step one window later."""
    went: list[str] = []

    async def go(agent: str) -> None:
        await limiter.turn(agent)
        went.append(agent)

    tasks = [asyncio.ensure_future(go(agent)) for agent in agents]
    for _ in agents:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        hand.now_s += WINDOW_S
        limiter._admit()
    await asyncio.gather(*tasks)
    return went


async def test_an_agent_with_many_requests_has_one_turn_like_everybody() -> None:
    hand = Hand()
    went = await order(Limiter(1, 0, hand), hand, ["a1", "a1", "a1", "a2", "a3"])

    assert went == ["a1", "a1", "a2", "a3", "a1"]


async def test_requests_of_a_minute_are_counted_over_any_sixty_seconds() -> None:
    hand = Hand()
    limiter = Limiter(2, 0, hand)
    await limiter.turn("a1")
    hand.now_s += 30.0
    await limiter.turn("a2")
    assert limiter.due_s() == 30.0
    hand.now_s += 30.0
    assert limiter.due_s() == 0.0


def test_tokens_are_waited_for_until_enough_of_them_are_a_minute_old() -> None:
    hand = Hand()
    limiter = Limiter(0, 1000, hand)
    limiter.spent(600)
    hand.now_s += 20.0
    assert limiter.due_s() == 0.0
    limiter.spent(500)
    assert limiter.due_s() == 40.0
    limiter.spent(600)
    assert limiter.due_s() == 60.0


def test_a_refusal_parks_for_as_long_as_it_says_and_longer_each_time_if_it_does_not() -> None:
    hand = Hand()
    limiter = Limiter(0, 0, hand)
    assert limiter.answered(429, "7") == 7.0
    assert limiter.due_s() == 7.0
    hand.now_s += 7.0
    parked: list[float] = []
    for _ in range(1100):
        parked.append(limiter.answered(429, ""))
        hand.now_s += parked[-1]
    assert parked[:7] == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert set(parked[7:]) == {60.0}
    limiter.answered(200, "")
    assert limiter.answered(429, "") == 1.0
    assert limiter.answered(529, "") == limiter.answered(400, "9") == 0.0


def test_refusals_of_requests_that_were_under_way_together_count_once() -> None:
    hand = Hand()
    limiter = Limiter(0, 0, hand)
    assert [limiter.answered(429, "") for _ in range(8)] == [1.0] * 8
    hand.now_s += 1.0
    assert limiter.answered(429, "") == 2.0


@pytest.mark.parametrize(
    ("header", "found"),
    [("3", 3.0), ("0.5", 0.5), ("", 0.0), ("soon", 0.0), ("-1", 0.0),
     ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0)],
)  # fmt: skip
def test_a_header_is_a_number_or_a_date(header: str, found: float) -> None:
    assert retry_after_s(header, wall_s=100.0) == found


async def test_who_hangs_up_while_waiting_costs_nobody_a_turn() -> None:
    hand = Hand()
    limiter = Limiter(1, 0, hand)
    await limiter.turn("a1")
    gone = asyncio.ensure_future(limiter.turn("a1"))
    stays = asyncio.ensure_future(limiter.turn("a2"))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    hand.now_s += WINDOW_S
    limiter._admit()
    await stays
    assert limiter.pace().waiting == 0


async def test_one_refusal_parks_the_provider_for_everybody_and_is_on_record(
    setup: Setup,  # noqa: F811
) -> None:
    status, _ = await setup.post("/v1/messages", {"status": 429})
    parked = [event for event in setup.events if isinstance(event, ProviderParked)]

    assert status == 429
    assert parked == [ProviderParked(provider="anthropic", seconds=3.0, status=429, agent="a1")]
    waiting = asyncio.ensure_future(setup.post("/v1/messages", {"stream": True}))
    async with asyncio.timeout(10):
        while not setup.gateway.paces()["anthropic"].waiting:  # noqa: ASYNC110 - a counter is read
            await asyncio.sleep(0.01)
    assert len(setup.provider.bodies) == 1
    # The other provider is not concerned.
    assert (await setup.post("/v1/responses", {"stream": True}))[0] == 200
    assert (await waiting)[0] == 200


async def test_a_long_wait_is_told_at_once_and_nothing_is_forwarded(setup: Setup) -> None:  # noqa: F811
    setup.gateway._limiters["anthropic"].answered(429, "900")
    async with setup.session() as session:
        answer = await session.post(setup.url("/v1/messages"), json={})
        answer.release()

    assert answer.status == 429
    assert 890 <= int(answer.headers["retry-after"]) <= 900
    assert not setup.provider.bodies
    assert isinstance(setup.events[-1], RequestRefused)


async def test_who_hung_up_before_its_turn_is_not_asked_for(setup: Setup) -> None:  # noqa: F811
    limiter = setup.gateway._limiters["anthropic"]
    limiter.answered(429, "60")
    async with setup.session() as session:
        asked = asyncio.ensure_future(session.post(setup.url("/v1/messages"), json={}))
        async with asyncio.timeout(10):
            while not limiter.pace().waiting:  # noqa: ASYNC110 - a counter is read
                await asyncio.sleep(0.01)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
    (exchange,) = setup.gateway._exchanges
    limiter._parked_until_s = 0.0
    limiter._admit()

    assert (await asyncio.wait_for(exchange, 10)).status == 499
    assert not setup.provider.bodies
