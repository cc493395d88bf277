"""What the supervisor answers: proposals, candidates, digests, and what people command."""

import logging
from collections.abc import Callable
from typing import Protocol

import msgspec

from agents.digest import build_digest
from enpire_tui.supervisor import authority, budgets, checklist, queue, report
from enpire_tui.supervisor import confirm as confirms
from enpire_tui.supervisor.authority import Authority
from enpire_tui.supervisor.checklist import Environment, Facts
from enpire_tui.supervisor.conductor import Conductor
from enpire_tui.supervisor.state import PROPOSED, Candidate, RunState
from robots.station import archive
from robots.wire import commands as c
from robots.wire import events as ev
from robots.wire.approvals import ApprovalAnswer, TryState
from robots.wire.client import Unreachable
from robots.wire.clock import Clock
from robots.wire.journal import Journal
from robots.wire.reception import Peer, Refused
from robots.wire.records import Idea, Mode
from robots.wire.replies import CandidateReceipt, Checklist, Digest, LeaseView, NominationReceipt
from robots.wire.station_replies import StationReport

log = logging.getLogger(__name__)

# Candidates of one agent that may await a decision; beyond it the agent is told to wait.
OPEN_PER_AGENT = 4
DIGEST_ROWS = 2000


class Fleet(Protocol):
    """What reaches the stations."""

    async def hold_all(self, reason: str) -> tuple[str, ...]:
        """Holds every station; names of those that did not answer."""
        ...

    async def release_all(self, cause: str) -> tuple[str, ...]:
        """Releases every station; names of those that did not."""
        ...

    async def reports(self) -> dict[str, StationReport]:
        """What every station says of itself now, by name; one that does not answer is missing."""
        ...

    async def relay(self, station: str, command: c.OnBehalf) -> TryState | ApprovalAnswer:
        """Has a station execute an operator's command."""
        ...

    async def tell_agent(self, agent: str, text: str) -> None:
        """Gives an agent a person's words."""
        ...

    async def environment(self) -> Environment:
        """What is known of the task as its files are now."""
        ...

    def lease(self) -> LeaseView:
        """Who may command the fleet."""
        ...

    def wake(self) -> None:
        """The stations' couriers have something to send."""
        ...


