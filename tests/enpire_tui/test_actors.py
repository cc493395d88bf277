"""A recipe that learns online: who gets an actor, and one whole training by the public command."""

import asyncio
import json
import subprocess
import sys

import psutil
import pytest

from enpire_tui import actors
from enpire_tui.cli import main
from enpire_tui.fleet import FleetError
from recipes import shipped
from robots.station import archive
from robots.wire.records import RecipeArchive
from tests.recipes.test_online_rl import SMALL, demonstrations


def recipe(text: str) -> RecipeArchive:
    files = {"recipe.toml": text.encode()}
    return RecipeArchive(files=files, sha256=archive.sha256(files))


def test_only_a_recipe_that_asks_for_an_actor_has_one() -> None:
    assert actors.stations_of(recipe("[train]\nseed = 0")) == ()
    assert actors.stations_of(recipe("[online]\nstations = [1, 3]")) == (1, 3)
    assert actors.stations_of(shipped.pack("pin_insertion", "residual")) == (1, 2, 3, 4)


@pytest.mark.parametrize("wrong", ["", "stations = []", "stations = [-1]", 'stations = "1"'])
def test_wrong_stations_are_refused_by_name(wrong) -> None:
    with pytest.raises(FleetError, match=r"recipe\.toml: online\.stations: must be"):
        actors.stations_of(recipe(f"[online]\n{wrong}"))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_policy_is_trained_online_and_comes_back_whole(tmp_path, monkeypatch, capsys) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("ENPIRE_HOME", str(home))
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, content in shipped.pack("pin_insertion", "online_rl").files.items():
        text = content.decode()
        for key, value in {**SMALL, "updates": 40}.items() if name == "recipe.toml" else ():
            lines = [
                f"{key} = {value}" if w.startswith(f"{key} =") else w for w in text.split("\n")
            ]
            text = "\n".join(lines)
        (folder / name).write_text(text)
    demonstrations(tmp_path / "set")
    told = ["train", str(folder), "--task", "pin_insertion", "--data", str(tmp_path / "set")]
    code = main([*told, "--id", "j1", "--cpus", "1", "--json"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])

    assert (code, result["state"]) == (0, "succeeded")
    assert (home / "trained" / "j1" / "weights.safetensors").exists()
    assert (home / "trained" / "j1" / "policy.py").exists()
    played = (home / "jobs" / "j1" / "actor.jsonl").read_text().splitlines()
    assert json.loads(played[0])["weights"]
    assert list((home / "jobs" / "j1" / "out" / "episodes").glob("*.course"))


FOLLOWS = """
import asyncio, sys
from pathlib import Path
from enpire_tui import actors

async def main():
    async with actors.beside(Path(sys.argv[1]), "push_t", (1,), sandboxed=True):
        print("up", flush=True)
        await asyncio.sleep(3600)

asyncio.run(main())
"""


def test_an_actor_ends_with_whoever_started_it_also_where_that_is_killed(tmp_path) -> None:
    (tmp_path / "out").mkdir()
    files = shipped.pack("pin_insertion", "online_rl").files
    (tmp_path / "recipe").mkdir()
    for name, content in files.items():
        (tmp_path / "recipe" / name).write_bytes(content)
    told = [sys.executable, "-c", FOLLOWS, str(tmp_path)]
    with subprocess.Popen(told, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        (actor,) = psutil.Process(parent.pid).children()
        parent.kill()
    assert psutil.wait_procs([actor], timeout=60.0)[1] == []


async def test_an_actor_that_ends_says_why(tmp_path) -> None:
    async with actors.beside(tmp_path, "no_such_task", (1,), sandboxed=True) as ended:
        told = await asyncio.wait_for(ended, 60.0)
    assert "no_such_task" in told


@pytest.mark.timeout(120)
def test_a_job_whose_actor_ended_ends_as_well(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("ENPIRE_HOME", str(tmp_path / "home"))
    folder = tmp_path / "recipe"
    folder.mkdir()
    # The actor asks for a knob that is not there; the learner would wait for it for ten minutes.
    (folder / "recipe.toml").write_text("[online]\nstations = [1]\n")
    (folder / "policy.py").write_text("")
    (folder / "train.py").write_text("import time\ntime.sleep(600)\n")

    code = main(["train", str(folder), "--task", "pin_insertion", "--id", "left", "--json"])

    told = capsys.readouterr()
    assert code == 1
    assert "left: its actor ended: ValueError: recipe.toml: no table [knobs.explore]" in told.err
    assert json.loads(told.out.splitlines()[-1])["state"] == "cancelled"
