"""`environment label`, `score --labels` and `drift`: what a person judges is kept, and counted."""

import json

from enpire_tui import labelling
from robots.station.known import known_scenes
from robots.station.labels import PERSON, SIMULATOR, Labels, read_label
from robots.station.tasks import read_task
from tests.enpire_tui.test_cli import run
from tests.enpire_tui.test_environment import environment, last
from tests.robots.bench.reaching import reach
from tests.robots.bench.test_drifting import sighted
from tests.robots.station.conftest import station  # noqa: F401 - a fixture.


def kept(home, folder):
    found = Labels(home / "environments", read_task(folder)).folder.glob("*/*.npz")
    return [read_label(path, images=True) for path in sorted(found)]


def test_scenes_are_drawn_and_judged_and_the_verifier_is_scored_on_those_held_out(tmp_path):
    home, folder = tmp_path / "home", sighted(tmp_path / "reach").folder
    drawn = ("--count", "8", "--by", "ann")
    good = last(environment("label", folder, "--draw", "positive", "--success", *drawn, home=home))
    assert (good["now"], good["success"], good["failure"]) == (8, 8, 0)
    # A slip of the person's: near misses, called successes. The verifier has to disagree.
    environment("label", folder, "--draw", "near_miss", "--success", *drawn, home=home)
    truth = last(environment("label", folder, "--truth", "--count", "8", home=home))
    assert (truth["success"], truth["failure"]) == (16, 8)

    labels = [label for label, _ in kept(home, folder)]
    assert {(each.label_source, each.by) for each in labels} == {(PERSON, "ann"), (SIMULATOR, "")}
    held_out = [each for each in labels if each.held_out]
    slips = [each for each in held_out if each.kind == "near_miss"]

    score = ("--negatives", "6", "--positives", "3", "--seed", "5", "-o", str(tmp_path / "errors"))
    scored = last(environment("score", folder, "--labels", *score, home=home))
    assert (scored["seed"], scored["false_positives"], scored["recall"]) == (5, 0, 1.0)
    judged = scored["labels"]
    assert judged["n"] == len(held_out)
    assert judged["by_person"] == sum(each.label_source == PERSON for each in held_out)
    assert judged["false_positives"] == 0
    assert sorted(judged["disagreements"]) == sorted(each.label_id for each in slips)
    for each in slips:
        told = json.loads((tmp_path / "errors" / f"label-{each.label_id}.json").read_text())
        assert (told["label"]["label_source"], told["label"]["by"]) == (PERSON, "ann")
        assert told["verdict"] is False
        assert (tmp_path / "errors" / f"label-{each.label_id}-top.png").exists()


def test_a_score_leaves_known_scenes_for_the_stations(tmp_path):
    home, folder = tmp_path / "home", reach(tmp_path / "reach")
    environment("score", folder, "--negatives", "12", "--positives", "6", home=home)
    task = read_task(folder)
    found = known_scenes(home / "environments", task, task.manifest_sha256())
    assert [each.success for each in found].count(True) == 4
    assert [each.success for each in found].count(False) == 8
    assert all(each.scene.proprioception for each in found)


def test_a_person_is_shown_each_scene_and_asked(tmp_path):
    home, folder = tmp_path / "home", sighted(tmp_path / "reach").folder
    shown = tmp_path / "shown"
    done = run(
        "environment", "label", str(folder), "--draw", "positive", "--count", "9", "-o", str(shown),
        home=home, stdin="s\nwhat\nfailure\nq\n",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 now" in done.stdout
    assert sorted(label.success for label, _ in kept(home, folder)) == [False, True]
    assert (shown / "0001-top.png").stat().st_size > 50


def test_what_cannot_be_labelled_says_why(tmp_path):
    home, folder = tmp_path / "home", reach(tmp_path / "reach")
    done = environment("label", folder, "--withdraw", home=home)
    assert (done.returncode, "name --station" in done.stderr) == (1, True)
    done = environment("label", folder, "--station", "s1", "--truth", home=home)
    assert (done.returncode, "--success, --failure or --withdraw" in done.stderr) == (1, True)


async def test_a_running_stations_scene_is_labelled_from_the_command_line(station):  # noqa: F811
    station.start()
    await station.report()
    asked = {"draw": "", "count": 1, "by": "ann", "output": None}
    _, counts = await labelling.at_station(
        station.home, "s1", labelling.Asked(verdict="failure", **asked)
    )
    assert (counts.success, counts.failure) == (0, 1)
    _, counts = await labelling.at_station(
        station.home, "s1", labelling.Asked(verdict="withdraw", **asked)
    )
    assert (counts.success, counts.failure) == (0, 0)


def test_the_drift_check_is_measured_by_a_command(tmp_path):
    home, folder = tmp_path / "home", sighted(tmp_path / "reach").folder
    found = last(environment("drift", folder, "--resets", "4", home=home))
    assert (found["kind"], found["looks"], found["false_doubts"]) == ("DriftTested", 4, 0)
    assert found["moved"][-1]["noticed"] > 0
