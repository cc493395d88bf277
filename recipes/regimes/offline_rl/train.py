"""Offline RL: implicit Q-learning on chunks of actions, from successes and failures.

Reads all LeRobot datasets it is given (`/job/data/*`), whose `next.reward` is 1 where an episode
succeeded; writes `out/policy/weights.npz`, which `policy.py` beside this file runs on numpy, and the
checkpoint `last`, with all networks and optimisers, to go on from. No value of an action that is
not in the data is ever asked for: V is an expectile of Q over the data's own chunks, and the policy
clones these chunks, each weighted by exp(advantage).
Source: IQL (arXiv 2110.06169); chunks as actions as in Q-chunking (arXiv 2507.07969).
"""

import math
import os
import tomllib
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from features import see  # pyright: ignore[reportMissingImports] - it comes with `base`.
from torch import Tensor, nn

from recipes.learning import checkpoint
from recipes.learning.demonstrations import Array, Recorded, Scale, chunks, episodes, tensors
from recipes.learning.job import Job
from recipes.learning.networks import Ensemble, follow, mlp

EMA = 0.005


def main() -> None:
    settings = tomllib.loads(Path(__file__).with_name("recipe.toml").read_text())["train"]
    job = Job.here()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(settings["seed"])
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))

    found = [*episodes(*job.data)]
    if not any(each.rewards.any() for each in found):
        raise SystemExit(
            "data: no episode succeeded (next.reward is 0 everywhere); add some that do"
        )
    seen = np.concatenate([see(each.seen, settings) for each in found])
    done = [chunks(each, settings["chunk"], settings["relative_to"]) for each in found]
    done = np.concatenate(done).reshape(len(seen), -1)
    inputs, outputs = Scale.standard(seen), Scale.standard(done, constant=1e-6)
    x, y = tensors(inputs(seen), outputs(done), device=device)
    reward, on, following = outcomes(found, settings["chunk"], settings["gamma"])
    reward, on = tensors(reward, on, device=device)
    won = np.concatenate([np.full(len(each), each.rewards.any()) for each in found])
    won = torch.from_numpy(np.flatnonzero(won)).to(device)
    learner = Learner(x.shape[1], y.shape[1], settings, device)
    steps, start = settings["steps"], 0
    earlier = job.resume()
    if earlier is not None:
        checkpoint.restore(earlier[0], **learner.parts)
        start = int(earlier[1]["step"])

    ahead = torch.from_numpy(following).to(device)
    for step in range(start + 1, steps + 1):
        learner.rate(0.5 * (1.0 + math.cos(math.pi * step / steps)))
        # Half of a batch from successes, few as they may be, as RLPD has it (arXiv 2302.02948).
        half = settings["batch"] // 2
        rows = torch.cat((torch.randint(len(x), (half,)), torch.randint(len(won), (half,)))).to(
            device
        )
        rows[half:] = won[rows[half:]]
        told = learner.update(x[rows], y[rows], reward[rows], on[rows], x[ahead[rows]], step)
        if step % 200 == 0 or step == steps:
            job.progress(step, steps, **{name: value.item() for name, value in told.items()})
            job.save("last", checkpoint.state(**learner.parts), step=step)
    checkpoint.export(job.out / "policy", learner.mean, inputs, outputs)


def outcomes(
    found: Sequence[Recorded], chunk: int, gamma: float
) -> tuple[Array, Array, np.ndarray]:
    """Of each frame's chunk: what it won, what a value after it counts, and the frame after it.

    An episode's end is an end, won or not: a task's time is limited, and late is lost.
    """
    rewards, on, following, first = [], [], [], 0
    for each in found:
        frames = np.arange(len(each))
        padded = np.concatenate([each.rewards, np.zeros(chunk, np.float32)])
        rewards.append(sum(gamma**n * padded[frames + n] for n in range(chunk)))
        on.append(np.where(frames + chunk < len(each), gamma**chunk, 0.0))
        following.append(first + np.minimum(frames + chunk, len(each) - 1))
        first += len(each)
    return np.concatenate(rewards), np.concatenate(on), np.concatenate(following)


class Learner:
    """Policy, value and two critics, and how they are updated.

    Args:
        seen: Numbers that are seen.
        done: Numbers of a chunk.
        settings: `[train]` of `recipe.toml`.
        device: Where it learns.
    """

    def __init__(self, seen: int, done: int, settings: dict, device: str) -> None:
        self.settings = settings
        hidden = [settings["hidden"]] * settings["layers"]
        self.policy = mlp((seen, *hidden, done), layer_norm=True).to(device)
        self.mean = deepcopy(self.policy).requires_grad_(False)
        self.value = mlp((seen, *hidden[:2], 1), layer_norm=True).to(device)
        self.critics = Ensemble(2, (seen + done, *hidden[:2], 1)).to(device)
        self.targets = deepcopy(self.critics).requires_grad_(False)
        self.optimiser = torch.optim.AdamW(
            self.policy.parameters(), lr=settings["lr"], weight_decay=settings["weight_decay"],
            fused=True,
        )  # fmt: skip
        self.judges = torch.optim.Adam(
            [*self.value.parameters(), *self.critics.parameters()], lr=3e-4, fused=True
        )
        self.parts: dict[str, checkpoint.Part] = {
            "policy": self.policy, "mean": self.mean, "value": self.value,
            "critics": self.critics, "targets": self.targets,
            "optimiser": self.optimiser, "judges": self.judges,
        }  # fmt: skip

    def rate(self, share: float) -> None:
        """Set the policy's learning rate to a share of the settings'."""
        self.optimiser.param_groups[0]["lr"] = self.settings["lr"] * share

    def update(
        self, x: Tensor, y: Tensor, reward: Tensor, on: Tensor, after: Tensor, step: int
    ) -> dict[str, Tensor]:
        """One step of everything; returns losses and the mean value.

        Args:
            x, y: What is seen (batch, seen) and the chunk that was played (batch, done), scaled.
            reward: Won within the chunk, discounted (batch,).
            on: What the value after the chunk counts, 0 where the episode is over (batch,).
            after: What is seen after the chunk (batch, seen).
            step: Of the training, from 1.
        """
        s = self.settings
        both = torch.cat((x, y), -1)
        with torch.no_grad():
            judged = self.targets(both).squeeze(-1).amin(0)
            wanted = torch.addcmul(reward, on, self.value(after).squeeze(-1))
        value = self.value(x).squeeze(-1)
        advantage = judged - value
        weight = torch.where(advantage > 0.0, s["expectile"], 1.0 - s["expectile"])
        value_loss = (weight * advantage.square()).mean()
        critic_loss = (self.critics(both).squeeze(-1) - wanted).square().mean(-1).sum()
        self.judges.zero_grad()
        (value_loss + critic_loss).backward()
        self.judges.step()
        follow(self.targets, self.critics, EMA)

        with torch.no_grad():
            # Per spread: one temperature serves tasks whose values lie near to each other.
            better = advantage / advantage.std().clamp(min=1e-3)
            weight = (s["temperature"] * better).clamp(max=math.log(s["most_weight"])).exp()
            weight /= weight.mean()
        noisy = x + s["noise"] * torch.randn_like(x)
        error = nn.functional.smooth_l1_loss(self.policy(noisy), y, reduction="none").mean(-1)
        loss = (weight * error).mean()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        follow(self.mean, self.policy, max(EMA, 1.0 / step))
        return {
            "loss": loss.detach(), "critic_loss": critic_loss.detach(),
            "value_loss": value_loss.detach(), "value": value.detach().mean(),
        }  # fmt: skip


if __name__ == "__main__":
    main()
