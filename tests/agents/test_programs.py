"""Real command-line agents from their public packages, against stand-ins of their providers.

They run in the sandbox, which has no network, and reach the gateway alone. `make test-programs` gets
them from npm into a folder of the cache; where one is not in PATH its test is skipped.
"""

import json
import shutil
from typing import Any

import pytest

pytest.importorskip("acp", reason="not installed: pip install 'enpire-tui[llm]'")
pytest.importorskip("anthropic", reason="not installed: pip install 'enpire-tui[llm]'")

from agents.backends.acp import AcpBackend
from agents.programs.table import PROGRAMS
from robots.sandbox import probe
from robots.wire.events import IdeaCommitted
from tests.agents.providers import Script, Turn
from tests.agents.test_acp import host  # noqa: F401 - a fixture.
from tests.agents.test_models import KEY, SECOND, WORK, decided, lines, waits

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not probe().usable, reason="bubblewrap does not work here"),
]
MODELS = {
    "claude-code": "claude-sonnet-4-5",
    "codex": "gpt-5",
    "kimi": "kimi-k2.5",
    "opencode": "claude-sonnet-4-5",
}

PROGRAM_S = 300.0
"""Of one program's whole work; on a busy machine one has taken 86 s."""


def offered(body: dict[str, Any]) -> dict[str, str]:
    """Our tools under the names that a program gave them."""
    found: dict[str, str] = {}
    for tool in body.get("tools", []):
        name = tool.get("name", "")
        if name.startswith(("mcp__enpire", "enpire_")):
            found[name.removeprefix("mcp__").removeprefix("enpire").lstrip("_")] = name
            found |= {each["name"]: f"{name}/{each['name']}" for each in tool.get("tools", ())}
    return found


def worker(turns: list[Turn]) -> Script:
    """The work of the conformance tests, with the tools' names as the program has them."""
    place = 0

    def script(_: int, body: dict[str, Any]) -> Turn:
        nonlocal place
        names = offered(body)
        if not names:
            return Turn("A title")
        told = json.dumps(body.get("messages") or body["input"])
        if SECOND in told and "Your own summary" in told:
            return Turn("", ((names["wait"], {"minutes": 10}),))
        if place == len(turns):
            return Turn("Done.")
        turn = turns[place]
        place += 1
        return turn._replace(calls=tuple((names[name], given) for name, given in turn.calls))

    return script


@pytest.mark.parametrize("name", list(MODELS))
async def test_a_real_program_does_the_work_of_an_idea(fleet, host, name) -> None:  # noqa: F811
    program = PROGRAMS[name].named(MODELS[name])
    if shutil.which(program.command) is None:
        pytest.skip(f"{program.command} is not in PATH: {program.install}")
    at = await host(worker(WORK))
    fleet.deadline_s = PROGRAM_S
    await fleet.start(AcpBackend("a1", program, at.socket))
    await fleet.until(lambda: waits(fleet))

    assert decided(fleet) == ["adopted"]
    commit = fleet.events(IdeaCommitted)[0].commit
    recipe = fleet.supervisor.repository.archive(commit).files["recipe.toml"]
    assert b'value = "fast"' in recipe
    assert fleet.station.started == {"a1-1/x0": 1}
    # Codex puts a remark of its own before the first words.
    assert any(line.endswith("I look first.") for line in lines(fleet))
    assert at.metered() == at.provider.sent
    assert set(at.provider.keys) == {KEY}
