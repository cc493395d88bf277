"""Behaviour cloning: a chunk of actions from the last states, by regression on demonstrations.

With `images` in `[train]`, from the newest pictures of these cameras as well.

Reads all LeRobot datasets it is given (`/job/data/*`); writes `out/policy/weights.npz`, which
`policy.py` beside this file runs on numpy, and checkpoints `last` (with the optimiser, to go on
from) and `best` (least loss on held-out episodes). The policy gets the mean of the last weights:
held-out loss says little about success, and the mean is steadier than any one of them.
Source: action chunks as in ACT (arXiv 2304.13705), with a plain network, since states are few.
"""

import math
import os
import tomllib
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from features import see
from torch import nn

from recipes.learning import checkpoint
from recipes.learning.demonstrations import Array, Recorded, Scale, chunks, episodes, split, tensors
from recipes.learning.job import Job
from recipes.learning.networks import Seeing, follow

HELD_OUT = 0.1
EMA = 0.005
HELD_BATCH = 1024


def main() -> None:
    settings = tomllib.loads(Path(__file__).with_name("recipe.toml").read_text())["train"]
    job = Job.here()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(settings["seed"])
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))

    images = settings.get("images", [])
    learned, held = split([*episodes(*job.data, images=images)], HELD_OUT)
    seen, done = windows(learned, settings)
    inputs, outputs = Scale.standard(seen), Scale.standard(done, constant=1e-6)
    x, y = tensors(inputs(seen), outputs(done), device=device)
    shown = pictures(learned, images, device)
    held_x, held_y, held_shown = x, y, shown
    if held:
        seen, done = windows(held, settings)
        held_x, held_y = tensors(inputs(seen), outputs(done), device=device)
        held_shown = pictures(held, images, device)

    sizes = (x.shape[1], *[settings["hidden"]] * settings["layers"], y.shape[1])
    net = Seeing(sizes, len(images)).to(device)
    mean = deepcopy(net).requires_grad_(False)
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=settings["lr"], weight_decay=settings["weight_decay"], fused=True
    )
    best_parts = {"net": mean.net, "eyes": mean.eyes}
    parts = {"net": net.net, "mean": mean.net, "optimiser": optimiser}
    parts |= {"eyes": net.eyes, "mean_eyes": mean.eyes}
    steps, best, start = settings["steps"], float("inf"), 0
    found = job.resume()
    if found is not None:
        checkpoint.restore(found[0], **parts)
        start, best = int(found[1]["step"]), float(found[1]["best"])

    for step in range(start + 1, steps + 1):
        optimiser.param_groups[0]["lr"] = settings["lr"] * cosine(step / steps)
        rows = torch.randint(len(x), (settings["batch"],), device=device)
        noisy = x[rows] + settings["noise"] * torch.randn_like(x[rows])
        loss = nn.functional.smooth_l1_loss(net(noisy, [each[rows] for each in shown]), y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        follow(mean, net, max(EMA, 1.0 / step))
        if step % 200 == 0 or step == steps:
            with torch.no_grad():
                guessed = [
                    mean(held_x[at], [each[at] for each in held_shown])
                    for at in torch.arange(len(held_x), device=device).split(HELD_BATCH)
                ]
                lost = nn.functional.smooth_l1_loss(torch.cat(guessed), held_y).item()
            job.progress(step, steps, loss=loss.item(), held_out=lost)
            if lost < best:
                best = lost
                job.save("best", checkpoint.state(**best_parts), step=step, held_out=lost)
            job.save("last", checkpoint.state(**parts), step=step, best=best)
    checkpoint.export(job.out / "policy", mean.net, inputs, outputs, mean.eyes)


def windows(found: Sequence[Recorded], settings: dict) -> tuple[Array, Array]:
    """What is seen at each frame and the chunk that follows, (frames, numbers) each."""
    seen = [see(each.seen, settings) for each in found]
    done = [chunks(each, settings["chunk"], settings["relative_to"]) for each in found]
    return np.concatenate(seen), np.concatenate(done).reshape(sum(map(len, done)), -1)


def pictures(found: Sequence[Recorded], cameras: Sequence[str], device: str) -> list[torch.Tensor]:
    """Of each camera all pictures, (frames, height, width, 3), uint8: floats would take four times that."""
    return [
        torch.from_numpy(np.concatenate([each.pictures[name] for each in found])).to(device)
        for name in cameras
    ]


def cosine(share: float) -> float:
    """Factor of the learning rate when this share of the steps is done."""
    return 0.5 * (1.0 + math.cos(math.pi * share))


if __name__ == "__main__":
    main()
