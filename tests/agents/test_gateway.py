"""The gateway between real sockets: an agent's client before it, a provider's stand-in behind it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from agents.gateway.budget import Budget
from agents.gateway.metering import Usage
from agents.gateway.proxy import Gateway
from agents.gateway.settings import (
    AgentSettings,
    GatewaySettings,
    ProviderSettings,
    SettingsRefused,
    load_settings,
)
from robots.wire.events import RequestRefused, TokensMetered
from tests.agents.test_metering import (
    ANTHROPIC_STREAM,
    ANTHROPIC_USAGE,
    OPENAI_STREAM,
    OPENAI_USAGE,
)

KEY = "sk-of-the-host-alone"


class Provider:
    """Speaks both interfaces, and remembers what it was sent."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.cut_at: int | None = None
        self.held_at: int | None = None
        self.asked = asyncio.Event()
        self.hold = asyncio.Event()
        self.hold.set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        body = await request.read()
        self.bodies.append(body)
        self.asked.set()
        wanted = json.loads(body or b"{}")
        if status := wanted.get("status"):
            return web.json_response(
                {"error": {"message": "no"}}, status=status, headers={"retry-after": "3"}
            )
        stream = ANTHROPIC_STREAM if "messages" in request.path else OPENAI_STREAM
        if not wanted.get("stream"):
            await self.hold.wait()
            return web.json_response(
                {"type": "message", "model": "m", "usage": {"input_tokens": 5, "output_tokens": 2}}
            )
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        cut = self.cut_at if self.cut_at is not None else len(stream)
        held = cut if self.held_at is None else self.held_at
        await response.write(stream[:held])
        await self.hold.wait()
        await response.write(stream[held:cut])
        if self.cut_at is not None:
            assert request.transport is not None
            request.transport.abort()
            return response
        await response.write_eof()
        return response


class Setup:
    """A provider, a gateway before it, and an agent's way to it."""

    def __init__(self, folder: Path, provider: Provider) -> None:
        self.provider = provider
        self.events: list[TokensMetered | RequestRefused] = []
        self.socket = folder / "a1.api"
        self.changed = asyncio.Event()

    def record(self, event: TokensMetered | RequestRefused) -> None:
        self.events.append(event)
        self.budget.apply(event)
        self.changed.set()

    async def post(self, path: str, body: dict[str, object]) -> tuple[int, bytes]:
        async with self.session() as session, session.post(self.url(path), json=body) as answer:
            return answer.status, await answer.read()

    def session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(self.socket)),
            headers={"x-api-key": "forged", "Authorization": "Bearer forged"},
            timeout=aiohttp.ClientTimeout(total=10),
        )

    @staticmethod
    def url(path: str) -> str:
        return f"http://gateway{path}"

    async def metered(self, count: int) -> list[TokensMetered]:
        async with asyncio.timeout(10):
            while len(self.events) < count:
                self.changed.clear()
                await self.changed.wait()
        return [event for event in self.events if isinstance(event, TokensMetered)]

    budget: Budget
    gateway: Gateway


@pytest.fixture
async def setup(tmp_path: Path) -> AsyncIterator[Setup]:
    provider = Provider()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", provider.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    key = tmp_path / "key"
    key.write_text(KEY + "\n")
    settings = ProviderSettings(base_url=f"http://127.0.0.1:{port}", key_file=str(key))
    made = Setup(tmp_path, provider)
    made.budget = Budget({"a1": 2000})
    gateway = Gateway(
        GatewaySettings(
            providers={"anthropic": settings, "openai": settings},
            agents={"a1": AgentSettings(budget_tokens=2000)},
        ),
        made.budget,
        made.record,
    )
    made.gateway = gateway
    await gateway.serve({"a1": made.socket})
    try:
        yield made
    finally:
        provider.hold.set()
        await gateway.close()
        await runner.cleanup()


