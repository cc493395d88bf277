"""Batches: their seeds, their voids, their queue, and what a restart finds."""

import msgspec
import numpy as np
import pytest

from robots.station.archive import ArchiveRefused, check, pack, sha256, unpack
from robots.station.authority import Authority, BatchCancelled
from robots.station.batches import QUEUE_LIMIT, Batches, objection
from robots.station.children import ChildFailed
from robots.station.reports import may_see
from robots.station.rollout import count, too_many_voids
from robots.wire.commands import StartBatch
from robots.wire.events import BatchAccepted, BatchFinished, EpisodeFinished, EpisodeStarted
from robots.wire.records import Counts, Episode, Outcome, Purpose, RecipeArchive, Role
from robots.wire.station_replies import BatchPhase
from tests.robots.station.conftest import REACHES, plan, recipe
from tests.robots.station.scripted import GoThere, ScriptedChildren, Stay


class Mixed:
    """A policy that succeeds or stays, by turns."""

    def __init__(self, turns):
        self.turns = iter(turns)

    def reset(self, observation):
        self.goes = next(self.turns)
        self.here = observation["tool_position_m"].copy()

    def act(self, observation):
        return observation["goal_position_m"] if self.goes else self.here


class VoidAt(ScriptedChildren):
    """A station whose verifier dies in some of its episodes."""

    def __init__(self, *turns):
        super().__init__(GoThere())
        self.turns = list(turns)

    def verify(self):
        child = super().verify()
        if self.turns and self.turns.pop(0):

            def die(images, proprioception):
                raise ChildFailed("verifier_exited")

            child.verify = die
        return child


# --- seeds ---------------------------------------------------------------------------------------


def test_a_sealed_batch_draws_a_fresh_seed_for_every_attempt(make_rig, watched):
    rig = make_rig(children=VoidAt(True))

    end = rig.run(plan(3), watched)

    assert [episode.index for episode in end.episodes] == [0, 1, 2, 3]
    assert rig.seeds.drawn == [1000, 1001, 1002, 1003]


def seeds_of(rig):
    used = []
    start = rig.driver.start_episode
    rig.driver.start_episode = lambda seed: (used.append(seed), start(seed))
    return used


def test_an_explore_batch_runs_a_voids_seed_again(make_rig, watched):
    rig = make_rig(children=VoidAt(True))
    used = seeds_of(rig)

    rig.run(plan(3, purpose=Purpose.EXPLORE, seeds=(5, 6, 7)), watched)

    assert used == [5, 5, 6, 7]


def test_a_confirm_replaces_a_void_by_a_new_seed(make_rig, watched):
    rig = make_rig(children=VoidAt(True))
    used = seeds_of(rig)

    end = rig.run(plan(3, purpose=Purpose.CONFIRM, seeds=(5, 6, 7), stop_at_failure=True), watched)

    assert used == [5, 6, 7, 1000]
    assert [episode.seed for episode in end.episodes] == [None] * 4
    assert end.counts == Counts(success=3, void=1)


def test_a_confirm_stops_at_the_first_failure(make_rig, watched):
    rig = make_rig(Mixed([True, False, True]))

    end = rig.run(plan(3, purpose=Purpose.CONFIRM, seeds=(5, 6, 7), stop_at_failure=True), watched)

    assert end.counts == Counts(success=1, failure=1)
    assert not end.void


def test_equal_seeds_draw_equal_episodes(make_rig):
    goals = []
    for _ in range(2):
        rig = make_rig()
        rig.driver.start_episode(42)
        goals.append(rig.driver.observe()["goal_position_m"])

    np.testing.assert_array_equal(*goals)


# --- voids ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "void"),
    [
        (Counts(success=3, void=1), False),
        (Counts(success=3, void=2), True),
        (Counts(success=38, void=2), False),
        (Counts(success=37, void=2), True),
        (Counts(success=19, void=1), False),
        (Counts(void=2), True),
    ],
)
def test_more_than_a_twentieth_of_voids_voids_a_batch(counts, void):
    assert too_many_voids(counts) is void


def test_a_batch_whose_voids_are_too_many_ends(make_rig, watched):
    end = make_rig(children=VoidAt(True, True)).run(plan(10), watched)

    assert end.void
    assert end.void_reason == "2 of 2 episodes were void"


def test_a_failing_policy_never_voids_its_batch(make_rig, watched):
    end = make_rig(ChildFailed("policy_memory")).run(plan(4), watched)

    assert not end.void
    assert end.counts == Counts(failure=4)


