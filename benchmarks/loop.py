"""What the whole loop comes to on the demo fleet: outcome, climb, time and the champion's own rate.

    python -m benchmarks.loop [--seeds 1 2 3 4 5] [--minutes 15] [--stations 4] [--episodes 200]

Each row is one `enpire-tui --autonomous` from an empty home, followed by `evaluate` of its champion
and, once, of the baseline, on fresh sealed episodes. Rows run one after another: a run is meant to
have the machine to itself.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

TARGETS = {"successes": 4, "of": 5, "adopted": 5, "champion": 194 / 200, "baseline": 0.30}


def enpire(home: Path, *arguments: str) -> dict[str, Any]:
    """Last JSON line of an `enpire-tui` command."""
    done = subprocess.run(
        [sys.executable, "-m", "enpire_tui.cli", *arguments, "--json"],
        env={**os.environ, "ENPIRE_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if not lines:
        raise SystemExit(f"enpire-tui {' '.join(arguments)}: no answer")
    return {**lines[-1], "lines": lines}


def one(seed: int, minutes: float, stations: int, episodes: int) -> dict[str, Any]:
    """One run from an empty home, and its champion on fresh episodes."""
    with tempfile.TemporaryDirectory(prefix="enpire-loop-") as folder:
        home = Path(folder) / "home"
        run = enpire(
            home,
            *("--autonomous", "--seed", str(seed)),
            *("--minutes", str(minutes), "--stations", str(stations)),
        )
        climb = [each for each in run.pop("lines") if each["kind"] == "ChampionChanged"]
        found: dict[str, Any] = {"seed": seed, "run": run}
        found["climb"] = [[each["success"], each["episodes"]] for each in climb]
        if climb:
            scored = enpire(home, "evaluate", climb[-1]["commit"], "--episodes", str(episodes))
            scored.pop("lines")
            found["champion"] = scored
        return found


def summary(rows: list[dict[str, Any]], baseline: dict[str, Any]) -> dict[str, Any]:
    """Rows with what they come to."""
    won = [row for row in rows if row["run"].get("outcome") == "success"]
    seconds = [row["run"]["seconds"] for row in won]
    return {
        "benchmark": "loop",
        "baseline_rate": baseline["rate"],
        "successes": len(won),
        "of": len(rows),
        "seconds_to_success": {"each": seconds, "median": statistics.median(seconds or [0.0])},
        "adopted": [row["run"].get("adopted", 0) for row in rows],
        "champion_rates": [row.get("champion", {}).get("rate", 0.0) for row in rows],
        "mru": [row["run"].get("mru", 0.0) for row in rows],
        "targets": TARGETS,
        "rows": rows,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--stations", type=int, default=4)
    parser.add_argument("--episodes", type=int, default=200, help="of each evaluation")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        baseline = enpire(Path(folder), "evaluate", "baseline", "--episodes", str(options.episodes))
        baseline.pop("lines")
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        row = one(seed, options.minutes, options.stations, options.episodes)
        rows.append(row)
        sys.stderr.write(f"seed {seed}: {json.dumps(row)}\n")
    found = summary(rows, baseline)
    print(json.dumps(found))
    return 0 if found["successes"] * TARGETS["of"] >= TARGETS["successes"] * found["of"] else 1


if __name__ == "__main__":
    sys.exit(main())
