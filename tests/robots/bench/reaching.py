"""Copies of the test task, sound or broken in one place, for tests of what examines tasks."""

import shutil
from pathlib import Path

from tests.robots.station.conftest import REACHES
from tests.robots.station.scripted import REACH

AWAY = "return -np.sign(self._goal) * rng.uniform(0.05, 0.2, 2)"
"""The reset's target in the goal's opposite quadrant: holding still is never a success by luck."""

SNAPSHOT = """
    def snapshot(self, model, data, rng, kind):
        away = {"positive": 0.0, "near_miss": 0.015, "negative": 0.1}[kind]
        data.qpos[:] = self._goal + np.array([away, 0.0])
        data.qvel[:] = 0.0
        data.ctrl[:] = data.qpos

    def audit("""

Edit = tuple[str, str, str]


def reach(folder: Path, *edits: Edit) -> Path:
    """A copy of the test task with recipes and scenes for its verifier, and some edits.

    Args:
        folder: Where to; made.
        edits: File, text in it, and what stands there instead.
    """
    shutil.copytree(REACH, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("baseline", "reference"):
        (folder / "recipes" / name).mkdir(parents=True)
        (folder / "recipes" / name / "policy.py").write_text(REACHES)
        (folder / "recipes" / name / "recipe.toml").write_text('regime = "heuristic"\n')
    sound = (
        ("simulation.py", "def reset_target(self, rng):\n        return rng.uniform(-0.2, 0.2, 2)",
         f"def reset_target(self, rng):\n        {AWAY}"),
        ("simulation.py", "\n    def audit(", SNAPSHOT),
    )  # fmt: skip
    for name, old, new in (*sound, *edits):
        text = (folder / name).read_text()
        assert text.count(old) >= 1, f"{name} has no {old!r}"
        (folder / name).write_text(text.replace(old, new, 1))
    return folder
