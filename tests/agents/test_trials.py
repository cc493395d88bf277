"""Trials, the choice of arms and the model's data, on a bench whose tools are scripted."""

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from agents.search import settings, surveys
from agents.search.evidence import Trial
from agents.search.plans import prepared, reach_of
from agents.search.population import REACH, REACH_TOP, Variant
from agents.search.state import Carry, Plan, SearchState
from agents.search.trials import BLOCKS, compare_on_blocks
from agents.search.workbench import BLOCK, SURVEY, Bench
from agents.tools import calls as t
from agents.view import Champion, RunView
from robots.wire import codec
from robots.wire.records import Counts, Episode, Outcome
from tests.agents.stand_ins import LEARNED
from tests.agents.test_search import baseline

FILES = baseline()


def run_of(*, rate: float = 0.5, commit: str = "c0") -> RunView:
    run = RunView()
    run.champion = Champion(
        idea_id="baseline", commit=commit, success=round(160 * rate), episodes=160, rate=rate
    )
    return run


def plan(**more: Any) -> Plan:
    return Plan(
        **{"idea_id": "a1-1", "arm": SURVEY, "base": "c0", "base_idea": "baseline", "seed": 1}
        | more
    )


def bench_of(
    run: RunView,
    *,
    shared: dict[str, bytes] | None = None,
    on_explore: Callable[[t.Explore], None] = lambda call: None,
    files: dict[str, bytes] = FILES,
    minutes_left: float | None = None,
    records: dict[str, bytes] | None = None,
) -> Bench:
    """A bench on which every other episode of any recipe succeeds."""

    async def call(asked: t.AnyCall) -> t.ToolResult:
        if isinstance(asked, t.ReadRecipe):
            return t.Recipe(files=files)
        assert isinstance(asked, t.Explore)
        on_explore(asked)
        episodes = tuple(
            Episode(
                index=index,
                seed=seed,
                outcome=Outcome.FAILURE if index % 2 else Outcome.SUCCESS,
                reason="",
                robot_s=20.0,
                reset_s=2.0,
            )
            for index, seed in enumerate(asked.seeds)
        )
        return t.Explored(batch_id="b", episodes=episodes, counts=Counts())

    async def read_shared(path: str, known: Any) -> dict[str, bytes]:
        assert path == surveys.SURVEY_PATH
        return {commit: text for commit, text in (shared or {}).items() if commit not in known}

    async def wait_until(done: Callable[[], bool], timeout_s: float) -> bool:
        del timeout_s
        return done()

    records = {} if records is None else records
    desk = SimpleNamespace(
        name="a1",
        run=run,
        log=SimpleNamespace(records=records),
        record_backend=records.__setitem__,
        gate=SimpleNamespace(baseline="c0"),
        bench=SimpleNamespace(explored=lambda limit=None: []),
        wait_until=wait_until,
    )

    async def left() -> float | None:
        return minutes_left

    tools: Any = SimpleNamespace(
        desk=desk,
        call=call,
        tree=SimpleNamespace(shared=read_shared),
        training=SimpleNamespace(minutes_left=left),
    )
    return Bench(tools, 1, SearchState(run_id="r1"), lambda: None)


async def test_a_doubtful_trial_runs_all_its_blocks() -> None:
    asked: list[t.Explore] = []
    bench = bench_of(run_of(), on_explore=asked.append)

    await compare_on_blocks(plan(arm="insert:x"), bench, {**FILES, "x": b""}, BLOCKS, number=0)

    assert len([each for each in asked if "x" in (each.files or {})]) == BLOCKS


async def test_a_trial_ends_with_the_block_in_which_its_champion_was_succeeded() -> None:
    asked: list[t.Explore] = []
    run = run_of()

    def succeed(call: t.Explore) -> None:
        asked.append(call)
        run.champion = Champion(idea_id="a2-1", commit="c1")

    bench = bench_of(run, on_explore=succeed)

    await compare_on_blocks(plan(arm="insert:x"), bench, {**FILES, "x": b""}, BLOCKS, number=0)

    assert len([each for each in asked if "x" in (each.files or {})]) == 1


@pytest.mark.parametrize("draw", range(5))
async def test_what_was_found_too_late_is_tried_before_anything_else(draw: int) -> None:
    run = run_of()
    champion = run.champion
    assert champion is not None
    state = SearchState(run_id="r1", carries={"a1-9": Carry(values={"push_speed": 0.1}, gain=0.3)})

    chosen = await bench_of(run).choose(
        state, champion, run, random.Random(draw), broad=bool(draw % 2), full=False
    )

    assert chosen == "carry:a1-9"


