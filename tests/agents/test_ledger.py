"""The gateway's journal: what is refused again and again fills nothing, and is counted all the same."""

import pytest

from agents.gateway import ledger
from agents.gateway.ledger import Ledger
from agents.gateway.settings import AgentSettings, GatewaySettings
from robots.wire.events import Noted, RequestRefused
from tests.robots.wire.memory import MemoryJournal, VirtualClock

SETTINGS = GatewaySettings(providers={}, agents={"a1": AgentSettings(budget_tokens=10)})


def test_what_an_agent_is_refused_without_end_is_counted_and_said_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ledger, "MOST_REFUSALS", 3)
    journal = MemoryJournal(VirtualClock())
    kept = Ledger(journal, SETTINGS)
    for number in range(8):
        kept.record(RequestRefused(agent="a1", reason=f"budget: {number}"))
    kept.record(RequestRefused(agent="a1", reason="no_key: x"))
    kept.record(RequestRefused(agent="a2", reason="budget: another's"))

    assert kept.status({}).refused == {"budget": 9, "no_key": 1}
    # A restart says it no second time, and journals none of that kind either.
    again = Ledger(journal, SETTINGS)
    again.record(RequestRefused(agent="a1", reason="budget: 8"))

    events = [row.event for row in journal.rows()]
    assert [each.reason for each in events if isinstance(each, RequestRefused)] == [
        "budget: 0", "budget: 1", "budget: 2", "no_key: x", "budget: another's",
    ]  # fmt: skip
    [said] = [each.text for each in events if isinstance(each, Noted)]
    assert said == "a1: 3 requests refused (budget); further ones are counted only"
    assert again.status({}).refused == {"budget": 5, "no_key": 1}
