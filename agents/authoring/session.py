"""A session of stage one: an agent beside a person, on this machine, with a gateway of its own.

Loop, provider, metering and journal are those of stage two; what is other is the tools. A session goes
on under its id from wherever it was: its journal holds the conversation, the figures and the answers.
"""

import asyncio
import hashlib
from contextlib import AsyncExitStack
from pathlib import Path

from agents.authoring.folder import Copy, tree_of
from agents.authoring.people import People
from agents.authoring.tools import APPLIED, FINISHED, Author, unfrozen
from agents.backends.model import ModelBackend
from agents.backends.session import Provider
from agents.desk import Desk
from agents.gateway.ledger import Ledger
from agents.gateway.metering import Provider as Which
from agents.gateway.metering import Usage
from agents.gateway.proxy import Gateway
from agents.gateway.settings import AgentSettings as Slice
from agents.gateway.settings import GatewaySettings, ProviderSettings
from agents.settings import AgentSettings
from agents.tools.surface import Surface
from agents.tools.toolbox import Toolbox
from recipes import shipped
from robots.bench.record import Records
from robots.wire.client import Client
from robots.wire.clock import SystemClock
from robots.wire.endpoints import socket_path
from robots.wire.journal import Journal
from robots.wire.keys import KeyPair
from robots.wire.records import Frozen
from robots.wire.sqlite_journal import SqliteJournal

BRIEF = Path(__file__).with_name("brief.md")
_JOURNALS = ("agent", "gateway")


class Wanted(Frozen):
    """What a session is to be.

    Attributes:
        session_id: Names it in the home; the same again goes on with it.
        task: Name or path of a task folder.
        folder: The folder.
        backend: `anthropic` or `openai`.
        model: "" for the backend's default.
        budget_tokens: Fresh input and output, of all its lives together.
        provider: Where it is and where its key lies.
        sees: Whether the model is shown pictures.
    """

    session_id: str
    task: str
    folder: Path
    backend: Which
    model: str
    budget_tokens: int
    provider: ProviderSettings
    sees: bool = True


class Outcome(Frozen):
    """How a session ended.

    Attributes:
        summary: The agent's own, "" where it has not finished.
        used: Tokens by the gateway's count, of all its lives together.
        applied: Changes that the task's folder was given, of all its lives as well.
        why: The last thing that was said about it, where it has not finished.
    """

    finished: bool
    summary: str
    used: Usage
    applied: int = 0
    why: str = ""


class _Desk(Desk):
    """A desk without a fleet; the person beside it reads along."""

    def __init__(
        self, name: str, settings: AgentSettings, journal: Journal, people: People
    ) -> None:
        clock = SystemClock()
        # No tool of stage one asks a station or a supervisor: these connect to nothing.
        nobody = Client("", b"", KeyPair.generate(), clock)
        super().__init__(name, settings, journal, clock, nobody, nobody)
        self._people = people
        self.last = ""

    def say(self, role: str, text: str, idea_id: str = "") -> None:
        """A line of the transcript, shown as well."""
        super().say(role, text, idea_id)
        if role == "system":
            self.last = text
        self._people.told(role, text)


async def assist(wanted: Wanted, home: Path, people: People) -> Outcome:
    """Have an agent work on a task until it has finished, its tokens are used up or nobody answers.

    Raises:
        Published: The task is frozen.
        TaskError: It cannot be read.
        SandboxError: There could be no sandbox.
        JournalTaken: This session is under way elsewhere.
    """
    records = Records(home / "environments")
    task = unfrozen(wanted.folder, records)
    name, place = f"author-{wanted.session_id}", home / "authoring" / wanted.session_id
    settings = AgentSettings(
        station="", backend=wanted.backend, model=wanted.model, sees=wanted.sees
    )
    slices = GatewaySettings(
        providers={wanted.backend: wanted.provider},
        agents={name: Slice(budget_tokens=wanted.budget_tokens)},
    )
    async with AsyncExitStack() as stack:
        journals = [SqliteJournal.open(place / f"{each}.db", SystemClock()) for each in _JOURNALS]
        for each in journals:
            stack.callback(each.close)
        desk, ledger = _Desk(name, settings, journals[0], people), Ledger(journals[1], slices)
        desk.home = place
        desk.run.begin(wanted.session_id, task.spec.name, "")
        if FINISHED not in desk.log.records:
            gateway = Gateway(slices, ledger.budget, ledger.record)
            stack.push_async_callback(gateway.close)
            socket = socket_path(home, name, "api")
            await gateway.serve({name: socket})
            copy = await asyncio.to_thread(Copy.of, place, task)
            tools = Toolbox(desk)
            tree = tools.tree = tree_of(desk, copy)
            author = Author(desk, tree, wanted.folder, shipped.pair(wanted.task), records, people)
            brief = hashlib.sha256(BRIEF.read_bytes()).hexdigest()
            desk.say("system", f"session {wanted.session_id}, brief {brief[:12]}")
            provider = _provider(wanted, socket, author)
            await ModelBackend(provider, author.offered, BRIEF, _opening).turn(tools)
        summary = desk.log.records.get(FINISHED)
        return Outcome(
            finished=summary is not None,
            summary=(summary or b"").decode(),
            used=ledger.budget.spent(name),
            applied=sum(key.startswith(APPLIED) for key in desk.log.records),
            why=desk.last if summary is None else "",
        )


def _opening(desk: Desk, surface: Surface) -> str:
    """The first message: which task, and what was learned before."""
    lines = [f"Task: {desk.run.task}. Its files are your copy; `list_files` names them."]
    if surface.work.summary:
        lines += ["", "Your own summary of the sessions before:", surface.work.summary]
    return "\n".join(lines)


def _provider(wanted: Wanted, socket: Path, author: Author) -> Provider:
    # The imports bring the provider's SDK.
    if wanted.backend == "anthropic":
        from agents.backends.anthropic import AnthropicProvider

        return AnthropicProvider(wanted.model, socket, author.offered)
    from agents.backends.openai import OpenAIProvider

    return OpenAIProvider(wanted.model, socket, author.offered)
