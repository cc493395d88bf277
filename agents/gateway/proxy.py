"""The reverse proxy on a Unix socket: allow-list, budget, key, forward, meter.

One socket an agent, so that who asks is not a matter of what the request says. What goes out has
the agent's own headers for authentication taken away and the real key put in; what comes back is
passed on as it arrives and counted on the way, also when either side ends it early.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    SocketTimeoutError,
    web,
)

from agents.gateway.arxiv import PAPER, SEARCH, Arxiv, ArxivRefused
from agents.gateway.budget import Budget
from agents.gateway.exchanges import Exchange, Exchanges, name_of
from agents.gateway.limiter import LONGEST_WAIT_S, Limiter, Pace
from agents.gateway.metering import Meter, Metered, Provider, provider_of
from agents.gateway.reach import reach
from agents.gateway.settings import GatewaySettings, read_key
from robots.wire.events import ProviderParked, RequestRefused, TokensMetered

log = logging.getLogger(__name__)

REQUEST_LIMIT_BYTES = 32 * 1024 * 1024
CONNECT_TIMEOUT_S = 10.0
TOTAL_TIMEOUT_S = 3600.0
DRAIN_TIMEOUT_S = 120.0
# Open requests are ended when the gateway is: whoever asked asks again.
CLOSE_S = 0.2
SETTLE_S = 2.0
USAGE = "/usage"

# Headers that end at each hop, that say who asks, or that would hide the body from the meter.
_NOT_FORWARDED = frozenset(
    [
        "host",
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "accept-encoding",
        "authorization",
        "x-api-key",
        "cookie",
        "openai-organization",
        "openai-project",
    ]
)
_NOT_RETURNED = frozenset(
    [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "content-length",
        "content-encoding",
        "set-cookie",
    ]
)

Record = Callable[[TokensMetered | RequestRefused | ProviderParked], None]


class Gateway:
    """Forwards the requests of a host's agents.

    Args:
        settings: Providers and slices.
        budget: Fold over the journal; the caller feeds it what `record` journals.
        record: Journals an event before this returns.
        arxiv: Asked for papers; without one such requests are refused like any other path.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        budget: Budget,
        record: Record,
        arxiv: Arxiv | None = None,
    ) -> None:
        self._settings = settings
        self._arxiv = arxiv
        self._budget = budget
        self._record = record
        self._exchanges_kept = Exchanges(Path(settings.gateway.folder))
        self._session: ClientSession | None = None
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._limiters: dict[Provider, Limiter] = {
            name: Limiter(each.requests_per_minute, each.tokens_per_minute, time.monotonic)
            for name, each in settings.providers.items()
        }
        self._runners: list[web.AppRunner] = []
        # By whose they are.
        self._exchanges: dict[asyncio.Future[web.StreamResponse], str] = {}

    async def serve(self, sockets: Mapping[str, Path]) -> None:
        """Listen on one Unix socket an agent."""
        # The host's proxy variables and cookies are no part of an agent's request.
        self._session = ClientSession(trust_env=False)
        for agent, path in sockets.items():
            app = web.Application(
                client_max_size=REQUEST_LIMIT_BYTES, middlewares=[self._no_proxy(agent)]
            )
            app.router.add_route("*", "/{tail:.*}", self._handler(agent))
            runner = web.AppRunner(
                app, access_log=None, handler_cancellation=True, shutdown_timeout=CLOSE_S
            )
            await runner.setup()
            self._runners.append(runner)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            await web.UnixSite(runner, str(path)).start()
            # The sandbox's user reaches the socket by its bind alone: the folder is the host's.
            path.chmod(0o666)

    def paces(self) -> dict[str, Pace]:
        """How fast each provider is being asked."""
        return {name: limiter.pace() for name, limiter in self._limiters.items()}

    async def close(self) -> None:
        """Stop listening; open requests are ended and counted."""
        for limiter in self._limiters.values():
            limiter.close()
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()
        for exchange in tuple(self._exchanges):
            exchange.cancel()
        await asyncio.gather(*self._exchanges, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._arxiv is not None:
            await self._arxiv.close()

    def _handler(self, agent: str) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await self._answer(agent, request)

        return handle

    def _no_proxy(self, agent: str) -> Callable[..., Any]:
        """Before any route: whoever names a host (`CONNECT`, `GET http://host/`) is refused."""

        @web.middleware
        async def asked_of_us(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            if request.raw_path.startswith("/"):
                return await handler(request)
            reason = f"not_allowed: {request.method} {request.raw_path:.200}"
            return self._refuse(agent, f"{reason}; only paths of this gateway are", 404)

        return asked_of_us

    async def _answer(self, agent: str, request: web.Request) -> web.StreamResponse:
        if request.path in (SEARCH, PAPER) and request.method == "GET" and self._arxiv is not None:
            return await self._of_papers(agent, request, self._arxiv)
        if request.method == "GET" and request.path == USAGE:
            return await self._count(agent)
        provider = provider_of(request.path)
        if provider is None or request.method != "POST" or provider not in self._settings.providers:
            return self._refuse(agent, f"not_allowed: {request.method} {request.path}", 404)
        if refusal := self._budget.refusal(agent):
            return self._refuse(agent, refusal, 403)
        if self._settings.gateway.mode == "replay":
            return self._replay(agent, provider, request.path, await request.read())
        key = read_key(self._settings.providers[provider])
        if not key:
            return self._refuse(agent, f"no_key: this host has no key for {provider}", 401)
        body = await request.read()
        if refusal := reach(body):
            return self._refuse(agent, f"not_allowed: {refusal}", 403)
        # An exchange outlives an agent that hangs up: what the provider does is paid for, so its
        # answer is read to the end and counted. A stream too: what it cost comes last in it, so
        # that whoever left each one early would spend nothing.
        exchange = asyncio.ensure_future(self._exchange(agent, provider, key, request, body))
        self._exchanges[exchange] = agent
        exchange.add_done_callback(self._ended)
        return await asyncio.shield(exchange)

    async def _of_papers(self, agent: str, request: web.Request, arxiv: Arxiv) -> web.Response:
        try:
            return web.Response(text=await arxiv.answer(request.path, request.query))
        except ArxivRefused as refused:
            return self._refuse(agent, str(refused), refused.status)

    async def _count(self, agent: str) -> web.Response:
        """What an agent's answers came to; its agent compares it with what it is told itself."""
        # The last one's client may have read to its end before it was counted.
        under_way = [each for each, whose in self._exchanges.items() if whose == agent]
        if under_way:
            await asyncio.wait(under_way, timeout=SETTLE_S)
        settled = all(each.done() for each in under_way)
        whole, every = self._budget.whole(agent), self._budget.spent(agent)
        count = Metered(whole=whole, every=every, settled=settled)
        return web.Response(body=msgspec.json.encode(count), content_type="application/json")

    def _ended(self, exchange: "asyncio.Future[web.StreamResponse]") -> None:
        del self._exchanges[exchange]
        if not exchange.cancelled() and (fault := exchange.exception()) is not None:
            log.debug("an exchange ended in %s", type(fault).__name__)

    async def _exchange(
        self, agent: str, provider: Provider, key: str, request: web.Request, body: bytes
    ) -> web.StreamResponse:
        limiter = self._limiters[provider]
        if (due_s := limiter.due_s()) > LONGEST_WAIT_S:
            reason = f"rate: {provider} is not asked for another {due_s:.0f} s"
            return self._refuse(agent, reason, 429, {"Retry-After": f"{due_s:.0f}"})
        await limiter.turn(agent)
        async with self._slots:
            if request.transport is None:
                return web.Response(status=499, reason="The agent hung up before its turn")
            # Others may have spent while this one waited for its slot.
            if refusal := self._budget.refusal(agent):
                return self._refuse(agent, refusal, 403)
            return await self._forward(agent, provider, key, request, body)

    async def _forward(
        self, agent: str, provider: Provider, key: str, request: web.Request, body: bytes
    ) -> web.StreamResponse:
        assert self._session is not None
        settings = self._settings.providers[provider]
        url = settings.base_url.rstrip("/") + request.path_qs
        timeout = ClientTimeout(
            total=TOTAL_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S, sock_read=settings.silence_s
        )
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _NOT_FORWARDED
        }
        headers["Accept-Encoding"] = "identity"
        if provider == "anthropic":
            headers["x-api-key"] = key
        else:
            headers["Authorization"] = f"Bearer {key}"
        try:
            upstream = await self._session.post(
                url, data=body, headers=headers, allow_redirects=False, timeout=timeout
            )
        except SocketTimeoutError:
            # What it came to nobody told. An agent's SDK would ask four times more and say nothing;
            # told not to, it leaves that to the agent, who says so and waits.
            self._meter(agent, provider, 0, Meter(provider, stream=True), aborted=True)
            reason = f"silent: {provider} did not answer within {settings.silence_s:g} s"
            return self._refuse(agent, reason, 504, {"x-should-retry": "false"})
        except (ClientError, TimeoutError) as error:
            log.warning("%s cannot be reached: %s", provider, type(error).__name__)
            return self._refuse(agent, f"unreachable: {provider} ({type(error).__name__})", 502)
        except asyncio.CancelledError:
            self._meter(agent, provider, 0, Meter(provider, stream=True), aborted=True)
            raise
        async with upstream:
            kept: list[bytes] = []
            response = await self._pass_on(agent, provider, request, upstream, kept)
            if kept and upstream.status < 400:
                told = b"".join(kept)
                self._exchanges_kept.keep(
                    request.path, body, upstream.status, upstream.content_type, told, key
                )
            return response

    async def _pass_on(
        self,
        agent: str,
        provider: Provider,
        request: web.Request,
        upstream: ClientResponse,
        kept: list[bytes],
    ) -> web.StreamResponse:
        """Pass an answer on as it comes; where exchanges are recorded, a whole one is `kept` too."""
        chunks: list[bytes] = []
        park_s = self._limiters[provider].answered(
            upstream.status, upstream.headers.get("retry-after", "")
        )
        if park_s:
            self._record(
                ProviderParked(
                    provider=provider, seconds=park_s, status=upstream.status, agent=agent
                )
            )
        stream = upstream.content_type == "text/event-stream"
        meter = Meter(provider, stream=stream)
        response = web.StreamResponse(status=upstream.status)
        for name, value in upstream.headers.items():
            if name.lower() not in _NOT_RETURNED:
                response.headers.add(name, value)
        whole = False
        try:
            await response.prepare(request)
            async for chunk in upstream.content.iter_any():
                meter.feed(chunk)
                if self._settings.gateway.mode == "record":
                    chunks.append(chunk)
                await response.write(chunk)
            whole = not stream or meter.complete
            await response.write_eof()
            kept += chunks if whole else ()
        except (ClientError, ConnectionError, TimeoutError) as error:
            log.info("%s: a response of %s was cut: %s", agent, provider, type(error).__name__)
            whole = await _drain(upstream, meter) and (not stream or meter.complete)
            raise
        finally:
            self._meter(agent, provider, upstream.status, meter, aborted=not whole)
        return response

    def _replay(self, agent: str, provider: Provider, path: str, body: bytes) -> web.Response:
        """Answer from the folder; what was never recorded is refused, and nobody is asked."""
        found: Exchange | None = self._exchanges_kept.find(path, body)
        if found is None:
            reason = (
                f"not_recorded: {path} {name_of(path, body)[:12]} is not in "
                f'{self._exchanges_kept.folder}; record it with gateway.mode = "record"'
            )
            return self._refuse(agent, reason, 404)
        stream = found.content_type == "text/event-stream"
        meter, answer = Meter(provider, stream=stream), found.answer.encode()
        meter.feed(answer)
        self._meter(agent, provider, found.status, meter, aborted=False)
        return web.Response(status=found.status, body=answer, content_type=found.content_type)

    def _meter(
        self, agent: str, provider: Provider, status: int, meter: Meter, *, aborted: bool
    ) -> None:
        usage = meter.finish()
        self._limiters[provider].spent(usage.uncached)
        self._record(
            TokensMetered(
                agent=agent,
                provider=provider,
                model=meter.model,
                fresh_input=usage.fresh_input,
                cached_input=usage.cached_input,
                output=usage.output,
                reasoning=usage.reasoning,
                aborted=aborted,
                status=status,
            )
        )

    def _refuse(
        self, agent: str, reason: str, status: int, headers: Mapping[str, str] | None = None
    ) -> web.Response:
        self._record(RequestRefused(agent=agent, reason=reason))
        error = {"type": "enpire_gateway", "message": reason}
        # Both interfaces read `error.message`; neither retries these statuses but 502.
        body = msgspec.json.encode({"type": "error", "error": error})
        return web.Response(
            status=status, body=body, content_type="application/json", headers=headers
        )


async def _drain(upstream: ClientResponse, meter: Meter) -> bool:
    """Read an answer to its end for its usage; True if it came to its end."""
    try:
        async with asyncio.timeout(DRAIN_TIMEOUT_S):
            async for chunk in upstream.content.iter_any():
                meter.feed(chunk)
    except (ClientError, ConnectionError, TimeoutError):
        return False
    return True
