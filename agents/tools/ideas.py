"""Tools of an idea's life: claim, commit, hand in, give up."""

import logging

from agents.desk import Desk
from agents.git.bundle import Gate
from agents.git.command import GitFailed, GitRefused
from agents.git.trailers import clean, idea_message
from agents.ideas import fingerprint
from agents.log import Work
from agents.settlement import Settlement, settle
from agents.tools import calls as t
from agents.tools.tree import on_thread
from robots.sandbox import SandboxError
from robots.wire import codec
from robots.wire.client import Refused, Unreachable
from robots.wire.commands import Nominate, ProposeIdea, SubmitCandidate
from robots.wire.events import (
    CandidateSubmitted,
    DecisionLearned,
    IdeaCommitted,
    IdeaOpened,
    Noted,
)
from robots.wire.records import Idea, RecipeArchive
from robots.wire.replies import NominationReceipt

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 10.0

# Refusals of the supervisor that pass by themselves: the same is asked again later.
PASSING = ("queue_full", "busy", "deadline", "incarnation", "no_run", "run_ended", "journal")


class Ideas:
    """An agent's own ideas."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def open(self, call: t.OpenIdea) -> t.Opened:
        """Journal the idea, then claim it in the run."""
        desk = self._desk
        idea_id = call.idea_id or desk.log.next_idea_id(desk.name)
        work = desk.log.ideas.get(idea_id)
        if work is None:
            self._check_room()
            other = desk.run.same_trial(call.fingerprint, idea_id)
            if other:
                raise t.ToolRefused(f"duplicate: {other}")
            opened = IdeaOpened(
                idea_id=idea_id,
                kind=call.kind,
                hypothesis=call.hypothesis,
                prediction=call.prediction,
                parent=call.parent,
                borrowed_from=call.borrowed_from,
                operator=call.operator,
            )
            desk.record(opened)
            work = desk.log.ideas[idea_id]
        if work.decision:
            raise t.ToolRefused(f"decided: {idea_id} was {work.decision}")
        if idea_id not in desk.run.ideas:
            await self._claim(idea_id, work, call.fingerprint)
        return t.Opened(idea_id=idea_id)

    async def commit(self, call: t.Commit) -> t.Committed:
        """Commit in the sandbox, check the bundle, push it; the same change is the same commit."""
        desk = self._desk
        work = self._open_work(call.idea_id)
        if work.commit:
            return t.Committed(idea_id=call.idea_id, commit=work.commit)
        desk.call(f"{call.idea_id}/commit", "commit", work.opened.hypothesis)
        message = idea_message(self._idea(call.idea_id, work))
        decided = desk.unsettled()
        try:
            commit = await on_thread(
                self._commit_blocking, call, message, work.opened_wall_s, decided
            )
        except t.ToolRefused as refused:
            desk.record(Noted(level="warning", text=f"{call.idea_id}: {refused.reason}"))
            if not refused.reason.startswith("git_failed"):
                self._decide(call.idea_id, "refused", refused.reason)
            raise
        desk.mark_settled(decided)
        assert desk.gate is not None
        branch = desk.gate.branch(call.idea_id)
        desk.record(IdeaCommitted(idea_id=call.idea_id, commit=commit, branch=branch))
        return t.Committed(idea_id=call.idea_id, commit=commit)

    async def submit(self, call: t.Submit) -> t.Submitted:
        """Journal that the idea is handed in, then hand it in; later if nobody is there."""
        desk = self._desk
        work = self._open_work(call.idea_id)
        if not work.commit:
            raise t.ToolRefused(f"not_committed: {call.idea_id}")
        if not work.submitted:
            desk.record(CandidateSubmitted(idea_id=call.idea_id, commit=work.commit))
        return t.Submitted(idea_id=call.idea_id, reached=await self.hand_in(call.idea_id))

    def drop(self, call: t.Drop) -> t.Dropped:
        """Give an idea up, with what was found."""
        work = self._desk.log.ideas.get(call.idea_id)
        if work is None or work.submitted:
            raise t.ToolRefused(f"not_open: {call.idea_id}")
        if not work.decision:
            self._decide(call.idea_id, "dropped", call.detail)
        return t.Dropped(idea_id=call.idea_id)

    async def nominate(self, nomination_id: str, idea_id: str, reason: str) -> NominationReceipt:
        """Ask that an own idea be confirmed early; the same id asks once, however often it is sent."""
        desk = self._desk
        if idea_id not in desk.log.ideas:
            raise t.ToolRefused(f"unknown_idea: {idea_id} is none of yours")
        desk.call(nomination_id, "nominate", f"{idea_id}: {reason}")
        asked = Nominate(nomination_id=nomination_id, idea_id=idea_id, reason=clean(reason, 300))
        try:
            body = await desk.supervisor.request(asked, REQUEST_TIMEOUT_S)
        except Refused as refused:
            raise t.ToolRefused(refused.reason) from refused
        except Unreachable as away:
            raise t.ToolRefused(f"unreachable: {away}; nominate it once more, later") from away
        return codec.decode(body, NominationReceipt)

    async def hand_in(self, idea_id: str) -> bool:
        """Send a submitted idea to the supervisor, once more or for the first time."""
        desk = self._desk
        standing = desk.run.ideas.get(idea_id)
        if standing is not None and (standing.queued or standing.decision):
            return True
        work = desk.log.ideas[idea_id]
        gate = desk.gate
        assert gate is not None
        recipe, print_ = await on_thread(_describe, gate, work.commit)
        idea = self._idea(idea_id, work)
        command = SubmitCandidate(idea=idea, recipe=recipe, fingerprint=print_)
        try:
            await desk.supervisor.request(command, REQUEST_TIMEOUT_S)
        except Refused as refused:
            if refused.reason.startswith(PASSING):
                return False
            self._decide(idea_id, "refused", refused.reason)
            raise t.ToolRefused(refused.reason) from refused
        except Unreachable:
            return False
        return True

    async def push_results(self) -> None:
        """Push what was decided since the last commit; at the end of a run."""
        gate, decided = self._desk.gate, self._desk.unsettled()
        if gate is not None and decided:
            await on_thread(lambda: gate.push(*settle(gate, decided)))
            self._desk.mark_settled(decided)

    def _commit_blocking(
        self, call: t.Commit, message: str, wall_s: float, decided: list[Settlement]
    ) -> str:
        gate, workspace = self._desk.gate, self._desk.workspace
        if gate is None or workspace is None:
            raise GitRefused("no_run", "there is no repository yet")
        branch = gate.branch(call.idea_id)
        try:
            bundle = workspace.commit(call.base, branch, message, wall_s, call.files, call.notes)
        except (GitFailed, SandboxError) as failed:
            if call.files is None:
                raise
            # A clone can be damaged from inside; nothing in it is needed to make the change.
            log.warning("the clone is made anew: %s", failed)
            workspace.recreate(call.base)
            bundle = workspace.commit(call.base, branch, message, wall_s, call.files, call.notes)
        commit = gate.admit(bundle, call.idea_id)
        gate.push(branch, *settle(gate, decided))
        return commit

    async def _claim(self, idea_id: str, work: Work, claimed: str) -> None:
        command = ProposeIdea(idea=self._idea(idea_id, work), fingerprint=claimed)
        try:
            await self._desk.supervisor.request(command, REQUEST_TIMEOUT_S)
        except Refused as refused:
            if refused.reason.startswith(PASSING):
                return
            self._decide(idea_id, "refused", refused.reason)
            raise t.ToolRefused(refused.reason) from refused
        except Unreachable:
            return

    def _idea(self, idea_id: str, work: Work) -> Idea:
        opened = work.opened
        return Idea(
            idea_id=idea_id,
            agent=self._desk.name,
            commit=work.commit,
            kind=opened.kind,
            hypothesis=opened.hypothesis,
            prediction=opened.prediction,
            parent=opened.parent,
            borrowed_from=opened.borrowed_from,
            operator=opened.operator,
        )

    def _open_work(self, idea_id: str) -> Work:
        work = self._desk.log.ideas.get(idea_id)
        if work is None:
            raise t.ToolRefused(f"unknown_idea: {idea_id}; open it first")
        if work.decision:
            raise t.ToolRefused(f"decided: {idea_id} was {work.decision}")
        return work

    def _decide(self, idea_id: str, decision: str, detail: str) -> None:
        desk = self._desk
        # An idea is handed in by its tool and again by the daemon: both may be answered at once, and
        # the supervisor's decision may have come first.
        if desk.log.ideas[idea_id].decision:
            return
        desk.record(DecisionLearned(idea_id=idea_id, decision=decision, detail=detail))
        desk.say("system", f"{idea_id} was {decision}: {detail}", idea_id)

    def _check_room(self) -> None:
        desk = self._desk
        if not desk.run.running:
            raise t.ToolRefused("run_ended: there is no run to work for")
        limit = desk.settings.max_ideas
        if limit and len(desk.log.ideas) >= limit:
            raise t.ToolRefused(f"budget: all {limit} ideas are used")


def _describe(gate: Gate, commit: str) -> tuple[RecipeArchive, str]:
    """A commit's recipe, and the fingerprint of its change. Blocking."""
    recipe = gate.archive(commit)
    parent = gate.git.commit_of(f"{commit}^")
    if parent is None:
        return recipe, ""
    return recipe, fingerprint(gate.archive(parent).files, recipe.files, parent)
