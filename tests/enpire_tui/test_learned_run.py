"""A run that begins with a learned recipe: refused untrained, and made better by training jobs."""

import json
from pathlib import Path

import pytest

from agents.settings import load_settings
from enpire_tui import provision
from enpire_tui.fleet import FleetError, demo_fleet, read_fleet
from recipes import shipped
from robots.station.archive import unpack
from robots.wire.events import CandidateDecided, ChampionChanged, IdeaProposed, RunStarted
from robots.wire.sqlite_journal import read_rows
from tests.enpire_tui.test_cli import run
from tests.enpire_tui.test_fleet_up import last

TASK = "pin_insertion"
MINUTES = "40"


def cloning(folder: Path, **settings: object) -> Path:
    """Behaviour cloning of the task, with some settings of its `recipe.toml` changed."""
    unpack(shipped.pack(TASK, "behavior_cloning"), folder)
    path = folder / "recipe.toml"
    text = path.read_text()
    for name, value in settings.items():
        before, found, rest = text.partition(f"\n{name} = ")
        assert found, name
        text = f"{before}{found}{value}\n{rest.partition(chr(10))[2]}"
    path.write_text(text)
    return folder


def test_what_has_learned_nothing_yet_is_no_start(tmp_path: Path) -> None:
    fleet = read_fleet(_fleet_file(tmp_path, cloning(tmp_path / "mine")))
    with pytest.raises(FleetError, match="has learned nothing yet; `enpire-tui train"):
        provision.start_of(fleet, tmp_path / "home")


def test_a_job_is_named_by_its_id_and_training_time_is_shared_out(tmp_path: Path) -> None:
    home = tmp_path / "home"
    cloning(home / "trained" / "first")
    (home / "trained" / "first" / "weights.npz").write_bytes(b"learned")
    fleet = read_fleet(_fleet_file(tmp_path, "first", budget='training_time = "30 min"'))
    spec = provision.provision(fleet, home)
    assert spec.baseline.files["weights.npz"] == b"learned"
    shares = [load_settings(home, agent).job_minutes for agent in spec.agents]
    assert shares == [15.0, 15.0]
    assert provision.start_of(demo_fleet(1, TASK), home) == shipped.pack(TASK, "baseline")


def test_a_start_that_is_nothing_is_named(tmp_path: Path) -> None:
    fleet = read_fleet(_fleet_file(tmp_path, "nothing"))
    with pytest.raises(FleetError, match=r"RECIPE nothing: .*nor a job"):
        provision.start_of(fleet, tmp_path / "home")


def test_a_training_time_without_a_unit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match=r"budget\.training_time: missing unit"):
        read_fleet(_fleet_file(tmp_path, "x", budget='training_time = "30"'))


def _fleet_file(folder: Path, recipe: object, budget: str = "") -> Path:
    path = folder / "lab.toml"
    path.write_text(
        f'task = "{TASK}"\nrecipe = "{recipe}"\n[budget]\n{budget}\n'
        '[[station]]\nname = "s1"\n[[station]]\nname = "s2"\n'
    )
    return path


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_fleet_makes_a_badly_set_cloning_better_by_training_it_again(tmp_path: Path) -> None:
    home = tmp_path / "home"
    folder = cloning(
        tmp_path / "hasty",
        steps=60,
        hidden=64,
        # How long it trains is all that a search may change: what is wrong with it.
        history="[0, 2, 5, 10]",
    )
    text = (folder / "recipe.toml").read_text()
    ranges = '[ranges]\nsteps = { low = 60, high = 6000, scale = "log", integer = true }\n\n'
    text = text[: text.index("# What a search may change")] + ranges + text[text.index("[knobs") :]
    (folder / "recipe.toml").write_text(text)
    asked = ["train", str(folder), "--task", TASK, "--demonstrations", "20", "--id", "hasty"]
    done = run(*asked, "--json", home=home, timeout_s=1500)
    assert done.returncode == 0, done.stderr

    asked = ["--autonomous", "--task", TASK, "--stations", "2", "--recipe", "hasty"]
    done = run(*asked, "--minutes", MINUTES, "--json", home=home, timeout_s=3000)
    assert done.returncode in (0, 3), done.stderr
    (kept,) = (home / "runs").iterdir()
    record = json.loads((kept / "record.json").read_text())
    assert record["ended"]["outcome"] == last(done)["outcome"]
    events = [row.event for row in read_rows(_journal(home, kept))]
    start = next(event for event in events if isinstance(event, RunStarted))
    assert "weights.npz" in start.baseline.files
    operators = {
        event.idea.idea_id: event.idea.operator
        for event in events
        if isinstance(event, IdeaProposed)
    }
    better = [event for event in events if isinstance(event, ChampionChanged) if event.gain > 0]
    trained = [event for event in better if operators[event.idea_id].startswith("train:steps=up")]
    assert trained, [event for event in events if isinstance(event, CandidateDecided)]
    # By sealed episodes, whose seeds nobody chose: the last champion against what it began with.
    assert better[-1].rate > better[0].rate - better[0].gain


def _journal(home: Path, kept: Path) -> Path:
    for folder in (home / "journals", kept / "journals"):
        if (folder / "supervisor.db").exists():
            return folder / "supervisor.db"
    raise AssertionError(f"no supervisor's journal in {home}")
