"""Stand-ins of two providers' interfaces, faithful to their protocols: streams, tools, usage, faults.

A script says what the model does turn by turn; faults come before a turn is given. Nothing here
reaches beyond this machine.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from aiohttp import web

Call = tuple[str, dict[str, Any]]

_NUMBER = web.RequestKey("number", int)


class Turn(NamedTuple):
    """What the model says in one turn.

    Attributes:
        full: False where it ran out of room within its last call.
    """

    text: str = ""
    calls: tuple[Call, ...] = ()
    output: int = 50
    reasoning: int = 0
    full: bool = True
    # A figure that stands where no client reads it, and a meter may.
    lie: int = 0


class Fault(NamedTuple):
    """What happens instead of an answer.

    Attributes:
        status: Of the response; 200 cuts the stream after `cut` bytes; 0 never answers at all.
        stalls: In place of the cut nothing more comes, and the connection stays open.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    cut: int = 0
    stalls: bool = False


Script = Callable[[int, dict[str, Any]], Turn]
Usage = tuple[int, int, int, int]
"""Fresh, cached, output and reasoning tokens."""


def _namespace(name: str) -> dict[str, str]:
    """A tool that a request offers in a namespace is called with it: NAMESPACE/NAME."""
    return {"namespace": name.partition("/")[0]} if "/" in name else {}


