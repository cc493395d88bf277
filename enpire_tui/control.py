"""An operator's connection to a fleet's supervisor."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Self, TypeVar

from enpire_tui.home import OPERATOR, SUPERVISOR
from robots.wire import commands as c
from robots.wire.client import Client, Refused, Unreachable
from robots.wire.clock import Clock, SystemClock
from robots.wire.envelopes import LeaseTaken
from robots.wire.lease import LEASE_TTL_S
from robots.wire.replies import Checklist, Leaderboard, SupervisorStatus
from robots.wire.roles import LEASED
from robots.wire.rows import Row
from robots.wire.transport import ZmqTransport

__all__ = ["Control", "Refused", "Unreachable"]

T = TypeVar("T")

REQUEST_S = 10.0
GIVE_BACK_S = 2.0
STATUS_S = 3.0


class Control:
    """Commands, status and journal of one fleet; takes the control lease where one is needed.

    Args:
        home: The fleet's.
        clock: Time.
        force: Take the lease also from another operator, who is then late.
    """

    def __init__(self, home: Path, clock: Clock | None = None, *, force: bool = False) -> None:
        self.clock = clock or SystemClock()
        self._transport = ZmqTransport(home, self.clock)
        self._client: Client = self._transport.client(OPERATOR, SUPERVISOR)
        self._force = force

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
        if not isinstance(command, LEASED):
            await self._client.request(command, REQUEST_S)
            return
        async with self.lease() as epoch:
            await self._client.request(command, REQUEST_S, lease_epoch=epoch)

    @contextlib.asynccontextmanager
    async def lease(self) -> AsyncGenerator[int]:
        """Holds the control lease, renewed, and gives it back; yields its epoch.

        Raises:
            Refused: Another operator holds it.
            Unreachable: No answer in time.
        """
        taken = await self._take(force=self._force)
        renewing = asyncio.create_task(self._renew())
        try:
            yield taken.epoch
        finally:
            renewing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await renewing
            with contextlib.suppress(Refused, Unreachable):
                await self._client.request(c.ReleaseLease(epoch=taken.epoch), GIVE_BACK_S)

    async def ask(self, command: c.AnyCommand, result: type[T], epoch: int) -> T:
        """Has the supervisor execute a command under a lease that is held; its answer.

        Raises:
            Refused: With the reason.
            Unreachable: No answer in time.
        """
        return await self._client.call(command, result, REQUEST_S, lease_epoch=epoch)

    async def _take(self, *, force: bool) -> LeaseTaken:
        return await self._client.call(c.TakeLease(force=force), LeaseTaken, REQUEST_S)

    async def _renew(self) -> None:
        """Keep the lease, never from somebody who took it."""
        while True:
            await self.clock.sleep(LEASE_TTL_S / 3.0)
            with contextlib.suppress(Refused, Unreachable):
                await self._take(force=False)

    async def checklist(self) -> Checklist:
        """What a hand-over needs, now.

        Raises:
            Refused, Unreachable: No answer.
        """
        return await self._client.call(c.GetChecklist(), Checklist, REQUEST_S)

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