def test_a_cancelled_batch_is_void_and_what_ran_counts(make_rig, watched, authority):
    watched.on_start = lambda index: authority.cancel("b1", "enough") if index == 1 else None

    end = make_rig().run(plan(5), watched)

    assert end.void_reason == "cancelled: enough"
    assert end.counts == Counts(success=1, void=1)


def test_a_batch_cancelled_before_it_began_runs_nothing(make_rig, watched, authority):
    authority.cancel("b1", "never mind")

    end = make_rig().run(plan(5), watched)

    assert end.episodes == ()
    assert end.void


def test_a_closing_station_leaves_the_episode_open(make_rig, watched, authority: Authority):
    watched.on_start = lambda index: authority.close() if index == 1 else None

    with pytest.raises(BatchCancelled):
        make_rig().run(plan(5), watched)
    assert watched.started == [0, 1]
    assert len(watched.finished) == 1


def test_a_batch_goes_on_where_it_was(make_rig, watched):
    done = (
        Episode(index=0, outcome=Outcome.SUCCESS, reason="verified"),
        Episode(index=1, outcome=Outcome.VOID, reason="station_restarted"),
    )

    end = make_rig(Stay()).run(plan(3, done=done), watched)

    assert watched.started == [2, 3]
    assert end.counts == Counts(success=1, failure=2, void=1)
    assert end.episodes[:2] == done


def test_a_policy_is_fresh_in_every_batch(make_rig, watched):
    rig = make_rig(GoThere())

    rig.run(plan(2), watched)
    rig.run(plan(2, batch_id="b2"), watched)

    assert len(rig.children.started) == 2


def test_counting_adds_up():
    episodes = [
        Episode(index=index, outcome=outcome, reason="")
        for index, outcome in enumerate(list(Outcome) * 2)
    ]

    assert count(episodes) == Counts(success=2, failure=2, void=2)


# --- the queue -----------------------------------------------------------------------------------


def accepted(batch_id, purpose=Purpose.EVALUATE, episodes=3):
    return BatchAccepted(
        batch_id=batch_id,
        purpose=purpose,
        commit="c0ffee",
        idea_id="i",
        recipe=recipe(REACHES),
        episodes=episodes,
        seeds=None,
        stop_at_failure=False,
        record=False,
        requested_by="supervisor",
    )


def finished(batch_id):
    return BatchFinished(
        batch_id=batch_id,
        purpose=Purpose.EVALUATE,
        commit="c0ffee",
        idea_id="i",
        counts=Counts(success=3),
        void=False,
        void_reason="",
        seconds=1.0,
        ledger_sha256="",
    )


def folded(*events):
    batches = Batches()
    for event in events:
        batches.apply(event, 0.0)
    return batches


def test_a_confirm_comes_before_evaluations_and_those_before_explorations():
    batches = folded(accepted("x", Purpose.EXPLORE), accepted("e"), accepted("c", Purpose.CONFIRM))

    assert batches.next().accepted.batch_id == "c"
    batches.apply(finished("c"), 0.0)
    assert batches.next().accepted.batch_id == "e"


def test_equal_batches_run_in_the_order_they_came():
    assert folded(accepted("b"), accepted("a")).next().accepted.batch_id == "b"


def test_a_batch_that_had_begun_goes_on_first():
    batches = folded(
        accepted("a"),
        accepted("b"),
        EpisodeFinished(
            batch_id="b", episode=Episode(index=0, outcome=Outcome.SUCCESS, reason="verified")
        ),
    )

    assert batches.next().accepted.batch_id == "b"


def test_an_open_episode_is_void_after_a_restart_and_only_once():
    batches = folded(accepted("a"), EpisodeStarted(batch_id="a", index=0, number=1))

    (cut,) = batches.interrupted("station_restarted")
    batches.apply(cut, 0.0)

    assert cut.episode.outcome is Outcome.VOID
    assert batches.interrupted("station_restarted") == []
    assert batches.next().plan().done == (cut.episode,)


def test_a_finished_batch_keeps_its_state():
    state = folded(accepted("a"), finished("a")).state("a")

    assert state.phase is BatchPhase.FINISHED
    assert state.counts == Counts(success=3)


def start(**fields):
    fields = {
        "batch_id": "b",
        "purpose": Purpose.EVALUATE,
        "recipe": recipe(REACHES),
        "episodes": 3,
        **fields,
    }
    return StartBatch(commit="c", idea_id="i", **fields)


