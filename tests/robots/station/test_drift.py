"""Drift: a camera that moved and a verifier that changed are noticed, a hand in the view is not."""

from functools import partial

import numpy as np
import pytest

from robots.station import views
from robots.station.children import Sight
from robots.station.drift import DOUBTS, DRIFT, EVERY, LEARNING, LEAST_KEPT, Drifted, DriftWatch
from robots.station.known import Known, keep_known, known_scenes
from robots.station.labels import Snapshot
from robots.station.tasks import read_task
from robots.wire import commands as c
from robots.wire.events import BatchFinished, EpisodeFinished, StationQuarantined
from robots.wire.reception import Refused
from robots.wire.records import Outcome, Purpose
from robots.wire.signing import SigningKey
from robots.wire.station_replies import Done
from robots.world.draws import mount_camera
from tests.robots.station.conftest import plan
from tests.robots.station.scripted import REACH, GoThere
from tests.robots.station.sighted import with_a_camera, with_a_knock
from tests.robots.station.test_daemon import is_

KEY = SigningKey.generate()


def frame(shift=0, light=1.0, hand=None, size=(96, 128)):
    """Dark bars on a bright table, and a robot that stands elsewhere in each frame."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    bars = ((columns + shift) // 8 % 3 == 0) & (rows // 12 % 2 == 0)
    image = np.where(bars, 60.0, 200.0) * light
    if hand is not None:
        image[40:60, hand : hand + 16] = 20.0
    return np.repeat(image[..., None], 3, axis=2).clip(0, 255).astype(np.uint8)


def scene(**fields) -> Snapshot:
    return Snapshot({"top": frame(**fields)}, {"height_m": np.array([0.1])})


def usual(number: int) -> Snapshot:
    return scene(light=0.8 + 0.04 * (number % 6), hand=7 * number % 110)


def given(snapshot):
    return snapshot


def refuses(images, proprioception):
    return Sight(success=False, score=0.0)


def accepts(images, proprioception):
    return Sight(success=True, score=1.0)


def taught(path, **fields) -> DriftWatch:
    watch = DriftWatch(path / DRIFT, KEY, "m1", **fields)
    for number in range(LEARNING):
        watch.after_reset(partial(given, usual(number)), None, refuses)
    assert not watch.learning
    return watch


@pytest.fixture
def watch(tmp_path) -> DriftWatch:
    return taught(tmp_path, every=1)


@pytest.mark.parametrize("light", [0.6, 1.0, 1.2])
def test_neither_light_nor_what_moves_is_another_view(light):
    view = views.learned([views.grayed(usual(number).images["top"]) for number in range(20)])
    for hand in range(0, 110, 9):
        assert views.kept(view, views.grayed(frame(light=light, hand=hand))) > 0.97


@pytest.mark.parametrize("shift", [1, 3, 12])
def test_a_camera_that_moved_keeps_little_of_its_view(shift):
    view = views.learned([views.grayed(usual(number).images["top"]) for number in range(20)])
    assert views.kept(view, views.grayed(frame(shift=shift))) < LEAST_KEPT - 0.1


def test_a_view_of_nothing_tells_nothing_and_another_size_is_another_view():
    blank = np.full((48, 64, 3), 90, np.uint8)
    view = views.learned([views.grayed(blank)] * 3)
    assert views.kept(view, views.grayed(blank)) == 1.0
    assert views.kept(view, views.grayed(blank[:24])) == 0.0


def test_only_a_doubt_that_stays_is_drift(watch):
    moved, still = scene(shift=3), usual(3)
    for seen in (*[moved] * (DOUBTS - 1), still, *[moved] * (DOUBTS - 1)):
        watch.after_reset(partial(given, seen), None, refuses)
    with pytest.raises(Drifted, match="drift: camera top looks elsewhere"):
        watch.after_reset(partial(given, moved), None, refuses)


def test_it_looks_every_fiftieth_time_and_again_after_a_doubt(tmp_path):
    watch, asked = taught(tmp_path), []

    def told(images, proprioception):
        asked.append(True)
        return Sight(success=False, score=0.0)

    for _ in range(EVERY - 1):
        watch.after_reset(partial(given, scene(shift=3)), None, told)
    assert not asked
    for _ in range(DOUBTS - 1):
        watch.after_reset(partial(given, scene(shift=3)), None, told)
    with pytest.raises(Drifted):
        watch.after_reset(partial(given, scene(shift=3)), None, told)


def test_a_fresh_scene_that_is_judged_a_success_is_drift(watch):
    for _ in range(DOUBTS - 1):
        watch.after_reset(partial(given, usual(3)), None, accepts)
    with pytest.raises(Drifted, match="just reset a success"):
        watch.after_reset(partial(given, usual(3)), None, accepts)


def test_a_known_scene_that_is_judged_otherwise_is_drift(tmp_path):
    good = scene(hand=30)
    watch = taught(tmp_path, every=1, known=[Known(good, success=True)])

    def knows(images, proprioception):
        return Sight(success=images["top"] is good.images["top"], score=None)

    watch.after_reset(partial(given, usual(1)), None, knows)
    for _ in range(DOUBTS - 1):
        watch.after_reset(partial(given, usual(1)), None, refuses)
    with pytest.raises(Drifted, match="1 of 4 known scenes otherwise than before, 1 of them succ"):
        watch.after_reset(partial(given, usual(1)), None, refuses)


def test_a_station_takes_its_own_successes_among_the_known_scenes(watch):
    watch.after_reset(partial(given, usual(1)), scene(hand=50), refuses)
    assert "1 of them successes" in watch.doubt(usual(1), refuses)


def test_a_reference_outlasts_a_restart_and_only_the_stations_own_counts(tmp_path):
    taught(tmp_path).after_reset(partial(given, usual(1)), scene(hand=50), refuses)
    path = tmp_path / DRIFT
    again = DriftWatch(path, KEY, "m1")
    assert again.kept(usual(5).images)["top"] > 0.97
    assert "1 of them successes" in again.doubt(usual(1), refuses)
    assert DriftWatch(path, KEY, "m2").learning, "another environment"
    assert DriftWatch(path, SigningKey.generate(), "m1").learning, "another's signature"
    path.write_bytes(path.read_bytes()[:-40] + bytes(40))
    assert DriftWatch(path, KEY, "m1").learning, "changed"


def test_a_reference_that_was_taken_away_is_learned_anew(watch, tmp_path):
    (tmp_path / DRIFT).unlink()
    for number in range(LEARNING):
        watch.after_reset(partial(given, scene(shift=3, hand=7 * number)), None, refuses)
    assert (tmp_path / DRIFT).exists()
    watch.after_reset(partial(given, scene(shift=3)), None, refuses)
    assert watch.doubt(usual(3), refuses)


def test_known_scenes_are_kept_for_the_files_they_were_judged_under(tmp_path):
    task = read_task(REACH)
    keep_known(tmp_path, task, "m0", [Known(scene(hand=9), success=False)] * 5)
    keep_known(tmp_path, task, "m1", [Known(scene(hand=1), success=True)])
    found = known_scenes(tmp_path, task, "m1")
    assert [each.success for each in found] == [True]
    assert (found[0].scene.images["top"] == frame(hand=1)).all()
    assert known_scenes(tmp_path, task, "m2") == []


def watched_rig(make_rig, tmp_path):
    rig = make_rig(GoThere(), folder=with_a_camera(tmp_path / "reach"))
    rig.env.drift = DriftWatch(tmp_path / DRIFT, KEY, rig.manifest_sha256, every=5)
    return rig


def test_a_station_whose_camera_is_moved_between_episodes_is_to_be_quarantined(
    make_rig, watched, tmp_path
):
    rig = watched_rig(make_rig, tmp_path)
    knocked = LEARNING + 10

    def knock(index):
        if index == knocked:
            mount_camera(rig.driver.model, "top", np.random.default_rng(1), 0.05, (0.0, 0.0, 0.0))

    watched.on_start = knock
    end = rig.run(plan(LEARNING + 40), watched)

    assert end.void
    assert end.quarantine.startswith("drift: camera top looks elsewhere")
    assert [each.outcome for each in end.episodes[:-1]] == [Outcome.SUCCESS] * (
        len(end.episodes) - 1
    )
    assert (end.episodes[-1].outcome, end.episodes[-1].reason) == (Outcome.VOID, "drift")
    assert knocked < len(end.episodes) <= knocked + 5 + DOUBTS


def test_a_station_whose_camera_is_left_alone_never_is(make_rig, watched, tmp_path):
    rig = watched_rig(make_rig, tmp_path)
    end = rig.run(plan(200), watched)
    assert not rig.env.drift.learning
    assert (end.counts.success, end.quarantine) == (200, "")


async def test_a_station_quarantines_itself_and_learns_anew_when_it_is_released(station, tmp_path):
    knock = tmp_path / "knock"
    station.configure(task=f'"{with_a_knock(tmp_path / "reach", knock)}"')
    station.start()
    await station.grant()
    await station.batch("b1", episodes=LEARNING + 5, purpose=Purpose.EXPLORE)
    assert (await station.finished("b1")).counts.success == LEARNING + 5
    knock.touch()
    await station.batch("b2", episodes=2 * EVERY, purpose=Purpose.EXPLORE)
    rows = await station.rows(is_(StationQuarantined))
    assert rows[-1].event.reason.startswith("drift: camera top looks elsewhere")
    await station.rows(is_(BatchFinished, 2))
    assert (await station.report()).word == "QUARANTINED"
    with pytest.raises(Refused, match="quarantined"):
        await station.batch("b3")

    await station.call("operator", c.Release(station="s1", cause="camera hung anew"), Done)
    await station.batch("b4", episodes=LEARNING + EVERY + 5, purpose=Purpose.EXPLORE)
    assert (await station.finished("b4")).counts.success == LEARNING + EVERY + 5
    finished = [row.event for row in await station.rows(is_(BatchFinished, 3))]
    drifted = [e for e in finished if isinstance(e, EpisodeFinished) and e.episode.reason == DRIFT]
    assert len(drifted) == 1
