"""The OpenAI Responses API through the official SDK and the gateway's socket."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import httpx2
import openai
from openai.types.responses import ResponseUsage

from agents.backends.anthropic import RETRIES, SILENCE_S, failure
from agents.backends.session import Asked, ProviderFailed, Reply
from agents.pictures import PNG, Album, Answer, in_place, part
from agents.tools.offered import TOOLS
from agents.tools.surface import Tool

MODEL = "gpt-5.5"
_RESULT, _CALL = "function_call_output", "function_call"


class OpenAIProvider:
    """One model.

    Args:
        model: Its id; "" takes the default.
        socket: The gateway's, of this agent; the gateway puts the key in.
        offered: Tools that it may call.
        fleet: Equal for all agents of a run, so that they share a prompt cache.
    """

    name = "openai"

    def __init__(
        self, model: str, socket: Path, offered: Sequence[Tool] = TOOLS, fleet: str = "enpire"
    ) -> None:
        self._model = model or MODEL
        self._fleet = fleet
        self.label = f"language model {self._model}"
        self.socket = socket
        self._tools: list[Any] = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.schema,
                "strict": False,
            }
            for tool in offered
        ]

    async def __aenter__(self) -> Self:
        transport = httpx2.AsyncHTTPTransport(uds=str(self.socket))
        self._client = openai.AsyncOpenAI(
            base_url="http://gateway/v1",
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
        given: list[Any] = list(messages)
        done: Any = None
        try:
            stream: Any = await self._client.responses.create(
                model=self._model,
                instructions=system,
                input=given,
                tools=self._tools,
                stream=True,
                # Nothing is kept there: what was reasoned travels with the conversation.
                store=False,
                include=["reasoning.encrypted_content"],
                prompt_cache_key=self._fleet,
            )
            async for event in stream:
                if event.type in ("response.completed", "response.incomplete"):
                    done = event.response
                elif event.type in ("response.failed", "error"):
                    raise ProviderFailed("busy", str(event)[:300])
        except (openai.APIError, httpx2.HTTPError) as error:
            raise failure(error) from None
        if done is None:
            raise ProviderFailed("busy", "the answer was cut")
        items: list[dict[str, Any]] = [item.to_dict() for item in done.output]
        whole = done.status == "completed"
        return Reply(
            messages=items if whole else [i for i in items if i["type"] != _CALL],
            texts=[done.output_text] if done.output_text else [],
            calls=self.open_calls(items) if whole else [],
            used=_used(done.usage),
        )

    def said(self, text: str) -> dict[str, Any]:
        return {"role": "user", "content": [_text(text)]}

    def answers(self, answered: list[tuple[Asked, Answer]]) -> list[dict[str, Any]]:
        return [
            {"type": _RESULT, "call_id": call.call_id, "output": _output(told)}
            for call, told in answered
        ]

    def shown(self, messages: list[dict[str, Any]], album: Album) -> list[dict[str, Any]]:
        def item(each: dict[str, Any]) -> dict[str, Any]:
            if each.get("type") != _RESULT:
                return each
            return {**each, "output": in_place(each["output"], album, _image, _text)}

        return [item(each) for each in messages]

    def open_calls(self, messages: list[dict[str, Any]]) -> list[Asked]:
        answered = {each["call_id"] for each in messages if each.get("type") == _RESULT}
        return [
            Asked(each["call_id"], each["name"], each["arguments"].encode())
            for each in messages
            if each.get("type") == _CALL and each["call_id"] not in answered
        ]


def _output(told: Answer) -> str | list[dict[str, Any]]:
    if not told.pictures:
        return told.text
    return [_text(told.text), *map(part, told.pictures)]


def _text(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}


def _image(data: str) -> dict[str, Any]:
    return {"type": "input_image", "image_url": f"data:{PNG};base64,{data}", "detail": "auto"}


def _used(usage: ResponseUsage | None) -> dict[str, int]:
    if usage is None:
        return {}
    cached = usage.input_tokens_details.cached_tokens
    return {
        "fresh_input": usage.input_tokens - cached,
        "cached_input": cached,
        "output": usage.output_tokens,
        "reasoning": usage.output_tokens_details.reasoning_tokens,
    }
