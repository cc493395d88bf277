"""The scripted model of the long runs, beside stand-ins: it climbs by ideas, over both interfaces."""

import re
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytest.importorskip("anthropic", reason="not installed: pip install 'enpire-tui[llm]'")

from agents.search.operators import carried
from recipes.shipped import pack
from robots.wire.events import DecisionLearned, IdeaOpened
from robots.wire.records import RecipeArchive
from tests.agents import stand_ins
from tests.agents.providers import Provider
from tests.agents.pusher import MARKS, STEPS, Pusher
from tests.agents.test_daemon import Fleet
from tests.agents.test_models import Host, backend


def steps_of(recipe: RecipeArchive) -> list[str]:
    text = recipe.files["recipe.toml"].decode()
    return [name for name, mark in MARKS.items() if re.search(mark, text)]


@pytest.fixture
async def pushing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fleet]:
    monkeypatch.setattr(stand_ins, "quality", lambda recipe: 0.2 + 0.15 * len(steps_of(recipe)))
    made = Fleet(tmp_path, pack("push_t", "baseline").files)
    await made.station.server.start()
    await made.supervisor.server.start()
    yield made
    await made.stop()
    made.person.close()
    await made.station.server.close()
    await made.supervisor.server.close()


@pytest.mark.parametrize("kind", ["anthropic", "openai"])
async def test_two_ideas_bring_every_step_into_the_champion(pushing, tmp_path, kind) -> None:
    host = Host(tmp_path, Provider(Pusher()))
    await host.start()
    try:
        await pushing.start(backend(kind, host))
        await pushing.until(
            lambda: (
                [each.decision for each in pushing.events(DecisionLearned)].count("adopted") == 2
            )
        )
    finally:
        await pushing.stop()
        await host.stop()
    opened = [each.hypothesis for each in pushing.events(IdeaOpened)]
    last = pushing.events(DecisionLearned)[-1].idea_id
    commit = pushing.supervisor.repository.ideas()[last].commit
    files = pushing.supervisor.repository.archive(commit).files
    knobs = tomllib.loads(files["recipe.toml"].decode())["knobs"]

    assert len(opened) == len(set(opened))
    assert set(carried(files)) == {name for names, _ in STEPS.values() for name in names}
    for _, values in STEPS.values():
        assert {name: knobs[name]["value"] for name in values} == values
    assert host.metered() == host.provider.sent
