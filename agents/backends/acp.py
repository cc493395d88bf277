"""Command-line agents, driven by the Agent Client Protocol: one driver for all of them.

A program runs whole in the sandbox, one process a session, one session an idea. It works in the
agent's clone with tools of its own and with ours, over MCP. What it spends, the gateway counts;
what a program says of its own usage is compared with that, and believed in nothing.
"""

import asyncio
import logging
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import acp
from acp import schema
from acp.client.connection import ClientSideConnection

from agents.backends.model import BRIEF, FIRST_PAUSE_S, LONGEST_PAUSE_S, MOST_SILENT, opening
from agents.backends.usage import Told, compare, metered
from agents.desk import Desk
from agents.mcp import CLOSED, SERVER, ToolServer
from agents.programs.process import Folders, Started, started
from agents.programs.table import Program
from agents.tools import calls as t
from agents.tools.offered import TOOLS
from agents.tools.surface import Surface
from agents.tools.toolbox import Toolbox

log = logging.getLogger(__name__)

START_S = 120.0
CANCEL_S = 3.0
FAR_S = 1e9
MOST_PROMPTS = 50
GO_ON = f"Go on with the tools of `{SERVER}`; call `finish` when this idea is decided or dropped."
BUDGET_WORDS = "budget: "
# There is no network to fetch from; everything else happens inside the walls.
REFUSED_KINDS = frozenset({"fetch"})


class ProgramFailed(Exception):
    """The program ended, or answered with an error; a fresh process goes on from the journal."""


