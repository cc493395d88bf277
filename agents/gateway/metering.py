"""Tokens of a response by canonical class, read on the wire. Pure, and fed bytes as they pass.

Classes: fresh input, cached input, output, and of the output what was reasoning.
Anthropic Messages: fresh is `input_tokens` and `cache_creation_input_tokens`; cached is
`cache_read_input_tokens`. OpenAI Responses: `input_tokens` includes `cached_tokens`.
A stream's usage events carry running totals, so the last value seen of each field counts, and a
stream that is cut keeps what it had said.
"""

import re
from collections.abc import Mapping
from typing import Literal, cast

import msgspec

from robots.wire.events import TokensMetered
from robots.wire.records import Frozen

Provider = Literal["anthropic", "openai"]

# A stream's lines are short but for one delta; what is longer cannot be usage and is let pass.
LINE_LIMIT_BYTES = 4 * 1024 * 1024
BODY_LIMIT_BYTES = 64 * 1024 * 1024
_ANTHROPIC = re.compile(r"/v1/messages(/count_tokens)?")
# SAFETY: no dot and no slash in an id, which could climb to the provider's other paths.
_OPENAI = re.compile(r"/v1/responses(/input_tokens|/[A-Za-z0-9_-]+/cancel)?")


class Usage(Frozen):
    """Tokens of one response, by class."""

    fresh_input: int = 0
    cached_input: int = 0
    output: int = 0
    reasoning: int = 0

    @property
    def uncached(self) -> int:
        """Tokens that a budget counts: fresh input and output."""
        return self.fresh_input + self.output

    def plus(self, event: TokensMetered) -> "Usage":
        """With a metered response added."""
        return Usage(
            fresh_input=self.fresh_input + event.fresh_input,
            cached_input=self.cached_input + event.cached_input,
            output=self.output + event.output,
            reasoning=self.reasoning + event.reasoning,
        )


class Metered(Frozen):
    """What the gateway answers an agent that asks for its own count (`GET /usage`).

    Attributes:
        whole: Of answers that came to their end.
        every: Of those that were broken off as well.
        settled: Whether none of its requests is under way.
    """

    whole: Usage
    every: Usage
    settled: bool


def provider_of(path: str) -> Provider | None:
    """Whose interface a request path belongs to; None for a path that is not allowed."""
    if _ANTHROPIC.fullmatch(path):
        return "anthropic"
    return "openai" if _OPENAI.fullmatch(path) else None


class Meter:
    """Reads one response as it passes, whole or as a stream of server-sent events."""

    def __init__(self, provider: Provider, *, stream: bool) -> None:
        self._provider: Provider = provider
        self._stream = stream
        self._held = bytearray()
        self._skipping = False
        self._fields: dict[str, int] = {}
        self.model = ""
        self.complete = False

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the response's body."""
        if not self._stream:
            if len(self._held) + len(chunk) <= BODY_LIMIT_BYTES:
                self._held += chunk
            return
        self._held += chunk
        # A line may be cut anywhere, within a character too; only whole lines are read.
        while (end := self._held.find(b"\n")) >= 0:
            line = bytes(self._held[:end])
            del self._held[: end + 1]
            if self._skipping:
                self._skipping = False
            else:
                self._read_line(line.rstrip(b"\r"))
        if len(self._held) > LINE_LIMIT_BYTES:
            self._held.clear()
            self._skipping = True

    def finish(self) -> Usage:
        """The body ended, or was cut: what it came to."""
        if not self._stream:
            self._read_document(bytes(self._held))
        self._held.clear()
        return self.usage

    @property
    def usage(self) -> Usage:
        """Tokens seen so far."""
        field = self._fields.get
        if self._provider == "anthropic":
            return Usage(
                fresh_input=field("input_tokens", 0) + field("cache_creation_input_tokens", 0),
                cached_input=field("cache_read_input_tokens", 0),
                output=field("output_tokens", 0),
                reasoning=field("thinking_tokens", 0),
            )
        cached = field("cached_tokens", 0)
        return Usage(
            fresh_input=max(0, field("input_tokens", 0) - cached),
            cached_input=cached,
            output=field("output_tokens", 0),
            reasoning=field("reasoning_tokens", 0),
        )

    def _read_line(self, line: bytes) -> None:
        if not line.startswith(b"data:"):
            return
        data = line[5:].strip()
        if data != b"[DONE]" and (b'"usage"' in data or b"message_stop" in data):
            self._read_document(data)

    def _read_document(self, data: bytes) -> None:
        try:
            document: object = msgspec.json.decode(data)
        except msgspec.DecodeError:
            return
        if not isinstance(document, dict):
            return
        event = cast("dict[str, object]", document)
        kind = event.get("type")
        # A stream nests the response: Anthropic in `message`, OpenAI in `response`.
        for holder in (event, event.get("message"), event.get("response")):
            if isinstance(holder, dict):
                self._read_response(cast("dict[str, object]", holder))
        ends = {"message", "message_stop", "response.completed", "response.incomplete"}
        if kind in ends or event.get("object") == "response":
            self.complete = True

    def _read_response(self, response: Mapping[str, object]) -> None:
        model = response.get("model")
        if isinstance(model, str):
            self.model = model
        usage = response.get("usage")
        if isinstance(usage, dict):
            self._read_usage(cast("dict[str, object]", usage))

    def _read_usage(self, usage: Mapping[str, object]) -> None:
        for name, value in usage.items():
            if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                self._fields[name] = value
            elif name.endswith("_tokens_details") and isinstance(value, dict):
                self._read_usage(cast("dict[str, object]", value))
