"""Gradient updates a second of our SAC beside Stable-Baselines3's, and what both learn.

    python -m benchmarks.training [--quick] [--rounds N] [--threads N]
    python -m benchmarks.training --parity [--seeds N] [--steps N] [--resume FILE]

An update is the same on both sides: a batch drawn from a full replay buffer, one step of critics,
actor and temperature, one of the targets. Networks (MLP 256-256, no layer normalisation, the
minimum over all critics in targets and for the actor), batch, learning rates and threads are equal;
rounds alternate in one process, so that a busy machine is busy for both. `ours_as_used` is our
learner with what recipes add: layer normalisation, a random pair of targets, the critics' mean for
the actor and half of each batch from demonstrations.

`--parity`: the same steps of Pendulum-v1 from the same seeds, then 20 episodes without noise.
Needs the extra `bench`: `pip install -c constraints.txt -e '.[bench]'`.
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3 import SAC  # pyright: ignore[reportMissingImports] - extra `bench`.
from stable_baselines3.common.logger import (  # pyright: ignore[reportMissingImports] - extra `bench`.
    configure,
)

from recipes.learning.replay import Replay, mixed
from recipes.learning.sac import Sac, Settings

OBSERVATIONS, ACTIONS, ROWS = 32, 6, 50_000
TARGETS = {2: 1.3, 10: 1.5}
"""Our updates a second over Stable-Baselines3's, by critics."""

TASK, EVALUATED = "Pendulum-v1", 20
LEARNED = -300.0
"""A return that nobody has who has not learned to swing the pendulum up: below it nothing is compared."""
PARITY = {"hidden": (128, 128), "batch": 128, "lr": 1e-3, "random_steps": 500}

Update = Callable[[int], None]


class Shaped(gymnasium.Env[Any, Any]):
    """Spaces alone: updates are measured without an environment."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (OBSERVATIONS,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (ACTIONS,), np.float32)


def transitions(rows: int) -> dict[str, np.ndarray]:
    """Noise of the right shape, float32."""
    rng = np.random.default_rng(0)
    return {
        "observation": rng.standard_normal((rows, OBSERVATIONS), np.float32),
        "action": rng.uniform(-1.0, 1.0, (rows, ACTIONS)).astype(np.float32),
        "reward": rng.standard_normal(rows, np.float32),
        "goes_on": (rng.uniform(size=rows) > 0.01).astype(np.float32),
        "next_observation": rng.standard_normal((rows, OBSERVATIONS), np.float32),
    }


def theirs(critics: int, batch: int) -> Update:
    """Stable-Baselines3's updates."""
    model = SAC(
        "MlpPolicy", Shaped(), buffer_size=ROWS, batch_size=batch, device="cpu",
        policy_kwargs={"net_arch": [256, 256], "n_critics": critics},
    )  # fmt: skip
    model.set_logger(configure(None, []))
    held, buffer = transitions(ROWS), model.replay_buffer
    assert buffer is not None
    buffer.observations[:, 0], buffer.next_observations[:, 0] = (
        held["observation"],
        held["next_observation"],
    )
    buffer.actions[:, 0], buffer.rewards[:, 0] = held["action"], held["reward"]
    buffer.dones[:, 0], buffer.full = 1.0 - held["goes_on"], True
    return lambda count: model.train(gradient_steps=count, batch_size=batch)


def ours(critics: int, batch: int, *, as_used: bool = False) -> Update:
    """Our updates: alike, or as recipes use them."""
    pair = 2 if as_used else 0
    learner = Sac(OBSERVATIONS, ACTIONS, Settings(critics=critics, pair=pair, layer_norm=as_used))
    held = {name: torch.from_numpy(rows) for name, rows in transitions(ROWS).items()}
    replay = Replay(ROWS, OBSERVATIONS, ACTIONS)
    replay.add(held)
    parts = {replay: 1.0}
    if as_used:
        demonstrations = Replay(ROWS, OBSERVATIONS, ACTIONS)
        demonstrations.add(held)
        parts = {replay: 0.5, demonstrations: 0.5}

    def update(count: int) -> None:
        for _ in range(count):
            drawn = mixed(parts, batch)
            learner.update_critics(drawn)
            learner.update_actor(drawn)

    return update


