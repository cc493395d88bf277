"""`station.toml`: what a station daemon is told, checked; every error names file and key."""

import enum
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from robots.wire import codec
from robots.wire.records import EnvironmentManifest, Signed
from robots.wire.signing import SignatureRefused, SigningKey, verify


class ConfigError(ValueError):
    """A `station.toml` that is missing or wrong; the message names file, key and remedy."""


class ClockKind(enum.Enum):
    """Which clock a station runs on."""

    LOCKSTEP = "lockstep"
    REALTIME = "realtime"


class StationConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A station as its fleet file resolved it.

    Attributes:
        task: Name of a task, path of a task folder, or `gym:<registered id>`.
        driver: Name of a driver; `gymnasium` is implied by a `gym:` task.
        station_seed: Seed of what differs between simulated stations.
        grants: `required`, or `none` for a station outside any fleet.
        grant_keys: Public keys (hex) whose motion grants are valid.
        sandbox: `required`, or `off`, which every screen then shows.
        record: `asked` (batches that ask for it), `all` or `off`.
        policy_memory_bytes: Memory cap of a policy's worker.
        call_timeout_s: Wall seconds after which a worker that has not answered is killed.
        publishers: Public keys (hex) of those who may publish an environment.
        published: The task's signed manifest (hex); "" where nobody published it.
        approval_s: Seconds for which an approval in setup can be answered.
        task_options: For `gym:` tasks: success rule, episode limit and the like.
    """

    task: str
    driver: str = "mujoco"
    clock: ClockKind = ClockKind.LOCKSTEP
    station_seed: int = 0
    grants: str = "required"
    grant_keys: tuple[str, ...] = ()
    sandbox: str = "required"
    record: str = "asked"
    recording_quota_bytes: int = 2 << 30
    policy_memory_bytes: int = 1 << 30
    call_timeout_s: float = 5.0
    publishers: tuple[str, ...] = ()
    published: str = ""
    approval_s: float = 120.0
    task_options: dict[str, float | int | str | bool] = {}

    def trusted(self) -> frozenset[bytes]:
        """Public keys of grant givers."""
        return frozenset(bytes.fromhex(key) for key in self.grant_keys)

    def manifest(self) -> EnvironmentManifest | None:
        """The environment that a person published, None where nobody did.

        Raises:
            ConfigError: It is not signed by a publisher.
        """
        if not self.published:
            return None
        try:
            signed = codec.decode(bytes.fromhex(self.published), Signed)
            keys = frozenset(bytes.fromhex(key) for key in self.publishers)
            return verify(signed, EnvironmentManifest, keys)
        except (ValueError, codec.DecodeError, SignatureRefused) as error:
            raise ConfigError(
                f"station.toml: published: {error}; `enpire-tui environment publish` signs one"
            ) from None


_WORDS: dict[str, tuple[str, ...]] = {
    "grants": ("required", "none"),
    "sandbox": ("required", "off"),
    "record": ("asked", "all", "off"),
}


def station_folder(home: Path, name: str) -> Path:
    """Where a station keeps what is its own."""
    return home / "stations" / name


def station_key(home: Path, name: str) -> SigningKey:
    """The key that signs a station's ledger, made on first use; its public half beside it."""
    key = SigningKey.load_or_create(home / "keys" / f"{name}.sign")
    public = home / "keys" / f"{name}.sign.pub"
    if not public.exists():
        public.write_text(key.public.hex() + "\n")
    return key


def load_config(path: Path) -> StationConfig:
    """Read `station.toml`.

    Raises:
        ConfigError: Names the file and the key.
    """
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise ConfigError(f"{path}: missing; `enpire-tui up` writes it") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from None
    return parse_config(content, str(path))


def parse_config(content: dict[str, Any], where: str) -> StationConfig:
    """Check the content of a `station.toml`.

    Raises:
        ConfigError: Names `where` and the key.
    """
    try:
        config = msgspec.convert(content, StationConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}") from None
    for key, words in _WORDS.items():
        if getattr(config, key) not in words:
            got = getattr(config, key)
            raise ConfigError(f"{where}: {key}: must be one of {', '.join(words)}, got {got!r}")
    try:
        config.trusted()
    except ValueError:
        raise ConfigError(f"{where}: grant_keys: each is 64 hexadecimal digits") from None
    if config.grants == "required" and not config.grant_keys:
        raise ConfigError(
            f'{where}: grant_keys: missing; name the supervisor\'s key, or set grants = "none"'
        )
    for key in ("call_timeout_s", "approval_s"):
        if getattr(config, key) <= 0:
            raise ConfigError(f"{where}: {key}: must be positive")
    return config
