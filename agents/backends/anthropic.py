"""The Anthropic Messages API through the official SDK and the gateway's socket."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import anthropic
import httpx2
import msgspec

from agents.backends.session import Asked, ProviderFailed, Reply
from agents.pictures import PNG, Album, Answer, in_place, part
from agents.tools.offered import TOOLS
from agents.tools.surface import Tool

MODEL = "claude-opus-4-7"
MOST_OUTPUT = 16_000
RETRIES = 4
SILENCE_S = 780.0
"""Longer than the gateway may hold a request back and then wait for a silent provider: it tells why."""
RESULT = "tool_result"
CACHED: dict[str, Any] = {"cache_control": {"type": "ephemeral"}}


class AnthropicProvider:
    """One model.

    Args:
        model: Its id; "" takes the default.
        socket: The gateway's, of this agent; the gateway puts the key in.
        offered: Tools that it may call.
    """

    name = "anthropic"

    def __init__(self, model: str, socket: Path, offered: Sequence[Tool] = TOOLS) -> None:
        self._model = model or MODEL
        self.label = f"language model {self._model}"
        self.socket = socket
        self._tools: list[Any] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.schema}
            for tool in offered
        ]

    async def __aenter__(self) -> Self:
        transport = httpx2.AsyncHTTPTransport(uds=str(self.socket))
        self._client = anthropic.AsyncAnthropic(
            base_url="http://gateway",
            api_key="of-the-gateway",
            max_retries=RETRIES,
            http_client=httpx2.AsyncClient(transport=transport, timeout=SILENCE_S),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def ask(self, system: str, messages: list[dict[str, Any]]) -> Reply:
        """The model's next words and calls.

        Raises:
            ProviderFailed: It did not answer, or its answer was cut.
        """
        prompt: list[Any] = [{"type": "text", "text": system, **CACHED}]
        try:
            async with self._client.messages.stream(
                model=self._model,
                max_tokens=MOST_OUTPUT,
                system=prompt,
                tools=self._tools,
                messages=_cached(messages),
            ) as stream:
                message = await stream.get_final_message()
        except (anthropic.APIError, httpx2.HTTPError) as error:
            raise failure(error) from None
        if message.stop_reason is None:
            raise ProviderFailed("busy", "the answer was cut")
        # Out of room within a call, the call is half: neither run nor kept, or a restart would run it.
        whole = message.stop_reason == "tool_use"
        kept = [block for block in message.content if whole or block.type != "tool_use"]
        content = [block.to_dict() for block in kept]
        return Reply(
            messages=[{"role": "assistant", "content": content}] if content else [],
            texts=[block.text for block in kept if block.type == "text" and block.text],
            calls=_calls(content),
            used=_used(message.usage),
        )

    def said(self, text: str) -> dict[str, Any]:
        return {"role": "user", "content": [_text(text)]}

    def answers(self, answered: list[tuple[Asked, Answer]]) -> list[dict[str, Any]]:
        content = [
            {"type": RESULT, "tool_use_id": call.call_id, "content": _content(told)}
            for call, told in answered
        ]
        return [{"role": "user", "content": content}]

    def shown(self, messages: list[dict[str, Any]], album: Album) -> list[dict[str, Any]]:
        def block(each: dict[str, Any]) -> dict[str, Any]:
            if each["type"] != RESULT:
                return each
            return {**each, "content": in_place(each["content"], album, _image, _text)}

        return [{**each, "content": [block(b) for b in each["content"]]} for each in messages]

    def open_calls(self, messages: list[dict[str, Any]]) -> list[Asked]:
        last = messages[-1] if messages else {}
        return _calls(last["content"]) if last.get("role") == "assistant" else []


def _content(told: Answer) -> str | list[dict[str, Any]]:
    if not told.pictures:
        return told.text
    return [_text(told.text), *map(part, told.pictures)]


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _image(data: str) -> dict[str, Any]:
    return {"type": "image", "source": {"type": "base64", "media_type": PNG, "data": data}}


def _calls(content: list[Any]) -> list[Asked]:
    return [
        Asked(block["id"], block["name"], msgspec.json.encode(block["input"]))
        for block in content
        if block["type"] == "tool_use"
    ]


def _used(usage: anthropic.types.Usage) -> dict[str, int]:
    return {
        "fresh_input": usage.input_tokens + (usage.cache_creation_input_tokens or 0),
        "cached_input": usage.cache_read_input_tokens or 0,
        "output": usage.output_tokens,
    }


def _cached(messages: list[dict[str, Any]]) -> list[Any]:
    """The conversation with its last block marked, so that all before it is read from the cache."""
    *earlier, last = messages
    *blocks, end = last["content"]
    return [*earlier, {**last, "content": [*blocks, {**end, **CACHED}]}]


def failure(error: Exception) -> ProviderFailed:
    """What an error of an SDK means for the conversation; the two SDKs name them alike."""
    status = getattr(error, "status_code", None)
    detail = str(error)[:300]
    response: Any = getattr(error, "response", None)
    told = response.headers.get("retry-after", "") if response is not None else ""
    retry_s = float(told) if told.replace(".", "", 1).isdigit() else 0.0
    match status:
        case 403 if "budget" in detail:
            return ProviderFailed("budget", detail)
        case 400 | 413 | 422:
            return ProviderFailed("invalid", detail)
        case 401 | 403 | 404:
            return ProviderFailed("refused", detail)
        case _:
            return ProviderFailed("busy", detail, retry_s)
