"""What a hand-over needs, item by item, and of whom it is demanded. Pure."""

import shutil

import msgspec
import pytest

from enpire_tui import home as places
from enpire_tui.supervisor.budgets import Budget
from enpire_tui.supervisor.checklist import (
    SIMULATED_WORD,
    WORD,
    Environment,
    Facts,
    checklist,
    read_environment,
    refusal,
)
from robots.bench.findings import Check
from robots.bench.record import Records
from robots.bench.resets import ResetFigures
from robots.bench.sights import Latency, VerifierFigures
from robots.station.tasks import read_task
from robots.wire.signing import SigningKey
from tests.robots.station.scripted import REACH

OWN = Environment(
    sha256="a" * 64,
    published="a" * 64,
    reset="100 of 100 resets",
    verifier="0 false positives of 300, recall 99.0%",
)
READY = Facts(
    task="reach",
    simulated=False,
    environment=OWN,
    stations=("s1", "s2"),
    silent=(),
    held_to={"s1": "a" * 64, "s2": "a" * 64},
    unsandboxed=(),
    budget=Budget(minutes=15.0),
)


def changed(**fields) -> Facts:
    return msgspec.structs.replace(READY, **fields)


def own(**fields) -> Facts:
    return changed(environment=msgspec.structs.replace(OWN, **fields))


def states(facts: Facts) -> dict[str, str]:
    return {item.name: item.state for item in checklist(facts).items}


def test_a_fleet_with_everything_is_ready():
    found = checklist(READY)

    assert found.ready
    assert set(states(READY).values()) == {"OK"}
    assert (found.word, found.policy) == (WORD, True)
    assert refusal(found) == ""


@pytest.mark.parametrize(
    ("facts", "name", "remedy"),
    [
        (own(published=""), "manifest", "environment publish reach"),
        (own(published="b" * 64), "manifest", "environment publish reach"),
        (changed(held_to={"s1": "a" * 64, "s2": ""}), "manifest", "enpire-tui down, then up"),
        (own(reset=""), "reset", "environment reset-test reach"),
        (own(verifier=""), "verifier", "environment score reach"),
        (changed(silent=("s2",)), "stop", "must not move"),
        (changed(budget=Budget(minutes=0.0)), "budgets", "time"),
        (changed(tries=("s1/t1",)), "tries", "answer"),
    ],
)
def test_what_is_missing_forbids_the_hand_over_and_says_what_to_do(facts, name, remedy):
    found = checklist(facts)

    assert not found.ready
    assert [item.name for item in found.items if item.state == "MISSING"] == [name]
    assert f"checklist: {name}" in refusal(found)
    assert remedy in refusal(found)


def test_a_shipped_task_on_simulated_drivers_needs_no_signature():
    simulated = changed(simulated=True, environment=Environment(shipped=True))

    assert checklist(simulated).ready
    assert checklist(simulated).word == SIMULATED_WORD
    assert [states(simulated)[name] for name in ("manifest", "reset", "verifier")] == ["WAIVED"] * 3


@pytest.mark.parametrize(
    "facts",
    [
        changed(simulated=False, environment=Environment(shipped=True)),
        changed(simulated=False, environment=Environment(registered=True)),
        changed(simulated=True, environment=Environment()),
    ],
)
def test_nothing_is_waived_for_a_real_robot_or_for_an_operators_own_task(facts):
    assert not checklist(facts).ready


def test_a_fleet_that_runs_without_a_sandbox_says_so():
    assert states(changed(unsandboxed=("s1",)))["sandbox"] == "WAIVED"


def test_the_environment_is_read_as_its_files_are_now(tmp_path):
    folder, key = tmp_path / "reach", SigningKey.generate()
    shutil.copytree(REACH, folder, ignore=shutil.ignore_patterns("__pycache__"))
    task, records = read_task(folder), Records(places.environments(tmp_path))

    def read(people=(key.public,)) -> Environment:
        return read_environment(tmp_path, str(folder), people)

    empty = read()
    assert (empty.shipped, empty.published, empty.reset) == (False, "", "")
    figures = VerifierFigures(
        false_positives=0,
        negatives=300,
        near_misses=100,
        recall=1.0,
        positives=300,
        latency_ms=Latency(p50=1.0, p99=2.0),
        n=600,
        seed=1,
    )
    records.keep(
        task,
        task.manifest_sha256(),
        checks=(Check("files", True, ""),),
        reset=ResetFigures(
            tries=100, success=99, single_try_success=90, seconds_per_reset=1.0, seconds=9.0
        ),
        verifier=figures,
    )
    records.publish(task, key, 1.0)

    found = read()
    assert found.published == found.sha256 == task.manifest_sha256()
    assert found.reset == "99 of 100 resets"
    assert "0 false positives of 300" in found.verifier
    assert read(people=()).published == "by nobody of this fleet"

    (folder / "reset.py").write_bytes((folder / "reset.py").read_bytes() + b"#")
    edited = read()
    assert edited.published != edited.sha256
    assert edited.reset == ""


def test_shipped_and_registered_tasks_are_known_as_such(tmp_path):
    assert read_environment(tmp_path, "push_t", ()).shipped
    assert read_environment(tmp_path, "gym:gym_pusht/PushT-v0", ()).registered
