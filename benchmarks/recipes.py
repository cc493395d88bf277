"""What the training regimes come to: one cell a policy, each trained and scored by the public commands.

    python -m benchmarks.recipes --results DIR [--list] [--only CELL ...] [--task pin_insertion]
        [--episodes 200] [--demonstrations 30] [--minutes 20]

A cell is a regime, an arm of it and a seed. Its raw result is `DIR/CELL.json`; a cell that has one is
not run again, so that the command may be stopped and called again until none is missing. Arms of one
seed share demonstrations and all settings but the one that tells them apart: their differences are
paired. Whatever else used the machine meanwhile is in no row; processor seconds are in each.
"""

import argparse
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from enpire_tui.supervisor.selection import Tally, wilson_interval
from recipes import shipped
from robots.station.archive import ArchiveRefused

SEEDS = (1, 2, 3, 4, 5)
FEW = 1 / 3
"""Share of the demonstrations that a residual's base is cloned from."""
T_95 = {1: 6.314, 2: 2.920, 3: 2.353, 4: 2.132, 5: 2.015, 6: 1.943, 7: 1.895, 8: 1.860, 9: 1.833}
"""One-sided 95% quantiles of Student's t by degrees of freedom."""

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """One policy.

    Attributes:
        recipe: Regime by its name.
        train: Values of `[train]` that differ from the recipe's.
        knobs: Values of knobs with which it is scored.
        of: Cell whose trained recipe is scored, "" for its own.
        share: Of the demonstrations.
    """

    name: str
    recipe: str
    seed: int
    train: Settings = field(default_factory=dict)
    knobs: Settings = field(default_factory=dict)
    of: str = ""
    share: float = 1.0


PAIRS = {
    "bc_regularised - plain_sac": ("online_rl-bc_regularised", "online_rl-plain_sac"),
    "residual - base": ("residual-residual", "residual-base"),
}


def cells(seeds: Sequence[int]) -> list[Cell]:
    """All that are required."""
    plain = {"bc_weight": 0.0, "bc_steps": 0, "imitate_successes": False, "spread": 7.0}
    found: list[Cell] = []
    for seed in seeds:
        trained = f"residual-residual-{seed}"
        found += [
            Cell(f"online_rl-bc_regularised-{seed}", "online_rl", seed),
            Cell(f"online_rl-plain_sac-{seed}", "online_rl", seed, train=plain),
            Cell(trained, "residual", seed, share=FEW),
            Cell(f"residual-base-{seed}", "residual", seed, knobs={"residual": 0.0}, of=trained),
        ]
    for name in ("behavior_cloning", "offline_rl", "dagger"):
        found += [Cell(f"{name}-{seed}", name, seed) for seed in seeds]
    return found


