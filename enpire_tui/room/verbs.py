"""What people do to the fleet, as commands to its daemons; asks first where that is due. No Textual."""

from collections.abc import Callable
from typing import NamedTuple

from enpire_tui.home import SUPERVISOR
from enpire_tui.room.actions import Where
from enpire_tui.room.feed import Feed
from enpire_tui.room.orders import StopKey
from enpire_tui.room.views.menus import WARNING
from robots.wire import commands as c

REASON = "operator, in the control room"

Answers = tuple[str, ...]


class Question(NamedTuple):
    """What is asked before a verb is sent; `then` takes what was typed."""

    heading: str
    text: str
    asked: tuple[str, ...]
    word: str
    then: Callable[[Answers], None]


class Verbs:
    """The verbs of one feed. Each sends at once and returns None, or returns what it has to ask."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._stop_key = StopKey()

    # SAFETY: stopping asks nothing, needs no lease and goes to the stations themselves; the
    # supervisor is told as well, but nothing waits for it.
    def hold_station(self, where: Where) -> None:
        """Hold one station; a second press is an emergency stop."""
        name = where.station
        if self._stop_key.press(name, self._feed.clock.monotonic()):
            self._feed.order(f"EMERGENCY STOP {name}", {name: c.EmergencyStop(reason=REASON)})
        else:
            self._feed.order(f"hold {name} (again: emergency stop)", {name: c.Hold(reason=REASON)})

    def hold_fleet(self, where: Where) -> None:
        """Hold every station; a second press is an emergency stop of all."""
        stations = where.moment.state.stations
        if self._stop_key.press("", self._feed.clock.monotonic()):
            stops = {name: c.EmergencyStop(reason=REASON) for name in stations}
            self._feed.order("EMERGENCY STOP of the fleet", stops)
            return
        holds: dict[str, c.AnyCommand] = {name: c.Hold(reason=REASON) for name in stations}
        self._feed.order("hold fleet (again: emergency stop)", holds)
        self._feed.order("mark the run held", {SUPERVISOR: c.HoldFleet(reason=REASON)})

    def release_station(self, where: Where) -> Question:
        """Let a station move again, its name typed."""
        name = where.station

        def then(answers: Answers) -> None:
            command = c.Release(station=answers[0], cause=answers[1])
            self._feed.order(f"release {name}", {name: command})

        text = f"{name} may move at once. It is {where.moment.need(name).text}. {WARNING}"
        asked = (f"type {name}", "what was wrong (for the journal)")
        return Question(f"Release {name}", text, asked, name, then)

    def release_fleet(self, where: Where) -> Question:
        """Let every station move again, the fleet's task typed."""
        word = where.moment.state.spec.task

        def then(answers: Answers) -> None:
            self._feed.order("release fleet", {SUPERVISOR: c.ReleaseFleet(cause=answers[1])})

        held = [name for name in where.moment.state.stations if where.moment.need(name).rank <= 3]
        text = f"{', '.join(held)} may move at once. {WARNING}"
        asked = (f"type {word}", "what was wrong (for the journal)")
        return Question("Release the fleet", text, asked, word, then)

    def pause_agent(self, where: Where) -> None:
        """No further turn after the present one; the robot is not held by it."""
        agent = _agent(where)
        self._feed.order(f"pause {agent}", {agent: c.PauseAgent(reason=REASON)})

    def resume_agent(self, where: Where) -> None:
        """Go on."""
        agent = _agent(where)
        self._feed.order(f"resume {agent}", {agent: c.ResumeAgent()})

    def message_agent(self, where: Where) -> Question:
        """Words for the agent's next turn."""
        agent = _agent(where)

        def then(answers: Answers) -> None:
            self._feed.order(f"message to {agent}", {agent: c.MessageAgent(text=answers[0])})

        text = f"{agent} reads it at its next turn; it stands in the journal."
        return Question(f"Message to {agent}", text, ("your words",), "", then)


def _agent(where: Where) -> str:
    agent = where.moment.agent(where.station)
    assert agent is not None, "refused before"
    return agent.name
