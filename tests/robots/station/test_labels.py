"""Labels: kept for good, told apart by who judged, and half of them out of everybody's sight."""

import numpy as np
import pytest

from robots.station.glimpses import Glimpses
from robots.station.labels import (
    HELD_OUT,
    PERSON,
    SHOWN,
    SIMULATOR,
    Labels,
    Snapshot,
    falls_into_test,
    read_label,
)
from robots.station.tasks import read_task
from robots.wire import commands as c
from robots.wire.approvals import ApprovalAnswer, TryState
from robots.wire.events import BatchFinished, EpisodeStarted, SceneLabelled, TryFinished
from robots.wire.reception import Refused
from robots.wire.records import Mode
from robots.wire.station_replies import LabelKept
from tests.robots.station.conftest import plan, recipe
from tests.robots.station.scripted import REACH, GoThere
from tests.robots.station.sighted import with_a_camera
from tests.robots.station.test_daemon import STAYS, is_
from tests.robots.station.test_stills import scored
from tests.robots.station.test_tries import ask, card, yes


def scene(number: int) -> Snapshot:
    image = np.full((4, 6, 3), number, np.uint8)
    return Snapshot({"top": image}, {"tool_position_m": np.array([0.1, number])})


@pytest.fixture
def labels(tmp_path) -> Labels:
    return Labels(tmp_path / "environments", read_task(REACH))


def keep(labels, number, *, success=True, station="s1", **fields):
    fields = {"label_source": PERSON, "by": "ann", "entered": "room", **fields}
    return labels.keep(
        scene(number), success=success, station=station, wall_s=1e9 + number, **fields
    )


def test_a_label_is_read_back_with_its_scene_and_who_judged_it(labels):
    for number in range(12):
        keep(labels, number, success=number % 2 == 0)
    for label, snapshot in labels.held_out():
        number = int(label.wall_s - 1e9)
        assert label.success is (number % 2 == 0)
        assert (label.task, label.by, label.label_source) == ("reach", "ann", PERSON)
        assert label.manifest_sha256 == read_task(REACH).manifest_sha256()
        assert (snapshot.images["top"] == number).all()
        assert snapshot.proprioception["tool_position_m"].tolist() == [0.1, number]


def test_a_persons_label_and_a_simulators_differ_in_the_record(labels):
    keep(labels, 1)
    keep(labels, 1, label_source=SIMULATOR, by="", entered="script", station="bench")
    found = [read_label(path)[0] for path in labels.folder.glob("*/*.npz")]
    assert {(label.label_source, label.by) for label in found} == {(PERSON, "ann"), (SIMULATOR, "")}


def test_about_half_are_held_out_by_a_rule_that_only_the_secret_knows(labels):
    for number in range(100):
        keep(labels, number)
    counts = labels.counts()
    assert counts.success == 100
    assert 30 <= counts.held_out_success <= 70
    assert {path.parent.name for path in labels.folder.glob("*/*.npz")} == {SHOWN, HELD_OUT}
    splits = {
        secret: [falls_into_test(secret, scene(number)) for number in range(100)]
        for secret in (b"a" * 32, b"b" * 32)
    }
    assert splits[b"a" * 32] != splits[b"b" * 32]


def test_a_copy_of_a_scene_falls_where_the_scene_fell(labels):
    shares = {keep(labels, 7, by=name, station=name).held_out for name in ("ann", "bob", "eve")}
    assert len(shares) == 1


def test_the_last_label_of_a_station_is_withdrawn_and_its_file_stays(labels):
    keep(labels, 1)
    slip = keep(labels, 2)
    keep(labels, 3, station="s12")
    assert labels.last("s1") == slip
    labels.withdraw(slip.label_id, "ann", 5.0)
    assert labels.counts().success == 2
    assert labels.last("s1").wall_s == 1e9 + 1
    assert len(list(labels.folder.glob("*/*.npz"))) == 3
    with pytest.raises(KeyError):
        labels.withdraw(slip.label_id, "ann", 6.0)


