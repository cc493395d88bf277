"""Stage one, from an empty reset.py and verify.py to a published environment, by keys in the room.

Real daemons: a supervisor, one simulated station, its agent. Who writes the code is this script; who
tries, rejects, approves and labels is an operator at the room's keys; score and signature come from
the commands that people use.
"""

import asyncio
import json
import shutil

import pytest

from enpire_tui.room import card
from enpire_tui.room.app import RoomApp
from enpire_tui.room.feed import connect
from enpire_tui.run_spec import read_spec
from robots.station.archive import sha256
from robots.wire import commands as c
from robots.wire.clock import SystemClock
from robots.wire.records import Purpose, RecipeArchive
from robots.wire.signing import SigningKey
from robots.wire.station_replies import BatchState
from tests.enpire_tui.room.test_fleet_in_the_room import attached, typed
from tests.enpire_tui.room.waiting import screen_text, wait_for
from tests.enpire_tui.test_cli import run
from tests.robots.bench.reaching import reach
from tests.robots.station.conftest import REACHES
from tests.robots.station.scripted import REACH

CAMERA = '\n[[cameras]]\nname = "top"\nheight = 48\nwidth = 64\n'
WORDS = "stay lower on the table"
RESET = (REACH / "reset.py").read_text()
# What the operator does not like, and what the author makes of it.
FIRST = RESET.replace(
    "return self._target", "return 0.5 * (self._target + observation['tool_position_m'])"
)
CAREFUL = RESET.replace("< 0.004", "< 0.002")


@pytest.fixture
def lab(tmp_path):
    """A task whose reset and verifier nobody has written yet, a fleet on it, and who may sign it."""
    folder, home, key = reach(tmp_path / "reach"), tmp_path / "home", SigningKey.generate()
    (folder / "task.toml").write_text((folder / "task.toml").read_text() + CAMERA)
    for name in ("reset.py", "verify.py"):
        (folder / name).write_text("")
    key.save(tmp_path / "ann.key")
    fleet = tmp_path / "lab.toml"
    fleet.write_text(
        f'name = "lab"\ntask = "{folder}"\n[people]\nann = "{key.public.hex()}"\n'
        '[[station]]\nname = "s1"\n'
    )
    yield folder, home, fleet, tmp_path / "ann.key"
    run("down", home=home)
    shutil.rmtree(home, ignore_errors=True)


def up(home, fleet) -> None:
    done = run("up", "--fleet", str(fleet), home=home, timeout_s=110)
    assert done.returncode == 0, done.stderr


def the_room(home) -> RoomApp:
    return RoomApp(feed=connect(home, read_spec(home), SystemClock()))


async def command(*arguments, home) -> dict:
    """An `environment` command, while the room stays up; its last line."""
    words = (*map(str, arguments), "--json")
    done = await asyncio.to_thread(run, "environment", *words, home=home, timeout_s=100)
    assert done.stdout, done.stderr
    return {"returned": done.returncode, **json.loads(done.stdout.splitlines()[-1])}


def tries(app):
    return app.feed.state.stations["s1"].tries


async def tried(pilot, app) -> None:
    """Has the station show its reset, and opens the card from the inbox once it asks."""
    await pilot.press("1", "enter", "T")
    await wait_for(pilot, lambda: tries(app).pending is not None)
    await pilot.press("2")
    await wait_for(pilot, lambda: app.seen.NAME == "inbox" and "◈ APPROVAL" in screen_text(app))
    await pilot.press("end", "enter")
    await wait_for(pilot, lambda: "expires in" in screen_text(app))

    def counts() -> bool:
        where = app.where()
        return where.card is not None and not card.early(where.card, where.now_s)

    await wait_for(pilot, counts)


async def rejected(pilot, app, words) -> None:
    """Rejects what is on the card, and sees the words there."""
    await pilot.press("r")
    await typed(pilot, app, words)
    await wait_for(pilot, lambda: "✗ rejected" in screen_text(app))
    await wait_for(pilot, lambda: f"reset 1 rejected: {words}" in screen_text(app))
    await wait_for(pilot, lambda: not tries(app).open)


async def approved(pilot, app) -> None:
    """Approves what is on the card, and sees what comes of it there."""
    assert "a approves it" in screen_text(app)
    await pilot.press("a")
    await wait_for(pilot, lambda: not tries(app).open)
    await wait_for(pilot, lambda: "✓ approved" in screen_text(app))
    await wait_for(pilot, lambda: "reset 1 reached in 1 try" in screen_text(app))


