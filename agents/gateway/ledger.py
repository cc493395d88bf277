"""The gateway's journal with its folds: what each agent has spent, and what was refused."""

from collections import Counter

from agents.gateway.budget import Budget
from agents.gateway.limiter import Pace
from agents.gateway.settings import GatewaySettings
from robots.wire.events import (
    AnyEvent,
    DaemonStarted,
    ProviderParked,
    RequestRefused,
    TokensMetered,
)
from robots.wire.journal import Journal
from robots.wire.records import Frozen


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
