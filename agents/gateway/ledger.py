"""The gateway's journal with its folds: what each agent has spent, and what was refused."""

from collections import Counter

from agents.gateway.budget import Budget
from agents.gateway.limiter import Pace
from agents.gateway.settings import GatewaySettings
from robots.wire.events import (
    AnyEvent,
    DaemonStarted,
    Noted,
    ProviderParked,
    RequestRefused,
    TokensMetered,
)
from robots.wire.journal import Journal
from robots.wire.records import Frozen

MOST_REFUSALS = 1000
"""Rows of an agent's requests refused by one rule; further ones are counted, and in no journal."""


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
        refused: Requests that were not forwarded, by rule; of those beyond what is journalled, the
            ones since the gateway's start.
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
        self._refusals: Counter[tuple[str, str]] = Counter()
        self.starts = 0
        after = 0
        while rows := journal.rows(after, 1000):
            for row in rows:
                self._apply(row.event)
                after = row.seq

    def record(
        self, event: TokensMetered | RequestRefused | ProviderParked | DaemonStarted
    ) -> None:
        """Journal an event; what was spent is on disk before the next request is admitted.

        An agent that goes on asking for what it is refused fills no journal.
        """
        if isinstance(event, RequestRefused):
            rule = _rule(event)
            rows = self._refusals[event.agent, rule]
            if rows == MOST_REFUSALS - 1:
                said = f"{MOST_REFUSALS} requests refused ({rule}); further ones are counted only"
                text = f"{event.agent}: {said}"
                self._journal.append(Noted(level="warning", text=text), durable=False)
            if rows >= MOST_REFUSALS:
                self._apply(event)
                return
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
            rule = _rule(event)
            self.refused[rule] += 1
            self._refusals[event.agent, rule] += 1
        elif isinstance(event, DaemonStarted):
            self.starts += 1


def _rule(event: RequestRefused) -> str:
    return event.reason.partition(":")[0]
