"""A command-line agent for tests, faithful to the protocols that real ones speak.

It speaks the Agent Client Protocol on its standard streams, starts the MCP servers it is given,
asks a model over HTTP at ANTHROPIC_BASE_URL, keeps its sessions in its home, and asks for
permission before its first call. What it says is the model's, which a test scripts.
"""

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import acp
import anthropic
from acp import schema
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

LOADS = os.environ.get("SESSIONS_LOAD", "1") == "1"
LIES = int(os.environ.get("LIES_PERCENT", "0"))
INTERRUPTED = "interrupted"


class Agent:
    def __init__(self) -> None:
        self.stack = AsyncExitStack()
        self.history: list = []
        self.permitted = False
        self.used = 0
        self.model = anthropic.AsyncAnthropic(max_retries=0)

    def on_connect(self, conn) -> None:
        self.client = conn

    async def initialize(self, protocol_version, **_):
        return schema.InitializeResponse(
            protocol_version=protocol_version,
            agent_capabilities=schema.AgentCapabilities(load_session=LOADS),
        )

    async def new_session(self, cwd, mcp_servers=None, **_):
        self.session = f"session-{len(list(self.folder().iterdir()))}"
        await self.begin(mcp_servers)
        return schema.NewSessionResponse(session_id=self.session)

    async def load_session(self, cwd, session_id, mcp_servers=None, **_):
        self.session = session_id
        self.history = json.loads(self.file().read_text())
        for message in self.history:
            for block in message["content"]:
                if block["type"] == "text":
                    await self.say(block["text"])
        await self.begin(mcp_servers)
        return schema.LoadSessionResponse()

    async def begin(self, servers) -> None:
        (server,) = servers
        given = StdioServerParameters(command=server.command, args=server.args)
        streams = await self.stack.enter_async_context(stdio_client(given))
        self.tools = await self.stack.enter_async_context(ClientSession(*streams))
        await self.tools.initialize()
        listed = await self.tools.list_tools()
        self.offered = [
            {"name": t.name, "description": t.description, "input_schema": t.input_schema}
            for t in listed.tools
        ]

    async def prompt(self, prompt, session_id, **_):
        blocks = [{"type": "text", "text": block.text} for block in prompt]
        last = self.history[-1] if self.history else {"role": ""}
        if last["role"] == "assistant" and last["content"][-1]["type"] == "tool_use":
            lost = [
                answer(b["id"], INTERRUPTED) for b in last["content"] if b["type"] == "tool_use"
            ]
            blocks = [*lost, *blocks]
        if last["role"] == "user":
            # What the model never answered stands before it.
            last["content"] += blocks
        else:
            self.history.append({"role": "user", "content": blocks})
        self.working = asyncio.ensure_future(self.work())
        try:
            await self.working
        except asyncio.CancelledError:
            return schema.PromptResponse(stop_reason="cancelled")
        except anthropic.APIError as error:
            await self.say(f"API Error: {error}")
        return schema.PromptResponse(stop_reason="end_turn", usage=self.told())

    def told(self):
        """What it says it used: all of it, less by as many percent as it lies."""
        total = self.used * (100 - LIES) // 100
        return schema.Usage(total_tokens=total, input_tokens=total, output_tokens=0)

    async def cancel(self, session_id, **_) -> None:
        self.working.cancel()

    async def work(self) -> None:
        while True:
            self.file().write_text(json.dumps(self.history))
            async with self.model.messages.stream(
                model="parrot", max_tokens=1000, messages=self.history, tools=self.offered
            ) as stream:
                message = await stream.get_final_message()
            usage = message.usage
            self.used += usage.input_tokens + usage.output_tokens
            self.used += usage.cache_creation_input_tokens + usage.cache_read_input_tokens
            content = [block.to_dict() for block in message.content]
            self.history.append({"role": "assistant", "content": content})
            self.file().write_text(json.dumps(self.history))
            for block in content:
                if block["type"] == "text":
                    middle = len(block["text"]) // 2
                    await self.say(block["text"][:middle])
                    await self.say(block["text"][middle:])
            calls = [block for block in content if block["type"] == "tool_use"]
            if not calls:
                return
            results = [answer(call["id"], await self.call(call)) for call in calls]
            self.history.append({"role": "user", "content": results})

    async def call(self, call) -> str | list[dict]:
        title = f"mcp__enpire__{call['name']}"
        if not self.permitted:
            asked = await self.client.request_permission(
                session_id=self.session,
                tool_call=schema.ToolCallUpdate(tool_call_id=call["id"], title=title, kind="other"),
                options=[
                    schema.PermissionOption(option_id="ever", name="Always", kind="allow_always"),
                    schema.PermissionOption(option_id="yes", name="Allow", kind="allow_once"),
                    schema.PermissionOption(option_id="no", name="Reject", kind="reject_once"),
                ],
            )
            self.permitted = asked.outcome.option_id == "yes"
        if not self.permitted:
            return "not permitted"
        start = acp.start_tool_call(call["id"], title)
        await self.client.session_update(session_id=self.session, update=start)
        meta = {"claudecode/toolUseId": call["id"]}
        told = await self.tools.call_tool(call["name"], call["input"], meta=meta)
        return [block(part) for part in told.content]

    async def say(self, text: str) -> None:
        update = acp.update_agent_message_text(text)
        await self.client.session_update(session_id=self.session, update=update)

    def folder(self) -> Path:
        folder = Path(os.environ["HOME"], "sessions")
        folder.mkdir(exist_ok=True)
        return folder

    def file(self) -> Path:
        return self.folder() / f"{self.session}.json"


def answer(call_id: str, content: str | list[dict]) -> dict:
    return {"type": "tool_result", "tool_use_id": call_id, "content": content}


def block(part) -> dict:
    if part.type == "text":
        return {"type": "text", "text": part.text}
    source = {"type": "base64", "media_type": part.mime_type, "data": part.data}
    return {"type": "image", "source": source}


if __name__ == "__main__":
    sys.exit(asyncio.run(acp.run_agent(Agent())))
