"""`enpire-tui environment assist` as a person at standard input uses it."""

import asyncio
import json
import os
import sys
from typing import Any

import pytest

pytest.importorskip("openai", reason="not installed: pip install 'enpire-tui[llm]'")

from tests.agents.providers import Provider, Turn
from tests.agents.test_models import spoken_turns
from tests.enpire_tui.test_cli import run
from tests.robots.bench.reaching import reach

TURNS = [
    Turn("I ask first.", (("ask", {"question": "What is a success?", "choices": ["a", "b"]}),)),
    Turn("", (("score", {"of": "task", "negatives": 3, "positives": 2}), ("check", {}))),
    Turn("", (("edit_file", {"path": "verify.py", "old": "< 0.05", "new": "< 0.01"}),)),
    Turn("", (("score", {"negatives": 3, "positives": 2}), ("check", {}))),
    Turn("", (("propose", {"reason": "Near misses were accepted."}),)),
    Turn("", (("finish", {"summary": "Near misses are refused again."}),)),
]


def test_without_a_key_it_says_where_one_belongs(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    folder = reach(tmp_path / "reach")
    done = run("environment", "assist", str(folder), "--backend", "openai", home=tmp_path / "home")
    assert done.returncode == 2
    assert "providers.openai: no key; set OPENAI_API_KEY" in done.stderr


async def test_a_person_answers_and_takes_a_change_over(tmp_path):
    folder = reach(tmp_path / "reach", ("verify.py", "distance < 0.01", "distance < 0.05"))

    def script(_: int, body: dict[str, Any]) -> Turn:
        return TURNS[spoken_turns(body["input"])]

    provider = Provider(script)
    await provider.start()
    fleet = tmp_path / "lab.toml"
    fleet.write_text(
        f'name = "lab"\n[providers.openai]\nbase_url = "{provider.url}"\n[[station]]\nname = "s1"\n'
    )
    try:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "enpire_tui.cli", "environment", "assist", str(folder),
            "--backend", "openai", "--json", "--fleet", str(fleet), "--id", "one",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "ENPIRE_HOME": str(tmp_path / "home"), "OPENAI_API_KEY": "sk-one"},
        )  # fmt: skip
        # Both answers at once: each question takes a line of its own.
        out, err = await child.communicate(b"within 10 mm\nyes: good\n")
    finally:
        await provider.stop()

    assert child.returncode == 0, err.decode()
    lines = [json.loads(line) for line in out.splitlines()]
    kinds = [line["kind"] for line in lines if line["kind"] != "Line"]
    assert kinds == ["Question", "Proposed", "Assisted"]
    [proposed] = [line for line in lines if line["kind"] == "Proposed"]
    assert proposed["before"]["verifier"]["false_positives"] == 1
    assert proposed["after"]["verifier"]["false_positives"] == 0
    last = lines[-1]
    assert (last["finished"], last["applied"], last["session"]) == (True, 1, "one")
    assert last["used"]["output"] == provider.sent["output"]
    assert "distance < 0.01" in (folder / "verify.py").read_text()
    assert "within 10 mm" in json.dumps(provider.requests[-1])
