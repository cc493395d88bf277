"""What the SDKs themselves read as usage is what the gateway counted, answer by answer.

And where it is not, because somebody lies, it is on record.
"""

# ruff: noqa: F811 - fixtures that are imported.

from typing import Any

import pytest

pytest.importorskip("acp", reason="not installed: pip install 'enpire-tui[llm]'")
pytest.importorskip("anthropic", reason="not installed: pip install 'enpire-tui[llm]'")

import anthropic
import httpx2
import openai
from msgspec import structs

from agents.backends.acp import AcpBackend
from agents.backends.usage import disputed
from agents.gateway.metering import Metered, Usage
from robots.sandbox import probe
from robots.wire.events import TokensMetered, UsageDisputed
from tests.agents.providers import Fault, Turn
from tests.agents.test_acp import program  # noqa: F401 - a fixture.
from tests.agents.test_models import (  # noqa: F401 - fixtures.
    WORK,
    backend,
    host,
    kind,
    waiting,
    worker,
)

TURN = Turn("It looks better.", (("submit", {}),), output=73, reasoning=19)


def anthropics(usage: Any) -> Usage:
    return Usage(
        fresh_input=usage.input_tokens + (usage.cache_creation_input_tokens or 0),
        cached_input=usage.cache_read_input_tokens or 0,
        output=usage.output_tokens,
    )


def openais(usage: Any) -> Usage:
    cached = usage.input_tokens_details.cached_tokens
    return Usage(
        fresh_input=usage.input_tokens - cached,
        cached_input=cached,
        output=usage.output_tokens,
        reasoning=usage.output_tokens_details.reasoning_tokens,
    )


async def told_by_anthropic(http: httpx2.AsyncClient, said: list[str]) -> Usage:
    client = anthropic.AsyncAnthropic(base_url="http://g", api_key="x", http_client=http)
    messages: Any = [{"role": "user", "content": text} for text in said]
    async with client.messages.stream(model="m", max_tokens=99, messages=messages) as stream:
        return anthropics((await stream.get_final_message()).usage)


async def told_by_openai(http: httpx2.AsyncClient, said: list[str]) -> Usage:
    client = openai.AsyncOpenAI(base_url="http://g/v1", api_key="x", http_client=http)
    given: Any = [{"role": "user", "content": text} for text in said]
    stream: Any = await client.responses.create(model="m", input=given, stream=True)
    (done,) = [each.response async for each in stream if each.type == "response.completed"]
    return openais(done.usage)


@pytest.mark.parametrize("told", [told_by_anthropic, told_by_openai])
async def test_every_answers_usage_is_the_sdks_own(host, told) -> None:
    at = await host(lambda number, body: TURN._replace(output=TURN.output + number))
    native: list[Usage] = []
    async with httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(uds=str(at.socket))) as http:
        for count in range(1, 5):
            native.append(await told(http, ["word"] * count))

    metered = [
        Usage(event.fresh_input, event.cached_input, event.output, event.reasoning)
        for event in at.events
        if isinstance(event, TokensMetered)
    ]
    assert metered == native
    assert {each.output for each in native} == {73, 74, 75, 76}
    assert native[-1].cached_input > 0


async def test_usage_that_agrees_is_disputed_by_nobody(fleet, host, kind) -> None:
    # Broken off and refused answers between, whose usage nobody was told.
    at = await host(worker(WORK), {2: Fault(529), 4: Fault(200, cut=700)})
    await fleet.start(backend(kind, at))
    await waiting(fleet)

    assert at.metered()["output"] > 0
    assert not fleet.events(UsageDisputed)


async def test_a_provider_that_hides_tokens_from_the_meter_is_found_out(fleet, host, kind) -> None:
    # The last figure on the wire is 3; the client reads 50.
    at = await host(worker([WORK[0]._replace(lie=3), *WORK[1:]]))
    daemon = await fleet.start(backend(kind, at))
    await waiting(fleet)

    found = fleet.events(UsageDisputed)
    assert found == [UsageDisputed(source=kind, kind="output", told=50, least=3, most=3)]
    assert daemon.status().disputes == 1


@pytest.mark.skipif(not probe().usable, reason="bubblewrap does not work here")
@pytest.mark.parametrize("percent", [0, 40])
async def test_a_program_that_lies_about_its_tokens_is_found_out(
    fleet,
    host,
    program,
    percent,
) -> None:
    told = {**program.environment, "LIES_PERCENT": str(percent)}
    # A model that only talks: each prompt ends, and its usage is told.
    at = await host(lambda number, body: Turn("I think.", output=73))
    await fleet.start(AcpBackend("a1", structs.replace(program, environment=told), at.socket))
    await fleet.until(lambda: len(at.provider.requests) >= 3)
    await fleet.stop()

    found = fleet.events(UsageDisputed)
    assert bool(found) == bool(percent)
    for each in found[:1]:
        # Of its first prompt; what it tells of later ones is the sum so far.
        assert (each.source, each.kind) == (program.label, "total")
        assert each.told < each.least == each.most


def test_what_was_broken_off_may_be_told_or_not() -> None:
    before = Metered(whole=Usage(output=100), every=Usage(output=120), settled=True)
    after = Metered(whole=Usage(output=150), every=Usage(output=190), settled=True)

    assert disputed({"output": 50}, before, after) is None
    assert disputed({"output": 70}, before, after) is None
    assert disputed({"output": 49}, before, after) == ("output", 49, 50, 70)
    assert disputed({"output": 50, "total": 71}, before, after) == ("total", 71, 50, 70)
