"""What the SDKs themselves read as usage is what the gateway counted, answer by answer."""

from typing import Any

import pytest

pytest.importorskip("anthropic", reason="not installed: pip install 'enpire-tui[llm]'")

import anthropic
import httpx2
import openai

from agents.gateway.metering import Usage
from robots.wire.events import TokensMetered
from tests.agents.providers import Turn
from tests.agents.test_models import host  # noqa: F401 - a fixture.

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
async def test_every_answers_usage_is_the_sdks_own(host, told) -> None:  # noqa: F811
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
