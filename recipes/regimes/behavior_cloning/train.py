"""Behaviour cloning: a chunk of actions from the last states, by regression on demonstrations.

Reads one LeRobot dataset (`/job/data/0`); writes `out/policy/weights.npz`, which `policy.py` beside
this file runs on numpy, and checkpoints `last` and `best` (least loss on held-out episodes).
Source: action chunks as in ACT (arXiv 2304.13705), with a plain network, since states are few.
"""

import os
import tomllib
from pathlib import Path

import numpy as np
import torch
from torch import nn

from recipes.learning.demonstrations import Demonstrations, Scale, tensors
from recipes.learning.job import Job
from recipes.learning.networks import mlp

HELD_OUT = 0.1


def main() -> None:
    settings = tomllib.loads(Path(__file__).with_name("recipe.toml").read_text())["train"]
    job = Job.here()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(settings["seed"])
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))

    data = Demonstrations(job.data[0], settings["relative_to"], settings["ignore"])
    states, actions = data.windows(settings["history"], settings["chunk"])
    seen = Scale.standard(data.states)
    done = Scale.standard(actions.reshape(-1, actions.shape[-1]), constant=1e-6)
    inputs = seen(states).reshape(len(states), -1)
    outputs = done(actions).reshape(len(actions), -1)

    last = data.episode >= data.episodes * (1.0 - HELD_OUT)
    x, y = tensors(inputs[~last], outputs[~last], device=device)
    held_x, held_y = tensors(inputs[last], outputs[last], device=device)

    sizes = (x.shape[1], *[settings["hidden"]] * settings["layers"], y.shape[1])
    net = mlp(sizes, layer_norm=True).to(device)
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=settings["lr"], weight_decay=settings["weight_decay"], fused=True
    )
    steps = settings["steps"]
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    best, start = float("inf"), 0
    found = job.resume()
    if found is not None:
        net.load_state_dict(found[0])
        start = int(found[1]["step"])

    for step in range(start + 1, steps + 1):
        rows = torch.randint(len(x), (settings["batch"],), device=device)
        noisy = x[rows] + settings["noise"] * torch.randn_like(x[rows])
        loss = nn.functional.smooth_l1_loss(net(noisy), y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 200 == 0 or step == steps:
            with torch.no_grad():
                held = nn.functional.smooth_l1_loss(net(held_x), held_y).item()
            job.progress(step, steps, loss=loss.item(), held_out=held)
            job.save("last", net.state_dict(), step=step)
            if held < best:
                best = held
                job.save("best", net.state_dict(), step=step, held_out=held)
    export(net, seen, done, job.out / "policy")


def export(net: nn.Sequential, seen: Scale, done: Scale, folder: Path) -> None:
    """Writes what `policy.py` needs, as plain arrays."""
    folder.mkdir(exist_ok=True)
    arrays = {f"net.{name}": value.cpu().numpy() for name, value in net.state_dict().items()}
    arrays |= {"seen.middle": seen.middle, "seen.spread": seen.spread}
    arrays |= {"done.middle": done.middle, "done.spread": done.spread}
    np.savez(folder / "weights.npz", **arrays)


if __name__ == "__main__":
    main()