async def test_an_operator_takes_a_task_from_empty_files_to_a_published_one(lab):
    folder, home, fleet, key = lab
    up(home, fleet)
    app = the_room(home)
    async with app.run_test(size=(160, 50)) as pilot:
        await attached(pilot, app)
        await _reset_is_built(pilot, app, folder)
        await _verifier_is_built(pilot, app, folder)
        await _published(folder, home, fleet, key)
        await pilot.press("q")
    assert app.return_code == 0

    # A station takes up what was published when it starts.
    assert run("down", home=home).returncode == 0
    up(home, fleet)
    app = the_room(home)
    async with app.run_test(size=(160, 50)) as pilot:
        await attached(pilot, app)
        await _one_byte_voids(pilot, app, folder)


async def _reset_is_built(pilot, app, folder) -> None:
    await pilot.press("enter")
    await wait_for(pilot, lambda: "Robot s1" in screen_text(app))
    assert "nobody controls" in screen_text(app)
    await tried(pilot, app)
    assert "you control" in screen_text(app)
    assert "not to be approved: failed: faults" in screen_text(app)
    assert "✖ missed" in screen_text(app)
    await pilot.press("a")
    await wait_for(pilot, lambda: "approve once not possible: failed: faults" in screen_text(app))
    await rejected(pilot, app, "nobody has written it yet")

    (folder / "reset.py").write_text(FIRST)
    await tried(pilot, app)
    shown = screen_text(app)
    for part in (
        "▀",
        "✓ ok",
        "workspace",
        "✓ reached in 1 try",
        "1 rejected",
        "+class Reset",
    ):
        assert part in shown
    await rejected(pilot, app, WORDS)
    await pilot.press("w")
    # Who writes the code is told as well.
    said = app.feed.state.agents["a1"].said
    await wait_for(pilot, lambda: any(WORDS in each.text for each in said))
    await wait_for(pilot, lambda: "who rejected s1/a" in screen_text(app))

    (folder / "reset.py").write_text(RESET)
    await tried(pilot, app)
    assert WORDS in screen_text(app), "the history says why it was rejected before"
    await approved(pilot, app)

    (folder / "reset.py").write_text(CAREFUL)
    await tried(pilot, app)
    for part in ("Change since", "< 0.004:", "< 0.002:", "1 of 1 resets reached"):
        assert part in screen_text(app)
    await approved(pilot, app)


async def _verifier_is_built(pilot, app, folder) -> None:
    await pilot.press("1", "enter", "V")
    await wait_for(pilot, lambda: "the verifier says nothing" in screen_text(app))
    (folder / "verify.py").write_text((REACH / "verify.py").read_text())
    await wait_for(pilot, lambda: not tries(app).open)
    await pilot.press("V")
    await wait_for(pilot, lambda: "the verifier says no success" in screen_text(app))
    await wait_for(pilot, lambda: not tries(app).open)
    await pilot.press("minus")
    await wait_for(pilot, lambda: "0 of 1 labels are successes" in screen_text(app))
    await pilot.press("plus")
    await wait_for(pilot, lambda: "1 of 2 labels are successes" in screen_text(app))
    await pilot.press("backspace")
    await wait_for(pilot, lambda: "acknowledged: 0 of 1 labels are successes" in screen_text(app))


async def _published(folder, home, fleet, key) -> None:
    publish = ("publish", folder, "--key", key, "--fleet", fleet)
    for kind in ("positive", "near_miss", "negative"):
        drawn = ("label", folder, "--draw", kind, "--count", "6", "--truth")
        assert (await command(*drawn, home=home))["returned"] == 0
    checked = await command("check", folder, home=home)
    assert checked["passed"], checked
    reset = await command("reset-test", folder, "--tries", "4", home=home)
    assert (reset["tries"], reset["success"]) == (4, 4)
    few = ("--negatives", "6", "--positives", "3", "--labels")
    scored = await command("score", folder, *few, home=home)
    assert (scored["false_positives"], scored["recall"]) == (0, 1.0)
    published = await command(*publish, home=home)
    assert (published["returned"], published["person"]) == (0, "ann")


async def _one_byte_voids(pilot, app, folder) -> None:
    with (folder / "verify.py").open("a") as file:
        file.write("\n")
    await pilot.press("enter", "T")
    await wait_for(pilot, lambda: "try ended frozen: the files are not" in screen_text(app))
    files = {"policy.py": REACHES.encode()}
    batch = c.StartBatch(
        batch_id="by-hand",
        purpose=Purpose.EXPLORE,
        commit="c0ffee",
        recipe=RecipeArchive(files=files, sha256=sha256(files)),
        idea_id="a1-1",
        episodes=1,
        seeds=(1,),
    )
    await app.feed._clients["s1"].call(batch, BatchState, 20.0)
    await pilot.press("7")
    await wait_for(pilot, lambda: "by-hand is void: manifest_changed" in screen_text(app))
