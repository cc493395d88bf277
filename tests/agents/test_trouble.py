"""Conformance in trouble: every backend waits for its provider, and acts on whole answers alone.

The same faults of a provider for the SDK loops and for a command-line program behind the gateway.
"""

# ruff: noqa: F811 - fixtures that are imported.
import asyncio
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("acp", reason="not installed: pip install 'enpire-tui[llm]'")
pytest.importorskip("anthropic", reason="not installed: pip install 'enpire-tui[llm]'")

from agents.backends.acp import AcpBackend
from agents.backends.anthropic import AnthropicProvider
from agents.backends.openai import OpenAIProvider
from agents.backends.session import ProviderFailed, Reply
from agents.tools.offered import TOOLS
from robots.sandbox import probe
from robots.wire.events import AgentStateChanged, RequestRefused, TokensMetered
from tests.agents.providers import Fault, Turn
from tests.agents.test_acp import program  # noqa: F401 - a fixture.
from tests.agents.test_models import (
    WORK,
    Host,
    backend,
    decided,
    host,  # noqa: F401 - a fixture.
    lines,
    waiting,
    worker,
)

SILENCE_S = 0.5
# Into the body of an answer, behind what Anthropic says of its input.
MIDDLE = 700


@pytest.fixture(params=["anthropic", "openai", "acp"])
def thinking(
    request: pytest.FixtureRequest,
    program: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Host], Any]:
    """Makes a backend of each kind."""
    monkeypatch.setattr("agents.backends.model.FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr("agents.backends.acp.FIRST_PAUSE_S", 0.05)
    if request.param != "acp":
        return lambda at: backend(request.param, at)
    if not probe().usable:
        pytest.skip("bubblewrap does not work here")
    return lambda at: AcpBackend("a1", program, at.socket)


def done_once(fleet: Any) -> bool:
    return (
        decided(fleet) == ["adopted"]
        and fleet.station.started == {"a1-1/x0": 1}
        and fleet.supervisor.queued == {"a1-1": 1}
    )


def metered(at: Host) -> list[TokensMetered]:
    return [event for event in at.events if isinstance(event, TokensMetered)]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(429, (("retry-after", "0.2"),)),
        Fault(429),
        Fault(500),
        Fault(529),
    ],
    ids=["429-with-retry-after", "429", "500", "529"],
)
async def test_a_provider_in_trouble_is_waited_for(fleet, host, thinking, fault) -> None:
    at = await host(worker(WORK), {1: fault, 4: fault})
    await fleet.start(thinking(at))
    await waiting(fleet)

    assert done_once(fleet)
    assert at.metered() == at.provider.sent
    assert [event.status for event in metered(at)].count(fault.status) == 2


@pytest.mark.parametrize("cut", [0, 1, 200, 450, 700, 900, 1100])
async def test_a_stream_cut_at_any_byte_runs_no_half_call(fleet, host, thinking, cut) -> None:
    # The third turn explores nothing twice, and the sixth is handed in once.
    at = await host(worker(WORK), {2: Fault(200, cut=cut), 5: Fault(200, cut=cut)})
    await fleet.start(thinking(at))
    await waiting(fleet)

    assert done_once(fleet)
    assert sum(event.aborted for event in metered(at)) == 2


async def test_a_provider_that_never_answers_is_given_up_and_asked_again(
    fleet,
    host,
    thinking,
) -> None:
    at = await host(worker(WORK), {1: Fault(0), 5: Fault(0)}, silence_s=SILENCE_S)
    await fleet.start(thinking(at))
    await waiting(fleet)

    assert done_once(fleet)
    assert at.metered() == at.provider.sent
    refused = [event.reason for event in at.events if isinstance(event, RequestRefused)]
    assert len(refused) == 2
    assert all(f"did not answer within {SILENCE_S:g} s" in reason for reason in refused)
    # Said in the transcript once each time: no SDK asks behind the agent's back.
    assert sum("silent: " in line for line in lines(fleet)) == 2
    assert sum(event.aborted and not event.status for event in metered(at)) == 2


async def test_a_stream_that_stalls_is_given_up_and_counted_as_far_as_it_came(
    fleet,
    host,
    thinking,
) -> None:
    stall = Fault(200, cut=MIDDLE, stalls=True)
    at = await host(worker(WORK), {2: stall, 5: stall}, silence_s=SILENCE_S)
    await fleet.start(thinking(at))
    await waiting(fleet)

    assert done_once(fleet)
    assert at.metered() == at.provider.sent
    assert sum(event.aborted for event in metered(at)) == 2


async def test_a_provider_that_stays_silent_leaves_the_agent_waiting_and_it_says_so(
    fleet,
    host,
    thinking,
) -> None:
    at = await host(worker(WORK), dict.fromkeys(range(1, 4), Fault(0)), silence_s=SILENCE_S)
    await fleet.start(thinking(at))
    await waiting(fleet)

    told = [event.state for event in fleet.events(AgentStateChanged)]
    # A program may ask once more by itself before it gives up.
    assert told.count("WAITING") >= 2
    assert done_once(fleet)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("make", [AnthropicProvider, OpenAIProvider])
async def test_an_answer_cut_at_every_byte_is_none(host, make) -> None:
    turn = Turn("It looks better.", (("submit", {}),), output=73)
    faults: dict[int, Fault] = {}
    at = await host(lambda number, body: turn, faults)

    # One tool is enough: the SDKs copy all that are offered, for each of thousands of requests.
    offered = [tool for tool in TOOLS if tool.name == "submit"]
    async with make("", at.socket, offered) as provider:
        question = [provider.said("How is it?")]
        whole = await provider.ask("Be brief.", question)
        size = at.provider.streamed
        faults |= {number + 1: Fault(200, cut=number) for number in range(size)}
        asked = [provider.ask("Be brief.", question) for _ in range(size)]
        answers = await asyncio.gather(*asked, return_exceptions=True)

    assert len(answers) == size > 500
    for answer in answers:
        # An answer whose end had come is whole, whatever became of its line's end.
        assert isinstance(answer, ProviderFailed) or calls(answer) == calls(whole)
    assert sum(isinstance(answer, ProviderFailed) for answer in answers) > size - 100


def calls(reply: Reply) -> list[tuple[str, bytes]]:
    return [(call.name, call.arguments) for call in reply.calls]