class AcpBackend:
    """A command-line agent.

    Args:
        agent: The agent's name.
        program: What is started; with its model in place.
        gateway: The gateway's socket of this agent.
        sandboxed: False only where the operator has said so.
    """

    name = "acp"

    def __init__(
        self, agent: str, program: Program, gateway: Path, *, sandboxed: bool = True
    ) -> None:
        self._program = program
        self._gateway = gateway
        self._agent = agent
        self._sandboxed = sandboxed
        self.label = f"command-line agent {program.label}"

    async def turn(self, tools: Toolbox) -> None:
        """Session after session, until paused, stopped, out of budget or out of a run."""
        surface = Surface(tools, self.name, TOOLS, sees=self._program.sees)
        pause_s = FIRST_PAUSE_S
        try:
            while True:
                try:
                    await self._session(surface)
                    pause_s = FIRST_PAUSE_S
                except ProgramFailed as failed:
                    tools.desk.say("system", f"{self._program.label}: {failed}")
                    await wait_a_little(tools.desk, pause_s)
                    pause_s = min(2.0 * pause_s, LONGEST_PAUSE_S)
        except t.ToolRefused as refused:
            log.info("%s: the turn ends: %s", tools.desk.name, refused)

    async def _session(self, surface: Surface) -> None:
        """One session with a process of its own, from wherever it is to its end.

        Raises:
            ProgramFailed: The process is no more; what it had called is on record.
            ToolRefused: Paused, stopped, out of budget or out of a run.
        """
        desk, number = surface.desk, surface.work.closed
        awake(desk)
        with tempfile.TemporaryDirectory(prefix="enpire-") as folder:
            async with ToolServer(surface, self.name, Path(folder, "tools")) as server:
                folders = self._folders(desk, Path(folder, "tools"))
                async with started(self._program, folders, sandboxed=self._sandboxed) as process:
                    await self._converse(surface, server, process)
        if surface.work.closed == number:
            close(surface, "it went on without tools, or too long")

    async def _converse(self, surface: Surface, server: ToolServer, process: Started) -> None:
        desk, number = surface.desk, surface.work.closed
        listener = Listener(desk, surface)
        async with connected(listener, process) as connection:
            text = await self._opened(connection, surface, server, process, listener)
            silent = prompts = 0
            begun = await metered(self._gateway)
            pause_s = FIRST_PAUSE_S
            while silent < MOST_SILENT and prompts < MOST_PROMPTS:
                calls = server.calls
                desk.set_state("THINKING")
                before = await metered(self._gateway)
                said, used = await self._prompt(connection, listener, server, desk, text)
                server.heard()
                # Programs tell the usage of a prompt, or that of their session so far.
                after = await metered(self._gateway) if used else None
                compare(desk, self._program.label, used, (before, begun), after)
                if surface.work.closed != number:
                    return
                prompts += 1
                silent = silent + 1 if server.calls == calls else 0
                if silent:
                    if BUDGET_WORDS in said:
                        raise t.ToolRefused(f"budget: {said[-300:]}")
                    # Without a call it may be that its provider is in trouble.
                    await wait_a_little(desk, pause_s)
                    pause_s = min(2.0 * pause_s, LONGEST_PAUSE_S)
                text = "\n".join([*server.words(), GO_ON])

    async def _opened(
        self,
        connection: ClientSideConnection,
        surface: Surface,
        server: ToolServer,
        process: Started,
        listener: "Listener",
    ) -> str:
        """Begin the session or take it up again; what the program is told first."""
        program = self._program
        brief = BRIEF.read_text()
        meta = dict(program.meta)
        if program.brief_key:
            meta[program.brief_key] = brief
        bridge = schema.McpServerStdio(
            name=SERVER, command=process.bridge[0], args=process.bridge[1:], env=[]
        )
        given: dict[str, Any] = {"cwd": process.directory, "mcp_servers": [bridge], **meta}
        key = f"{self.name}/{surface.work.run_id}/session/{surface.work.closed}"
        known = surface.desk.log.records.get(key)
        told = [
            f"Your call {call.name}({call.arguments.decode()}) was interrupted; its answer:\n{answer}"
            for call, answer in await server.unheard()
        ]
        try:
            async with asyncio.timeout(START_S):
                hello = await connection.initialize(
                    acp.PROTOCOL_VERSION, schema.ClientCapabilities()
                )
                if program.auth:
                    await connection.authenticate(program.auth)
                able = hello.agent_capabilities
                if known and able is not None and able.load_session:
                    listener.session_id = known.decode()
                    listener.muted = True
                    if await loaded(connection, listener.session_id, given):
                        listener.muted = False
                        return "\n\n".join(["You were interrupted.", *told, GO_ON])
                    listener.muted = False
                session = await connection.new_session(**given)
        except (acp.RequestError, ConnectionError, TimeoutError) as error:
            raise ProgramFailed(f"it did not start: {said_of(error)}{tail(process)}") from None
        listener.session_id = session.session_id
        surface.desk.record_backend(key, session.session_id.encode())
        head = [] if program.brief_key else [brief]
        return "\n\n".join([*head, opening(surface.desk, surface), *told])

    async def _prompt(
        self,
        connection: ClientSideConnection,
        listener: "Listener",
        server: ToolServer,
        desk: Desk,
        text: str,
    ) -> tuple[str, Told]:
        """One prompt to its end; cancelled where the agent is paused or stopped meanwhile.

        Returns:
            What the program said, and what it says it used.
        """
        used: Told = {}
        asked = asyncio.ensure_future(
            connection.prompt(session_id=listener.session_id, prompt=[acp.text_block(text)])
        )
        halted = asyncio.ensure_future(desk.wait_until(lambda: halts(desk), FAR_S))
        try:
            await asyncio.wait({asked, halted, server.halted}, return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                await connection.cancel(session_id=listener.session_id)
                await asyncio.wait({asked}, timeout=CANCEL_S)
                awake(desk)
                reason = server.halted.result() if server.halted.done() else "STOPPED"
                if reason != CLOSED:
                    raise t.ToolRefused(reason)
            else:
                told = asked.result().usage
                used = {"total": told.total_tokens} if told is not None else {}
        except (acp.RequestError, ConnectionError) as error:
            words = said_of(error)
            if BUDGET_WORDS in words:
                raise t.ToolRefused(f"budget: {words}") from None
            raise ProgramFailed(words) from None
        finally:
            halted.cancel()
            asked.cancel()
            await asyncio.gather(asked, halted, return_exceptions=True)
            said = listener.flush()
        return said, used

    def _folders(self, desk: Desk, tools: Path) -> Folders:
        if desk.gate is None or desk.workspace is None:
            raise t.ToolRefused("no_run: there is no clone yet")
        clone = desk.workspace.folder
        home = clone.with_name(self._program.command.rsplit("/", 1)[-1])
        return Folders(clone, desk.gate.folder / "objects", home, self._gateway, tools)


class Listener:
    """The client's side of the protocol: what the program says and asks.

    Attributes:
        muted: While an old session is read out again.
    """

    def __init__(self, desk: Desk, surface: Surface) -> None:
        self._desk = desk
        self._surface = surface
        self._words: list[str] = []
        self._said: list[str] = []
        self.session_id = ""
        self.muted = False

    async def session_update(self, session_id: str, update: object, **_: object) -> None:
        if self.muted:
            return
        match update:
            case schema.AgentMessageChunk(content=schema.TextContentBlock(text=text)):
                self._words.append(text)
            case schema.ToolCallStart():
                self._line()
                # Ours are told where they are made.
                if SERVER not in update.title:
                    self._desk.say("tool", t.cut_text(update.title, 400)[0], self._idea)
            case _:
                pass

    async def request_permission(
        self,
        session_id: str,
        tool_call: schema.ToolCallUpdate,
        options: list[schema.PermissionOption],
        **_: object,
    ) -> schema.RequestPermissionResponse:
        chosen = permitted(tool_call.kind or "other", options)
        word = "refused" if chosen is None or chosen.kind.startswith("reject") else "allowed"
        self._desk.say("system", f"{word}: {tool_call.title or tool_call.tool_call_id}", self._idea)
        if chosen is None:
            return schema.RequestPermissionResponse(
                outcome=schema.DeniedOutcome(outcome="cancelled")
            )
        return schema.RequestPermissionResponse(
            outcome=schema.AllowedOutcome(outcome="selected", option_id=chosen.option_id)
        )

    def flush(self) -> str:
        """What was said since the last time, in the transcript as well."""
        self._line()
        said = "\n".join(self._said)
        self._said.clear()
        return said

    @property
    def _idea(self) -> str:
        return self._surface.work.idea_id

    def _line(self) -> None:
        text = "".join(self._words).strip()
        self._words.clear()
        if text:
            self._said.append(text)
            self._desk.say("agent", text, self._idea)


def permitted(kind: str, options: list[schema.PermissionOption]) -> schema.PermissionOption | None:
    """The answer to a request for permission: yes, once, to all that can happen inside the walls."""
    prefix = "reject" if kind in REFUSED_KINDS else "allow"
    fitting = [each for each in options if each.kind.startswith(prefix)]
    return min(fitting, key=lambda each: not each.kind.endswith("once"), default=None)


@asynccontextmanager
async def connected(listener: Listener, process: Started) -> AsyncGenerator[ClientSideConnection]:
    """A connection to a running program."""
    client: Any = listener
    connection = acp.connect_to_agent(client, process.writer, process.reader)
    try:
        yield connection
    finally:
        await connection.close()


async def loaded(connection: ClientSideConnection, session_id: str, given: dict[str, Any]) -> bool:
    """Take an old session up again; False where the program has lost it."""
    try:
        await connection.load_session(session_id=session_id, **given)
    except acp.RequestError as error:
        log.info("session %s is not taken up: %s", session_id, error)
        return False
    return True


def halts(desk: Desk) -> bool:
    """Whether the agent is to do nothing more for now."""
    return desk.log.paused or desk.stop.is_set() or bool(desk.run.ended)


def awake(desk: Desk) -> None:
    """Raise ToolRefused where it halts, saying why."""
    desk.check_awake()
    if desk.run.ended:
        raise t.ToolRefused("run_ended")


async def wait_a_little(desk: Desk, seconds: float) -> None:
    """Wait, unless the agent is halted.

    Raises:
        ToolRefused: It is.
    """
    desk.set_state("WAITING", f"for the program, {seconds:.0f} s")
    await desk.wait_until(lambda: halts(desk), seconds)
    awake(desk)


def close(surface: Surface, why: str) -> None:
    """End a session that did not end itself."""
    work = surface.work
    surface.desk.say("system", f"session {work.closed} ended: {why}", work.idea_id)
    summary = f"{work.summary}\n(The last session ended without a summary: {why}.)".strip()
    surface.keep(closed=work.closed + 1, summary=summary[-4_000:], pictures=0)


def said_of(error: BaseException) -> str:
    """An error's words with what it carries, in one line."""
    data = getattr(error, "data", None)
    words = (str(error) or type(error).__name__) + (f" ({data})" if data else "")
    return " ".join(words.split())[:500]


def tail(process: Started) -> str:
    """The end of what a program wrote to its standard error."""
    told = " ".join(process.sandbox.output().split())[-400:]
    return f"; it said: {told}" if told else ""
