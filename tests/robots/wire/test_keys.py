"""Keys, signatures, roles, leases and endpoints: the pure parts and their files."""

import os
import stat
from pathlib import Path

import pytest

from robots.wire import codec, lease, roles
from robots.wire import commands as c
from robots.wire.endpoints import SUN_PATH_BYTES, EndpointError, command_endpoint, runtime_dir
from robots.wire.keys import (
    Identity,
    KeyFileError,
    KeyPair,
    load_authorized,
    load_keypair,
    load_public,
    provision,
)
from robots.wire.records import Counts, Mode, MotionGrant, Role
from robots.wire.signing import SignatureRefused, SigningKey, verify

GRANT = MotionGrant(station="s1", run_id="r", mode=Mode.SETUP, serial=1, ttl_s=60)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_provisioned_keys_are_private_and_kept(tmp_path) -> None:
    provision(tmp_path, {"s1": None, "sup": Role.SUPERVISOR})
    first = load_keypair(tmp_path, "sup")
    provision(tmp_path, {"s1": None, "sup": Role.SUPERVISOR, "view": Role.VIEWER})

    assert load_keypair(tmp_path, "sup") == first
    assert load_public(tmp_path, "sup") == first.public
    assert mode(tmp_path / "keys" / "sup.key") == 0o600
    assert mode(tmp_path / "keys") == 0o700
    authorized = load_authorized(tmp_path)
    assert authorized.find(first.public) == Identity("sup", Role.SUPERVISOR)
    assert authorized.find(load_public(tmp_path, "s1")) is None


def test_authorized_keys_are_read_again_when_they_change(tmp_path) -> None:
    provision(tmp_path, {"a": Role.AGENT})
    authorized = load_authorized(tmp_path)
    public = load_public(tmp_path, "a")
    provision(tmp_path, {"a": Role.VIEWER})
    assert authorized.find(public).role is Role.AGENT
    authorized.refresh()
    assert authorized.find(public).role is Role.VIEWER
    (tmp_path / "keys" / "authorized.toml").write_text("peer = 3")
    authorized.refresh()
    assert authorized.find(public).role is Role.VIEWER


@pytest.mark.parametrize("text", ["", "public = 3", 'public = "x"\nsecret', "\0"])
def test_a_broken_key_file_is_named(tmp_path, text: str) -> None:
    provision(tmp_path, {"a": Role.AGENT})
    (tmp_path / "keys" / "a.key").write_text(text)

    with pytest.raises(KeyFileError, match=r"a\.key"):
        load_keypair(tmp_path, "a")


def test_a_mismatched_or_missing_key_is_named(tmp_path) -> None:
    provision(tmp_path, {"a": Role.AGENT})
    one, two = KeyPair.generate(), KeyPair.generate()
    text = f'public = "{one.public.decode()}"\nsecret = "{two.secret.decode()}"\n'
    (tmp_path / "keys" / "a.key").write_text(text)

    with pytest.raises(KeyFileError, match="does not belong"):
        load_keypair(tmp_path, "a")
    with pytest.raises(KeyFileError, match=r"b\.key is missing"):
        load_keypair(tmp_path, "b")
    with pytest.raises(KeyFileError, match=r"b\.pub is missing"):
        load_public(tmp_path, "b")


def test_a_signed_record_is_read_with_a_trusted_key(tmp_path) -> None:
    key = SigningKey.load_or_create(tmp_path / "keys" / "s1.sign")
    again = SigningKey.load_or_create(tmp_path / "keys" / "s1.sign")

    assert again.public == key.public
    assert mode(tmp_path / "keys" / "s1.sign") == 0o600
    assert verify(key.sign(GRANT), MotionGrant, {again.public}) == GRANT
    with pytest.raises(FileExistsError):
        key.save(tmp_path / "keys" / "s1.sign")


def test_forged_signatures_are_refused() -> None:
    key, stranger = SigningKey.generate(), SigningKey.generate()
    signed = key.sign(GRANT)
    longer = codec.encode(
        MotionGrant(station="s1", run_id="r", mode=Mode.SETUP, serial=1, ttl_s=9e9)
    )

    with pytest.raises(SignatureRefused, match="unknown key"):
        verify(stranger.sign(GRANT), MotionGrant, {key.public})
    for forged in (
        type(signed)(body=longer, signature=signed.signature, key=signed.key),
        type(signed)(body=signed.body, signature=b"\0" * 64, key=signed.key),
        type(signed)(body=signed.body, signature=b"", key=signed.key),
    ):
        with pytest.raises(SignatureRefused, match="does not fit"):
            verify(forged, MotionGrant, {key.public})


def test_a_record_signed_as_one_type_is_not_another() -> None:
    key = SigningKey.generate()

    with pytest.raises(SignatureRefused, match="does not fit"):
        verify(key.sign(Counts(success=50)), MotionGrant, {key.public})


def test_every_command_has_its_roles() -> None:
    kinds = set(c.AnyCommand.__args__)

    assert kinds == set(roles.ADMITTED)
    assert set(roles.STOPS) & set(roles.LEASED) == set()
    assert all(roles.ADMITTED[kind] == roles.EVERYONE for kind in roles.STOPS)


def test_the_lease_has_one_holder_and_late_epochs_are_refused() -> None:
    none = lease.Lease()
    first = lease.take(none, "ann", 0.0)
    assert (first.holder, first.epoch) == ("ann", 1)
    assert lease.take(first, "bob", 1.0) is None
    assert lease.take(first, "ann", 1.0).epoch == 1
    second = lease.take(first, "bob", lease.LEASE_TTL_S + 1)
    assert second.epoch == 2

    now_s = lease.LEASE_TTL_S + 2
    assert lease.objection(second, "bob", 2, now_s) == ""
    assert "late" in lease.objection(second, "ann", 1, now_s)
    assert "late" in lease.objection(second, "ann", 2, now_s)
    assert "take the control lease" in lease.objection(second, "bob", None, now_s)
    assert "ran out" in lease.objection(second, "bob", 2, now_s + lease.LEASE_TTL_S)
    assert lease.take(second, "bob", 1e6).epoch == 3


def test_sockets_lie_in_the_home_if_their_paths_fit(tmp_path) -> None:
    shallow = Path(os.path.relpath(tmp_path)).resolve()
    assert runtime_dir(shallow / "h").name in ("run", runtime_dir(shallow / "h").name)
    deep = tmp_path / ("d" * 90)
    deep.mkdir()

    endpoint = command_endpoint(deep, "agent-of-station-17")

    assert len(endpoint.removeprefix("ipc://")) <= SUN_PATH_BYTES
    assert mode(runtime_dir(deep)) == 0o700
    assert command_endpoint(deep, "s1") != command_endpoint(deep / "other", "s1")
    with pytest.raises(EndpointError, match="shorter name"):
        command_endpoint(deep, "n" * 100)
    runtime_dir(deep).rmdir()


def test_a_runtime_folder_that_is_a_link_is_refused(tmp_path) -> None:
    home = Path("/tmp") / f"h{os.getpid()}"
    home.mkdir()
    try:
        (home / "run").symlink_to(tmp_path)
        with pytest.raises(EndpointError, match="not a folder of uid"):
            runtime_dir(home)
    finally:
        (home / "run").unlink()
        home.rmdir()
