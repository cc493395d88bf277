"""The table of attacks is whole: every row has its tests, every test of this folder has its row."""

import ast
import collections
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("attacks.toml")
ROWS = ("runaway", "provider", "policy", "environment", "score", "git", "words", "data")


class Attack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One attack: what answers it, what is seen of it afterwards, which tests make it."""

    row: str
    attack: str
    answer: str
    record: str
    tests: tuple[str, ...]


ATTACKS = msgspec.toml.decode(TABLE.read_bytes(), type=dict[str, list[Attack]])["attack"]


def functions(file: str) -> set[str]:
    path = ROOT / file
    if not path.is_file():
        return set()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)}


def test_every_row_is_there_in_its_order() -> None:
    assert tuple(dict.fromkeys(attack.row for attack in ATTACKS)) == ROWS


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda each: each.attack[:48])
def test_an_attack_has_tests_an_answer_and_a_record(attack: Attack) -> None:
    assert attack.tests
    assert attack.answer
    assert attack.record
    missing = [
        test
        for test in attack.tests
        if test.partition("::")[2].partition("[")[0] not in functions(test.partition("::")[0])
    ]
    assert not missing


def test_no_attack_is_told_twice() -> None:
    counts = collections.Counter(attack.attack for attack in ATTACKS)
    assert max(counts.values()) == 1


def test_every_test_of_this_folder_stands_in_the_table() -> None:
    told = {test for attack in ATTACKS for test in attack.tests}
    here = {
        f"tests/attacks/{path.name}::{name}"
        for path in Path(__file__).parent.glob("test_*.py")
        if path != Path(__file__)
        for name in functions(f"tests/attacks/{path.name}")
        if name.startswith("test_")
    }
    assert here <= told
