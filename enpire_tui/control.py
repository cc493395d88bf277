"""An operator's connection to a fleet's supervisor."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

from enpire_tui.home import OPERATOR, SUPERVISOR
from robots.wire import commands as c
from robots.wire.client import Client, Refused, Unreachable
from robots.wire.clock import Clock, SystemClock
from robots.wire.commands import LeaseTaken
from robots.wire.replies import Leaderboard, SupervisorStatus
from robots.wire.roles import LEASED
from robots.wire.rows import Row
from robots.wire.transport import ZmqTransport

__all__ = ["Control", "Refused", "Unreachable"]

REQUEST_S = 10.0
STATUS_S = 3.0


class Control:
    """Commands, status and journal of one fleet; takes the control lease where one is needed."""

    def __init__(self, home: Path, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self._transport = ZmqTransport(home, self.clock)
        self._client: Client = self._transport.client(OPERATOR, SUPERVISOR)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client.close()

    async def command(self, command: c.AnyCommand) -> None:
        """Has the supervisor execute a command.

        Raises:
            Refused: With the reason.
            Unreachable: No answer in time.
        """
        epoch = None
        if isinstance(command, LEASED):
            epoch = (await self._client.call(c.TakeLease(), LeaseTaken, REQUEST_S)).epoch
        await self._client.request(command, REQUEST_S, lease_epoch=epoch)

    async def status(self) -> SupervisorStatus:
        """The run and the fleet now.

        Raises:
            Refused, Unreachable: No answer.
        """
        return await self._client.call(c.GetStatus(), SupervisorStatus, STATUS_S)

    async def leaderboard(self) -> Leaderboard:
        """Ideas with their evidence, best first.

        Raises:
            Refused, Unreachable: No answer.
        """
        return await self._client.call(c.GetLeaderboard(), Leaderboard, REQUEST_S)

    def follow(self) -> AsyncIterator[Row]:
        """Every row of the supervisor's journal, over its restarts, for ever."""
        return self._client.follow(0)

    def client(self, name: str) -> Client:
        """A connection to another daemon of the fleet; the caller closes it."""
        return self._transport.client(OPERATOR, name)