class Bench:
    """Runs cells.

    Args:
        results: Folder of the results, and of what they were made from.
        options: Of the command line.
    """

    def __init__(self, results: Path, options: argparse.Namespace) -> None:
        self.results, self.options = results, options
        self.home = results / "home"

    def path(self, cell: Cell) -> Path:
        return self.results / f"{cell.name}.json"

    def row(self, cell: Cell) -> dict[str, Any] | None:
        """A cell's raw result, None if it was not run yet."""
        path = self.path(cell)
        return json.loads(path.read_text()) if path.exists() else None

    def run(self, cell: Cell) -> dict[str, Any]:
        """Train and score a cell, and keep its result, whole or not at all."""
        row: dict[str, Any] = {"cell": cell.name, "seed": cell.seed, "recipe": cell.recipe}
        if cell.of:
            folder = self.home / "trained" / cell.of
        else:
            row["train"] = self._train(cell)
            folder = Path(row["train"]["recipe"])
        played = self._laid(f"{cell.name}-played", _files(folder), {}, cell.knobs, None)
        scored = self._enpire("evaluate", str(played), *self._task, *self._episodes)
        row |= {"knobs": dict(cell.knobs), "evaluated": scored}
        part = self.path(cell).with_suffix(".part")
        part.write_text(json.dumps(row))
        part.replace(self.path(cell))
        return row

    def _train(self, cell: Cell) -> dict[str, Any]:
        files = shipped.pack(self.options.task, cell.recipe).files
        folder = self._laid(cell.name, files, cell.train, {}, cell.seed)
        data = self._demonstrations(cell.seed, round(self.options.demonstrations * cell.share))
        told = self._enpire(
            *("train", str(folder), *self._task, "--data", str(data), "--id", cell.name),
            *("--minutes", str(self.options.minutes + 30.0)),
        )
        if told.get("state") != "succeeded":
            raise SystemExit(f"{cell.name}: training ended with {told}")
        log = self.home / "jobs" / cell.name / "out" / "log.jsonl"
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        return {**told, "last": next(r for r in reversed(rows) if r["kind"] == "progress")}

    def _demonstrations(self, seed: int, wanted: int) -> Path:
        """So many of a seed's demonstrations: the same for all its cells that have as many."""
        folder = self.results / f"demonstrations-{seed}-{wanted}"
        recorded, data = folder / "recordings", folder / "dataset"
        if not (folder / "done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            many = str(wanted)
            self._enpire(
                *("evaluate", "reference", *self._task, "--episodes", many),
                *("--record", str(recorded)),
            )
            self._enpire("episodes", str(recorded), *self._task, "--successes", "-o", str(data))
            (folder / "done").touch()
        return data

    def _laid(
        self,
        name: str,
        files: Mapping[str, bytes],
        train: Settings,
        knobs: Settings,
        seed: int | None,
    ) -> Path:
        """A recipe's folder with some values of its `recipe.toml` at others."""
        folder = self.results / "recipes" / name
        folder.mkdir(parents=True, exist_ok=True)
        text = files["recipe.toml"].decode()
        if seed is not None:
            text = changed(text, "train", {**train, "seed": seed})
            if "\nminutes =" in text:
                text = changed(text, "train", {"minutes": self.options.minutes})
        for knob, value in knobs.items():
            text = changed(text, f"knobs.{knob}", {"value": value})
        for file, content in {**files, "recipe.toml": text.encode()}.items():
            (folder / file).write_bytes(content)
        return folder

    @property
    def _task(self) -> tuple[str, str]:
        return "--task", self.options.task

    @property
    def _episodes(self) -> tuple[str, str]:
        return "--episodes", str(self.options.episodes)

    def _enpire(self, *words: str) -> dict[str, Any]:
        """Last JSON line of an `enpire-tui` command."""
        done = subprocess.run(
            [sys.executable, "-m", "enpire_tui.cli", *words, "--json"],
            env={**os.environ, "ENPIRE_HOME": str(self.home.absolute())},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        lines = done.stdout.splitlines()
        if not lines or done.returncode not in (0, 1):
            raise SystemExit(f"enpire-tui {' '.join(words)}: exit code {done.returncode}")
        found = json.loads(lines[-1])
        if "error" in found:
            raise SystemExit(f"enpire-tui {' '.join(words)}: {found['error']}")
        return found


def _files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def changed(text: str, table: str, values: Settings) -> str:
    """A recipe's TOML with the values of some keys of a table replaced.

    Raises:
        SystemExit: The table has no such key.
    """
    head, found, rest = text.partition(f"[{table}]\n")
    body, following, tail = re.split(r"(?m)(^\[|\Z)", rest, maxsplit=1)
    for key, value in values.items():
        body, count = re.subn(rf"(?m)^{key} = .*$", f"{key} = {json.dumps(value)}", body)
        if not found or not count:
            raise SystemExit(f"recipe.toml: {table}.{key}: not there; name a key that it has")
    return head + found + body + following + tail


def summary(rows: Mapping[str, dict[str, Any]], seeds: Sequence[int]) -> dict[str, Any]:
    """Pooled rates with Wilson's 95% intervals, paired differences with their lower bounds."""

    def rate(name: str) -> float:
        scored = rows[name]["evaluated"]
        return scored["success"] / max(scored["success"] + scored["failure"], 1)

    arms = sorted({name.rpartition("-")[0] for name in rows})
    told: dict[str, Any] = {}
    for arm in arms:
        mine = [row["evaluated"] for name, row in rows.items() if name.rpartition("-")[0] == arm]
        won = sum(e["success"] for e in mine)
        tally = Tally(success=won, failure=sum(e["failure"] for e in mine))
        told[arm] = {
            "success": tally.success,
            "episodes": tally.episodes,
            "rate": tally.rate,
            "wilson_95": wilson_interval(tally),
            "each": [rate(name) for name in sorted(rows) if name.rpartition("-")[0] == arm],
        }
    pairs: dict[str, Any] = {}
    for title, (first, second) in PAIRS.items():
        both = [s for s in seeds if f"{first}-{s}" in rows and f"{second}-{s}" in rows]
        apart = [rate(f"{first}-{s}") - rate(f"{second}-{s}") for s in both]
        pairs[title] = {"seeds": both, "differences": apart, **bound(apart)}
    return {"arms": told, "pairs": pairs}


def bound(differences: Sequence[float]) -> dict[str, float | None]:
    """Mean of paired differences and its one-sided 95% lower bound by Student's t."""
    count = len(differences)
    if count < 2 or count - 1 not in T_95:
        return {"mean": statistics.fmean(differences) if count else None, "lower_95": None}
    mean = statistics.fmean(differences)
    error = statistics.stdev(differences) / math.sqrt(count)
    return {"mean": mean, "lower_95": mean - T_95[count - 1] * error}


def main(told: Sequence[str] | None = None, say: Callable[[str], object] = print) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes")
    parser.add_argument("--results", type=Path, required=True, help="folder of the cells' results")
    parser.add_argument("--list", action="store_true", help="name the cells, run none")
    parser.add_argument("--only", nargs="+", default=[], metavar="CELL")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--task", default="pin_insertion")
    parser.add_argument("--episodes", type=int, default=200, help="of each evaluation (200)")
    parser.add_argument("--demonstrations", type=int, default=30, help="recorded a seed (30)")
    parser.add_argument("--minutes", type=float, default=20.0, help="of online training (20)")
    options = parser.parse_args(told)
    bench = Bench(options.results, options)
    wanted = cells(options.seeds)
    if unknown := set(options.only) - {cell.name for cell in wanted}:
        parser.error(f"--only: no cell {', '.join(sorted(unknown))}; see --list")
    if options.list:
        rows = [{"cell": c.name, "done": bench.row(c) is not None, "of": c.of} for c in wanted]
        say(json.dumps({"benchmark": "recipes", "cells": rows}))
        return 0
    options.results.mkdir(parents=True, exist_ok=True)
    for cell in wanted:
        if (not options.only or cell.name in options.only) and bench.row(cell) is None:
            try:
                row = bench.run(cell)
            except ArchiveRefused as error:
                sys.stderr.write(f"{cell.name}: {error}\n")
                continue
            sys.stderr.write(f"{cell.name}: {json.dumps(row['evaluated'])}\n")
    rows = {cell.name: row for cell in wanted if (row := bench.row(cell)) is not None}
    missing = [cell.name for cell in wanted if cell.name not in rows]
    found = {"benchmark": "recipes", "task": options.task, **summary(rows, options.seeds)}
    say(json.dumps({**found, "missing": missing, "rows": list(rows.values())}))
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
