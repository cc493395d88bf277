"""What one run leaves to the next: a page of text made by code from its journal, and nothing else.

Out: champion, what it changed of the baseline, what was adopted and with which figures, what was tried
in vain. In: the same page, or one that a person wrote, in `<home>/transfer.md`; agents get it quoted,
as data.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import cast

from agents.git.trailers import clean
from agents.literature import QUOTE, marked
from agents.view import RunView, Standing
from robots.wire.events import AnyEvent, CandidateQueued, RunStarted

FILE = "transfer.md"
LIMIT = 4_000
MOST_SETTINGS = 12
MORE = "- and {} more"


def page(run_id: str, task: str, outcome: str, events: Iterable[AnyEvent]) -> str:
    """The page of a run, as Markdown, no longer than what agents are given of one.

    Figures are those of sealed episodes alone.

    Args:
        run_id: Of the run.
        task: Its name.
        outcome: "" while it has not ended.
        events: Of the supervisor's journal.
    """
    run, recipes, baseline = RunView(), dict[str, Mapping[str, bytes]](), dict[str, bytes]()
    run.begin(run_id, task, "")
    for event in events:
        run.apply(event)
        if isinstance(event, RunStarted):
            baseline = event.baseline.files
        elif isinstance(event, CandidateQueued):
            recipes[event.idea.idea_id] = event.recipe.files
    lines = [f"# {task}: run {run_id}", "", f"Outcome: {run.ended or outcome or 'not ended'}."]
    champion = run.champion
    assert champion is not None
    low, high = champion.interval
    figures = f"{champion.success}/{champion.episodes} [{low:.3f}, {high:.3f}]"
    lines.append(f"Champion: {champion.idea_id} {champion.commit[:10]}, {figures}.")
    if champion.idea_id in recipes:
        lines += ["", "## What the champion changed of the baseline", ""]
        lines += changes(baseline, recipes[champion.idea_id])
    # One that a confirm crowned may have been discarded before: its gain could not be shown.
    reigned = [run.ideas[each] for each in run.reigned if each in run.ideas]
    lines += ["", "## Adopted, in this order", ""]
    lines += [_row(each) for each in reigned] or ["nothing"]
    vain = [each for each in run.ideas.values() if each.decision == "discarded"]
    vain = [each for each in vain if each.idea.idea_id not in run.reigned]
    # The most measured are the most certain.
    vain.sort(key=lambda each: -each.episodes)
    lines += ["", f"## Measured and discarded ({len(vain)})", ""]
    return "\n".join([*lines, *_fitting(lines, [_row(each) for each in vain])]) + "\n"


def changes(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> list[str]:
    """What differs between two recipes: settings as they stand, code by its number of lines."""
    told: list[str] = []
    for path in sorted({*old, *new}):
        before, after = (
            each.get(path, b"").decode(errors="replace").splitlines() for each in (old, new)
        )
        marks = [row for row in difflib.ndiff(before, after) if row.startswith(("- ", "+ "))]
        if not marks:
            continue
        gone = sum(row.startswith("-") for row in marks)
        told.append(f"- {clean(path, 100)}: {len(marks) - gone} new lines, {gone} gone")
        if path.endswith(".toml"):
            told += _settings(old.get(path, b""), new.get(path, b""))[:MOST_SETTINGS]
    return told or ["nothing"]


def _settings(old: bytes, new: bytes) -> list[str]:
    """Settings that differ, those that both have first."""
    before, after = _flat(old), _flat(new)
    told = [
        f"    {clean(f'{key}: {before[key]!r} -> {value!r}', 150)}"
        for key, value in after.items()
        if key in before and before[key] != value
    ]
    return told + [f"    {clean(f'{k}: {v!r}', 150)}" for k, v in after.items() if k not in before]


def _flat(text: bytes) -> dict[str, object]:
    """A TOML file's values by their dotted keys; nothing of one that is none."""
    found: dict[str, object] = {}

    def walk(value: object, key: str) -> None:
        if isinstance(value, dict):
            for name, each in cast("dict[str, object]", value).items():
                walk(each, f"{key}.{name}".removeprefix("."))
        else:
            found[key] = value

    try:
        walk(tomllib.loads(text.decode(errors="replace")), "")
    except tomllib.TOMLDecodeError:
        return {}
    return found


def received(home: Path) -> str:
    """What an earlier run left for the agents of this home, quoted; "" if nothing."""
    try:
        text = (home / FILE).read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return marked(text.strip(), LIMIT)


def _fitting(lines: list[str], rows: list[str]) -> list[str]:
    """As many rows as a page has room for once its lines are quoted."""
    room = LIMIT - sum(len(QUOTE) + len(line) + 1 for line in [*lines, MORE])
    kept: list[str] = []
    for row in rows:
        room -= len(QUOTE) + len(row) + 1
        if room < 0:
            return [*kept, MORE.format(len(rows) - len(kept))]
        kept.append(row)
    return kept or ["nothing"]


def _row(each: Standing) -> str:
    figures = f"{each.success}/{each.episodes} against {each.champion_rate:.2f}"
    return (
        f"- {each.idea.idea_id} ({each.idea.kind}), {figures}: {clean(each.idea.hypothesis, 200)}"
    )
