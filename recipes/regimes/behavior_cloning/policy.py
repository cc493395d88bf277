"""A cloned policy: the network of `train.py`, on numpy, its chunks played some steps at a time."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
from features import see, states
from sight import look

HERE = Path(__file__).parent


class Policy:
    """Plays `play` actions of each chunk, then looks again."""

    def __init__(self, knobs: dict[str, float | int | str | bool]) -> None:
        self.settings = tomllib.loads((HERE / "recipe.toml").read_text())["train"]
        self.chunk = self.settings["chunk"]
        self.play = min(int(knobs["play"]), self.chunk)
        with np.load(HERE / "weights.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        self.scales = {n: each for n, each in arrays.items() if n.startswith(("seen", "done"))}
        self.net = layers(arrays)
        self.eyes = [
            (f"image.{camera}", own(arrays, number))
            for number, camera in enumerate(self.settings.get("images", []))
        ]

    def reset(self, observation: dict[str, np.ndarray]) -> None:
        self.past: list[dict[str, np.ndarray]] = []
        self.waiting: list[np.ndarray] = []

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        self.past.append(states(observation))
        if not self.waiting:
            places = [look(observation[name], arrays) for name, arrays in self.eyes]
            self.waiting = list(self.next(places)[: self.play])
        return self.waiting.pop(0)

    def next(self, places: list[np.ndarray]) -> np.ndarray:
        """The next chunk of actions, (chunk, numbers of an action), by what is seen and where."""
        episode = {key: np.stack([each[key] for each in self.past]) for key in self.past[-1]}
        scales, relative_to = self.scales, self.settings["relative_to"]
        seen = (see(episode, self.settings)[-1] - scales["seen.middle"]) / scales["seen.spread"]
        done = self.net(np.concatenate([seen, *places]))
        done = done * scales["done.spread"] + scales["done.middle"]
        actions = done.reshape(self.chunk, -1)
        if relative_to:
            origin = episode[relative_to][-1]
            actions[:, : len(origin)] += origin
        return actions


def own(arrays: dict[str, np.ndarray], number: int) -> dict[str, np.ndarray]:
    """What belongs to one camera's eye, by its own names."""
    start = f"eyes.{number}."
    return {n.removeprefix(start): each for n, each in arrays.items() if n.startswith(start)}


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
