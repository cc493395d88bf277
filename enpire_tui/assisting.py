"""`enpire-tui environment assist`: an agent improves a task's reset and verifier beside a person."""

import argparse
import asyncio
import getpass
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from agents.authoring.people import Decision, Proposal, figures
from agents.authoring.tools import Published
from agents.gateway.metering import Provider
from agents.gateway.settings import ProviderSettings, read_key
from enpire_tui.cli import DONE, UNSUCCESSFUL
from enpire_tui.commands import (
    _told as told_in_a_line,  # pyright: ignore[reportPrivateUsage] - as every command is.
)
from enpire_tui.commands import resolve
from enpire_tui.fleet import Fleet, FleetError
from enpire_tui.lifecycle import Fault
from enpire_tui.lines import say
from enpire_tui.provision import provider
from robots.sandbox import SandboxError
from robots.station.tasks import TaskError, find_folder
from robots.wire.endpoints import EndpointError
from robots.wire.records import Frozen
from robots.wire.rows import JournalFull, JournalTaken

if TYPE_CHECKING:
    from agents.authoring.session import Outcome

CHUNK_BYTES = 4096


class Options(Frozen):
    """What an agent is to work on, and who it is.

    Attributes:
        folder: The task's, or its name.
        model: "" for the backend's default.
        budget: Tokens of the session, fresh input and output.
        session: Id of a session to go on with; "" begins one.
    """

    folder: str
    backend: Provider = "anthropic"
    model: str = ""
    budget: int = 500_000
    session: str = ""
    json: bool = False


@told_in_a_line
def command(arguments: argparse.Namespace) -> int:
    """An agent works on a task beside a person."""
    fleet, home, _ = resolve(arguments)
    asked = {name: getattr(arguments, name) for name in Options.__struct_fields__}
    return run(Options(**asked), fleet, home)


def run(options: Options, fleet: Fleet, home: Path) -> int:
    """Works until the agent has finished, its tokens are used up or nobody answers.

    Raises:
        FleetError: There is no such task, or no key.
        Fault: The task is published, or the session cannot be run here.
    """
    try:
        folder = find_folder(options.folder)
    except TaskError as error:
        raise FleetError(f"TASK: {error}") from None
    session = options.session or secrets.token_hex(3)
    if not session.isalnum():
        raise FleetError(f"--id: {session!r}; give letters and digits")
    where = msgspec.convert(provider(fleet, options.backend), ProviderSettings)
    if not read_key(where):
        raise FleetError(
            f"providers.{options.backend}: no key; set {where.key_env}, or key_file in the fleet file"
        )
    person = Person(json=options.json)
    try:
        # The import brings the gateway, and what is done in it the provider's SDK.
        from agents.authoring.session import Wanted, assist

        wanted = Wanted(
            session_id=session,
            task=options.folder,
            folder=folder.resolve(),
            backend=options.backend,
            model=options.model,
            budget_tokens=options.budget,
            provider=where,
        )
        found = asyncio.run(assist(wanted, home, person))
    except ImportError as error:
        raise Fault(
            f"{options.backend} needs {error.name}: pip install 'enpire-tui[llm]'"
        ) from None
    except (Published, TaskError, SandboxError, EndpointError) as error:
        raise Fault(f"{options.folder}: {error}") from None
    except (JournalTaken, JournalFull) as error:
        raise Fault(f"session {session}: {error}") from None
    _tell(options, session, found, person.applied)
    return DONE if found.finished else UNSUCCESSFUL


def _tell(options: Options, session: str, found: "Outcome", applied: int) -> None:
    if options.json:
        say("Assisted", found, session=session, applied=applied)
        return
    used = found.used.fresh_input + found.used.output
    sys.stdout.write(f"{applied} changes taken over, {used} tokens\n")
    if found.finished:
        sys.stdout.write(f"{found.summary}\n")
    else:
        sys.stdout.write(
            f"not finished ({found.why}); go on with: enpire-tui environment assist "
            f"{options.folder} --backend {options.backend} --id {session}\n"
        )


class Person:
    """Whoever sits at the terminal, or writes to standard input.

    Args:
        json: Questions and proposals as JSON lines; answers are lines of words all the same.
    """

    def __init__(self, *, json: bool) -> None:
        self.by = getpass.getuser()
        self.applied = 0
        self._json = json
        self._read = b""

    def told(self, role: str, text: str) -> None:
        """Shows a line of the transcript."""
        if self._json:
            say("Line", role=role, text=text)
        else:
            sys.stdout.write(f"{role}: {text}\n")
            sys.stdout.flush()

    async def answer(self, question: str, choices: tuple[str, ...]) -> str | None:
        """Words; None at the end of the input."""
        if self._json:
            say("Question", question=question, choices=choices)
        else:
            offered = "".join(f"\n  {each}" for each in choices)
            _prompt(f"\n{question}{offered}\nanswer> ")
        return await self._line()

    async def decide(self, proposal: Proposal) -> Decision | None:
        """A decision: `yes`, or `yes: WORDS`; anything else is a no, with those words."""
        if self._json:
            say("Proposed", proposal)
        else:
            _prompt(
                f"\n{proposal.diff}\n{proposal.reason}\nbefore: {figures(proposal.before)}\n"
                f"after:  {figures(proposal.after)}\n"
                "take it over? `yes`, or why not> "
            )
        line = await self._line()
        if line is None:
            return None
        verdict, _, words = line.partition(":")
        yes = verdict.strip().lower() == "yes"
        if yes:
            self.applied += 1
        told = words.strip() if yes else line
        return Decision(yes=yes, words=told, by=self.by, about=proposal.diff_sha256)

    async def _line(self) -> str | None:
        """The next line of standard input, while the gateway goes on; None at its end."""
        descriptor = sys.stdin.fileno()
        while b"\n" not in self._read:
            await _readable(descriptor)
            chunk = os.read(descriptor, CHUNK_BYTES)
            if not chunk:
                return None
            self._read += chunk
        line, _, self._read = self._read.partition(b"\n")
        return line.decode(errors="replace").strip()


async def _readable(descriptor: int) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except PermissionError:
        # A regular file, which never makes anyone wait.
        return
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


def _prompt(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