class Handlers:
    """The supervisor's side of its commands."""

    def __init__(
        self,
        conductor: Conductor,
        journal: Journal,
        clock: Clock,
        fleet: Fleet,
        changed: Callable[[], None],
    ) -> None:
        self._conductor = conductor
        self._journal = journal
        self._clock = clock
        self._fleet = fleet
        self._changed = changed

    async def handle(self, command: c.AnyCommand, peer: Peer) -> msgspec.Struct | None:
        """Executes one admitted command.

        Raises:
            Refused: With the reason.
        """
        match command:
            case c.GetStatus():
                status = report.status(self._conductor)
                return msgspec.structs.replace(status, lease=self._fleet.lease())
            case c.GetChecklist():
                return await self._checklist()
            case c.TryReset() | c.TryVerify() | c.Approve() | c.Reject():
                return await self._relay(command)
            case c.GetLeaderboard():
                return report.leaderboard(self._conductor.state)
            case c.GetDigest(cursor=cursor):
                return self._digest(cursor)
            case c.ProposeIdea() | c.SubmitCandidate() | c.Nominate():
                return self._of_agent(command, peer)
            case c.HoldFleet(reason=reason):
                await self._hold(reason, peer)
            case c.ReleaseFleet(cause=cause):
                await self._release(cause, peer)
            case c.StopRun(reason=reason):
                self._stop(reason, peer)
            case c.HandOver():
                await self._hand_over(command, peer)
            case _:
                raise Refused(f"unknown_command: {type(command).__name__} is not the supervisor's")
        return None

    # --- agents ---------------------------------------------------------------------------

    def _of_agent(
        self, command: c.ProposeIdea | c.SubmitCandidate | c.Nominate, peer: Peer
    ) -> CandidateReceipt | NominationReceipt:
        match command:
            case c.ProposeIdea(idea=idea, fingerprint=fingerprint):
                return self._propose(idea, fingerprint, peer)
            case c.SubmitCandidate():
                return self._submit(command, peer)
            case c.Nominate():
                return self._nominate(command, peer)

    def _propose(self, idea: Idea, fingerprint: str, peer: Peer) -> CandidateReceipt:
        state = self._admitted(idea, peer)
        known = state.candidates.get(idea.idea_id)
        if known is not None:
            return _receipt(known)
        if not budgets.admits_idea(self._conductor.spec.budget, state):
            raise Refused("budget: no more ideas in this run")
        self._refuse_repeat(state, idea, fingerprint, recipe_sha256="")
        self._conductor.append(ev.IdeaProposed(idea=idea, fingerprint=fingerprint))
        return _receipt(state.candidates[idea.idea_id])

    def _submit(self, command: c.SubmitCandidate, peer: Peer) -> CandidateReceipt:
        idea = command.idea
        state = self._admitted(idea, peer)
        known = state.candidates.get(idea.idea_id)
        if known is not None and known.phase != PROPOSED:
            return _receipt(known)
        if known is None and not budgets.admits_idea(self._conductor.spec.budget, state):
            raise Refused("budget: no more ideas in this run")
        try:
            archive.check(command.recipe)
        except archive.ArchiveRefused as error:
            raise Refused(f"invalid: {error}") from None
        self._refuse_repeat(state, idea, command.fingerprint, command.recipe.sha256)
        if queue.open_candidates(state, idea.agent) >= OPEN_PER_AGENT:
            raise Refused(f"queue_full: {OPEN_PER_AGENT} candidates await a decision; submit later")
        self._conductor.append(
            ev.CandidateQueued(idea=idea, recipe=command.recipe, fingerprint=command.fingerprint)
        )
        self._changed()
        return _receipt(state.candidates[idea.idea_id])

    def _nominate(self, command: c.Nominate, peer: Peer) -> NominationReceipt:
        state, rule = self._running(), self._conductor.confirm_rule
        idea_id, nomination_id = command.idea_id, command.nomination_id
        known = state.nominations.get(nomination_id)
        if known is not None and (known.agent, known.idea_id) != (peer.name, idea_id):
            raise Refused(f"invalid: {nomination_id} is another nomination's id")
        waiting = [
            each
            for each, its in state.nominations.items()
            if (its.agent, its.idea_id, its.confirm) == (peer.name, idea_id, 0)
        ]
        if known is None and waiting:
            nomination_id = waiting[0]
        elif known is None:
            reason = confirms.objection(state, peer.name, idea_id, rule)
            if reason:
                raise Refused(reason)
            self._conductor.append(
                ev.CandidateNominated(
                    nomination_id=nomination_id,
                    idea_id=idea_id,
                    agent=peer.name,
                    reason=command.reason,
                )
            )
            self._changed()
        return NominationReceipt(
            nomination_id=nomination_id,
            idea_id=idea_id,
            chance=confirms.row_chance(state.candidates[idea_id], rule),
            left=confirms.nominations_left(state, peer.name, rule),
        )

    def _running(self) -> RunState:
        state = self._conductor.state
        if state.run is None:
            raise Refused("no_run: the run has not begun")
        if state.ended is not None:
            raise Refused(f"run_ended: {state.ended.outcome}")
        return state

    def _admitted(self, idea: Idea, peer: Peer) -> RunState:
        state = self._running()
        if idea.agent != peer.name:
            raise Refused(f"foreign_agent: {peer.name} may not speak for {idea.agent}")
        return state

    def _refuse_repeat(
        self, state: RunState, idea: Idea, fingerprint: str, recipe_sha256: str
    ) -> None:
        for other in state.candidates.values():
            if other.idea_id == idea.idea_id:
                continue
            same_change = bool(fingerprint) and fingerprint == other.fingerprint
            same_recipe = other.recipe is not None and other.recipe.sha256 == recipe_sha256
            if same_change or same_recipe:
                raise Refused(f"duplicate: {other.idea_id}")

    def _digest(self, cursor: int) -> Digest:
        rows = self._journal.rows(max(cursor, self._journal.last_seq - DIGEST_ROWS), DIGEST_ROWS)
        known = {each.idea_id: each.idea for each in self._conductor.state.candidates.values()}
        text = build_digest([row.event for row in rows], known)
        return Digest(cursor=rows[-1].seq if rows else cursor, text=text)

    # --- people ---------------------------------------------------------------------------

    async def _hold(self, reason: str, peer: Peer) -> None:
        # SAFETY: the stations are told before anything is written or decided.
        silent = await self._fleet.hold_all(reason)
        self._conductor.append(ev.FleetHeld(reason=reason, by=peer.name))
        if silent:
            raise Refused(f"unreachable: {', '.join(silent)} did not answer; the others hold")

    async def _release(self, cause: str, peer: Peer) -> None:
        silent = await self._fleet.release_all(cause)
        self._conductor.append(ev.FleetReleased(cause=cause, by=peer.name))
        self._changed()
        if silent:
            raise Refused(f"not_released: {', '.join(silent)}; the others may move")

    def _stop(self, reason: str, peer: Peer) -> None:
        state = self._conductor.state
        if not state.running:
            raise Refused("no_run: nothing runs")
        self._conductor.append(ev.RunStopRequested(reason=reason or "stopped", by=peer.name))
        self._changed()

    async def _hand_over(self, command: c.HandOver, peer: Peer) -> None:
        spec, state = self._conductor.spec, self._conductor.state
        if command.mode is Mode.AUTONOMOUS:
            if state.ended is not None:
                raise Refused("run_ended: take the fleet down and up again for a new run")
            asked = Authority(
                task=spec.task,
                stations=spec.stations,
                minutes=spec.budget.minutes,
                simulated=spec.simulated,
                people=spec.people,
            )
            reason = authority.refusal(command, asked, self._clock.wall())
            reason = reason or checklist.refusal(await self._checklist())
            if reason:
                raise Refused(reason)
            if state.run is None:
                self._conductor.start_run()
        if command.mode is not state.mode:
            self._conductor.append(ev.ModeChanged(mode=command.mode, by=peer.name))
        self._fleet.wake()
        self._changed()

    async def _checklist(self) -> Checklist:
        conductor, spec = self._conductor, self._conductor.spec
        reports = await self._fleet.reports()
        return checklist.checklist(
            Facts(
                task=spec.task,
                simulated=spec.simulated,
                environment=await self._fleet.environment(),
                stations=spec.stations,
                silent=tuple(name for name in spec.stations if name not in reports),
                held_to={name: report.published for name, report in reports.items()},
                unsandboxed=tuple(name for name, report in reports.items() if report.unsandboxed),
                budget=spec.budget,
                tries=tuple(
                    fold.trying.try_id
                    for fold in conductor.folds.values()
                    if fold.trying is not None
                ),
            )
        )

    # --- setup ----------------------------------------------------------------------------

    async def _relay(
        self, command: c.TryReset | c.TryVerify | c.Approve | c.Reject
    ) -> TryState | ApprovalAnswer:
        """Pass on what an operator with the lease asked; the station knows who it was."""
        answers = isinstance(command, c.Approve | c.Reject)
        station = command.approval_id.partition("/")[0] if answers else command.station
        if station not in self._conductor.folds:
            raise Refused(f"unknown_station: {station!r}")
        if self._conductor.state.mode is Mode.AUTONOMOUS:
            raise Refused("mode: the fleet is autonomous; take it back to setup first")
        relayed = c.OnBehalf(person=self._fleet.lease().holder, command=command)
        try:
            answer = await self._fleet.relay(station, relayed)
        except Unreachable:
            raise Refused(
                f"unreachable: {station} did not answer; its journal tells whether it happened"
            ) from None
        if isinstance(command, c.Reject) and isinstance(answer, ApprovalAnswer):
            return await self._tell_agent(station, command, answer)
        return answer

    async def _tell_agent(
        self, station: str, command: c.Reject, answer: ApprovalAnswer
    ) -> ApprovalAnswer:
        """Give the words of a rejection to the station's agent, as an operator's and not its own."""
        agent = self._conductor.spec.agent_of.get(station, "")
        if not agent or answer.repeated:
            return answer
        text = f"[operator {answer.by}, who rejected {command.approval_id}] {command.words}"
        try:
            await self._fleet.tell_agent(agent, text)
        except (Refused, Unreachable) as error:
            note = f"{agent} was not told: {error}"
            self._conductor.append(ev.Noted(level="warning", text=note), durable=False)
            return msgspec.structs.replace(answer, note=note)
        return answer


def _receipt(candidate: Candidate) -> CandidateReceipt:
    return CandidateReceipt(idea_id=candidate.idea_id, state=candidate.phase)
