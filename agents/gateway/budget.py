"""Budget slices: what each agent may still spend, as a fold over the gateway's own journal."""

from collections.abc import Mapping

from agents.gateway.metering import Usage
from robots.wire.events import AnyEvent, TokensMetered


class Budget:
    """Tokens spent by agent; refused before forwarding once a slice is used up."""

    def __init__(self, slices: Mapping[str, int]) -> None:
        self._slices = dict(slices)
        self._spent: dict[str, Usage] = {}
        self._whole: dict[str, Usage] = {}

    def apply(self, event: AnyEvent) -> None:
        """Count a row of the journal."""
        if isinstance(event, TokensMetered):
            self._spent[event.agent] = self.spent(event.agent).plus(event)
            if not event.aborted:
                self._whole[event.agent] = self.whole(event.agent).plus(event)

    def spent(self, agent: str) -> Usage:
        """Tokens of an agent so far."""
        return self._spent.get(agent, Usage())

    def whole(self, agent: str) -> Usage:
        """Of them, those of answers that were not broken off."""
        return self._whole.get(agent, Usage())

    def refusal(self, agent: str) -> str:
        """Why an agent's next request is not forwarded, "" if it is."""
        if agent not in self._slices:
            return f"unknown_agent: {agent} has no slice of the budget"
        left = self._slices[agent] - self.spent(agent).uncached
        if left <= 0:
            return f"budget: {agent} has spent its {self._slices[agent]} tokens"
        return ""
