"""The search agent's parts: knobs, operators, evidence, credit, numeric steps, memory."""

import random
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest

import recipes
from agents.search import memory, operators, primitives
from agents.search.credit import Arm, Credit, choose, draw
from agents.search.evidence import (
    Record,
    Trial,
    compare,
    merge,
    trial_of,
    value_of,
)
from agents.search.knobs import Knob, KnobRefused, read_knobs, set_knobs
from agents.search.numeric import Tuner, ranked_values
from agents.search.state import Plan, SearchState
from agents.search.trials import TrialResult
from agents.view import Champion, RunView
from robots.wire import codec
from robots.wire.events import (
    BatchCounted,
    CandidateDecided,
    CandidateQueued,
    IdeaProposed,
    RunStarted,
)
from robots.wire.records import Counts, Episode, Idea, Outcome, RecipeArchive
from tests.agents.stand_ins import BASELINE

PUSH_T = Path(next(iter(recipes.__path__))) / "push_t" / "baseline"


def baseline() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in PUSH_T.iterdir() if path.is_file()}


# --- knobs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_setting_knobs_keeps_the_file_and_changes_only_values(seed: int) -> None:
    rng = random.Random(seed)
    files = {"recipe.toml": BASELINE["recipe.toml"], "policy.py": b""}
    knobs = read_knobs(files)
    values = {
        "speed": knobs["speed"].from_unit(rng.random()),
        "angle": knobs["angle"].from_unit(rng.random()),
        "mode": rng.choice(["slow", "fast"]),
    }

    changed = set_knobs(files, values)

    before = tomllib.loads(files["recipe.toml"].decode())
    after = tomllib.loads(changed["recipe.toml"].decode())
    assert {name: table["value"] for name, table in after["knobs"].items()} == values
    for table in (before, after):
        for knob in table["knobs"].values():
            del knob["value"]
    assert before == after
    assert b"# metres a second" in changed["recipe.toml"]
    assert changed["recipe.toml"].count(b"\n") == files["recipe.toml"].count(b"\n")


def test_setting_a_knob_that_is_not_there_is_refused() -> None:
    with pytest.raises(KnobRefused, match="no knob 'other'"):
        set_knobs(BASELINE, {"other": 1.0})


@pytest.mark.parametrize(
    "knob",
    [
        Knob(name="a", value=0.2, low=0.01, high=1.0, log=True),
        Knob(name="b", value=0.2, low=-1.0, high=1.0),
        Knob(name="c", value=3, low=1, high=9, integer=True),
    ],
)
def test_positions_and_values_are_each_others_inverse(knob: Knob) -> None:
    for share in (0.0, 0.25, 0.5, 1.0):
        value = knob.from_unit(share)
        assert knob.low <= value <= knob.high
        assert knob.to_unit(value) == pytest.approx(share, abs=2e-3)
    assert knob.from_unit(-3.0) == knob.low
    assert knob.from_unit(7.0) == knob.high


def test_a_broken_recipe_is_named() -> None:
    with pytest.raises(KnobRefused, match=r"recipe\.toml"):
        read_knobs({"recipe.toml": b"knobs = ["})


# --- operators ----------------------------------------------------------------------------------


def test_every_structural_arm_yields_code_that_compiles_and_toml_that_parses() -> None:
    files = baseline()
    arms = operators.structural_arms(files, files)
    assert len(arms) >= 10

    for arm in arms:
        changed = operators.apply(arm.name, files, files)

        assert changed != files, arm.name
        compile(changed["policy.py"], arm.name, "exec")
        read_knobs(changed)
        proposal = operators.propose(arm.name, {})
        assert proposal.hypothesis
        assert proposal.prediction