async def test_what_an_idea_explored_counts_once_although_later_commits_carry_it() -> None:
    shared = surveys.write_survey("a2-1", [Variant(primitives=(), places={}, values=(0.5, 0.5))])
    (text,) = shared.values()
    bench = bench_of(run_of(), shared={"c1": text, "c2": text})

    peers = await bench.news_of_peers()
    found = await bench.population(plan(heard=peers))

    assert peers == 2
    assert [variant.values for variant in found] == [(0.5, 0.5)]


async def test_a_plan_knows_after_a_restart_the_surveys_it_knew_before_and_no_later_one() -> None:
    def shared(idea_id: str, value: float) -> bytes:
        variant = Variant(primitives=(), places={}, values=(value,))
        return surveys.write_survey(idea_id, [variant])[surveys.SURVEY_NAME]

    records: dict[str, bytes] = {}
    origin = {"c5": shared("a2-1", 0.5), "c9": shared("a3-1", 0.9)}
    first = bench_of(run_of(), shared=origin, records=records)
    early = plan(heard=await first.news_of_peers())
    size = len(codec.encode(early))

    # Those that are heard of later come after the others, whatever their commits are called.
    origin |= {f"b{number}": shared(f"a4-{number}", 0.1) for number in range(50)}
    late = plan(heard=await bench_of(run_of(), shared=origin, records=records).news_of_peers())
    again = bench_of(run_of(), shared=origin, records=records)

    assert sorted(v.values for v in await again.population(early)) == [(0.5,), (0.9,)]
    assert len(await again.population(late)) == 52
    # Each is on record once, and no plan names them all.
    assert sorted(each.decode() for each in records.values()) == sorted(origin)
    assert len(codec.encode(late)) == size


async def test_an_agent_does_not_learn_its_own_survey_from_git_again() -> None:
    (text,) = surveys.write_survey("a1-1", [Variant(primitives=(), places={})]).values()
    bench = bench_of(run_of(), shared={"c1": text})

    assert await bench.population(plan(heard=await bench.news_of_peers())) == []


@pytest.mark.parametrize(("rate", "reach"), [(0.5, REACH), (0.9, REACH_TOP)])
async def test_the_model_may_move_knobs_further_once_the_champion_is_good(
    rate: float, reach: float
) -> None:
    made = await prepared(plan(), bench_of(run_of(rate=rate)))

    assert reach_of(made) == reach


async def test_a_base_is_measured_once_for_all_plans_on_it() -> None:
    asked: list[t.Explore] = []
    bench = bench_of(run_of(), on_explore=asked.append)

    first = await bench.reference(plan(), 0, 1)
    second = await bench.reference(plan(idea_id="a1-2"), 0, 5)

    assert first == second != Trial()
    assert [(each.idea_id, each.number, len(each.seeds)) for each in asked] == [("a1-1", 1, BLOCK)]


# --- recipes that learn ---------------------------------------------------------------------------


async def arms_of(
    rate: float = 0.5, *, busy: str = "", minutes_left: float | None = None, broad: bool = False
) -> set[str]:
    """Operators that are chosen for a learned champion, over many draws."""
    run = run_of(rate=rate)
    assert run.champion is not None
    lanes = {"other": plan(arm=busy)} if busy else {}
    state = SearchState(run_id="r1", lanes=lanes)
    bench = bench_of(run, files=LEARNED, minutes_left=minutes_left)
    chosen = [
        await bench.choose(state, run.champion, run, random.Random(draw), broad=broad, full=False)
        for draw in range(200)
    ]
    return {arm for arm in chosen if arm}


@pytest.mark.parametrize("broad", [False, True])
async def test_a_learned_champion_is_moved_and_trained_again(broad: bool) -> None:
    assert await arms_of(broad=broad) == {
        "move:play=up",
        "move:play=down",
        "train:steps=up",
        "train:noise=up",
        "train:noise=down",
        settings.IMITATE,
    }


async def test_one_lane_trains_at_a_time() -> None:
    found = await arms_of(busy="train:noise=up")
    assert found == {"move:play=up", "move:play=down"}


async def test_without_training_minutes_only_knobs_are_moved() -> None:
    assert await arms_of(minutes_left=0.0) == {"move:play=up", "move:play=down"}


async def test_a_champion_that_seldom_succeeds_is_not_imitated() -> None:
    assert settings.IMITATE not in await arms_of(rate=0.1)


async def test_the_robot_has_something_to_do_when_all_else_was_tried() -> None:
    run = run_of()
    assert run.champion is not None
    state = SearchState(
        run_id="r1",
        lanes={"other": plan(arm="train:steps=up")},
        tried={"c0": ("move:play=up", "move:play=down")},
    )
    chosen = await bench_of(run, files=LEARNED).choose(
        state, run.champion, run, random.Random(1), broad=False, full=False
    )
    assert chosen == SURVEY
