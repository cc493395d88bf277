"""Exchanges recorded from a provider's stand-in, and played back with no provider at all."""

import json

import pytest

from agents.gateway.budget import Budget
from agents.gateway.exchanges import name_of
from agents.gateway.proxy import Gateway
from agents.gateway.settings import (
    AgentSettings,
    GatewaySettings,
    ModeSettings,
    ProviderSettings,
    SettingsRefused,
    load_settings,
)
from robots.wire.events import RequestRefused, TokensMetered
from tests.agents.test_gateway import KEY, Provider, Setup

NOBODY = "http://127.0.0.1:1"


async def opened(folder, mode: str, url: str) -> tuple[Setup, Gateway]:
    key = folder / "key"
    key.write_text(KEY)
    made = Setup(folder, Provider())
    made.budget = Budget({"a1": 10_000})
    where = ProviderSettings(base_url=url, key_file=str(key) if mode == "record" else "")
    settings = GatewaySettings(
        providers={"anthropic": where, "openai": where},
        agents={"a1": AgentSettings(budget_tokens=10_000)},
        gateway=ModeSettings(mode=mode, folder=str(folder / "exchanges")),
    )
    gateway = Gateway(settings, made.budget, made.record)
    await gateway.serve({"a1": made.socket})
    return made, gateway


@pytest.fixture
async def recorded(tmp_path):
    """What was answered while it was recorded, by path; the provider is gone afterwards."""
    from aiohttp import web

    provider = Provider()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", provider.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made, gateway = await opened(tmp_path, "record", f"http://127.0.0.1:{runner.addresses[0][1]}")
    asked = {"stream": True, "model": "m", "said": f"my key is {KEY}"}
    answers = {}
    for path in ("/v1/messages", "/v1/responses"):
        answers[path] = await made.post(path, asked)
        await made.post(path, {"status": 500})
    provider.cut_at = 40
    with pytest.raises(Exception, match=r"."):
        await made.post("/v1/messages", {"stream": True, "model": "cut"})
    await gateway.close()
    await runner.cleanup()
    return asked, answers, [e for e in made.events if isinstance(e, TokensMetered)]


async def test_what_was_recorded_is_played_back_byte_for_byte(recorded, tmp_path) -> None:
    asked, answers, metered = recorded
    made, gateway = await opened(tmp_path, "replay", NOBODY)
    try:
        for path, (status, body) in answers.items():
            # The order of keys is none of the request's meaning.
            again = dict(reversed(asked.items()))
            assert await made.post(path, again) == (status, body)
            assert await made.post(path, again) == (status, body)
    finally:
        await gateway.close()
    played = [event for event in made.events if isinstance(event, TokensMetered)]
    whole = [event for event in metered if event.status == 200 and not event.aborted]
    assert played == [whole[0], whole[0], whole[1], whole[1]]


async def test_errors_and_cut_answers_are_not_kept_and_neither_is_the_key(
    recorded, tmp_path
) -> None:
    files = sorted((tmp_path / "exchanges").iterdir())
    assert len(files) == 2
    assert not [file for file in files if KEY in file.read_text()]
    assert all("[key]" in json.loads(file.read_text())["request"] for file in files)


async def test_what_was_never_recorded_is_refused_and_nobody_is_asked(recorded, tmp_path) -> None:
    made, gateway = await opened(tmp_path, "replay", NOBODY)
    try:
        status, body = await made.post("/v1/messages", {"stream": True, "model": "another"})
    finally:
        await gateway.close()
    assert status == 404
    assert b"not_recorded" in body
    assert b'record it with gateway.mode = \\"record\\"' in body
    assert isinstance(made.events[-1], RequestRefused)


def test_a_mode_without_a_folder_is_refused(tmp_path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text('[gateway]\nmode = "replay"\n')
    with pytest.raises(SettingsRefused, match=r"gateway\.folder"):
        load_settings(path)
    path.write_text('[gateway]\nmode = "play"\n')
    with pytest.raises(SettingsRefused, match="mode"):
        load_settings(path)


def test_requests_are_told_apart_by_path_and_content() -> None:
    assert name_of("/v1/messages", b'{"a":1,"b":2}') == name_of("/v1/messages", b'{"b": 2, "a": 1}')
    assert name_of("/v1/messages", b"{}") != name_of("/v1/responses", b"{}")
    assert name_of("/v1/messages", b"\xff") != name_of("/v1/messages", b"\xfe")
