"""What a station keeps: ledger, seeds, recordings, configuration, grants, the stop's latch."""

import subprocess
import sys

import msgspec
import numpy as np
import pytest

from robots.station.config import ClockKind, ConfigError, load_config, parse_config
from robots.station.grants import TTL_LIMIT_S, GrantRefused, accept
from robots.station.latch import Latch, Standing
from robots.station.ledger import Ledger, LedgerBroken, read_ledger, sha256_of
from robots.station.recording import Recorder, RecordingInfo, Trace, read_recording
from robots.station.seeds import SealedSeeds, load_secret, sealed
from robots.station.tasks import TaskError, load_task, read_task
from robots.wire.events import GrantReceived, StationHeld, StationQuarantined, StationReleased
from robots.wire.records import (
    Counts,
    Episode,
    LedgerRecord,
    Mode,
    MotionGrant,
    Outcome,
    Purpose,
)
from robots.wire.signing import SigningKey, verify
from tests.robots.station.scripted import REACH


def record(batch_id="b1", **fields):
    base = LedgerRecord(
        batch_id=batch_id,
        station="s1",
        task="reach",
        purpose=Purpose.EVALUATE,
        commit="c0ffee",
        recipe_sha256="0" * 64,
        idea_id="i",
        counts=Counts(success=1),
        episodes=(Episode(index=0, outcome=Outcome.SUCCESS, reason="verified"),),
        void=False,
        void_reason="",
        manifest_sha256="1" * 64,
        safety_sha256="2" * 64,
        previous_sha256="",
        started_wall_s=1.0,
        ended_wall_s=2.0,
        seconds=1.0,
        audit={"0": {"iou": 0.97}},
    )
    return msgspec.structs.replace(base, **fields)


@pytest.fixture
def key():
    return SigningKey.generate()


def test_records_are_signed_and_chained(tmp_path, key):
    ledger = Ledger(tmp_path / "ledger", key)
    first = ledger.append(record("b1"))
    ledger.append(record("b2"))

    one, two = read_ledger(tmp_path / "ledger", {key.public})

    assert (one.previous_sha256, two.previous_sha256) == ("", sha256_of(first))
    assert verify(first, LedgerRecord, {key.public}) == one


def test_a_batch_is_recorded_once(tmp_path, key):
    ledger = Ledger(tmp_path / "ledger", key)
    first = ledger.append(record("b1"))

    again = ledger.append(record("b1", counts=Counts(failure=9)))

    assert again == first
    assert len(read_ledger(tmp_path / "ledger", {key.public})) == 1


def test_the_chain_goes_on_over_a_restart(tmp_path, key):
    Ledger(tmp_path / "ledger", key).append(record("b1"))
    reopened = Ledger(tmp_path / "ledger", key)
    reopened.append(record("b2"))

    assert [r.batch_id for r in read_ledger(tmp_path / "ledger", {key.public})] == ["b1", "b2"]
    assert reopened.find("b1") is not None


def test_a_torn_last_record_is_cut_off(tmp_path, key):
    path = tmp_path / "ledger"
    Ledger(path, key).append(record("b1"))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])

    ledger = Ledger(path, key)
    ledger.append(record("b2"))

    assert [r.batch_id for r in read_ledger(path, {key.public})] == ["b1", "b2"]


def test_a_record_left_out_breaks_the_chain(tmp_path, key):
    path = tmp_path / "ledger"
    ledger = Ledger(path, key)
    ledger.append(record("b1"))
    size = path.stat().st_size
    ledger.append(record("b2"))
    path.write_bytes(path.read_bytes()[size:])

    with pytest.raises(LedgerBroken, match="does not follow"):
        read_ledger(path, {key.public})


def test_a_record_of_another_signer_is_refused(tmp_path, key):
    Ledger(tmp_path / "ledger", key).append(record("b1"))

    with pytest.raises(LedgerBroken, match="unknown key"):
        read_ledger(tmp_path / "ledger", {SigningKey.generate().public})


def test_a_changed_record_is_refused(tmp_path, key):
    path = tmp_path / "ledger"
    Ledger(path, key).append(record("b1"))
    path.write_bytes(path.read_bytes().replace(b"c0ffee", b"decade"))

    with pytest.raises(LedgerBroken):
        read_ledger(path, {key.public})