@pytest.mark.parametrize(
    ("path", "stream", "usage"),
    [
        ("/v1/messages", ANTHROPIC_STREAM, ANTHROPIC_USAGE),
        ("/v1/responses", OPENAI_STREAM, OPENAI_USAGE),
    ],
)
async def test_a_stream_passes_unchanged_and_is_counted(
    setup: Setup, path: str, stream: bytes, usage: Usage
) -> None:
    status, body = await setup.post(path, {"stream": True})

    (event,) = await setup.metered(1)
    assert (status, body) == (200, stream)
    assert not event.aborted
    assert usage == Usage(
        fresh_input=event.fresh_input,
        cached_input=event.cached_input,
        output=event.output,
        reasoning=event.reasoning,
    )


async def test_the_real_key_goes_out_and_the_agents_own_does_not(setup: Setup) -> None:
    await setup.post("/v1/messages", {})
    await setup.post("/v1/responses", {})

    first, second = setup.provider.headers
    assert first["x-api-key"] == KEY
    assert "Authorization" not in first
    assert second["Authorization"] == f"Bearer {KEY}"
    assert "forged" not in str(setup.provider.headers)


async def test_a_whole_answer_is_counted(setup: Setup) -> None:
    await setup.post("/v1/messages", {"stream": False})

    (event,) = await setup.metered(1)
    assert (event.fresh_input, event.output, event.aborted) == (5, 2, False)


async def test_a_stream_that_the_provider_cuts_is_counted_as_far_as_it_came(setup: Setup) -> None:
    setup.provider.cut_at = ANTHROPIC_STREAM.index(b"event: message_delta")

    with pytest.raises(aiohttp.ClientError):
        await setup.post("/v1/messages", {"stream": True})

    (event,) = await setup.metered(1)
    assert event.aborted
    assert (event.fresh_input, event.cached_input, event.output) == (1025, 40000, 1)


