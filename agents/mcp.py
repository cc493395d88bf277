"""The tools of one agent over MCP, on a Unix socket that is bound into its program's sandbox.

The same surface as that of the SDK loops. A call has the id that the program gives it, or one of
its own. Those with side effects are on record from before they act until the program has heard the
answer; whoever starts the program again makes them once more by `unheard`, which repeats nothing.
"""

import asyncio
import logging
import secrets
from pathlib import Path
from typing import Any, Self, cast

import mcp_types as types
import msgspec
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server

from agents.pictures import PNG, Album, Answer, base64_of
from agents.tools import calls as t
from agents.tools.offered import TOOLS
from agents.tools.surface import Surface
from robots.wire import codec
from robots.wire.records import Frozen

log = logging.getLogger(__name__)

SERVER = "enpire"
# Where programs put the model's own id of a call.
CALL_ID_KEYS = ("claudecode/toolUseId", "callId")
LINE_LIMIT_BYTES = 8 << 20
CLOSED = "closed"
_ONCE = frozenset(tool.name for tool in TOOLS if tool.once)


class OpenCall(Frozen):
    """A call with side effects whose answer the program has not heard yet."""

    call_id: str
    name: str
    arguments: bytes


class OpenCalls(Frozen):
    """All of them, in the order in which they were made."""

    calls: tuple[OpenCall, ...] = ()


class ToolServer:
    """Serves the tools for one session of a program.

    Args:
        surface: The tools.
        backend: Whose records the open calls are.
        socket: Where to listen; its folder is the caller's.

    Attributes:
        calls: How many calls were made so far.
        halted: Why the turn ends, once a tool said so; the call stays open. CLOSED where the
            program goes on although it has closed its session.
    """

    def __init__(self, surface: Surface, backend: str, socket: Path) -> None:
        self._surface = surface
        self._desk = surface.desk
        self._key = f"{backend}/{surface.work.run_id}/unheard"
        self._socket = socket
        self._session = surface.work.closed
        self._served: set[asyncio.Task[None]] = set()
        self._answered: set[str] = set()
        self._told: dict[str, None] = {}
        known = self._desk.log.records.get(self._key)
        self._open = codec.decode(known, OpenCalls) if known is not None else OpenCalls()
        self.calls = 0
        self.halted: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_unix_server(
            self._accepted, self._socket, limit=LINE_LIMIT_BYTES
        )
        # The sandbox's user reaches the socket by its bind alone: the folder is the host's.
        self._socket.chmod(0o666)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._served:
            task.cancel()
        await asyncio.gather(*self._served, return_exceptions=True)
        self._socket.unlink(missing_ok=True)

    async def unheard(self) -> list[tuple[OpenCall, str]]:
        """Calls of an earlier life whose answers nobody heard, with their answers.

        Raises:
            ToolRefused: PAUSED, STOPPED or run_ended; they stay open.
        """
        found: list[tuple[OpenCall, str]] = []
        for call in self._open.calls:
            told = await self._surface.call(call.call_id, call.name, call.arguments)
            self._answered.add(call.call_id)
            # Only calls with side effects stay open, and those are answered in words alone.
            found.append((call, told.text))
        return found

    def heard(self) -> None:
        """The program has heard every answer, and all words of people, that were given so far."""
        if self._answered or self._told:
            kept = tuple(each for each in self._open.calls if each.call_id not in self._answered)
            heard = tuple(self._told)
            self._answered.clear()
            self._told.clear()
            self._keep(kept, heard)

    def words(self) -> list[str]:
        """What people have said, each of their words once; unheard, it is said to the next session."""
        fresh = {key: said for key, said in self._desk.log.words.items() if key not in self._told}
        self._told |= dict.fromkeys(fresh)
        return [f"A person says: {said}" for said in fresh.values()]

    # --- one connection ---

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._served.add(task)
        task.add_done_callback(self._served.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine = secrets.token_hex(4)

        async def listed(_: object, __: object) -> types.ListToolsResult:
            return types.ListToolsResult(
                tools=[
                    types.Tool(
                        name=tool.name, description=tool.description, input_schema=tool.schema
                    )
                    for tool in TOOLS
                ]
            )

        async def called(
            context: ServerRequestContext[Any, Any], given: types.CallToolRequestParams
        ) -> types.CallToolResult:
            told = await self._call(call_id(context, mine), given)
            return types.CallToolResult(
                content=content(told, self._desk.album), is_error=told.text.startswith("refused:")
            )

        server: Server[Any] = Server(SERVER, on_list_tools=listed, on_call_tool=called)
        lines = cast("Any", reader), cast("Any", _Lines(writer))
        try:
            async with stdio_server(*lines) as streams:
                await server.run(*streams, server.create_initialization_options())
        except* (ConnectionError, ValueError) as error:
            log.info("%s: a connection for tools ended: %s", self._desk.name, error.exceptions)
        finally:
            writer.close()

    async def _call(self, key: str, given: types.CallToolRequestParams) -> Answer:
        surface, desk = self._surface, self._desk
        self.heard()
        self.calls += 1
        if surface.work.closed != self._session:
            return await self._halt(CLOSED)
        arguments = msgspec.json.encode(given.arguments or {})
        if given.name in _ONCE and all(each.call_id != key for each in self._open.calls):
            self._keep(
                (*self._open.calls, OpenCall(call_id=key, name=given.name, arguments=arguments))
            )
        shown = t.cut_text(arguments.decode(), 400)[0]
        desk.say("tool", f"{given.name} {shown}", surface.work.idea_id)
        try:
            told = await surface.call(key, given.name, arguments)
        except t.ToolRefused as refused:
            return await self._halt(refused.reason)
        desk.say("result", t.cut_text(told.text, 1_000)[0], surface.work.idea_id)
        self._answered.add(key)
        # Whatever it is working on, it hears people with its next answer.
        return told._replace(text="\n\n".join([told.text, *self.words()]))

    async def _halt(self, reason: str) -> Answer:
        """Leave a call unanswered: it is made when the agent goes on; its connection ends before."""
        if not self.halted.done():
            self.halted.set_result(reason)
        return await asyncio.get_running_loop().create_future()

    def _keep(self, calls: tuple[OpenCall, ...], heard: tuple[str, ...] = ()) -> None:
        self._open = OpenCalls(calls=calls)
        self._desk.record_backend(self._key, codec.encode(self._open), heard)


def call_id(context: ServerRequestContext[Any, Any], connection: str) -> str:
    """The model's own id of a call where the program tells it, else one that is used once."""
    told = cast("dict[str, Any]", context.meta or {})
    for key in CALL_ID_KEYS:
        if isinstance(told.get(key), str) and told[key]:
            return str(told[key])
    return f"{connection}-{context.request_id}"


def content(told: Answer, album: Album) -> list[types.ContentBlock]:
    """An answer as MCP content."""
    found: list[types.ContentBlock] = [types.TextContent(text=told.text)]
    for picture in told.pictures:
        png = album.read(picture.sha256)
        if png is not None:
            found.append(types.ImageContent(data=base64_of(png), mime_type=PNG))
    return found


class _Lines:
    """A socket's writing end, as the transport for standard output wants it."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def write(self, line: str) -> None:
        self._writer.write(line.encode())

    async def flush(self) -> None:
        await self._writer.drain()
