"""A live cross-check: what an agent's SDK or program says it used, and what the gateway counted.

Nothing is decided by what is said. Where the two disagree, one of them is wrong: the meter about a
provider's interface, or whoever says so. It is on record (`UsageDisputed`), and a person judges.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import msgspec

from agents.desk import Desk
from agents.gateway.metering import Metered, Usage
from robots.wire.events import UsageDisputed

log = logging.getLogger(__name__)

ASK_S = 10.0

Told = Mapping[str, int]
"""Tokens by class, as somebody says; classes are those of `Usage`, and `total` of all of them."""


async def metered(socket: Path) -> Metered | None:
    """What the gateway counted of this agent's answers so far; None while it cannot tell.

    Args:
        socket: The gateway's, of this agent.
    """
    connector = aiohttp.UnixConnector(str(socket))
    timeout = aiohttp.ClientTimeout(total=ASK_S)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get("http://gateway/usage") as answer,
        ):
            found = msgspec.json.decode(await answer.read(), type=Metered)
    except (TimeoutError, aiohttp.ClientError, OSError, msgspec.DecodeError) as error:
        log.info("the gateway's count is not known: %s", error)
        return None
    return found if found.settled else None


def disputed(told: Told, before: Metered, after: Metered) -> tuple[str, int, int, int] | None:
    """The first class that differs: its name, what was told, the least and the most counted.

    Answers that were broken off are counted as far as they came; who was told of them may have
    counted them or not.
    """
    for name, value in told.items():
        least = of(after.whole, name) - of(before.whole, name)
        most = of(after.every, name) - of(before.every, name)
        if not least <= value <= most:
            return name, value, least, most
    return None


def compare(
    desk: Desk, source: str, told: Told, since: tuple[Metered | None, ...], after: Metered | None
) -> None:
    """Record a dispute, unless what was told fits one of the spans that end now."""
    spans = [before for before in since if before is not None]
    if after is None or not spans or not told:
        return
    found = [disputed(told, before, after) for before in spans]
    first = found[0]
    if first is not None and all(found):
        name, value, least, most = first
        desk.record(
            UsageDisputed(source=source, kind=name, told=value, least=least, most=most),
            durable=False,
        )


def of(usage: Usage, name: str) -> int:
    """Tokens of a class, or of all."""
    if name == "total":
        return usage.fresh_input + usage.cached_input + usage.output
    return int(getattr(usage, name))
