"""A provider that refuses the host's key: the agent parks, says so, and asks nobody meanwhile."""

import asyncio

import pytest

from robots.wire.events import AgentStateChanged, TokensMetered
from tests.agents.providers import Fault
from tests.agents.test_models import WORK, backend, lines, worker


@pytest.mark.parametrize("kind", ["anthropic", "openai"])
async def test_a_refused_key_parks_the_agent_and_says_so(fleet, host, kind) -> None:
    at = await host(worker(WORK), {0: Fault(401)})
    await fleet.start(backend(kind, at))
    await fleet.until(lambda: any("refused" in line for line in lines(fleet)))
    await fleet.until(
        lambda: any(
            each.state == "WAITING" and "300 s" in each.detail
            for each in fleet.events(AgentStateChanged)
        )
    )
    await asyncio.sleep(0.2)

    assert len(at.provider.requests) == 1
    assert [each.status for each in at.events if isinstance(each, TokensMetered)] == [401]
