"""`enpire-tui environment assist`: an agent improves a task's reset and verifier beside a person."""

import argparse
import asyncio
import secrets
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from agents.authoring.tools import Published
from agents.gateway.metering import Provider
from agents.gateway.settings import ProviderSettings, read_key
from enpire_tui.beside import Person, shown
from enpire_tui.cli import DONE, INTERRUPTED, UNSUCCESSFUL
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


class Options(Frozen):
    """What an agent is to work on, and who it is.

    Attributes:
        folder: The task's, or its name.
        model: "" for the backend's default.
        budget: Tokens of the session, fresh input and output.
        session: Id of a session to go on with; "" begins one.
        sees: Whether the model is shown pictures.
    """

    folder: str
    backend: Provider = "anthropic"
    model: str = ""
    budget: int = 500_000
    session: str = ""
    sees: bool = True
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
            sees=options.sees,
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
    except KeyboardInterrupt:
        sys.stderr.write(f"\ninterrupted; go on with: {_again(options, session)}\n")
        return INTERRUPTED
    _tell(options, session, found)
    return DONE if found.finished else UNSUCCESSFUL


def _tell(options: Options, session: str, found: "Outcome") -> None:
    if options.json:
        say("Assisted", found, session=session)
        return
    used, folder = found.used.fresh_input + found.used.output, options.folder
    changes = "1 change" if found.applied == 1 else f"{found.applied} changes"
    sys.stdout.write(f"\n{changes} taken over into {folder}; {used} tokens\n")
    if found.finished:
        sys.stdout.write(f"{shown(found.summary)}\n")
    else:
        more = ", and a larger --budget" if used >= options.budget else ""
        sys.stdout.write(
            f"not finished ({shown(found.why)}); go on with{more}:\n  {_again(options, session)}\n"
        )
    if found.applied:
        begin = "  enpire-tui environment"
        sys.stdout.write(
            f"next, before it is published:\n{begin} check {folder}\n"
            f"{begin} reset-test {folder}\n{begin} score {folder}\n"
        )


def _again(options: Options, session: str) -> str:
    """The command that goes on: the one that was given, with the session."""
    more = [] if options.session else ["--id", session]
    return shlex.join(["enpire-tui", *sys.argv[1:], *more])
