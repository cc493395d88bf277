"""A cloned policy: the network of `train.py`, on numpy, its chunks played some steps at a time."""

from __future__ import annotations

import tomllib
from collections import deque
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


class Policy:
    """Plays `play` actions of each chunk, then looks again."""

    def __init__(self, knobs: dict[str, float | int | str | bool]) -> None:
        settings = tomllib.loads((HERE / "recipe.toml").read_text())["train"]
        self.history = settings["history"]
        self.chunk = settings["chunk"]
        self.origin = settings["relative_to"]
        self.ignored = settings["ignore"]
        self.play = min(int(knobs["play"]), self.chunk)
        with np.load(HERE / "weights.npz", allow_pickle=False) as arrays:
            self.scales = {n: arrays[n] for n in arrays.files if n.startswith(("seen", "done"))}
            self.net = layers({name: arrays[name] for name in arrays.files})

    def reset(self, observation: dict[str, np.ndarray]) -> None:
        self.past: deque[np.ndarray] = deque(maxlen=max(self.history) + 1)
        self.waiting: list[np.ndarray] = []

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        kept = [value.ravel() for key, value in observation.items() if key not in self.ignored]
        self.past.append(np.concatenate(kept))
        if not self.waiting:
            origin = observation[self.origin] if self.origin else np.zeros(0)
            self.waiting = list(self.look(origin)[: self.play])
        return self.waiting.pop(0)

    def look(self, origin: np.ndarray) -> np.ndarray:
        """The next chunk of actions, (chunk, numbers of an action)."""
        seen = [self.past[max(len(self.past) - 1 - back, 0)] for back in self.history]
        scales = self.scales
        inputs = (np.stack(seen) - scales["seen.middle"]) / scales["seen.spread"]
        outputs = self.net(inputs.ravel()).reshape(self.chunk, -1)
        actions = outputs * scales["done.spread"] + scales["done.middle"]
        actions[:, : len(origin)] += origin
        return actions


def layers(arrays: dict[str, np.ndarray]):
    """The network of torch's names: linear layers, each but the last with layer norm and ReLU."""
    names = sorted({int(name.split(".")[1]) for name in arrays if name.startswith("net.")})
    parts = [(arrays[f"net.{n}.weight"], arrays[f"net.{n}.bias"]) for n in names]

    def net(values: np.ndarray) -> np.ndarray:
        for weight, bias in parts:
            if weight.ndim == 2:
                values = weight @ values + bias
            else:
                values = (values - values.mean()) / np.sqrt(values.var() + 1e-5)
                values = np.maximum(values * weight + bias, 0.0)
        return values

    return net