# --- sealed seeds --------------------------------------------------------------------------------


def test_sealed_seeds_never_repeat_over_restarts(tmp_path):
    secret = load_secret(tmp_path / "secret")
    seen = []
    for _ in range(5):
        # Each life ends without a word, as by SIGKILL.
        seeds = SealedSeeds(secret, tmp_path / "counter")
        seen += [seeds.draw() for _ in range(300)]

    assert len(set(seen)) == len(seen)


def test_a_secret_is_kept_and_readable_by_its_owner_alone(tmp_path):
    secret = load_secret(tmp_path / "secret")

    assert load_secret(tmp_path / "secret") == secret
    assert (tmp_path / "secret").stat().st_mode & 0o077 == 0


def test_seeds_of_other_secrets_differ():
    assert sealed(b"a" * 32, 0) != sealed(b"b" * 32, 0)
    assert 0 <= sealed(b"a" * 32, 0) < 1 << 63


# --- recordings ----------------------------------------------------------------------------------


def trace(steps=4):
    made = Trace(every=1)
    for step in range(steps):
        made.add(step / 30, {"tool_position_m": np.array([step, 0.0])}, np.ones(2), [0.5, 0.5])
    return made


def info(index=0):
    return RecordingInfo(
        batch_id="b1",
        commit="c0ffee",
        task="reach",
        station="s1",
        episode=Episode(index=index, outcome=Outcome.FAILURE, reason="episode_limit", steps=4),
    )


def test_a_recording_comes_back_as_it_was(tmp_path):
    path = Recorder(tmp_path).write("e0", trace(), info())

    told, columns = read_recording(path)

    assert told == info()
    assert (told.action_source, told.label_source) == ("policy", "verifier")
    assert columns["observation.tool_position_m"].shape == (4, 2)
    assert {len(column) for column in columns.values()} == {4}


def test_what_a_crash_left_is_swept_away(tmp_path):
    (tmp_path / "torn.part").write_bytes(b"half")

    Recorder(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_a_quota_prunes_the_oldest_recordings(tmp_path):
    size = Recorder(tmp_path / "one").write("e", trace(), info()).stat().st_size
    recorder = Recorder(tmp_path / "many", quota_bytes=3 * size + 1)
    for index in range(6):
        recorder.write(f"e{index}", trace(), info())

    assert sorted(path.stem for path in (tmp_path / "many").iterdir()) == ["e3", "e4", "e5"]


def test_evidence_is_sparse():
    sparse = Trace(every=2)
    for step in range(5):
        sparse.add(step, {"x": np.array([step])}, np.zeros(1), [0.0])

    assert [row["time_s"] for row in sparse.rows()] == [[0.0], [2.0], [4.0]]


# --- configuration -------------------------------------------------------------------------------

KEY = "00" * 32


def test_a_station_file_is_read(tmp_path):
    path = tmp_path / "station.toml"
    path.write_text(
        f'task = "push_t"\nclock = "lockstep"\nstation_seed = 3\ngrant_keys = ["{KEY}"]'
    )

    config = load_config(path)

    assert (config.task, config.clock, config.station_seed) == ("push_t", ClockKind.LOCKSTEP, 3)
    assert config.trusted() == {bytes(32)}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({}, "task"),
        ({"task": 3}, "task"),
        ({"task": "x", "clock": "sundial", "grants": "none"}, "clock"),
        ({"task": "x", "grants": "maybe"}, "grants"),
        ({"task": "x"}, "grant_keys"),
        ({"task": "x", "grant_keys": ["zz"]}, "grant_keys"),
        ({"task": "x", "grants": "none", "colour": "red"}, "colour"),
        ({"task": "x", "grants": "none", "call_timeout_s": 0}, "call_timeout_s"),
    ],
)
def test_a_wrong_station_file_is_refused_by_file_and_key(content, named):
    with pytest.raises(ConfigError, match=rf"/s1/station\.toml.*{named}"):
        parse_config(content, "/s1/station.toml")


def test_an_unknown_task_is_said_with_those_known():
    with pytest.raises(TaskError, match=r"unknown task 'nope'.*push_t"):
        load_task("nope")