def test_looking_for_labels_changes_no_episode(make_rig, watched, tmp_path):
    folder = with_a_camera(tmp_path / "reach")

    class Curious(Glimpses):
        seen = ()

        @property
        def asked(self):
            if not self._asked.qsize():
                self.seen += (self.ask(),)
            return self._asked.qsize() > 0

        def serve(self, driver, observation=None):
            glimpse = self._asked.get_nowait()
            self._fill(glimpse, driver, observation)

    unseen = scored(make_rig(GoThere(), folder=folder).run(plan(4), watched))
    rig = make_rig(GoThere(), folder=folder)
    rig.env.glimpses = Curious()
    assert scored(rig.run(plan(4), watched)) == unseen
    assert len(rig.env.glimpses.seen) > 40
    assert rig.env.glimpses.seen[-1].result().images["top"].any()


async def label(station, by="operator", **fields):
    command = c.LabelScene(**{"success": True, "by": "ann", **fields})
    return await station.call(by, command, LabelKept)


async def test_a_person_labels_with_one_command_and_takes_a_slip_back(station, tmp_path):
    station.configure(task=f'"{with_a_camera(tmp_path / "reach")}"')
    station.start()
    first = await label(station)
    assert first.counts.success == 1
    second = await label(station, success=False)
    assert (second.counts.success, second.counts.failure) == (1, 1)
    taken = await station.call("operator", c.WithdrawLabel(by="ann"), LabelKept)
    assert taken.label_id == second.label_id
    assert (taken.counts.success, taken.counts.failure) == (1, 0)
    rows = await station.rows(is_(SceneLabelled, 3))
    events = [row.event for row in rows if isinstance(row.event, SceneLabelled)]
    assert [(event.success, event.withdrawn) for event in events] == [
        (True, False), (False, False), (False, True),
    ]  # fmt: skip
    assert all(event.by == "ann" for event in events)
    path = next(
        (station.home / "environments" / "reach" / "labels").glob(f"*/{first.label_id}.npz")
    )
    kept, snapshot = read_label(path, images=True)
    assert (kept.label_source, kept.station, kept.entered) == (PERSON, "s1", "room")
    assert snapshot.images["top"].any()
    assert snapshot.proprioception.keys() == {"tool_position_m", "goal_position_m"}


async def test_a_scene_is_labelled_while_an_episode_runs_and_while_the_station_is_held(station):
    station.start()
    await station.batch(episodes=3, recipe=recipe(STAYS))
    waiting = await label(station)
    await station.grant()
    await station.rows(is_(EpisodeStarted))
    running = await label(station)
    assert running.counts.success == waiting.counts.success + 1 == 2
    await station.rows(is_(BatchFinished))


@pytest.mark.parametrize("by", ["agent", "viewer", "supervisor"])
async def test_only_an_operator_labels(station, by):
    station.start()
    with pytest.raises(Refused, match="role"):
        await label(station, by=by)
    with pytest.raises(Refused, match="role"):
        await station.call(by, c.WithdrawLabel(by="ann"), LabelKept)


async def test_a_label_without_a_name_and_a_withdrawal_of_nothing_are_refused(station):
    station.start()
    with pytest.raises(Refused, match="name the person"):
        await station.call("operator", c.LabelScene(success=True, by=" "), LabelKept)
    with pytest.raises(Refused, match="no_label"):
        await station.call("operator", c.WithdrawLabel(by="ann"), LabelKept)


PEEKS = """
import os
class Policy:
    def __init__(self, knobs):
        self.seen = [name for name in {places!r} if os.path.exists(name)]
    def reset(self, observation):
        if self.seen: raise RuntimeError("sees " + self.seen[0])
    def act(self, observation): return observation["goal_position_m"]
"""


async def test_no_policy_sees_a_label(station):
    station.start()
    await label(station)
    folder = station.home / "environments"
    places = [str(folder), str(next(folder.rglob("*.npz"))), str(folder / "labels.secret")]
    await station.grant()
    await station.batch(recipe=recipe(PEEKS.format(places=places)))
    assert (await station.finished()).counts.success == 3


async def test_a_scene_is_labelled_while_an_approval_waits_and_the_plan_still_holds(
    station, tmp_path
):
    station.configure(task=f'"{with_a_camera(tmp_path / "reach")}"')
    station.start()
    await ask(station, c.TryReset(station="s1"), TryState)
    seen = await card(station)
    assert (await label(station)).counts.success == 1
    await ask(station, yes(seen), ApprovalAnswer)
    await station.grant(mode=Mode.SETUP)
    rows = await station.rows(is_(TryFinished))
    assert rows[-1].event.reached == 1
