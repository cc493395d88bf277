"""Whatever is done to verifier and reset while a batch runs: void, an alarm, the agent frozen."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from robots.wire import commands as c
from robots.wire.events import AgentStateChanged, BatchFinished, Noted
from robots.wire.records import MANIFEST_CHANGED, Counts, Purpose
from tests.agents.test_daemon import scripted
from tests.robots.station.conftest import plan
from tests.robots.station.scripted import REACH
from tests.robots.station.test_daemon import is_

YES = "def verify(images, proprioception): return {'success': True, 'iou': 1.0}\n"
can_mount = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


def edited(file: Path, _: Path) -> None:
    file.write_text(file.read_text() + "\n")


def edited_with_its_time_kept(file: Path, _: Path) -> None:
    before = file.stat()
    text = file.read_text()
    # Its size stays as well.
    file.write_text(text.replace("def ", "def\t", 1))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def swapped_by_a_link(file: Path, aside: Path) -> None:
    shutil.copy2(file, aside / "same.py")
    file.unlink()
    file.symlink_to(aside / "same.py")


def replaced(file: Path, aside: Path) -> None:
    (aside / "other.py").write_text(f"{file.read_text()}\n{YES}")
    (aside / "other.py").replace(file)


def mounted_over(file: Path, aside: Path) -> None:
    (aside / "other.py").write_text(f"{file.read_text()}\n{YES}")
    subprocess.run(["mount", "--bind", aside / "other.py", file], check=True)


def added_beside(file: Path, _: Path) -> None:
    (file.parent / "numpy.py").write_text(YES)


ATTACKS: list[Callable[[Path, Path], None]] = [
    edited,
    edited_with_its_time_kept,
    swapped_by_a_link,
    replaced,
    added_beside,
]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks" / "reach"
    shutil.copytree(REACH, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "aside").mkdir()
    return folder


@pytest.mark.parametrize("name", ["verify.py", "reset.py"])
@pytest.mark.parametrize(
    "attack",
    [*ATTACKS, pytest.param(mounted_over, marks=can_mount)],
    ids=lambda each: each.__name__,
)
def test_a_batch_during_which_the_environment_changes_is_void(
    make_rig, watched, task, attack, name
):
    rig = make_rig(folder=task)
    watched.on_start = lambda index: attack(task / name, task.parents[1] / "aside")
    try:
        end = rig.run(plan(1), watched)
        after = rig.run(plan(1, batch_id="b2"), watched)
    finally:
        if attack is mounted_over:
            subprocess.run(["umount", task / name], check=True)

    assert (end.void, end.void_reason) == (True, MANIFEST_CHANGED)
    assert (after.void_reason, after.episodes) == (MANIFEST_CHANGED, ())


async def test_a_changed_environment_is_an_alarm_in_the_journal(station, task):
    station.configure(task=f'"{task}"')
    station.start()
    await station.grant()
    await station.batch(episodes=1)
    assert not (await station.finished()).void
    edited_with_its_time_kept(task / "verify.py", task)
    await station.batch("b2")
    rows = [row.event for row in await station.rows(is_(BatchFinished, 2))]

    assert (rows[-1].void, rows[-1].void_reason) == (True, MANIFEST_CHANGED)
    (alarm,) = [event for event in rows if isinstance(event, Noted) and event.level == "error"]
    assert alarm.text.startswith("ALARM")
    assert str(task) in alarm.text


async def test_the_agent_of_a_changed_environment_is_frozen_until_a_person_resumes_it(
    fleet,
) -> None:
    tools = await scripted(fleet)
    ended = BatchFinished(
        batch_id="r1/a1-1/screen/1",
        purpose=Purpose.EVALUATE,
        commit="c0ffee",
        idea_id="a1-1",
        counts=Counts(success=10),
        void=True,
        void_reason=MANIFEST_CHANGED,
        seconds=1.0,
        ledger_sha256="",
    )
    fleet.station.journal.append(ended, durable=True)
    await fleet.until(lambda: tools.desk.log.paused)
    # What was under way tells how it goes, and ends no pause by that.
    tools.desk.set_state("EXPLORING", "a1-1/x0")
    assert tools.desk.log.paused

    (frozen,) = [each for each in fleet.events(AgentStateChanged) if each.state == "PAUSED"]
    assert frozen.detail.startswith("ALARM")
    assert ended.batch_id in frozen.detail
    await fleet.person.request(c.ResumeAgent(), 5)
    await fleet.until(lambda: not tools.desk.log.paused)

    # An alarm that a person has seen freezes nobody again, another one does.
    await fleet.stop()
    again = await scripted(fleet)
    await fleet.until(lambda: again.desk.state != "")
    assert not again.desk.log.paused
    another = msgspec.structs.replace(ended, batch_id="r1/a1-1/screen/2")
    fleet.station.journal.append(another, durable=True)
    await fleet.until(lambda: again.desk.log.paused)
