"""Tokens by class, to the token, whatever the stream does."""

import json

import pytest

from agents.gateway.budget import Budget
from agents.gateway.metering import Meter, Usage, provider_of
from robots.wire.events import TokensMetered

ANTHROPIC_STREAM = (
    b"event: message_start\n"
    b'data: {"type":"message_start","message":{"model":"claude-x","usage":{"input_tokens":25,'
    b'"cache_creation_input_tokens":1000,"cache_read_input_tokens":40000,"output_tokens":1}}}\n\n'
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"my \\"usage\\""}}\n\n'
    b"event: message_delta\n"
    b'data: {"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":'
    b'{"output_tokens":40,"output_tokens_details":{"thinking_tokens":11}}}\n\n'
    b"event: message_delta\n"
    b'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":'
    b'{"output_tokens":90,"output_tokens_details":{"thinking_tokens":12}}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)
ANTHROPIC_USAGE = Usage(fresh_input=1025, cached_input=40000, output=90, reasoning=12)

OPENAI_STREAM = (
    b"event: response.created\r\n"
    b'data: {"type":"response.created","response":{"model":"gpt-x","usage":null}}\r\n\r\n'
    b"event: response.output_text.delta\r\n"
    b'data: {"type":"response.output_text.delta","delta":"usage usage"}\r\n\r\n'
    b"event: response.completed\r\n"
    b'data: {"type":"response.completed","response":{"model":"gpt-x","usage":{"input_tokens":5000,'
    b'"input_tokens_details":{"cached_tokens":4096},"output_tokens":300,'
    b'"output_tokens_details":{"reasoning_tokens":256},"total_tokens":5300}}}\r\n\r\n'
)
OPENAI_USAGE = Usage(fresh_input=904, cached_input=4096, output=300, reasoning=256)


@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
def test_an_anthropic_stream_is_counted_however_it_is_cut_into_chunks(size: int) -> None:
    meter = Meter("anthropic", stream=True)
    for at in range(0, len(ANTHROPIC_STREAM), size):
        meter.feed(ANTHROPIC_STREAM[at : at + size])

    assert meter.finish() == ANTHROPIC_USAGE
    assert meter.complete
    assert meter.model == "claude-x"


@pytest.mark.parametrize("size", [1, 13, 100_000])
def test_an_openai_stream_is_counted_however_it_is_cut_into_chunks(size: int) -> None:
    meter = Meter("openai", stream=True)
    for at in range(0, len(OPENAI_STREAM), size):
        meter.feed(OPENAI_STREAM[at : at + size])

    assert meter.finish() == OPENAI_USAGE
    assert meter.complete


def test_a_stream_cut_at_any_byte_counts_what_it_had_said() -> None:
    start = Usage(fresh_input=1025, cached_input=40000, output=1)
    first = Usage(fresh_input=1025, cached_input=40000, output=40, reasoning=11)
    for at in range(len(ANTHROPIC_STREAM)):
        meter = Meter("anthropic", stream=True)
        meter.feed(ANTHROPIC_STREAM[:at])

        assert meter.finish() in (Usage(), start, first, ANTHROPIC_USAGE)
        if b'message_stop"}\n' not in ANTHROPIC_STREAM[:at]:
            assert not meter.complete


def test_whole_responses_are_counted() -> None:
    anthropic = Meter("anthropic", stream=False)
    anthropic.feed(
        json.dumps(
            {
                "type": "message",
                "model": "claude-x",
                "content": [{"type": "text", "text": "x"}],
                "usage": {
                    "input_tokens": 7,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 12,
                    "output_tokens": 3,
                },
            }
        ).encode()
    )
    openai = Meter("openai", stream=False)
    openai.feed(
        b'{"object":"response","model":"g","usage":{"input_tokens":10,'
        b'"input_tokens_details":{"cached_tokens":0},"output_tokens":2,'
        b'"output_tokens_details":{"reasoning_tokens":0}}}'
    )

    assert anthropic.finish() == Usage(fresh_input=7, cached_input=12, output=3)
    assert openai.finish() == Usage(fresh_input=10, output=2)


@pytest.mark.parametrize("body", [b"", b"{", b"[1, 2]", b'{"usage": 5}', b"\xff\xfe", b"null"])
def test_what_is_no_usage_counts_nothing(body: bytes) -> None:
    for stream in (False, True):
        meter = Meter("openai", stream=stream)
        meter.feed(b"data: " + body + b"\n\n" if stream else body)

        assert meter.finish() == Usage()


def test_text_that_speaks_of_usage_is_not_counted() -> None:
    meter = Meter("anthropic", stream=True)
    meter.feed(
        b'data: {"type":"content_block_delta","delta":{"text":"{\\"usage\\":{\\"input_tokens\\":9}}"}}\n'
    )

    assert meter.finish() == Usage()


def test_an_endless_line_is_dropped_and_the_next_one_read() -> None:
    meter = Meter("anthropic", stream=True)
    for _ in range(5):
        meter.feed(b"x" * (1024 * 1024))
    meter.feed(b"\n" + ANTHROPIC_STREAM)

    assert meter.finish() == ANTHROPIC_USAGE


@pytest.mark.parametrize(
    ("path", "provider"),
    [
        ("/v1/messages", "anthropic"),
        ("/v1/messages/count_tokens", "anthropic"),
        ("/v1/responses", "openai"),
        ("/v1/responses/resp_1-a/cancel", "openai"),
        ("/v1/responses/../batches/b1/cancel", None),
        ("/v1/responses/x/../../batches/b1/cancel", None),
        ("/v1/files", None),
        ("/v1/messages/../files", None),
        ("/v1/organizations/api_keys", None),
        ("/", None),
    ],
)
def test_paths_are_allowed_by_name(path: str, provider: str | None) -> None:
    assert provider_of(path) == provider


def test_a_slice_is_refused_once_it_is_spent() -> None:
    budget = Budget({"a1": 100, "a2": 100})
    metered = TokensMetered(
        agent="a1",
        provider="anthropic",
        model="m",
        fresh_input=60,
        cached_input=100_000,
        output=30,
        reasoning=10,
        aborted=True,
        status=200,
    )

    budget.apply(metered)
    assert budget.refusal("a1") == ""
    budget.apply(metered)

    assert budget.refusal("a1").startswith("budget")
    assert budget.refusal("a2") == ""
    assert budget.refusal("a3").startswith("unknown_agent")
    assert budget.spent("a1") == Usage(
        fresh_input=120, cached_input=200_000, output=60, reasoning=20
    )
