"""Models that see: pictures of explored episodes, in each provider's form, and hashes on record."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("anthropic", reason="not installed: pip install 'enpire-tui[llm]'")
pytest.importorskip("acp", reason="not installed: pip install 'enpire-tui[llm]'")

from agents.backends.acp import AcpBackend
from agents.pictures import GONE, Album
from agents.tools import seeing
from robots.sandbox import probe
from tests.agents import test_acp, test_models
from tests.agents.providers import Turn
from tests.agents.stand_ins import shade
from tests.agents.test_models import CLAIM, WORK, Host, backend, lines, waiting, worker

host, kind, program = test_models.host, test_models.kind, test_acp.program

LOOKS: list[Turn] = [
    Turn("", (("open_idea", CLAIM),)),
    Turn("", (("explore", {"episodes": 3}),)),
    Turn("", (("frames", {"batch_id": "a1-1/x0", "index": 1, "count": 2}),)),
    Turn("It jams at the end.", (("drop", {"reason": "it jams"}),)),
    WORK[-1],
]
SEEN = [base64.b64encode(shade(step)).decode() for step in (98, 99)]


def anthropic_images(body: dict[str, Any]) -> list[str]:
    return [
        part["source"]["data"]
        for message in body["messages"]
        for block in message["content"]
        if block["type"] == "tool_result" and isinstance(block["content"], list)
        for part in block["content"]
        if part["type"] == "image" and part["source"]["media_type"] == "image/png"
    ]


def openai_images(body: dict[str, Any]) -> list[str]:
    return [
        part["image_url"].removeprefix("data:image/png;base64,")
        for item in body["input"]
        if item.get("type") == "function_call_output" and isinstance(item["output"], list)
        for part in item["output"]
        if part["type"] == "input_image"
    ]


IMAGES: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "anthropic": anthropic_images,
    "openai": openai_images,
}


def shown(at: Host, kind: str) -> list[str]:
    """Pictures in the last request of the first session."""
    first = [b for b in at.provider.requests if "It jams" in json.dumps(b)]
    return IMAGES[kind](first[-1])


def album(fleet) -> Path:
    return fleet.home / "agents" / "a1" / "r1" / "pictures"


async def test_a_model_sees_how_an_explored_episode_ended(fleet, host, kind) -> None:
    at = await host(worker(LOOKS))
    await fleet.start(backend(kind, at))
    await waiting(fleet)

    assert shown(at, kind) == SEEN
    told = next(line for line in lines(fleet) if "Drawn anew" in line)
    assert "2. after step 99, 3.30 s, the end: 4x3, 0 kB, sha256 " in told


async def test_journal_and_transcript_hold_hashes_and_no_picture(fleet, host, kind) -> None:
    at = await host(worker(LOOKS))
    await fleet.start(backend(kind, at))
    await waiting(fleet)

    rows = b"".join(msgspec.msgpack.encode(row.event) for row in fleet.journal.rows(0, 100_000))
    kept = sorted(path.stem for path in album(fleet).glob("*.png"))
    assert len(kept) == 2
    for sha256, data in zip(kept, SEEN, strict=True):
        assert sha256.encode() in rows
        assert data.encode() not in rows


@pytest.mark.parametrize("lost", [False, True])
async def test_after_a_restart_the_same_pictures_are_sent(fleet, host, kind, lost) -> None:
    at = await host(worker(LOOKS))
    await fleet.start(backend(kind, at))
    await fleet.until(lambda: any("Drawn anew" in line for line in lines(fleet)))
    await fleet.stop()
    if lost:
        for path in album(fleet).glob("*.png"):
            path.unlink()
    at.provider.requests.clear()
    await fleet.start(backend(kind, at))
    await waiting(fleet)

    # What was not on record before the kill was asked for once more.
    again = sum(line.startswith("tool: frames") for line in lines(fleet)) > 1
    assert shown(at, kind) == ([] if lost and not again else SEEN)
    assert (GONE in json.dumps(at.provider.requests)) == (lost and not again)


async def test_a_model_that_does_not_see_is_told_so_in_words(fleet, host, kind) -> None:
    at = await host(worker(LOOKS))
    await fleet.start(backend(kind, at), sees=False)
    await waiting(fleet)

    assert shown(at, kind) == []
    assert "sees = false" in json.dumps(at.provider.requests)
    assert not album(fleet).exists()


async def test_a_session_has_so_many_pictures_and_no_more(fleet, host, monkeypatch) -> None:
    monkeypatch.setattr(seeing, "MOST_PICTURES", 3)
    again = [LOOKS[2], LOOKS[2]]
    at = await host(worker([*LOOKS[:3], *again, *LOOKS[3:]]))
    await fleet.start(backend("anthropic", at))
    await waiting(fleet)

    assert len(shown(at, "anthropic")) == 3
    assert "this session has had its 3" in json.dumps(at.provider.requests)


@pytest.mark.skipif(not probe().usable, reason="bubblewrap does not work here")
@pytest.mark.parametrize("sees", [True, False])
async def test_a_program_is_shown_pictures_over_mcp_where_it_sees(
    fleet, host, program, sees
) -> None:
    at = await host(worker(LOOKS))
    await fleet.start(AcpBackend("a1", msgspec.structs.replace(program, sees=sees), at.socket))
    await waiting(fleet)

    assert shown(at, "anthropic") == (SEEN if sees else [])


def test_the_oldest_pictures_make_room(tmp_path: Path) -> None:
    kept = Album(tmp_path / "album", quota_bytes=250)
    first = kept.keep(b"a" * 100, 1, 1)
    assert kept.keep(b"a" * 100, 1, 1) == first
    others = [kept.keep(letter * 100, 1, 1) for letter in (b"b", b"c")]

    assert kept.read(first.sha256) is None
    assert [kept.read(each.sha256) for each in others] == [b"b" * 100, b"c" * 100]
