"""A person's policy file, made and read through the real command line."""

import json

from enpire_tui import permit
from enpire_tui.fleet import read_fleet
from enpire_tui.supervisor.authority import Authority, refusal
from robots.wire.commands import HandOver
from robots.wire.records import Mode
from robots.wire.signing import SigningKey
from tests.enpire_tui.test_cli import run


def test_a_key_that_the_fleet_does_not_know_is_told_how_to_be_known(tmp_path):
    fleet = tmp_path / "lab.toml"
    fleet.write_text('[[station]]\nname = "s1"\n')
    key = tmp_path / "ann.key"
    done = run("permit", "--fleet", str(fleet), "--key", str(key), "-o", str(tmp_path / "policy"))
    assert done.returncode == 2
    assert SigningKey.load(key).public.hex() in done.stderr
    assert not (tmp_path / "policy").exists()


def test_a_permit_hands_over_the_fleet_it_was_signed_for(tmp_path):
    key = SigningKey.generate()
    key.save(tmp_path / "ann.key")
    fleet = tmp_path / "lab.toml"
    fleet.write_text(f'[people]\nann = "{key.public.hex()}"\n[[station]]\nname = "s1"\n')
    done = run(
        "permit",
        *("--fleet", str(fleet), "--key", str(tmp_path / "ann.key"), "--json"),
        *("-o", str(tmp_path / "policy")),
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["person"] == "ann"
    found = read_fleet(fleet)
    asked = Authority(
        task=found.task,
        stations=("s1",),
        minutes=found.minutes,
        simulated=False,
        people=(key.public,),
    )
    command = HandOver(mode=Mode.AUTONOMOUS, policy=permit.read(tmp_path / "policy"))
    assert refusal(command, asked, told["not_after_wall_s"] - 1) == ""
    assert "expired" in refusal(command, asked, told["not_after_wall_s"] + 1)