def speed(rounds: int, seconds: float, batch: int) -> dict[str, Any]:
    """All rounds, alternating."""
    rows: list[dict[str, Any]] = []
    for critics in TARGETS:
        kinds = {
            "ours": ours(critics, batch),
            "stable_baselines3": theirs(critics, batch),
            "ours_as_used": ours(critics, batch, as_used=True),
        }
        counts = {kind: _warmed(update, seconds) for kind, update in kinds.items()}
        for number in range(rounds):
            for kind, update in kinds.items():
                began_s = time.perf_counter()
                update(counts[kind])
                taken_s = time.perf_counter() - began_s
                rows.append({
                    "kind": kind, "critics": critics, "round": number,
                    "updates": counts[kind], "seconds": round(taken_s, 4),
                })  # fmt: skip
    return speed_summary(rows)


def _warmed(update: Update, seconds: float) -> int:
    """Updates that take about so long, found after a warm-up."""
    update(10)
    began_s = time.perf_counter()
    update(10)
    return max(10, round(10 * seconds / (time.perf_counter() - began_s)))


def speed_summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of the rounds, and of the rounds' ratios, against the targets."""
    rates: dict[str, list[float]] = {}
    for row in rows:
        rate = row["updates"] / row["seconds"]
        rates.setdefault(f"{row['kind']}_{row['critics']}_critics", []).append(rate)
    ratios = {
        f"{kind}_to_stable_baselines3_{critics}_critics": statistics.median(
            mine / peer
            for mine, peer in zip(
                rates[f"{kind}_{critics}_critics"],
                rates[f"stable_baselines3_{critics}_critics"],
                strict=True,
            )
        )
        for kind in ("ours", "ours_as_used")
        for critics in TARGETS
    }
    targets = {f"ours_to_stable_baselines3_{n}_critics": least for n, least in TARGETS.items()}
    return {
        "benchmark": "training",
        "unit": "gradient updates a second, each of critics, actor, temperature and targets",
        "figures": {kind: round(statistics.median(found), 1) for kind, found in rates.items()},
        "ratios": {name: round(ratio, 3) for name, ratio in ratios.items()},
        "targets": targets,
        "met": {name: ratios[name] >= least for name, least in targets.items()},
        "rows": rows,
    }


