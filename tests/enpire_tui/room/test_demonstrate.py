"""`enpire-tui demonstrate` by its keys: a whole demonstration on a simulated station, and what it teaches."""

import asyncio
import json
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.pilot import Pilot

from enpire_tui import demonstrate
from enpire_tui.cli import main
from enpire_tui.fleet import FleetError, demo_fleet
from enpire_tui.room import demonstrate_app as room
from enpire_tui.room.demonstrate_app import DemonstrateApp
from robots.dataset.features import SOURCES
from robots.dataset.reader import Dataset
from tests.test_third_party_task import SOURCE

TASK = SOURCE / "turn_knob"
WAIT_S = 300.0


@pytest.fixture
def session(tmp_path: Path) -> demonstrate.Session:
    options = demonstrate.Options(task=str(TASK), station="s2", output=tmp_path / "shown")
    return demonstrate.session_of(options, demo_fleet(2), tmp_path)


async def until(app: DemonstrateApp, pilot: Pilot[int], *states: str) -> None:
    async with asyncio.timeout(WAIT_S):
        while app.state not in states:
            assert app.fault is None, app.fault
            await pilot.pause(0.01)


async def shown(app: DemonstrateApp, pilot: Pilot[int]) -> None:
    """One demonstration to its end, a key for each step that the reference would take."""
    await pilot.press("r")
    await until(app, pilot, room.WAITING)
    reference = _reference()({"near_rad": 0.05, "step_rad": 0.3})
    reference.reset({})
    while app.state == room.WAITING:
        view = app.view
        assert view is not None
        wanted = np.asarray(reference.act(view.observation)) - view.target
        number = int(np.argmax(np.abs(wanted)))
        down, up = room.PAIRS[number]
        far = abs(wanted[number]) > 0.5 * app.steps[number]
        await pilot.press((up if wanted[number] > 0 else down) if far else "space")
        await until(app, pilot, room.WAITING, room.READY)


@pytest.mark.timeout(600)
async def test_a_demonstration_by_keys_is_judged_kept_and_learned_from(
    session: demonstrate.Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = DemonstrateApp(session)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(app, pilot, room.READY)
        tries = 0
        # A start is drawn anew, and in one of many the time runs out: a person shows it once more.
        while not app.said or not app.said[-1].startswith("success"):
            tries += 1
            assert tries < 6, app.said
            await shown(app, pilot)
        # Another one, ended at once: judged, and not kept.
        await pilot.press("r")
        await until(app, pilot, room.WAITING)
        await pilot.press("enter")
        await until(app, pilot, room.READY)
        assert app.said[-1] == "failure: policy_ended; not kept"
        await pilot.press("q")

    assert (session.episodes, session.successes, session.kept) == (tries + 1, 1, 1)
    columns = Dataset(session.output).columns
    assert {SOURCES[each] for each in columns["action_source"]} == {"human"}
    assert columns["next.success"].sum() == 1
    assert columns["observation.state"].shape[1] == 4

    recipe = tmp_path / "few-steps"
    _cloning(recipe, steps=5)
    arguments = ["train", str(recipe), "--task", str(TASK), "--data", str(session.output)]
    arguments += ["--id", "cloned", "--home", str(tmp_path / "home"), "--json"]
    code = await asyncio.to_thread(main, arguments)
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (code, result["state"]) == (0, "succeeded")
    assert (Path(result["recipe"]) / "weights.npz").is_file()


def _reference() -> Any:
    """The task's own reference policy, a function of what it sees; here it says which key is next."""
    return runpy.run_path(str(TASK / "recipes" / "reference" / "policy.py"))["Policy"]


def _cloning(folder: Path, steps: int) -> None:
    from recipes import shipped
    from robots.station.archive import unpack

    unpack(shipped.pack("push_t_simple", "behavior_cloning"), folder)
    path = folder / "recipe.toml"
    text = path.read_text().replace("steps = 6000", f"steps = {steps}")
    text = text.replace('ignore = ["time_s"]', "ignore = []").replace("hidden = 256", "hidden = 32")
    path.write_text(text)


async def test_keys_move_nothing_before_an_episode_waits_for_one(
    session: demonstrate.Session,
) -> None:
    app = DemonstrateApp(session)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("right", "up", "enter", "space")
        await until(app, pilot, room.READY)
        await pilot.press("right", "minus", "minus")
        assert (app.state, app.view) == (room.READY, None)
        assert app.steps == pytest.approx([0.005 * 0.36] * 2)
        await pilot.press("r")
        await until(app, pilot, room.WAITING)
        first = app.view
        assert first is not None
        await pilot.press("up")
        await until(app, pilot, room.WAITING)
        assert app.view is not None
        assert app.view.target == pytest.approx((first.target[0], first.target[1] + 0.0018))
        # Whoever leaves in the midst of an episode ends it, and nothing of it is kept.
        await pilot.press("q")
    assert (session.successes, session.kept) == (0, 0)


def test_a_dataset_of_another_rate_is_refused(tmp_path: Path) -> None:
    from robots.dataset.writer import DatasetWriter

    DatasetWriter(tmp_path / "other", 10.0, "x").add(
        "x", {"action": np.zeros((2, 1)), "observation.state": np.zeros((2, 1))}
    )
    options = demonstrate.Options(task=str(TASK), output=tmp_path / "other")
    with pytest.raises(FleetError, match=r"--output: .*fps is 10"):
        demonstrate.session_of(options, demo_fleet(1), tmp_path)


@pytest.mark.parametrize(
    ("more", "problem"),
    [({"station": "s9"}, "--station: 's9' is none of s1"), ({"task": "no"}, "--task")],
)
def test_a_wrong_option_is_named(tmp_path: Path, more: dict[str, str], problem: str) -> None:
    options = demonstrate.Options(**{"task": str(TASK)} | more)  # type: ignore[arg-type]
    with pytest.raises(FleetError, match=problem):
        demonstrate.session_of(options, demo_fleet(1), tmp_path)


def test_without_a_terminal_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["demonstrate", "--home", str(tmp_path), "--json"])
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (code, said["exit"]) == (1, 1)
    assert "a person at a terminal" in said["error"]
