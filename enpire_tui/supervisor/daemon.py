"""The supervisor daemon: joins the run's conductor to its stations, its agents and its people."""

import asyncio
import contextlib
import importlib.metadata
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from enpire_tui.run_spec import RunSpec
from enpire_tui.supervisor import confirm as confirms
from enpire_tui.supervisor import record, selection
from enpire_tui.supervisor.checklist import Environment
from enpire_tui.supervisor.conductor import Conductor
from enpire_tui.supervisor.courier import Courier
from enpire_tui.supervisor.handlers import Handlers
from robots.wire import commands as c
from robots.wire import events as ev
from robots.wire.approvals import ApprovalAnswer, TryState
from robots.wire.client import Client, Refused, Unreachable
from robots.wire.clock import Clock
from robots.wire.journal import Journal
from robots.wire.lease import Lease
from robots.wire.records import TokenCounts
from robots.wire.replies import LeaseView
from robots.wire.rows import JournalFull, JournalReplaced
from robots.wire.signing import SigningKey
from robots.wire.station_replies import StationReport
from robots.wire.transport import Transport

log = logging.getLogger(__name__)

NAME = "supervisor"
GATEWAY = "gateway"

TICK_S = 1.0
MEASURE_S = 5.0
STOP_AGENT_S = 10.0
TELL_AGENT_S = 3.0
# A journal that cannot be written is tried again at this pace; nothing is decided meanwhile.
FULL_PAUSE_S = 5.0


