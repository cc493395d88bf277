"""What the network sees of an episode so far; the same lines in training and on the robot.

Places are measured from a mean over the episode so far, so that what was learned over one hole holds
over the next, and so that a biased, noisy estimate is looked at through its mean, as the
demonstrator does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def states(observation: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """An observation without its pictures."""
    return {key: value for key, value in observation.items() if not key.startswith("image.")}


def see(episode: Mapping[str, np.ndarray], settings: Mapping[str, Any]) -> np.ndarray:
    """Numbers at each frame, from that frame and earlier ones only.

    Args:
        episode: Observations by name, (frames, ...) each, oldest first.
        settings: `[train]` of `recipe.toml`: ignore, origin, places, history, mean.

    Returns:
        (frames, numbers): states at each step of `history`, then their mean so far.

    Raises:
        ValueError: A name in the settings is no observation of the task.
    """
    origin, places = settings["origin"], settings["places"]
    for key in (*places, *settings["ignore"], *([origin] if origin else [])):
        if key not in episode:
            raise ValueError(f"recipe.toml, [train]: {key!r} is none of {', '.join(episode)}")
    rows = {key: value.reshape(len(value), -1) for key, value in episode.items()}
    frames = len(next(iter(rows.values())))
    count = np.arange(1, frames + 1)[:, None]
    middle = np.cumsum(rows[origin], axis=0) / count if origin else 0.0
    now = np.concatenate(
        [value - middle if key in places else value
         for key, value in rows.items() if key not in settings["ignore"]], axis=1,
    )  # fmt: skip
    back = np.maximum(np.arange(frames)[:, None] - np.asarray(settings["history"]), 0)
    parts = [now[back].reshape(frames, -1)]
    if settings["mean"]:
        parts.append(np.cumsum(now, axis=0) / count)
    return np.concatenate(parts, axis=1)