@pytest.mark.parametrize(
    ("command", "role", "reason"),
    [
        (start(), Role.AGENT, ""),
        (start(batch_id=""), Role.AGENT, "invalid: batch_id"),
        (start(batch_id="a\n"), Role.AGENT, "invalid: batch_id"),
        (start(episodes=0), Role.AGENT, "invalid: episodes"),
        (start(episodes=10**6), Role.AGENT, "invalid: episodes"),
        (start(seeds=(1, 2, 3)), Role.AGENT, "invalid: the seeds of an evaluation are sealed"),
        (start(purpose=Purpose.EXPLORE, seeds=(1, 1)), Role.AGENT, "invalid: seeds"),
        (start(purpose=Purpose.EXPLORE, seeds=(-1,)), Role.AGENT, "invalid: a seed"),
        (start(purpose=Purpose.EXPLORE, seeds=(1, 2)), Role.AGENT, ""),
        (start(purpose=Purpose.CONFIRM, seeds=(1, 2, 3)), Role.AGENT, "role:"),
        (start(purpose=Purpose.CONFIRM, seeds=(1, 2, 3)), Role.SUPERVISOR, ""),
        (start(purpose=Purpose.CONFIRM, seeds=(1, 2)), Role.SUPERVISOR, "invalid: a confirm"),
        (start(purpose=Purpose.CONFIRM), Role.SUPERVISOR, "invalid: a confirm"),
        (
            start(recipe=RecipeArchive(files={"../x": b""}, sha256="")),
            Role.AGENT,
            "invalid: recipe: '../x'",
        ),
    ],
)
def test_what_is_wrong_with_a_batch_is_said(command, role, reason):
    said = objection(command, role, 0)

    assert said.startswith(reason)
    assert bool(said) is bool(reason)


def test_the_queue_is_bounded():
    assert objection(start(), Role.AGENT, QUEUE_LIMIT) == "queue_full"


@pytest.mark.parametrize(
    ("purpose", "outcome", "role", "seen"),
    [
        (Purpose.EXPLORE, Outcome.SUCCESS, Role.AGENT, True),
        (Purpose.EVALUATE, Outcome.FAILURE, Role.AGENT, True),
        (Purpose.EVALUATE, Outcome.SUCCESS, Role.AGENT, False),
        (Purpose.CONFIRM, Outcome.FAILURE, Role.AGENT, False),
        (Purpose.CONFIRM, Outcome.SUCCESS, Role.OPERATOR, True),
    ],
)
def test_an_agent_sees_failures_only_of_sealed_batches(purpose, outcome, role, seen):
    assert may_see(purpose, Episode(index=0, outcome=outcome, reason=""), role) is seen


# --- archives ------------------------------------------------------------------------------------


def test_a_recipe_survives_packing_and_unpacking(tmp_path):
    folder = tmp_path / "recipe"
    (folder / "deep").mkdir(parents=True)
    (folder / "policy.py").write_text(REACHES)
    (folder / "deep" / "net.txt").write_text("weights")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "policy.pyc").write_bytes(b"x")

    packed = pack(folder)
    unpack(packed, tmp_path / "out")

    assert sorted(packed.files) == ["deep/net.txt", "policy.py"]
    assert pack(tmp_path / "out") == packed


def test_a_link_in_a_recipe_is_refused(tmp_path):
    (tmp_path / "policy.py").symlink_to("/etc/passwd")

    with pytest.raises(ArchiveRefused, match="links are not packed"):
        pack(tmp_path)


@pytest.mark.parametrize("name", ["/abs", "../up", "a/../b", "a//b", "", "a\n", "a\\b", "./a"])
def test_a_name_that_leaves_its_folder_is_refused(name):
    files = {name: b""}

    with pytest.raises(ArchiveRefused):
        check(RecipeArchive(files=files, sha256=sha256(files)))


def test_an_archive_that_lies_about_its_hash_is_refused():
    with pytest.raises(ArchiveRefused, match="hash"):
        check(msgspec.structs.replace(recipe(REACHES), sha256="0" * 64))


def test_a_recipe_of_more_than_a_mebibyte_is_refused():
    files = {"policy.py": bytes(1 << 20) + b"x"}

    with pytest.raises(ArchiveRefused, match="bytes"):
        check(RecipeArchive(files=files, sha256=sha256(files)))


def test_the_hash_tells_names_from_contents():
    assert sha256({"a": b"bc"}) != sha256({"ab": b"c"})
