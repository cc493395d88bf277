"""The list of guards is kept: each can still be taken out, its tests exist, every row is there."""

import ast

import pytest

from robots.safety.table import Condition
from tests import mutants
from tests.mutants import ROOT, Fate, Guard, GuardError, judge, read_guards, without

GUARDS = read_guards()

ROWS = {
    Condition.ACTION_STALE: "stale-",
    Condition.ACTION_LOST: "lost-",
    Condition.EPISODE_LIMIT: "limit-",
    Condition.ACTION_NOT_FINITE: "finite-",
    Condition.ACTION_SHAPE: "shape-",
    Condition.ACTION_CLIPPED: "clip-",
    Condition.TASK_LIMIT: "task-",
    Condition.FOLLOWING_ERROR: "following-",
    Condition.CAMERA_STALE: "camera-",
    Condition.BUS_STALE: "bus-",
    Condition.TICK_LATE: "tick-",
    Condition.OVERHEATED: "heat-",
    Condition.DRIVER_ERROR: "driver-",
    Condition.SIMULATION_WARNING: "warning-",
    Condition.GRANT_LAPSED: "grant-",
    Condition.HOLD: "hold-",
    Condition.EMERGENCY_STOP: "estop-",
}


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_a_guard_can_be_taken_out_and_its_tests_exist(guard: Guard) -> None:
    assert without(guard)
    assert guard.tests
    for test in guard.tests:
        file, _, name = test.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name.partition("[")[0] in {getattr(node, "name", "") for node in tree.body}, test


@pytest.mark.parametrize("condition", Condition)
def test_every_row_of_the_table_has_its_decision_and_more(condition: Condition) -> None:
    names = [guard.name for guard in GUARDS if guard.name.startswith(ROWS[condition])]

    assert any("decided" in name for name in names)
    assert len(names) >= 2


GUARD = Guard(
    "g", "", "robots/safety/table.py", "STALE_PERIODS = 3", "STALE_PERIODS = 4", ("a::t",)
)


@pytest.mark.parametrize(
    ("cases", "fate"),
    [
        ({"a::t": "AssertionError: 3 != 4"}, Fate.KILLED),
        ({"a::t[1]": "", "a::t[2]": "AssertionError"}, Fate.KILLED),
        ({"a::t": ""}, Fate.SURVIVED),
        ({"a::t[1]": "", "a::other": "AssertionError"}, Fate.SURVIVED),
        ({}, Fate.BROKEN),
        ({"a::t": None}, Fate.BROKEN),
        ({"a::t": "ImportError: no module"}, Fate.BROKEN),
        ({"a::t": "NameError: name 'x' is not defined"}, Fate.BROKEN),
    ],
)
def test_only_the_named_tests_own_failure_kills(cases, fate) -> None:
    assert judge(GUARD, cases)[0] is fate


@pytest.mark.parametrize(
    ("text", "mutant", "said"),
    [
        ("no such text", "x", "0 times"),
        ("Condition.", "x", "times"),
        ("STALE_PERIODS = 3", "STALE_PERIODS = 3", "guard itself"),
        ("STALE_PERIODS = 3", "STALE_PERIODS = (", "no Python"),
    ],
)
def test_what_cannot_be_taken_out_is_said(text, mutant, said) -> None:
    with pytest.raises(GuardError, match=said):
        without(Guard("g", "", GUARD.file, text, mutant, ()))


def test_the_same_name_twice_is_refused(tmp_path) -> None:
    row = '[[guard]]\nname = "g"\nrow = ""\nfile = ""\ntext = ""\nmutant = ""\ntests = []\n'
    (tmp_path / "guards.toml").write_text(row * 2)

    with pytest.raises(GuardError, match="twice"):
        read_guards(tmp_path / "guards.toml")


def test_a_mutant_is_run_on_a_copy_and_killed() -> None:
    (guard,) = [guard for guard in GUARDS if guard.name == "stale-seen"]
    before = (ROOT / guard.file).read_bytes()

    assert mutants.attempt(guard).fate is Fate.KILLED
    assert (ROOT / guard.file).read_bytes() == before