def test_a_task_folder_without_its_file_is_said(tmp_path):
    with pytest.raises(TaskError, match=r"task\.toml: missing"):
        read_task(tmp_path)


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ('name = "reach"', "", "missing key 'name'"),
        ("control_hz = 100", "control_hz = 0", "rates.control_hz"),
        ("low = [-0.3, -0.3]", "low = [-0.3]", "low has 1 numbers"),
        ("shape = [2]", "shape = [2", "task.toml"),
    ],
)
def test_a_wrong_task_file_is_refused_by_file_and_key(tmp_path, was, becomes, said):
    text = (REACH / "task.toml").read_text()
    (tmp_path / "task.toml").write_text(text.replace(was, becomes, 1))

    with pytest.raises(TaskError, match=r"task\.toml") as error:
        read_task(tmp_path)
    assert said in str(error.value)


def test_a_daemon_with_a_wrong_file_leaves_at_once_and_says_why(tmp_path):
    command = [sys.executable, "-m", "robots.station.cli", "--home", tmp_path, "--name", "s1"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60)

    assert done.returncode == 1
    assert "station.toml: missing" in done.stderr


# --- grants and latches --------------------------------------------------------------------------


def grant(**fields):
    fields = {"station": "s1", "serial": 5, "ttl_s": 60.0, **fields}
    return MotionGrant(run_id="r1", mode=Mode.AUTONOMOUS, **fields)


def test_a_grant_of_the_supervisor_is_accepted(key):
    given = accept(key.sign(grant()), station="s1", trusted={key.public}, last_serial=4)

    assert given == grant()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"station": "s2"}, "for s2"),
        ({"serial": 4}, "replay"),
        ({"ttl_s": 0.0}, "ttl_s"),
        ({"ttl_s": TTL_LIMIT_S + 1}, "ttl_s"),
        ({"ttl_s": float("nan")}, "ttl_s"),
    ],
)
def test_a_grant_that_does_not_fit_is_refused(key, fields, said):
    with pytest.raises(GrantRefused, match=said):
        accept(key.sign(grant(**fields)), station="s1", trusted={key.public}, last_serial=4)


def test_a_forged_grant_is_refused(key):
    forged = SigningKey.generate().sign(grant())

    with pytest.raises(GrantRefused, match="unknown key"):
        accept(forged, station="s1", trusted={key.public}, last_serial=4)


def test_a_hold_and_a_quarantine_outlive_a_restart():
    standing = Standing()
    standing.apply(StationHeld(reason="stop", by="operator:ann", latched=False))
    assert standing.condition is not None
    standing.apply(StationReleased(cause="", by="operator:ann"))
    assert standing.condition is None
    standing.apply(StationQuarantined(reason="reset"))
    assert standing.quarantined
    standing.apply(GrantReceived(serial=7, mode=Mode.SETUP, ttl_s=1.0))
    assert standing.serial == 7


def test_an_agents_hold_takes_nothing_from_a_persons():
    standing = Standing()
    standing.apply(StationHeld(reason="stop", by="operator:ann", latched=False))
    standing.apply(StationHeld(reason="me too", by="agent:a1", latched=False))

    assert (standing.detail, standing.by_agent) == ("stop", False)
    standing.apply(StationReleased(cause="", by="operator:ann"))
    standing.apply(StationHeld(reason="look", by="agent:a1", latched=False))
    standing.apply(StationHeld(reason="stop", by="operator:ann", latched=False))
    assert (standing.detail, standing.by_agent) == ("stop", False)


def test_the_cause_of_a_protective_stop_is_asked_for_whatever_held_the_station_since():
    standing = Standing()
    standing.apply(StationHeld(reason="overheated", by="station", latched=True))
    standing.apply(StationHeld(reason="look", by="viewer:v", latched=False))

    assert standing.needs_cause
    standing.apply(StationReleased(cause="dust", by="operator:ann"))
    assert not standing.needs_cause


def test_the_stops_latch_is_a_file(tmp_path):
    latch = Latch(tmp_path / "estop")
    assert latch.read() is None
    latch.set("fire")
    latch.set("later")

    assert Latch(tmp_path / "estop").read() == "fire"
    (tmp_path / "estop").unlink()
    assert latch.read() is None
