"""The house: whose packages these are, and which floor may import which."""

import importlib
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FLOORS = ["enpire_tui", "agents", "recipes", "robots"]


def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_is_imported_from_this_house(floor: str) -> None:
    # The OpenAI Agents SDK also installs a package called `agents`.
    module = importlib.import_module(floor)

    assert module.__file__ is not None
    assert Path(module.__file__).resolve() == ROOT / floor / "__init__.py"


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_says_that_it_is_typed(floor: str) -> None:
    assert (ROOT / floor / "py.typed").is_file()


def test_the_distribution_has_exactly_four_packages() -> None:
    assert sorted(pyproject()["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == sorted(
        FLOORS
    )


def test_every_dependency_has_a_lower_and_an_upper_bound() -> None:
    project = pyproject()["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    own = [line for line in extras if line.startswith("enpire-tui[")]

    unbounded = [
        line
        for line in [*project["dependencies"], *extras]
        if line not in own and not (">=" in line and "<" in line)
    ]

    assert unbounded == []


def test_the_agents_sdk_is_not_a_dependency() -> None:
    assert "openai-agents" not in (ROOT / "pyproject.toml").read_text().replace("_", "-")


def test_a_floor_imports_only_floors_below_it() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["connect", "connect_ex"])
@pytest.mark.parametrize("address", [("192.0.2.1", 9), ("api.anthropic.com", 443)])
def test_a_test_connects_to_nobody_beyond_this_machine(name: str, address: tuple[str, int]) -> None:
    with socket.socket() as tried, pytest.raises(PermissionError, match="beyond this machine"):
        getattr(tried, name)(address)
