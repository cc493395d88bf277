"""`python -m agents.gateway --home HOME`: the gateway daemon of a host."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import msgspec

from agents.gateway.budget import Budget
from agents.gateway.limiter import Pace
from agents.gateway.settings import GatewaySettings, SettingsRefused, load_settings
from robots.wire.clock import SystemClock
from robots.wire.commands import AnyCommand, GetStatus
from robots.wire.endpoints import EndpointError, socket_path
from robots.wire.events import (
    AnyEvent,
    DaemonStarted,
    ProviderParked,
    RequestRefused,
    TokensMetered,
)
from robots.wire.journal import Journal
from robots.wire.keys import KeyFileError
from robots.wire.reception import Peer, Refused
from robots.wire.records import Frozen
from robots.wire.rows import JournalFull, JournalTaken
from robots.wire.server import EndpointTaken
from robots.wire.sqlite_journal import SqliteJournal
from robots.wire.transport import ZmqTransport

NAME = "gateway"
VERSION = "1"
log = logging.getLogger(__name__)


class AgentTokens(Frozen):
    """Tokens of one agent so far, by class, and its slice."""

    agent: str
    fresh_input: int
    cached_input: int
    output: int
    reasoning: int
    budget_tokens: int


class GatewayStatus(Frozen):
    """What the gateway answers to `GetStatus`.

    Attributes:
        refused: Requests that were not forwarded, by rule.
        paces: By provider, how fast it is being asked.
    """

    agents: tuple[AgentTokens, ...]
    refused: dict[str, int]
    paces: dict[str, Pace]


class Ledger:
    """The gateway's journal with its folds."""

    def __init__(self, journal: Journal, settings: GatewaySettings) -> None:
        self._journal = journal
        self._settings = settings
        slices = {name: agent.budget_tokens for name, agent in settings.agents.items()}
        self.budget = Budget(slices)
        self.refused: Counter[str] = Counter()
        self.starts = 0
        after = 0
        while rows := journal.rows(after, 1000):
            for row in rows:
                self._apply(row.event)
                after = row.seq

    def record(
        self, event: TokensMetered | RequestRefused | ProviderParked | DaemonStarted
    ) -> None:
        """Journal an event; what was spent is on disk before the next request is admitted."""
        self._journal.append(event, durable=not isinstance(event, RequestRefused | ProviderParked))
        self._apply(event)

    def status(self, paces: dict[str, Pace]) -> GatewayStatus:
        """Tokens by agent, refusals by rule."""
        agents: list[AgentTokens] = []
        for name, agent in self._settings.agents.items():
            spent = self.budget.spent(name)
            agents.append(
                AgentTokens(
                    agent=name,
                    fresh_input=spent.fresh_input,
                    cached_input=spent.cached_input,
                    output=spent.output,
                    reasoning=spent.reasoning,
                    budget_tokens=agent.budget_tokens,
                )
            )
        return GatewayStatus(agents=tuple(agents), refused=dict(self.refused), paces=paces)

    def _apply(self, event: AnyEvent) -> None:
        self.budget.apply(event)
        if isinstance(event, RequestRefused):
            self.refused[event.reason.partition(":")[0]] += 1
        elif isinstance(event, DaemonStarted):
            self.starts += 1


async def serve(home: Path) -> None:
    """Run the gateway until SIGTERM."""
    from agents.gateway.arxiv import Arxiv
    from agents.gateway.proxy import Gateway

    settings = load_settings(home / "gateway" / "gateway.toml")
    clock = SystemClock()
    journal = SqliteJournal.open(home / "journals" / f"{NAME}.db", clock)
    ledger = Ledger(journal, settings)
    offline = settings.gateway.mode == "replay"
    arxiv = Arxiv(settings.arxiv, home / "gateway" / "arxiv", clock, offline=offline)
    gateway = Gateway(settings, ledger.budget, ledger.record, arxiv)

    async def handle(command: AnyCommand, peer: Peer) -> msgspec.Struct | None:
        if isinstance(command, GetStatus):
            return ledger.status(gateway.paces())
        raise Refused(f"unknown_command: {type(command).__name__} from {peer.name}")

    server = ZmqTransport(home, clock).server(NAME, journal, handle)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    try:
        await server.start()
        ledger.record(
            DaemonStarted(
                name=NAME,
                incarnation=server.incarnation,
                pid=os.getpid(),
                restarts=ledger.starts,
                version=VERSION,
            )
        )
        await gateway.serve({name: socket_path(home, name, "api") for name in settings.agents})
        await stopped.wait()
    finally:
        await gateway.close()
        await server.close()
        journal.close()


def main(argv: list[str] | None = None) -> int:
    """Run the gateway; 0 after SIGTERM, 1 for an error."""
    parser = argparse.ArgumentParser(prog="python -m agents.gateway", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder of the fleet")
    options = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        asyncio.run(serve(options.home))
    except (
        SettingsRefused,
        EndpointError,
        EndpointTaken,
        KeyFileError,
        JournalFull,
        JournalTaken,
    ) as error:
        sys.stderr.write(f"gateway: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