class Provider:
    """Serves both interfaces from one script.

    Args:
        script: Number of the turn and the request to what the model says.
        faults: By the number of the request, counted from 0.
        thinks_s: Pause before an answer begins, and once more in its midst.
    """

    def __init__(
        self, script: Script, faults: dict[int, Fault] | None = None, thinks_s: float = 0.0
    ) -> None:
        self.script = script
        self.faults = {} if faults is None else faults
        self.thinks_s = thinks_s
        # Requests whose answer has begun and not ended, by number.
        self.speaking: dict[int, dict[str, Any]] = {}
        self.hung_up = 0
        # Held after half of the answer is out, by the number of the request.
        self.holds: dict[int, asyncio.Event] = {}
        self.halfway = asyncio.Event()
        self.asked = asyncio.Event()
        # Bytes of the answer that was streamed last.
        self.streamed = 0
        self._over = asyncio.Event()
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.turns = 0
        self.sent = {"fresh": 0, "cached": 0, "output": 0, "reasoning": 0}
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_post("/v1/responses", self._responses)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    async def stop(self) -> None:
        self._over.set()
        await self._runner.cleanup()

    def _next(self, body: dict[str, Any]) -> Turn:
        turn = self.script(self.turns, body)
        self.turns += 1
        return turn

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        body, fault = await self._taken(request, request.headers.get("x-api-key", ""))
        if fault is not None and fault.status != 200:
            error = {"type": "error", "error": {"type": "api_error", "message": "as scripted"}}
            return web.json_response(error, status=fault.status, headers=dict(fault.headers))
        turn = self._next(body)
        fresh, cached = self._input(body)
        usage = {
            "input_tokens": fresh,
            "cache_creation_input_tokens": 7,
            "cache_read_input_tokens": cached,
        }
        message = {
            "id": f"msg_{self.turns}", "type": "message", "role": "assistant", "content": [],
            "model": body["model"], "stop_reason": None, "stop_sequence": None,
            "usage": {**usage, "output_tokens": 1},
        }  # fmt: skip
        events: list[tuple[str, dict[str, Any]]] = [("message_start", {"message": message})]
        blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
        if turn.text:
            half = len(turn.text) // 2
            parts = [turn.text[:half], turn.text[half:]]
            deltas = [{"type": "text_delta", "text": part} for part in parts]
            blocks.append(({"type": "text", "text": ""}, deltas))
        for number, (name, arguments) in enumerate(turn.calls):
            block = {
                "type": "tool_use", "id": f"toolu_{self.turns}_{number}", "name": name, "input": {},
            }  # fmt: skip
            text = json.dumps(arguments)
            parts = [text[: len(text) // 2], text[len(text) // 2 :]]
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in parts]
            deltas = deltas if turn.full else deltas[:1]
            blocks.append((block, deltas))
        for index, (block, deltas) in enumerate(blocks):
            events.append(("content_block_start", {"index": index, "content_block": block}))
            events += [("content_block_delta", {"index": index, "delta": d}) for d in deltas]
            events.append(("content_block_stop", {"index": index}))
        reason = "tool_use" if turn.calls else "end_turn"
        reason = reason if turn.full else "max_tokens"
        events.append(("message_delta", {
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"output_tokens": turn.output},
        }))  # fmt: skip
        if turn.lie:
            events.append(("ping", {"usage": {"output_tokens": turn.lie}}))
        events.append(("message_stop", {}))
        stream = [(name, {"type": name, **content}) for name, content in events]
        begun, whole = (fresh + 7, cached, 1, 0), (fresh + 7, cached, turn.output, 0)
        return await self._stream(request, stream, fault, begun, whole)

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        body, fault = await self._taken(request, key)
        if fault is not None and fault.status != 200:
            error = {"error": {"type": "server_error", "message": "as scripted", "code": None}}
            return web.json_response(error, status=fault.status, headers=dict(fault.headers))
        turn = self._next(body)
        fresh, cached = self._input(body)
        output: list[dict[str, Any]] = []
        if turn.reasoning:
            output.append({
                "type": "reasoning", "id": f"rs_{self.turns}", "summary": [],
                "encrypted_content": "sealed",
            })  # fmt: skip
        if turn.text:
            text = {"type": "output_text", "text": turn.text, "annotations": []}
            output.append({
                "type": "message", "id": f"msg_{self.turns}", "role": "assistant",
                "status": "completed", "content": [text],
            })  # fmt: skip
        for number, (name, arguments) in enumerate(turn.calls):
            output.append({
                "type": "function_call", "id": f"fc_{self.turns}_{number}", "name": name.split("/")[-1],
                "call_id": f"call_{self.turns}_{number}", "arguments": json.dumps(arguments),
                "status": "completed", **_namespace(name),
            })  # fmt: skip
        usage = {
            "input_tokens": fresh + cached,
            "input_tokens_details": {"cached_tokens": cached},
            "output_tokens": turn.output,
            "output_tokens_details": {"reasoning_tokens": turn.reasoning},
            "total_tokens": fresh + cached + turn.output,
        }
        response = {
            "id": f"resp_{self.turns}", "object": "response", "created_at": 0,
            "status": "completed" if turn.full else "incomplete",
            "model": body["model"], "output": output, "usage": usage, "error": None,
            "incomplete_details": None, "instructions": None, "metadata": {}, "tools": [],
            "parallel_tool_calls": True, "tool_choice": "auto", "temperature": 1.0, "top_p": 1.0,
        }  # fmt: skip
        started = {**response, "status": "in_progress", "output": [], "usage": None}
        events: list[tuple[str, dict[str, Any]]] = [("response.created", {"response": started})]
        for index, item in enumerate(output):
            events.append(("response.output_item.added", {"output_index": index, "item": item}))
            events.append(("response.output_item.done", {"output_index": index, "item": item}))
        events.append((f"response.{response['status']}", {"response": response}))
        if turn.lie:
            events.append(("response.queued", {"response": {"usage": {"output_tokens": turn.lie}}}))
        stream = [
            (name, {"type": name, "sequence_number": n, **content})
            for n, (name, content) in enumerate(events)
        ]
        whole = (fresh, cached, turn.output, turn.reasoning)
        return await self._stream(request, stream, fault, (0, 0, 0, 0), whole)

    async def _taken(self, request: web.Request, key: str) -> tuple[dict[str, Any], Fault | None]:
        body = await request.json()
        fault = self.faults.get(len(self.requests))
        request[_NUMBER] = len(self.requests)
        self.requests.append(body)
        self.keys.append(key)
        self.asked.set()
        if fault is not None and not fault.status:
            await self._over.wait()
        return body, fault

    def _input(self, body: dict[str, Any]) -> tuple[int, int]:
        """Fresh and cached input: the conversation's last message is fresh."""
        count = len(body.get("messages") or body.get("input"))
        return 100, 40 * (count - 1)

    def _count(self, usage: Usage) -> None:
        for key, value in zip(self.sent, usage, strict=True):
            self.sent[key] += value

    async def _stream(
        self,
        request: web.Request,
        events: list[tuple[str, dict[str, Any]]],
        fault: Fault | None,
        begun: Usage,
        whole: Usage,
    ) -> web.StreamResponse:
        """Send an answer in pieces, and count what it had told of its usage by its end or its cut."""
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        if await self._left(request):
            return answer
        await answer.prepare(request)
        content = "".join(f"event: {name}\ndata: {json.dumps(e)}\n\n" for name, e in events)
        data = content.encode()
        self.streamed = len(data)
        if fault is not None:
            self._count(begun)
            await answer.write(data[: fault.cut])
            if fault.stalls:
                await self._over.wait()
            await asyncio.sleep(0.05)
            request.transport.abort()
            return answer
        number = request[_NUMBER]
        if self.thinks_s:
            first = data.index(b"\n\n") + 2
            await answer.write(data[:first])
            data = data[first:]
            self.speaking[number] = self.requests[number]
            try:
                if await self._left(request):
                    self._count(begun)
                    return answer
            finally:
                del self.speaking[number]
        self._count(whole)
        hold = self.holds.get(number)
        if hold is not None:
            half = data.rindex(b"arguments" if b"arguments" in data else b"partial_json")
            await answer.write(data[:half])
            data = data[half:]
            self.halfway.set()
            await hold.wait()
        # In pieces that fall anywhere, as a network's do.
        for start in range(0, len(data), 97):
            await answer.write(data[start : start + 97])
        await answer.write_eof()
        return answer

    async def _left(self, request: web.Request) -> bool:
        """Think; whether who asked has hung up meanwhile."""
        if self.thinks_s:
            await asyncio.sleep(self.thinks_s)
        left = request.transport is None or request.transport.is_closing()
        self.hung_up += left
        return left
