"""What a gateway serves: providers with their keys, agents with their budget slices.

Read from `<home>/gateway/gateway.toml`:

    [providers.anthropic]
    base_url = "https://api.anthropic.com"
    key_env = "ANTHROPIC_API_KEY"     # or key_file = "/etc/enpire/anthropic.key"
    requests_per_minute = 50          # of the whole fleet; 0, the default, for no limit
    tokens_per_minute = 80000         # fresh input and output
    silence_s = 600                   # a provider that says nothing for so long is given up

    [agents.a1]
    budget_tokens = 2000000           # fresh input and output; 0 refuses every request

    [gateway]
    mode = "record"                   # or "replay", without any provider; "forward" by default
    folder = "/var/lib/enpire/exchanges"

    [arxiv]
    enabled = true                    # agents may search and read arXiv; false by default
"""

import logging
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from agents.gateway.metering import Provider
from robots.wire.records import Frozen

log = logging.getLogger(__name__)
LONGEST_SILENCE_S = 600.0


class SettingsRefused(ValueError):
    """The file cannot be used; the message names file, key and remedy."""


class ProviderSettings(Frozen):
    """Where a provider's interface is, where its key lies, how fast the fleet may ask it.

    Attributes:
        requests_per_minute: Of all agents together; 0 for no limit.
        tokens_per_minute: Fresh input and output of all agents together; 0 for no limit.
        silence_s: Without a byte of an answer for so long, its request is given up. An answer that
            is not streamed may well take minutes.
    """

    base_url: str
    key_env: str = ""
    key_file: str = ""
    requests_per_minute: Annotated[int, msgspec.Meta(ge=0)] = 0
    tokens_per_minute: Annotated[int, msgspec.Meta(ge=0)] = 0
    silence_s: Annotated[float, msgspec.Meta(gt=0, le=LONGEST_SILENCE_S)] = LONGEST_SILENCE_S


class AgentSettings(Frozen):
    """An agent's slice of the run's token budget (fresh input and output)."""

    budget_tokens: int


class ModeSettings(Frozen):
    """Whether exchanges are forwarded, forwarded and recorded, or played back from `folder`."""

    mode: Literal["forward", "record", "replay"] = "forward"
    folder: str = ""


ARXIV = "https://export.arxiv.org"


class ArxivSettings(Frozen):
    """Whether agents may search and read arXiv, and where: its host for programs, or a mirror."""

    enabled: bool = False
    base_url: str = ARXIV


class GatewaySettings(Frozen):
    """The whole file.

    Attributes:
        concurrency: Requests forwarded at a time, over all agents.
    """

    providers: dict[Provider, ProviderSettings] = msgspec.field(
        default_factory=dict[Provider, ProviderSettings]
    )
    agents: dict[str, AgentSettings] = msgspec.field(default_factory=dict[str, AgentSettings])
    concurrency: int = 16
    gateway: ModeSettings = ModeSettings()
    arxiv: ArxivSettings = ArxivSettings()


def load_settings(path: Path) -> GatewaySettings:
    """Read the file; one that is not there means a gateway that refuses everything.

    Raises:
        SettingsRefused: The file is not TOML, or a key has a wrong type or value.
    """
    if not path.exists():
        return GatewaySettings()
    try:
        settings = msgspec.convert(tomllib.loads(path.read_text()), GatewaySettings)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SettingsRefused(
            f"{path}: {error}. Correct it and start the gateway again."
        ) from error
    if settings.gateway.mode != "forward" and not settings.gateway.folder:
        raise SettingsRefused(
            f"{path}: gateway.mode is {settings.gateway.mode!r} without gateway.folder; "
            "name the folder of the exchanges."
        )
    asked = {f"providers.{name}": each.base_url for name, each in settings.providers.items()}
    for key, base_url in (asked | {"arxiv": settings.arxiv.base_url}).items():
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise SettingsRefused(f"{path}: {key}.base_url is {base_url!r}; give http(s)://host.")
    return settings


def read_key(provider: ProviderSettings, environment: Mapping[str, str] | None = None) -> str:
    """The provider's real key, from the host's environment or a file; "" if none can be read."""
    variables = os.environ if environment is None else environment
    if provider.key_env and variables.get(provider.key_env):
        return variables[provider.key_env].strip()
    try:
        return Path(provider.key_file).read_text().strip() if provider.key_file else ""
    except OSError as error:
        log.warning("key_file: %s", error)
        return ""
