"""The agent's station as the search sees it: batches by files and seeds, and the choice of arms."""

import asyncio
import random
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any

import msgspec

from agents.search import operators, settings, surveys
from agents.search.credit import Arm, choose
from agents.search.evidence import Record, Trial, merge, share_of_tags, trial_of
from agents.search.knobs import read_knobs
from agents.search.numeric import MIN_KNOBS
from agents.search.population import Variant
from agents.search.state import Plan, SearchState
from agents.tools import calls as t
from agents.tools.toolbox import Toolbox
from agents.view import Champion, RunView

TUNE = "tune:cmaes"
SURVEY = "survey:mixtures"
MODEL = "model:mean"
BROAD = (TUNE, SURVEY, MODEL)
# What one lane does while the other tries single changes.
WHOLE_LANE = (TUNE, SURVEY)
RETRAINING = ("train:", "imitate:")
# Champion's rate from which its successes are worth the robot's time to gather them.
IMITABLE = 0.25
# Of the single changes, those that follow the model while it has one to propose.
MODEL_SHARE = 0.75
# Expected gain from which a finding that came too late goes before everything else.
LATE_GAIN = 0.04

BLOCK = 8
SURVEY_VARIANTS = 12
SURVEY_MINUTES = 20.0
MODEL_MINUTES = 8.0

# Batches of this agent that wait at its station at a time; the station refuses more than eight.
IN_FLIGHT = 3
POPULATION_TIMEOUT_S = 120.0


