"""What holds the station still over restarts: a fold over its journal, and the stop's own file."""

import contextlib
from pathlib import Path

from robots.safety.table import Condition
from robots.station.seeds import write_durably
from robots.wire.events import (
    AnyEvent,
    GrantReceived,
    PolicyBlocked,
    StationHeld,
    StationQuarantined,
    StationReleased,
)
from robots.wire.records import Role


class Latch:
    """The emergency stop's latch: a file that only a person at the robot takes away."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def set(self, reason: str) -> None:
        """Latch, on the disk; a disk that takes nothing leaves an empty file at least."""
        if self.path.exists():
            return
        with contextlib.suppress(OSError):
            write_durably(self.path, reason.encode())
        if not self.path.exists():
            with contextlib.suppress(OSError):
                self.path.touch(mode=0o600)

    def read(self) -> str | None:
        """Why it is latched, None if it is not."""
        try:
            return self.path.read_text() or "emergency stop"
        except FileNotFoundError:
            return None


class Standing:
    """Holds, quarantine and grants as the journal tells them.

    Attributes:
        condition: What is latched, or None.
        detail: Why.
        by_agent: Whether an agent held the station.
        serial: The highest serial of an accepted grant.
        blocked: How many rows of blocked attempts there are.
    """

    def __init__(self) -> None:
        self.condition: Condition | None = None
        self.detail = ""
        self.by_agent = False
        self.quarantined = False
        self.needs_cause = False
        self.serial = 0
        self.blocked = 0

    def held(self, condition: Condition, detail: str, *, by_agent: bool) -> None:
        """Something was latched."""
        self.condition, self.detail, self.by_agent = condition, detail, by_agent

    def apply(self, event: AnyEvent) -> None:
        """Take a journal row into account."""
        match event:
            case StationHeld():
                agent = event.by.startswith(f"{Role.AGENT.value}:")
                if not agent or self.condition is None or self.by_agent:
                    self.held(Condition.HOLD, event.reason, by_agent=agent)
                # The robot stopped itself: whoever releases it says what it was, whatever else
                # has held it since.
                self.needs_cause |= event.by == "station"
            case StationQuarantined():
                self.held(Condition.HOLD, event.reason, by_agent=False)
                self.quarantined = True
            case StationReleased():
                self.condition, self.detail, self.by_agent = None, "", False
                self.quarantined = self.needs_cause = False
            case GrantReceived():
                self.serial = max(self.serial, event.serial)
            case PolicyBlocked():
                self.blocked += 1
            case _:
                pass