@pytest.mark.parametrize(
    ("path", "stream", "usage"),
    [
        ("/v1/messages", ANTHROPIC_STREAM, ANTHROPIC_USAGE),
        ("/v1/responses", OPENAI_STREAM, OPENAI_USAGE),
    ],
)
async def test_a_stream_that_the_agent_leaves_is_counted_to_its_end(
    setup: Setup, path: str, stream: bytes, usage: Usage
) -> None:
    setup.provider.hold.clear()
    setup.provider.held_at = len(stream) // 2
    async with setup.session() as session:
        answer = await session.post(setup.url(path), json={"stream": True})
        await answer.content.readexactly(len(stream) // 2)
        answer.close()
    setup.provider.hold.set()

    (event,) = await setup.metered(1)
    assert not event.aborted
    assert usage == Usage(
        fresh_input=event.fresh_input,
        cached_input=event.cached_input,
        output=event.output,
        reasoning=event.reasoning,
    )


async def test_a_whole_answer_that_the_agent_leaves_is_counted_all_the_same(setup: Setup) -> None:
    setup.provider.hold.clear()
    async with setup.session() as session:
        asked = asyncio.ensure_future(session.post(setup.url("/v1/messages"), json={}))
        async with asyncio.timeout(10):
            await setup.provider.asked.wait()
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
    setup.provider.hold.set()

    (event,) = await setup.metered(1)
    assert (event.fresh_input, event.output) == (5, 2)


@pytest.mark.parametrize("status", [400, 401, 429, 500, 529])
async def test_an_error_comes_back_as_it_is(setup: Setup, status: int) -> None:
    async with setup.session() as session:
        answer = await session.post(setup.url("/v1/messages"), json={"status": status})
        headers = answer.headers
        answer.release()

    (event,) = await setup.metered(1)
    assert answer.status == event.status == status
    assert headers["retry-after"] == "3"


async def test_a_spent_slice_is_refused_before_anything_is_forwarded(setup: Setup) -> None:
    await setup.post("/v1/messages", {"stream": True})
    await setup.post("/v1/messages", {"stream": True})

    status, body = await setup.post("/v1/messages", {"stream": True})

    assert status == 403
    assert b"budget" in body
    assert len(setup.provider.bodies) == 2
    assert isinstance(setup.events[-1], RequestRefused)


@pytest.mark.parametrize("path", ["/v1/files", "/v1/models", "/", "/v1/messages/batches"])
async def test_what_is_not_on_the_list_is_not_forwarded(setup: Setup, path: str) -> None:
    status, _ = await setup.post(path, {})

    assert status == 404
    assert not setup.provider.bodies
    assert isinstance(setup.events[-1], RequestRefused)


@pytest.mark.parametrize("climb", ["..", "%2e%2e", "x%2f..%2f.."])
async def test_no_path_climbs_to_what_is_not_on_the_list(setup: Setup, climb: str) -> None:
    url = URL(setup.url(f"/v1/responses/{climb}/batches/b1/cancel"), encoded=True)
    async with setup.session() as session, session.post(url, json={}) as answer:
        assert answer.status == 404

    assert not setup.provider.bodies


async def test_a_key_file_that_is_gone_is_a_refusal(setup: Setup, tmp_path: Path) -> None:
    (tmp_path / "key").unlink()

    assert (await setup.post("/v1/messages", {}))[0] == 401
    assert not setup.provider.bodies


@pytest.mark.parametrize("stream", [True, False])
async def test_closing_ends_open_requests_and_counts_them(setup: Setup, stream: bool) -> None:
    setup.provider.hold.clear()
    asked = asyncio.ensure_future(setup.post("/v1/messages", {"stream": stream}))
    async with asyncio.timeout(10):
        await setup.provider.asked.wait()
        await setup.gateway.close()
        (event,) = await setup.metered(1)
        with pytest.raises(aiohttp.ClientError):
            await asked
    assert event.aborted


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}),
        ("/v1/messages", {"mcp_servers": [{"type": "url", "url": "https://x.example"}]}),
        ("/v1/messages", {"messages": [{"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t", "content": [
                {"type": "image", "source": {"type": "url", "url": "https://x.example/?told"}}]}]}]}),
        ("/v1/responses", {"tools": [{"type": "web_search"}]}),
        ("/v1/responses", {"tools": [{"type": "mcp", "server_url": "https://x.example"}]}),
        ("/v1/responses", {"background": True, "input": "hello"}),
        ("/v1/responses", {"input": [{"role": "user", "content": [
            {"type": "input_image", "image_url": "https://x.example/?told"}]}]}),
    ],
)  # fmt: skip
async def test_a_provider_is_no_way_out(setup: Setup, path: str, body: dict[str, object]) -> None:
    status, answer = await setup.post(path, body)

    assert status == 403, answer
    assert not setup.provider.bodies
    assert isinstance(setup.events[-1], RequestRefused)


async def test_what_an_agent_runs_itself_passes(setup: Setup) -> None:
    picture = {"type": "image", "source": {"type": "base64", "data": "AA=="}}
    asked = {
        "type": "tool_use",
        "id": "t",
        "name": "f",
        "input": {"image_url": "https://x.example"},
    }
    body: dict[str, object] = {
        "tools": [{"name": "f", "input_schema": {}}, {"type": "bash_20250124", "name": "bash"}],
        "messages": [
            {"role": "user", "content": [picture]},
            {"role": "assistant", "content": [asked]},
        ],
    }

    assert (await setup.post("/v1/messages", body))[0] == 200
    assert (await setup.post("/v1/responses", {"tools": [{"type": "function"}], "input": "hi"}))[
        0
    ] == 200


async def test_no_key_appears_in_an_event(setup: Setup) -> None:
    await setup.post("/v1/messages", {"stream": True})
    await setup.post("/v1/files", {})

    assert KEY not in str(setup.events)


def test_a_broken_file_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('[providers.anthropic]\nbase_url = "ftp://x"\n')
    with pytest.raises(SettingsRefused, match=r"gateway\.toml: providers\.anthropic\.base_url"):
        load_settings(path)
    path.write_text('[agents.a1]\nbudget_tokens = "many"\n')
    with pytest.raises(SettingsRefused, match="budget_tokens"):
        load_settings(path)
    assert load_settings(tmp_path / "none.toml") == GatewaySettings()
