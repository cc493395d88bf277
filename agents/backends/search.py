"""The search agent: the key-less backend, a program and labelled as one.

Two lanes work at a time, so that the station always has a batch waiting: each picks an operator by
credit (`agents.search.credit`), opens an idea with its hypothesis, explores it against the champion
on seeds of its own, and hands it in or gives it up. Everything goes through the tools; after a
restart the same plan runs again, and the tools answer what was done already.
"""

import asyncio
import logging
import random

import msgspec

from agents.search import memory
from agents.search.knobs import KnobRefused
from agents.search.plans import prepared, run_plan
from agents.search.state import Plan, SearchState
from agents.search.trials import TrialResult
from agents.search.workbench import Bench
from agents.tools import calls as t
from agents.tools.toolbox import Toolbox
from agents.view import Champion
from robots.wire import codec

log = logging.getLogger(__name__)

LANES = ("one", "two")
NEWS_TIMEOUT_S = 60.0
AGAIN_S = 5.0
FAR_S = 1e9
MAX_HANDED = 3

# Answers after which a turn ends; any other refusal ends only the plan.
ENDINGS = ("STOPPED", "run_ended", "no_run")


class SearchBackend:
    """See the module; `turn` returns when stopped, out of budget or out of a run."""

    name = "search"
    label = "search agent, not a language model"

    def __init__(self, agent: str, seed: int) -> None:
        self._agent = agent
        self._seed = seed
        self._state = SearchState(run_id="")
        self._choosing = asyncio.Lock()

    async def turn(self, tools: Toolbox) -> None:
        self._recall(tools)

        def remember() -> None:
            self._state = memory.with_references(self._state, bench.references, bench.callers)
            self._save(tools)

        bench = Bench(tools, self._seed, self._state, remember)
        async with asyncio.TaskGroup() as group:
            for lane in LANES:
                group.create_task(self._lane(lane, tools, bench))

    async def _lane(self, lane: str, tools: Toolbox, bench: Bench) -> None:
        """Plan after plan, until a tool says that the turn ends."""
        pause_s = 0.0
        while True:
            try:
                if pause_s:
                    self._hear(tools, await tools.call(t.Wait(timeout_s=pause_s)))
                    self._learn(tools)
                # One choice at a time: each takes the next number and the next seed.
                async with self._choosing:
                    plan = self._state.lanes.get(lane) or await self._pick(lane, tools, bench)
                pause_s = 0.0 if plan else NEWS_TIMEOUT_S
                if plan is not None:
                    result = await run_plan(plan, tools, bench, self._state.carries)
                    self._state = memory.finished(self._state, lane, plan, result)
            except (KnobRefused, t.ToolRefused) as refused:
                if str(refused).startswith(t.PAUSED):
                    # Both lanes wait it out: a short pause may find only one of them at a tool.
                    await self._resumed(tools)
                    continue
                if str(refused).startswith(ENDINGS):
                    return
                plan = self._state.lanes.get(lane)
                if plan is not None:
                    self._give_up(lane, plan, str(refused), tools)
                elif str(refused).startswith("budget"):
                    return
                else:
                    log.info("%s: %s", self._agent, refused)
                    pause_s = AGAIN_S
            except Exception as fault:
                # A plan that breaks here would break after every restart as well.
                plan = self._state.lanes.get(lane)
                if plan is not None:
                    self._give_up(lane, plan, f"it broke: {type(fault).__name__}", tools)
                raise
            self._learn(tools)

    async def _resumed(self, tools: Toolbox) -> None:
        """Wait until a person lets the agent go on, or there is nothing to go on with."""
        desk = tools.desk
        await desk.wait_until(lambda: not desk.log.paused or bool(desk.run.ended), FAR_S)

    async def _pick(self, lane: str, tools: Toolbox, bench: Bench) -> Plan | None:
        """The next idea, journalled before anything is done about it; None while enough wait."""
        self._learn(tools)
        champion = tools.desk.run.champion
        if champion is None:
            raise t.ToolRefused("no_run: there is no champion")
        full = len(tools.desk.log.pending()) >= MAX_HANDED
        number = max(self._state.number, len(tools.desk.log.ideas))
        rng = random.Random(f"{self._seed}/{self._state.run_id}/{self._state.draws}")
        arm = await bench.choose(
            self._state, champion, tools.desk.run, rng, broad=lane == LANES[0], full=full
        )
        plan = None
        if arm is not None:
            plan = Plan(
                idea_id=f"{self._agent}-{number + 1}",
                arm=arm,
                base=champion.commit,
                base_idea=champion.idea_id,
                seed=rng.randrange(2**31),
                data=len(tools.desk.bench.explored()),
            )
            try:
                plan = await prepared(plan, bench)
            except t.ToolRefused as refused:
                if refused.reason.startswith((t.PAUSED, *ENDINGS)):
                    raise
                # The choice is spent: the next one is made without this arm.
                self._state = memory.declined(self._state, plan)
                self._save(tools)
                raise
        self._state = memory.begun(self._state, lane, plan)
        self._save(tools)
        return plan

    def _give_up(self, lane: str, plan: Plan, reason: str, tools: Toolbox) -> None:
        """A tool refused what the plan needs: a duplicate, a conflict, an unfit recipe."""
        work = tools.desk.log.ideas.get(plan.idea_id)
        if work is not None and not work.decision and not work.submitted:
            tools.ideas.drop(t.Drop(idea_id=plan.idea_id, detail=reason))
        self._state = memory.finished(self._state, lane, plan, TrialResult())
        self._save(tools)

    def _hear(self, tools: Toolbox, news: t.ToolResult) -> None:
        """Words of people: it cannot read, and says so."""
        if isinstance(news, t.News) and news.messages:
            heard = tuple(news.messages)
            tools.desk.record_backend(self.name, codec.encode(self._state), heard)
            tools.desk.say("system", f"a {self.label} does not read what people say")

    def _learn(self, tools: Toolbox) -> None:
        """Credit from decisions, own and peers', and from another champion."""
        champion: Champion | None = tools.desk.run.champion
        self._state = memory.learned(self._state, tools.desk.run, champion)
        self._save(tools)

    def _recall(self, tools: Toolbox) -> None:
        run_id = tools.desk.run.run_id
        record = tools.desk.log.records.get(self.name)
        state = SearchState(run_id=run_id)
        if record is not None:
            try:
                state = codec.decode(record, SearchState)
            except msgspec.DecodeError:
                log.warning("the record of an older search is not understood; starting anew")
        if state.run_id != run_id:
            state = SearchState(run_id=run_id)
        self._state = state

    def _save(self, tools: Toolbox) -> None:
        record = codec.encode(self._state)
        if tools.desk.log.records.get(self.name) != record:
            tools.desk.record_backend(self.name, record)