def learn_ours(seed: int, steps: int) -> Callable[[np.ndarray], np.ndarray]:
    """Our learner on the task, one update a step; the action of what it learned."""
    torch.manual_seed(seed)
    env = gymnasium.make(TASK)
    env.action_space.seed(seed)
    size, high = _sizes(env)
    learner = Sac(
        size, len(high),
        Settings(hidden=PARITY["hidden"], lr=PARITY["lr"], layer_norm=False, pair=0),
    )  # fmt: skip
    replay = Replay(steps, size, len(high))
    observation, _ = env.reset(seed=seed)
    for step in range(steps):
        if step < PARITY["random_steps"]:
            action = env.action_space.sample() / high
        else:
            with torch.no_grad():
                action = learner.actor.sample(torch.from_numpy(observation)[None])[0][0].numpy()
        following, reward, ended, truncated, _ = env.step(action * high)
        replay.add({
            "observation": torch.from_numpy(observation)[None],
            "action": torch.from_numpy(action)[None],
            "reward": torch.tensor([reward], dtype=torch.float32),
            "goes_on": torch.tensor([not ended], dtype=torch.float32),
            "next_observation": torch.from_numpy(following)[None],
        })  # fmt: skip
        observation = env.reset()[0] if ended or truncated else following
        if step >= PARITY["random_steps"]:
            drawn = replay.sample(PARITY["batch"])
            learner.update_critics(drawn)
            learner.update_actor(drawn)

    def act(observation: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return learner.actor.best(torch.from_numpy(observation)[None])[0].numpy() * high

    return act


def learn_theirs(seed: int, steps: int) -> Callable[[np.ndarray], np.ndarray]:
    """Stable-Baselines3's learner on the task, with the same settings."""
    model = SAC(
        "MlpPolicy", gymnasium.make(TASK), seed=seed, device="cpu", buffer_size=steps,
        batch_size=PARITY["batch"], learning_rate=PARITY["lr"],
        learning_starts=PARITY["random_steps"],
        policy_kwargs={"net_arch": list(PARITY["hidden"])},
    )  # fmt: skip
    model.learn(steps)
    return lambda observation: model.predict(observation, deterministic=True)[0]


def evaluated(act: Callable[[np.ndarray], np.ndarray]) -> list[float]:
    """Returns of whole episodes, from the same starts for everyone."""
    env = gymnasium.make(TASK)
    returns: list[float] = []
    for seed in range(EVALUATED):
        observation, _ = env.reset(seed=1_000_000 + seed)
        total, over = 0.0, False
        while not over:
            observation, reward, ended, truncated, _ = env.step(act(observation))
            total += float(reward)
            over = ended or truncated
        returns.append(round(total, 2))
    return returns


def parity(seeds: int, steps: int, kept: Path | None) -> dict[str, Any]:
    """Returns of both after the same steps; cells that `kept` holds are not run again."""
    rows: list[dict[str, Any]] = []
    if kept is not None and kept.exists():
        rows = [json.loads(line) for line in kept.read_text().splitlines()]
    done = {(row["kind"], row["seed"], row["steps"]) for row in rows}
    for seed in range(seeds):
        for kind, learn in (("ours", learn_ours), ("stable_baselines3", learn_theirs)):
            if (kind, seed, steps) in done:
                continue
            began_s = time.perf_counter()
            returns = evaluated(learn(seed, steps))
            row = {
                "kind": kind, "seed": seed, "steps": steps, "returns": returns,
                "seconds": round(time.perf_counter() - began_s, 1),
            }  # fmt: skip
            rows.append(row)
            if kept is not None:
                with kept.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    return parity_summary([row for row in rows if row["steps"] == steps])


def parity_summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean return over seeds and the spread between them.

    At parity our mean is no further below Stable-Baselines3's than two standard errors of the
    difference, or than a tenth of what learning gains over random actions (about 1,200).
    """
    means: dict[str, list[float]] = {}
    for row in rows:
        means.setdefault(row["kind"], []).append(statistics.fmean(row["returns"]))
    mine, peer = means["ours"], means["stable_baselines3"]
    variances = [statistics.variance(each) if len(each) > 1 else 0.0 for each in (mine, peer)]
    error = math.sqrt(variances[0] / len(mine) + variances[1] / len(peer))
    difference = statistics.fmean(mine) - statistics.fmean(peer)
    return {
        "benchmark": "training_parity",
        "unit": f"mean return of {TASK} over {EVALUATED} episodes without noise",
        "settings": PARITY,
        "figures": {kind: round(statistics.fmean(each), 1) for kind, each in means.items()},
        "by_seed": {kind: [round(value, 1) for value in each] for kind, each in means.items()},
        "difference": round(difference, 1),
        "standard_error": round(error, 1),
        "met": {
            "peer_learned": statistics.fmean(peer) >= LEARNED,
            "parity": difference >= -max(2.0 * error, 120.0),
        },
        "rows": rows,
    }


def _sizes(env: gymnasium.Env[Any, Any]) -> tuple[int, np.ndarray]:
    observations, actions = env.observation_space, env.action_space
    assert isinstance(observations, gymnasium.spaces.Box)
    assert isinstance(actions, gymnasium.spaces.Box)
    return observations.shape[0], actions.high


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="two short rounds")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--parity", action="store_true", help="what is learned, not how fast")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=5_000)
    parser.add_argument("--resume", type=Path, help="JSON lines: finished cells are kept there")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.parity:
        found = parity(options.seeds, options.steps, options.resume)
    else:
        rounds, seconds = (2, 0.5) if options.quick else (options.rounds, 2.0)
        found = speed(rounds, seconds, options.batch)
    print(json.dumps({**found, "threads": options.threads, "torch": torch.__version__}))
    return 0 if all(found["met"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
