"""A policy that RL trained: chunks of actions from the last states, on numpy.

`train.py` beside this file uses `inputs_of` too, so that both see the same numbers.
"""

from __future__ import annotations

import json
import math
import tomllib
from pathlib import Path

import numpy as np
from features import see, states  # pyright: ignore[reportMissingImports] - from `base`.

HERE = Path(__file__).parent


def tensors(content: bytes) -> dict[str, np.ndarray]:
    """Float32 tensors of a safetensors file."""
    size = int.from_bytes(content[:8], "little")
    found = {}
    for name, each in json.loads(content[8 : 8 + size]).items():
        if name != "__metadata__":
            first, end = each["data_offsets"]
            values = np.frombuffer(content[8 + size + first : 8 + size + end], dtype="<f4")
            found[name] = values.reshape(each["shape"])
    return found


class Policy:
    """Decides a chunk of actions, plays it, looks again."""

    def __init__(self, knobs: dict[str, float | int | str | bool]) -> None:
        self.settings = tomllib.loads((HERE / "recipe.toml").read_text())["train"]
        self.explore = float(knobs["explore"])
        self.residual = float(knobs["residual"])
        found = tensors((HERE / "weights.safetensors").read_bytes())
        self.scales = {name: found[name] for name in found if "." not in name}
        self.actor = layers(found, "actor.net.")
        residual = "base.net.0.weight" in found
        self.base = layers(found, "base.net.") if residual else None
        self.rng = np.random.default_rng()

    def reset(self, observation: dict[str, np.ndarray]) -> None:
        self.past: list[dict[str, np.ndarray]] = []
        self.waiting: list[np.ndarray] = []

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        self.past.append(states(observation))
        if not self.waiting:
            self.waiting = list(self.decide())
        return self.waiting.pop(0)

    def decide(self) -> np.ndarray:
        """The next chunk of actions, (chunk, numbers of an action)."""
        scales, settings = self.scales, self.settings
        episode = {key: np.stack([each[key] for each in self.past]) for key in self.past[-1]}
        inputs = inputs_of(episode, settings, scales)[-1].astype(np.float32)
        if self.base is not None:
            base = np.tanh(half(self.base(inputs))[0])
            mean, log_std = half(self.actor(np.concatenate((inputs, base))))
            free = self.draw(mean, log_std)
            chunk = np.clip(base + self.residual * settings["residual"] * free, -1.0, 1.0)
        else:
            chunk = self.draw(*half(self.actor(inputs)))
        actions = chunk.reshape(settings["chunk"], -1).astype(np.float64) * scales["done_spread"]
        actions += scales["done_middle"]
        if settings["relative_to"]:
            origin = self.past[-1][settings["relative_to"]]
            actions[:, : len(origin)] += origin
        return actions

    def draw(self, mean: np.ndarray, log_std: np.ndarray) -> np.ndarray:
        """An action in (-1, 1), as `explore` says."""
        spread = self.explore * np.exp(np.clip(log_std, -5.0, math.log(self.settings["spread"])))
        return np.tanh(mean + spread * self.rng.standard_normal(len(mean)))


def inputs_of(
    episode: dict[str, np.ndarray], settings: dict, scales: dict[str, np.ndarray]
) -> np.ndarray:
    """What the network is given at each frame: `see`, normalised."""
    return (see(episode, settings) - scales["seen_middle"]) / scales["seen_spread"]


def half(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An actor's output: mean and log standard deviation."""
    return values[: len(values) // 2], values[len(values) // 2 :]


def layers(found: dict[str, np.ndarray], start: str):
    """The network of torch's names: linear layers, each but the last with layer norm and ReLU."""
    numbers = sorted(
        {int(n.removeprefix(start).split(".")[0]) for n in found if n.startswith(start)}
    )
    parts = [(found[f"{start}{n}.weight"], found[f"{start}{n}.bias"]) for n in numbers]

    def net(values: np.ndarray) -> np.ndarray:
        for weight, bias in parts:
            if weight.ndim == 2:
                values = weight @ values + bias
            else:
                centred = values - values.mean()
                values = centred / math.sqrt(float(centred @ centred) / len(values) + 1e-5)
                values = np.maximum(values * weight + bias, 0.0)
        return values

    return net
