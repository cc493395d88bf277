"""A search agent that trains a learned recipe again: real jobs on a real box, beside stand-ins."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from agents.backends.search import SearchBackend
from agents.search.settings import IMITATE
from agents.tools import calls as t
from recipes import data
from recipes.jobs.records import JobSpec, Needs
from recipes.jobs.store import Store
from recipes.learning.demonstrations import episodes
from robots.dataset.features import SOURCES
from robots.dataset.reader import Dataset
from robots.station.archive import sha256
from robots.station.recording import Recorder, RecordingInfo, Trace
from robots.station.tasks import load_task
from robots.wire import codec
from robots.wire.events import (
    BackendRecorded,
    BatchAccepted,
    DecisionLearned,
    IdeaOpened,
    ToolCalled,
)
from robots.wire.records import Episode, Outcome, RecipeArchive
from tests.agents.stand_ins import LEARNED, TRAIN
from tests.agents.test_daemon import Fleet, open_idea, running, scripted

TASK = "push_t_simple"
JOBS_S = 400.0
pytestmark = pytest.mark.timeout(500)


@pytest.fixture
async def learning(tmp_path: Path) -> AsyncIterator[Fleet]:
    """A run that begins with a recipe that was trained for too short a time."""
    async with running(Fleet(tmp_path, LEARNED, TASK)) as made:
        # A job is a process that starts a sandbox; a busy machine takes its time.
        made.deadline_s = JOBS_S
        yield made


def operators(fleet: Fleet) -> dict[str, str]:
    """Operator of each idea that was opened."""
    return {event.idea_id: event.operator for event in fleet.events(IdeaOpened)}  # type: ignore[union-attr]


def jobs(fleet: Fleet) -> list[str]:
    return sorted(path.parent.name for path in (fleet.home / "jobs").glob("*/job.json"))


async def test_a_badly_trained_recipe_gets_better_by_training_jobs(learning: Fleet) -> None:
    before = learning.supervisor.champion_rate
    await learning.start(SearchBackend("a1", 3))

    await learning.until(lambda: bool(adopted(learning)))

    assert learning.supervisor.champion_rate > before
    (idea_id, *_) = adopted(learning)
    # Its knob is worth nothing here: only training makes it better.
    assert operators(learning)[idea_id] in ("train:steps=up", IMITATE)
    # What was learned is in the commit, and not what the run began with.
    files = learning.supervisor.repository.archive(f"refs/heads/s1/{idea_id}").files
    assert files["weights.npz"] != LEARNED["weights.npz"]


def adopted(fleet: Fleet) -> list[str]:
    return [
        event.idea_id
        for event in fleet.events(DecisionLearned)
        if event.decision == "adopted"  # type: ignore[union-attr]
    ]


async def test_the_robot_explores_other_ideas_while_a_job_runs(learning: Fleet) -> None:
    await learning.start(SearchBackend("a1", 3))
    await learning.until(lambda: bool(_explored_meanwhile(learning)))


def _explored_meanwhile(fleet: Fleet) -> set[str]:
    """Ideas explored between a job's begin and its recipe's own first episode."""
    calls = fleet.events(ToolCalled)
    found: set[str] = set()
    for at, event in enumerate(calls):
        if event.tool != "train":  # type: ignore[union-attr]
            continue
        idea = event.summary.rpartition(" ")[2]  # type: ignore[union-attr]
        meanwhile: set[str] = set()
        for later in calls[at + 1 :]:
            if later.tool != "explore":  # type: ignore[union-attr]
                continue
            owner = later.call_id.partition("/")[0]  # type: ignore[union-attr]
            if owner == idea:
                found |= meanwhile
                break
            meanwhile.add(owner)
    return found


async def test_a_restart_in_the_midst_of_a_job_waits_for_that_job(learning: Fleet) -> None:
    for count in (1, 2, 3):
        await learning.start(SearchBackend("a1", 3))
        await learning.until(lambda count=count: len(jobs(learning)) >= count)
        await learning.stop()
    await learning.start(SearchBackend("a1", 3))
    await learning.until(lambda: learning.supervisor.adopted >= 1)
    await learning.stop()

    begun = [event.call_id for event in learning.events(ToolCalled) if event.tool == "train"]  # type: ignore[union-attr]
    assert len(begun) == len(set(begun))
    assert set(jobs(learning)) <= set(begun)
    assert set(learning.station.started.values()) == {1}


async def test_training_minutes_are_a_budget(learning: Fleet) -> None:
    # Its limit ends the first job, which sleeps for longer.
    await learning.start(SearchBackend("a1", 3), job_minutes=0.005)
    await learning.until(lambda: _failed(learning))
    known = len(operators(learning))
    await learning.until(lambda: len(operators(learning)) >= known + 3)

    trained = [name for name in operators(learning).values() if name.startswith("train:")]
    assert len(trained) == len(jobs(learning)) == 1


def _failed(fleet: Fleet) -> bool:
    return any(
        event.decision == "dropped" and "ran longer" in event.detail  # type: ignore[union-attr]
        for event in fleet.events(DecisionLearned)
    )


# --- data of its own ----------------------------------------------------------------------------


def record(folder: Path, batch_id: str, *outcomes: Outcome) -> None:
    """Recordings of a station: two steps an episode."""
    spec = load_task(TASK).spec
    recorder = Recorder(folder)
    for index, outcome in enumerate(outcomes):
        trace = Trace(1)
        for step in range(2):
            seen = {each.key: np.full(each.shape, 0.1 * step) for each in spec.observation}
            trace.add(step / 30.0, seen, np.array([0.1, 0.2]), [0.1, 0.2])
        episode = Episode(index=index, outcome=outcome, reason="")
        info = RecordingInfo(batch_id=batch_id, commit="", task=TASK, station="s1", episode=episode)
        name = f"{batch_id.replace('/', '-')}-{index}"
        recorder.write(name, trace, info)


async def test_own_successes_become_data_and_nobody_elses(learning: Fleet) -> None:
    tools = await scripted(learning)
    await tools.call(open_idea())
    folder = learning.home / "stations" / "s1" / "recordings"
    record(folder, "a1-1/x0", Outcome.SUCCESS, Outcome.FAILURE)
    record(folder, "a1-1/x1", Outcome.SUCCESS)
    record(folder, "sealed/1", Outcome.SUCCESS)

    gathered = await tools.call(t.Gather(idea_id="a1-1", numbers=(0, 1)))
    again = await tools.call(t.Gather(idea_id="a1-1", numbers=(0, 1)))

    assert isinstance(gathered, t.Gathered)
    assert (gathered.episodes, again) == (2, gathered)
    dataset = learning.home / "jobs" / ".data" / gathered.name
    assert len([*episodes(dataset)]) == 2
    source = Dataset(dataset, ("action_source",)).columns["action_source"]
    assert {SOURCES[each] for each in source} == {"policy"}

    champion = learning.supervisor.repository.baseline
    files = data.naming(LEARNED, [gathered.name])
    trained = await tools.call(t.Train(idea_id="a1-1", files=files, base=champion, minutes=5.0))
    assert isinstance(trained, t.Trained)
    assert trained.files["weights.npz"] == b'{"steps": 100, "data": 1}'


async def test_without_a_success_there_is_nothing_to_imitate(learning: Fleet) -> None:
    tools = await scripted(learning)
    await tools.call(open_idea())
    with pytest.raises(t.ToolRefused, match="no_recordings"):
        await tools.call(t.Gather(idea_id="a1-1", numbers=(0,)))
    record(learning.home / "stations" / "s1" / "recordings", "a1-1/x0", Outcome.FAILURE)
    with pytest.raises(t.ToolRefused, match="no_success"):
        await tools.call(t.Gather(idea_id="a1-1", numbers=(0,)))


async def test_a_job_nobody_needs_any_more_is_ended(learning: Fleet) -> None:
    tools = await scripted(learning)
    await tools.call(open_idea())
    call = t.Train(idea_id="a1-1", files=LEARNED, base="another commit", minutes=5.0)
    with pytest.raises(t.ToolRefused, match="succeeded: nobody needs"):
        await tools.call(call)
    (job_id,) = jobs(learning)
    status = await tools.training.wait(job_id, JOBS_S)
    assert status.state.value == "cancelled"
    assert any(event.backend == f"job/{job_id}" for event in learning.events(BackendRecorded))  # type: ignore[union-attr]


async def test_a_job_claimed_but_never_started_is_started_by_the_same_call(
    learning: Fleet,
) -> None:
    tools = await scripted(learning)
    await tools.call(open_idea())
    champion = learning.supervisor.repository.baseline
    spec = JobSpec(
        job_id=tools.training.job_of("a1-1"),
        recipe=RecipeArchive(files=LEARNED, sha256=sha256(LEARNED)),
        needs=Needs(minutes=5.0),
    )
    # As a kill between claim and launch leaves it.
    Store(learning.home / "jobs").claim(spec)
    tools.desk.record_backend(f"job/{spec.job_id}", codec.encode(spec))

    trained = await tools.call(t.Train(idea_id="a1-1", files=LEARNED, base=champion, minutes=5.0))

    assert isinstance(trained, t.Trained)
    assert jobs(learning) == [spec.job_id]


async def test_weights_that_no_recipe_may_carry_are_refused(learning: Fleet) -> None:
    tools = await scripted(learning)
    await tools.call(open_idea())
    large = TRAIN.replace(b"json.dumps(learned)", b'"x" * 1_000_000')
    call = t.Train(
        idea_id="a1-1",
        files={**LEARNED, "train.py": large},
        base=learning.supervisor.repository.baseline,
        minutes=5.0,
    )
    with pytest.raises(t.ToolRefused, match=r"oversize: weights.npz is 1000000 bytes"):
        await tools.call(call)


async def test_a_recipe_reads_no_folder_by_naming_it_as_data(learning: Fleet) -> None:
    tools = await scripted(learning)
    await tools.call(open_idea())
    files = data.naming(LEARNED, ["../../keys"])
    with pytest.raises(t.ToolRefused, match="list names of datasets"):
        await tools.call(t.Train(idea_id="a1-1", files=files, base="c", minutes=5.0))
    assert not jobs(learning)


async def test_what_is_imitated_is_recorded_and_nothing_else(learning: Fleet) -> None:
    tools = await scripted(learning)
    await tools.call(open_idea())
    champion = learning.supervisor.repository.baseline
    for number, recorded in enumerate((True, False)):
        await tools.call(
            t.Explore(
                idea_id="a1-1",
                number=number,
                seeds=(1, 2),
                base=champion,
                files=LEARNED,
                record=recorded,
            )
        )
    rows = learning.station.journal.rows(0, 1000)
    accepted = [row.event for row in rows if isinstance(row.event, BatchAccepted)]
    assert [event.record for event in accepted] == [True, False]