class Supervisor:
    """One fleet's supervisor, on any transport, clock and storage.

    Args:
        entropy: Random bytes, by number of bytes, for the seeds of confirms.
        run_folder: Where the run's record is written; None for nowhere.
        environment: What is known of the task as its files are now.
    """

    def __init__(
        self,
        spec: RunSpec,
        journal: Journal,
        transport: Transport,
        clock: Clock,
        signer: SigningKey,
        *,
        entropy: Callable[[int], bytes] = os.urandom,
        boot_id: str = "",
        run_folder: Path | None = None,
        environment: Callable[[], Awaitable[Environment]],
        rule: selection.Rule = selection.DEFAULT_RULE,
        confirm_rule: confirms.ConfirmRule = confirms.DEFAULT_CONFIRM,
    ) -> None:
        self.conductor = Conductor(
            spec,
            journal,
            clock,
            entropy=entropy,
            boot_id=boot_id,
            rule=rule,
            confirm_rule=confirm_rule,
        )
        self._spec = spec
        self._journal = journal
        self._transport = transport
        self._clock = clock
        self._run_folder = run_folder
        self._environment = environment
        self._wake = asyncio.Event()
        self._clients: list[Client] = []
        self._couriers = {
            name: Courier(
                name,
                self._client(name),
                self.conductor,
                clock,
                signer,
                _trusted(spec.trusted, name),
                self.changed,
                lambda: bool(self.lease().left_s),
            )
            for name in spec.stations
        }
        handlers = Handlers(self.conductor, journal, clock, self, self.changed)
        self._server = transport.server(NAME, journal, handlers.handle, leased=True)
        self._server.reception.on_lease = self._lease_changed
        self._agents: dict[str, Client] = {}

    def changed(self) -> None:
        """Something may have to be decided."""
        self._wake.set()

    async def serve(self) -> None:
        """Serves until cancelled.

        Raises:
            EndpointTaken: A supervisor of this home is at work already.
        """
        await self._server.start()
        try:
            self.conductor.append(
                ev.DaemonStarted(
                    name=NAME,
                    incarnation=self._server.incarnation,
                    pid=os.getpid(),
                    restarts=self.conductor.state.restarts + 1,
                    version=importlib.metadata.version("enpire-tui"),
                )
            )
            async with asyncio.TaskGroup() as tasks:
                for courier in self._couriers.values():
                    tasks.create_task(courier.run())
                if self._spec.gateway:
                    tasks.create_task(self._follow_gateway(), name="follow gateway")
                tasks.create_task(self._measure(), name="measure")
                tasks.create_task(self._conduct(), name="conduct")
        finally:
            await self._server.close()
            for client in self._clients:
                client.close()

    # --- the fleet ------------------------------------------------------------------------

    async def hold_all(self, reason: str) -> tuple[str, ...]:
        """Holds every station at once; names of those that did not answer."""
        return await self._everywhere(lambda courier: courier.hold(reason))

    async def release_all(self, cause: str) -> tuple[str, ...]:
        """Releases every station at once; names of those that did not."""
        return await self._everywhere(lambda courier: courier.release(cause))

    async def reports(self) -> dict[str, StationReport]:
        """What every station says of itself now, by name; one that does not answer is missing."""
        found: dict[str, StationReport] = {}

        async def one(courier: Courier) -> None:
            found[courier.station] = await courier.report()

        await self._everywhere(one)
        return found

    async def relay(self, station: str, command: c.OnBehalf) -> TryState | ApprovalAnswer:
        """Has a station execute an operator's command."""
        return await self._couriers[station].relay(command)

    async def tell_agent(self, agent: str, text: str) -> None:
        """Gives an agent a person's words."""
        client = self._agents.get(agent) or self._client(agent)
        self._agents[agent] = client
        await client.request(c.MessageAgent(text=text), TELL_AGENT_S)

    async def environment(self) -> Environment:
        """What is known of the task as its files are now."""
        return await self._environment()

    def wake(self) -> None:
        """The stations' couriers have something to send."""
        for courier in self._couriers.values():
            courier.wake()

    def lease(self) -> LeaseView:
        """Who may command the fleet."""
        lease = self._server.reception.lease
        left_s = max(0.0, lease.until_s - self._clock.monotonic()) if lease.holder else 0.0
        return LeaseView(holder=lease.holder if left_s else "", epoch=lease.epoch, left_s=left_s)

    def _lease_changed(self, before: Lease, after: Lease, how: str) -> None:
        row = ev.LeaseChanged(holder=after.holder, epoch=after.epoch, how=how, before=before.holder)
        try:
            self.conductor.append(row)
        except JournalFull as error:
            log.warning("the lease of %r is not on record: %s", after.holder, error)

    async def _everywhere(
        self, act: Callable[[Courier], Coroutine[Any, Any, None]]
    ) -> tuple[str, ...]:
        failed: list[str] = []

        async def one(courier: Courier) -> None:
            try:
                await act(courier)
            except (Refused, Unreachable) as error:
                log.warning("%s: %s", courier.station, error)
                failed.append(courier.station)

        async with asyncio.TaskGroup() as tasks:
            for courier in self._couriers.values():
                tasks.create_task(one(courier))
        return tuple(sorted(failed))

    # --- the run --------------------------------------------------------------------------

    async def _conduct(self) -> None:
        wound_down = False
        while True:
            self._wake.clear()
            self._server.reception.lapse_lease()
            try:
                if self.conductor.advance():
                    for courier in self._couriers.values():
                        courier.wake()
            except JournalFull as error:
                log.error("nothing is decided until the journal can be written: %s", error)  # noqa: TRY400 - a state, not a fault
                await self._clock.sleep(FULL_PAUSE_S)
                continue
            if self.conductor.state.ended is not None and not wound_down:
                wound_down = True
                await self._wind_down()
            with contextlib.suppress(TimeoutError):
                await self._clock.wait_for(self._wake.wait(), TICK_S)

    async def _measure(self) -> None:
        while True:
            await self._clock.sleep(MEASURE_S)
            try:
                self.conductor.measure()
            except JournalFull as error:
                log.warning("not measured: %s", error)

    async def _follow_gateway(self) -> None:
        client = self._client(GATEWAY)
        while True:
            self.conductor.tokens = TokenCounts()
            try:
                async for row in client.follow(0):
                    if isinstance(row.event, ev.TokensMetered):
                        self.conductor.tokens = _plus(self.conductor.tokens, row.event)
            except JournalReplaced as error:
                log.warning("gateway: %s", error)

    async def _wind_down(self) -> None:
        """After the end: agents leave for good, stations come to rest, the record is written."""
        async with asyncio.TaskGroup() as tasks:
            for agent in self._spec.agents:
                tasks.create_task(self._stop_agent(agent))
        async with asyncio.TaskGroup() as tasks:
            for courier in self._couriers.values():
                tasks.create_task(courier.clear())
        if self._run_folder is not None:
            found = record.record_of(self.conductor, self._journal)
            path = record.write(self._run_folder, found)
            log.info("the run's record is %s", path)

    async def _stop_agent(self, agent: str) -> None:
        client = self._client(agent)
        ended = self.conductor.state.ended
        reason = f"the run ended: {ended.outcome}" if ended is not None else "the run ended"
        try:
            await client.request(c.StopAgent(reason=reason), STOP_AGENT_S)
        except (Refused, Unreachable) as error:
            # It follows our journal and leaves at `RunEnded` by itself.
            log.warning("%s was not told to stop: %s", agent, error)

    def _client(self, name: str) -> Client:
        client = self._transport.client(NAME, name)
        self._clients.append(client)
        return client


def _trusted(keys: Mapping[str, bytes], station: str) -> frozenset[bytes]:
    key = keys.get(station)
    return frozenset({key}) if key is not None else frozenset()


def _plus(tokens: TokenCounts, metered: ev.TokensMetered) -> TokenCounts:
    return TokenCounts(
        fresh_input=tokens.fresh_input + metered.fresh_input,
        cached_input=tokens.cached_input + metered.cached_input,
        output=tokens.output + metered.output,
        reasoning=tokens.reasoning + metered.reasoning,
    )