class Bench:
    """The agent's station as trials see it: batches by files and seeds, the base's own record."""

    def __init__(
        self, tools: Toolbox, seed: int, state: SearchState, remember: Callable[[], None]
    ) -> None:
        self.tools = tools
        self.references = dict(state.references)
        self.callers = dict(state.callers)
        self._remember = remember
        self._seed = seed
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._base_lock = asyncio.Lock()
        self._surveys: dict[str, surveys.Survey | None] = {}
        self._heard: list[str] = []
        while (known := tools.desk.log.records.get(self._place(len(self._heard)))) is not None:
            self._heard.append(known.decode())
        self._recipes: dict[str, dict[str, bytes]] = {}

    async def recipe(self, commit: str) -> dict[str, bytes]:
        """Files of the recipe at a commit."""
        if commit not in self._recipes:
            result = await self.tools.call(t.ReadRecipe(commit=commit))
            assert isinstance(result, t.Recipe)
            self._recipes[commit] = result.files
        return self._recipes[commit]

    async def original(self) -> dict[str, bytes]:
        """Files of the run's baseline."""
        gate = self.tools.desk.gate
        assert gate is not None
        return await self.recipe(gate.baseline)

    def seeds(self, of: str, block: int) -> tuple[int, ...]:
        """Seeds of a block of episodes of an idea, or of a base."""
        rng = random.Random(f"{self._seed}/{of}/{block}")
        return tuple(rng.randrange(2**31) for _ in range(BLOCK))

    async def explore(
        self,
        plan: Plan,
        number: int,
        files: dict[str, bytes],
        seeds: tuple[int, ...],
        *,
        record: bool = False,
    ) -> Trial:
        """Run one batch of a plan."""
        async with self._slots:
            result = await self.tools.call(
                t.Explore(
                    idea_id=plan.idea_id,
                    number=number,
                    seeds=seeds,
                    base=plan.base,
                    files=files,
                    record=record,
                )
            )
        assert isinstance(result, t.Explored)
        return trial_of(result.episodes)

    async def reference(self, plan: Plan, block: int, number: int) -> Trial:
        """What the base does on a block of seeds, which is run once for all plans on that base.

        Which plan's batch it is, is journalled first, so that a restart asks for the same batch.
        """
        async with self._base_lock:
            known = self.references.get(plan.base, Trial())
            seeds = self.seeds(plan.base, block)
            if seeds[0] not in known.values:
                place = f"{plan.base}/{block}"
                if place not in self.callers:
                    self.callers[place] = (plan.idea_id, number)
                    self._remember()
                idea_id, number = self.callers[place]
                caller = msgspec.structs.replace(plan, idea_id=idea_id)
                files = await self.recipe(plan.base)
                known = merge(known, await self.explore(caller, number, files, seeds))
                self.references[plan.base] = known
                self._remember()
            return known

    def record(self, base: str) -> Record | None:
        """Sealed episodes of a base while it reigns; None before any was counted, or once succeeded."""
        champion = self.tools.desk.run.champion
        if champion is None or champion.commit != base or not champion.episodes:
            return None
        return Record(success=champion.success, episodes=champion.episodes)

    async def news_of_peers(self) -> int:
        """How many surveys of peers have been heard of so far.

        Each is journalled once, by its commit and in its order, so that a plan says by a number
        which it knows.
        """
        await self._read_surveys()
        for commit in sorted(self._surveys.keys() - {*self._heard}):
            if self._surveys[commit] is not None:
                self.tools.desk.record_backend(self._place(len(self._heard)), commit.encode())
                self._heard.append(commit)
        return len(self._heard)

    def _place(self, number: int) -> str:
        return f"search/{self.tools.desk.run.run_id}/survey/{number}"

    async def population(self, plan: Plan) -> list[Variant]:
        """The explored variants that a plan knows, own and peers'; after a restart awaited.

        Raises:
            ToolRefused: The station's journal does not tell of them any more.
        """
        desk = self.tools.desk
        found = await desk.wait_until(
            lambda: len(desk.bench.explored()) >= plan.data, POPULATION_TIMEOUT_S
        )
        if not found:
            raise t.ToolRefused(f"lost: {plan.data} explored batches are not in the journal")
        peers = self._heard[: plan.heard]
        if not self._surveys.keys() >= set(peers):
            await self._read_surveys()
        own = surveys.variants_of(desk.bench.explored(plan.data))
        # A commit carries what its base carried: each idea counts once.
        shared: dict[str, tuple[Variant, ...]] = {}
        for commit in peers:
            found = self._surveys.get(commit)
            if found is not None and not found.idea_id.startswith(f"{desk.name}-"):
                shared[found.idea_id] = found.variants
        return [*own, *(variant for variants in shared.values() for variant in variants)]

    async def _read_surveys(self) -> None:
        found = await self.tools.tree.shared(surveys.SURVEY_PATH, self._surveys.keys())
        self._surveys |= {commit: surveys.read_survey(each) for commit, each in found.items()}

    def tags(self, base: str) -> dict[str, float]:
        """Share of the base's failures that carry each tag."""
        known = self.references.get(base, Trial())
        return share_of_tags(known.tags, known.failure)

    async def choose(
        self,
        state: SearchState,
        champion: Champion,
        run: RunView,
        rng: random.Random,
        *,
        broad: bool,
        full: bool,
    ) -> str | None:
        """The arm of the next idea.

        Args:
            state: What is remembered.
            champion: What is changed.
            run: What others claimed.
            rng: The agent's generator.
            broad: Prefer arms that move many things (surveys, the model, tuning) over single ones.
            full: Enough ideas await a decision: only what hands nothing in is of use.
        """
        files, original = await self.recipe(champion.commit), await self.original()
        taken = set(state.tried.get(champion.commit, ()))
        arms = [
            arm
            for arm in operators.structural_arms(files, original)
            if arm.name not in taken
            and not run.same_trial(operators.mark(arm.name, champion.commit), "")
        ]
        arms += operators.adoption_arms(run, champion, taken)
        arms += operators.combination_arms(state.promising.get(champion.commit, ()), taken)
        arms += operators.carry_arms(state.carries, taken)
        numeric = [knob for knob in read_knobs(files).values() if knob.numeric]
        tuning = any(plan.arm == TUNE for plan in state.lanes.values())
        if len(numeric) >= MIN_KNOBS and not tuning:
            arms.append(
                Arm(name=TUNE, prior_gain=operators.TUNE_GAIN, minutes=operators.TUNE_MINUTES)
            )
        arms += await self._retraining_arms(state, files, taken, run, champion)
        arms += self._model_arms(state, files, alone=not arms)
        if full:
            arms = [arm for arm in arms if arm.name == SURVEY]
        if broad or len(self.tools.desk.bench.explored()) < SURVEY_VARIANTS:
            preferred = [arm for arm in arms if arm.name in BROAD]
        else:
            preferred = [arm for arm in arms if arm.name not in WHOLE_LANE]
            informed = [arm for arm in preferred if arm.name == MODEL]
            if informed and rng.random() < MODEL_SHARE:
                preferred = informed
        # What was good for the champion before comes first: it was found already.
        late = [
            arm
            for arm in arms
            if arm.name.startswith(("carry:", "adopt:")) and arm.prior_gain >= LATE_GAIN
        ]
        preferred = late or preferred or arms
        chosen = choose(state.credit, preferred, self.tags(champion.commit), rng)
        return chosen.name if chosen else None

    async def _retraining_arms(
        self,
        state: SearchState,
        files: Mapping[str, bytes],
        taken: Collection[str],
        run: RunView,
        champion: Champion,
    ) -> list[Arm]:
        """Training of the champion's recipe: one job at a time, while training minutes are left.

        The other lane keeps the robot busy meanwhile. Of a champion that seldom succeeds there is
        next to nothing to imitate.
        """
        if any(plan.arm.startswith(RETRAINING) for plan in state.lanes.values()):
            return []
        arms = [
            arm
            for arm in settings.retraining_arms(files)
            if arm.name not in taken
            and not run.same_trial(operators.mark(arm.name, champion.commit), "")
            and (arm.name != settings.IMITATE or champion.rate >= IMITABLE)
        ]
        left = await self.tools.training.minutes_left() if arms else None
        return arms if left is None or left > 0.0 else []

    def _model_arms(
        self, state: SearchState, files: Mapping[str, bytes], *, alone: bool
    ) -> list[Arm]:
        """A proposal of the model while it has one, else a survey, from which it learns more.

        Args:
            state: What is remembered.
            files: The champion.
            alone: There is nothing else to do. Of one knob a model says little more than moving it.
        """
        busy = {plan.arm for plan in state.lanes.values()}
        explored = len(self.tools.desk.bench.explored())
        space = surveys.space_of(files)
        size = len(space.primitives) + len(space.knobs)
        if not size or (size < MIN_KNOBS and not alone):
            return []
        if explored - state.modelled >= SURVEY_VARIANTS:
            return [Arm(name=MODEL, prior_gain=operators.MODEL_GAIN, minutes=MODEL_MINUTES)]
        if SURVEY in busy and explored >= SURVEY_VARIANTS:
            return []
        return [Arm(name=SURVEY, prior_gain=operators.SURVEY_GAIN, minutes=SURVEY_MINUTES)]


async def together(work: Sequence[Coroutine[Any, Any, Trial]]) -> list[Trial]:
    """Run batches side by side; if a tool refuses one, the others are left and it is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(each) for each in work]
    except BaseExceptionGroup as faults:
        refused, _ = faults.split(t.ToolRefused)
        if refused is None:
            raise
        raise t.first_of(refused) from faults
    return [task.result() for task in running]