@pytest.mark.parametrize("seed", range(4))
def test_any_chain_of_insertions_yields_a_policy_that_imports(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    original = files = baseline()
    for _ in range(5):
        arm = rng.choice(operators.structural_arms(files, original))
        files = operators.apply(arm.name, files, original)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    knobs = {name: knob.value for name, knob in read_knobs(files).items()}

    script = (
        "import sys; sys.path.insert(0, '.'); import policy, ast;"
        f"policy.Policy(ast.literal_eval({repr(knobs)!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("primitive", primitives.load(), ids=lambda each: each.name)
def test_removing_what_was_inserted_restores_the_recipe(primitive: primitives.Primitive) -> None:
    files = baseline()

    inserted = operators.apply(f"insert:{primitive.name}", files, files)
    restored = operators.apply(f"remove:{primitive.name}", inserted, files)

    assert operators.carried(inserted) == [primitive.name]
    assert operators.carried(restored) == []
    assert read_knobs(restored) == read_knobs(files)


def test_a_primitive_supersedes_one_that_replaces_the_same_method() -> None:
    one, other = next(
        (one, other)
        for one in primitives.load()
        for other in primitives.load()
        if one.name < other.name and primitives.conflicts(one, other)
    )
    files = baseline()

    first = operators.apply(f"insert:{one.name}", files, files)
    second = operators.apply(f"insert:{other.name}", first, files)

    assert operators.carried(second) == [other.name]


def test_combinations_put_promises_together() -> None:
    promises = [
        memory.Promise(arm='switch:mode="fast"', gain=0.1),
        memory.Promise(arm="insert:slow_near_goal", gain=0.04),
    ]

    (arm,) = operators.combination_arms(promises, ())

    assert arm.name == 'combine:insert:slow_near_goal+switch:mode="fast"'
    assert operators.combination_arms(promises, {arm.name}) == []


def test_found_values_are_transplanted_as_far_as_they_fit() -> None:
    changed = set_knobs(BASELINE, {"speed": 0.9})
    values = operators.changed_knobs(BASELINE, changed)

    assert values == {"speed": 0.9}
    assert operators.transplant({**values, "gone": 1.0}, BASELINE) == changed


# --- evidence -----------------------------------------------------------------------------------


def episode(index: int, *, won: bool, seed: int = 0, **more: object) -> Episode:
    return Episode(
        index=index,
        outcome=Outcome.SUCCESS if won else Outcome.FAILURE,
        reason="verified" if won else "episode_limit",
        seed=seed + index,
        **more,  # type: ignore[arg-type]
    )


def test_every_success_is_worth_more_than_every_failure() -> None:
    slow = episode(0, won=True, robot_s=1000.0)
    near = episode(0, won=False, score=1.0, figures={"iou_estimate": 1.0})

    assert value_of(slow) > value_of(near) > value_of(episode(0, won=False))
    assert value_of(episode(0, won=True, robot_s=5.0)) > value_of(slow)


def test_voids_do_not_count() -> None:
    void = Episode(index=1, outcome=Outcome.VOID, reason="reset_failed", seed=1)
    trial = trial_of([episode(0, won=True), void])

    assert (trial.success, trial.failure, len(trial.values)) == (1, 0, 1)


def test_tags_of_failures_are_shared_out() -> None:
    trial = trial_of(
        [
            episode(0, won=False, tags=("near_miss",)),
            episode(1, won=False, tags=("near_miss", "timeout")),
            episode(2, won=True, tags=("timeout",)),
        ]
    )

    assert trial.tags == {"near_miss": 2, "timeout": 1, "episode_limit": 2}


def test_a_lucky_block_of_the_base_condemns_no_change() -> None:
    """Of equals, as many look better as worse, however the base's own few episodes went."""
    rng = random.Random(7)
    record = Record(success=70, episodes=100)
    lucky = Trial(values=dict.fromkeys(range(8), 0.87), success=8)
    equals = [
        Trial(values={seed: 0.87 if rng.random() < 0.7 else -0.15 for seed in range(8)})
        for _ in range(400)
    ]

    by_block = [compare(lucky, each).sure > 0.5 for each in equals]
    by_record = [compare(lucky, each, record).sure > 0.5 for each in equals]

    assert sum(by_block) < 0.1 * len(equals)
    assert 0.3 * len(equals) < sum(by_record) < 0.7 * len(equals)


def test_a_record_is_as_good_as_its_episodes() -> None:
    change = Trial(values=dict.fromkeys(range(8), 0.87))
    few = compare(Trial(), change, Record(success=5, episodes=10))
    many = compare(Trial(), change, Record(success=50, episodes=100))

    assert many.sure > few.sure > 0.5


def test_the_champions_record_grows_as_it_is_measured() -> None:
    run = RunView()
    run.begin("r1", "push_t", "c0")
    counted = BatchCounted(
        batch_id="r1/baseline/measure/1",
        station="s1",
        idea_id="baseline",
        stage="measure",
        counts=Counts(success=2, failure=8, void=1),
        void=False,
        robot_s=1.0,
        wall_s=1.0,
    )
    run.apply(counted)
    run.apply(msgspec.structs.replace(counted, stage="screen"))
    run.apply(msgspec.structs.replace(counted, idea_id="a1-1"))

    assert run.champion is not None
    assert (run.champion.success, run.champion.episodes, run.champion.rate) == (2, 10, 0.2)


def test_little_evidence_is_not_sure() -> None:
    said = compare(Trial(values={1: 0.4}), Trial(values={1: 0.9}))

    assert 0.5 < said.sure < 0.95


def test_trials_of_one_recipe_add_up() -> None:
    one = trial_of([episode(0, won=True)])
    other = trial_of([episode(0, won=False, seed=10, tags=("far",))])

    both = merge(one, other)

    assert (both.success, both.failure, len(both.values)) == (1, 1, 2)


# --- credit -------------------------------------------------------------------------------------


def frequencies(credit: Credit, arms: list[Arm], tags: dict[str, float]) -> dict[str, float]:
    rng = random.Random(7)
    chosen = [choose(credit, arms, tags, rng) for _ in range(2000)]
    return {arm.name: sum(each == arm for each in chosen) / 2000 for arm in arms}


def test_what_gained_is_chosen_more_and_nothing_is_given_up() -> None:
    arms = [Arm(name="good"), Arm(name="bad")]
    credit = Credit().learn("good", 0.15, 3.0).learn("bad", -0.1, 3.0)

    often = frequencies(credit, arms, {})

    assert often["good"] > 0.8
    assert often["bad"] > 0.0


def test_tags_raise_the_arms_that_claim_to_cure_them() -> None:
    arms = [Arm(name="cure", tags=("near_miss",)), Arm(name="other", tags=("border",))]

    assert frequencies(Credit(), arms, {"near_miss": 0.9})["cure"] > 0.6


def test_credit_is_for_gain_by_the_minute() -> None:
    arms = [Arm(name="cheap"), Arm(name="dear")]
    credit = Credit().learn("cheap", 0.1, 1.0, 10.0).learn("dear", 0.12, 20.0, 10.0)

    assert frequencies(credit, arms, {})["cheap"] > 0.9


def test_old_credit_weighs_less() -> None:
    credit = Credit().learn("arm", 0.3, 3.0, 4.0)

    assert credit.aged().arms["arm"].weight == 2.0
    assert credit.aged().arms["arm"].gain == pytest.approx(0.3)


def test_no_arm_no_choice() -> None:
    assert choose(Credit(), [], {}, random.Random(1)) is None
    assert draw(Credit(), Arm(name="x"), {}, random.Random(1)) == draw(
        Credit(), Arm(name="x"), {}, random.Random(1)
    )


# --- numeric steps ------------------------------------------------------------------------------

SPACE = [
    Knob(name="a", value=0.1, low=0.0, high=1.0),
    Knob(name="b", value=0.02, low=0.01, high=1.0, log=True),
    Knob(name="c", value=2, low=1, high=9, integer=True),
]


def worth(values: dict[str, float | int | str | bool]) -> float:
    shares = [knob.to_unit(values[knob.name]) for knob in SPACE]
    return -sum((share - 0.6) ** 2 for share in shares)


def test_generations_move_the_centre_towards_what_is_better() -> None:
    tuner = Tuner(SPACE, seed=3, population=8)
    start = worth(tuner.centre())
    for _ in range(12):
        tuner.tell([worth(values) for values in tuner.ask()])

    assert worth(tuner.centre()) > start / 4


def test_the_same_seed_asks_for_the_same_variants() -> None:
    one, other = Tuner(SPACE, 5, 6), Tuner(SPACE, 5, 6)
    for _ in range(3):
        asked = one.ask()
        assert asked == other.ask()
        values = [worth(each) for each in asked]
        one.tell(values)
        other.tell(values)


def test_a_seeds_own_level_is_taken_away() -> None:
    trials = [{1: 0.9, 2: 0.1}, {1: 1.0, 2: 0.2}, {1: 0.8}]

    first, second, third = ranked_values(trials, [1, 2])

    assert second > first
    assert third == pytest.approx(-0.05)


# --- memory -------------------------------------------------------------------------------------


def run_with(decision: str, success: int) -> RunView:
    run = RunView()
    recipe = RecipeArchive(files={}, sha256="")
    started = RunStarted(
        run_id="r1",
        task="t",
        stations=("s1",),
        agents=("a1", "a2"),
        backend="search",
        seed=1,
        baseline_commit="c0",
        baseline=recipe,
        minutes=1.0,
        simulated=True,
        unsandboxed=False,
    )
    idea = Idea(
        idea_id="a2-1",
        agent="a2",
        commit="c1",
        kind="heuristic",
        hypothesis="h",
        prediction="p",
        parent="baseline",
        operator="insert:x",
    )
    run.apply(started)
    run.apply(
        BatchCounted(
            batch_id="r1/baseline/measure/1",
            station="s1",
            idea_id="baseline",
            stage="measure",
            counts=Counts(success=30, failure=30, void=0),
            void=False,
            robot_s=1.0,
            wall_s=1.0,
        )
    )
    run.apply(IdeaProposed(idea=idea, fingerprint="mark"))
    run.apply(CandidateQueued(idea=idea, recipe=recipe, fingerprint="print"))
    run.apply(
        CandidateDecided(
            idea_id="a2-1",
            decision=decision,
            success=success,
            episodes=100,
            interval=(0.0, 1.0),
            champion_rate=0.5,
            detail="",
        )
    )
    return run


def test_a_peers_decision_is_learned_from_once() -> None:
    run = run_with("adopted", 80)

    once = memory.learned(SearchState(run_id="r1"), run, run.champion)
    twice = memory.learned(once, run, run.champion)

    assert once == twice
    assert once.credit.arms["insert:x"].gain == pytest.approx(0.3)


def test_what_was_discarded_gains_nothing() -> None:
    run = run_with("discarded", 80)

    state = memory.learned(SearchState(run_id="r1"), run, run.champion)

    assert state.credit.arms["insert:x"].gain == 0.0


def test_a_better_discarded_idea_of_another_champion_is_offered_for_adoption() -> None:
    run = run_with("discarded", 60)
    same = Champion(idea_id="baseline", commit="c0")
    later = Champion(idea_id="a1-9", commit="c9")

    assert operators.adoption_arms(run, same, ()) == []
    (arm,) = operators.adoption_arms(run, later, ())
    assert arm.name == "adopt:a2-1"


def test_a_claim_outlives_the_fingerprint_of_its_change() -> None:
    run = run_with("discarded", 60)

    assert run.same_trial("mark", "a1-5") == "a2-1"
    assert run.same_trial("print", "a1-5") == "a2-1"
    assert run.same_trial("mark", "a2-1") == ""
    assert run.same_trial("", "a1-5") == ""


def test_memory_survives_its_encoding() -> None:
    plan = Plan(idea_id="a1-4", arm="tune:cmaes", base="c0", base_idea="baseline", seed=3)
    state = memory.begun(SearchState(run_id="r1"), "one", plan)
    state = memory.with_references(
        state, {"c0": trial_of([episode(0, won=False, tags=("far",))])}, {"c0/0": ("a1-4", 1)}
    )

    assert codec.decode(codec.encode(state), SearchState) == state
    assert state.number == 4


def test_promises_and_late_values_are_kept_by_their_kind() -> None:
    plan = Plan(idea_id="a1-1", arm="insert:x", base="c0", base_idea="baseline", seed=1)
    state = memory.begun(SearchState(run_id="r1"), "one", plan)
    promising = TrialResult(gain=0.04, sure=0.8, minutes=3.0)
    late = msgspec.structs.replace(promising, values={"speed": 0.5})
    tune = msgspec.structs.replace(plan, arm="tune:cmaes")

    assert memory.finished(state, "one", plan, promising).promising["c0"][0].arm == "insert:x"
    assert memory.finished(state, "one", tune, late).carries["a1-1"].values == {"speed": 0.5}
    assert memory.finished(state, "one", tune, late).lanes == {}
