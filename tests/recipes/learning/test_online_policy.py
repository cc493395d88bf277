"""The numpy policy of online RL decides what torch's networks say."""

import importlib
import sys
import tomllib
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed: make setup")
pytest.importorskip("safetensors", reason="safetensors is not installed: make setup")

import torch
from safetensors.torch import save

from recipes import shipped
from recipes.learning.networks import Actor

KNOBS = {"explore": 0.0, "residual": 1.0}
SIZES = {"hand_position_m": 3, "pin_tip_m": 3, "hole_position_m": 3, "target_hole": 2}


@pytest.fixture
def played(tmp_path, monkeypatch):
    """Loads a recipe's policy as a worker does, with random networks."""

    def load(name: str):
        files = shipped.pack("pin_insertion", name).files
        for file, content in files.items():
            (tmp_path / file).write_bytes(content)
        settings = tomllib.loads(files["recipe.toml"].decode())["train"]
        monkeypatch.syspath_prepend(str(tmp_path))
        for module in ("policy", "features"):
            monkeypatch.delitem(sys.modules, module, raising=False)
        policy = importlib.import_module("policy")
        seen = 9 * (len(settings["history"]) + 1)
        done = 4 * settings["chunk"]
        torch.manual_seed(0)
        base = Actor(seen, done, (8,), layer_norm=True)
        above = Actor(seen + done, done, (8,), layer_norm=True)
        nets = {"base": base, "actor": above} if settings["residual"] else {"actor": base}
        content = {
            "seen_middle": torch.zeros(1),
            "seen_spread": torch.ones(1),
            "done_middle": torch.zeros(4),
            "done_spread": torch.ones(4),
        }
        for name_, net in nets.items():
            content |= {f"{name_}.{key}": value for key, value in net.state_dict().items()}
        (tmp_path / "weights.safetensors").write_bytes(save(content))
        return policy, settings, nets

    yield load
    for module in ("policy", "features"):
        sys.modules.pop(module, None)


@pytest.mark.parametrize("raised", [-9.0, 0.0, 9.0])
def test_what_it_tries_out_is_spread_as_wide_as_the_learners_actor(
    played, monkeypatch, raised
) -> None:
    module, settings, _ = played("online_rl")
    policy = module.Policy({**KNOBS, "explore": 1.0})
    done = 4 * settings["chunk"]
    actor = Actor(3, done, (8,), widest=settings["spread"])
    with torch.no_grad():
        actor.net[-1].bias[done:] += raised
    seen = torch.zeros(1, 3)
    noise = np.random.default_rng(1).normal(size=done)
    monkeypatch.setattr(policy, "rng", SimpleNamespace(standard_normal=lambda size: noise[:size]))

    mean, log_std = module.half(actor.net(seen)[0].detach().numpy())
    middle, log_wide = actor(seen)
    wanted = torch.tanh(middle + log_wide.exp() * torch.from_numpy(noise))

    assert policy.draw(mean, log_std) == pytest.approx(wanted[0].detach().numpy(), abs=1e-6)


@pytest.mark.parametrize(
    ("name", "share"), [("online_rl", 1.0), ("residual", 1.0), ("residual", 0.0)]
)
def test_numpy_and_torch_agree(played, name, share) -> None:
    module, settings, nets = played(name)
    policy = module.Policy({**KNOBS, "residual": share})
    rng = np.random.default_rng(0)
    for _ in range(2):
        rows = []
        for step in range(settings["chunk"] + 1):
            seen = {key: rng.normal(size=size) for key, size in SIZES.items()}
            seen["time_s"] = np.array([3.0 + step / 30.0])
            rows.append(seen)
        policy.reset(rows[0])
        done = [policy.act(row) for row in rows][-1]
        scales = module.tensors((module.HERE / "weights.safetensors").read_bytes())
        episode = {key: np.stack([row[key] for row in rows]) for key in rows[0]}
        inputs = module.inputs_of(episode, settings, scales)[-1]
        given = torch.from_numpy(inputs.astype(np.float32))[None]
        with torch.no_grad():
            if "base" in nets:
                base = nets["base"].best(given)
                free = nets["actor"].best(torch.cat((given, base), -1))
                wanted = (base + share * settings["residual"] * free).clamp(-1.0, 1.0)
            else:
                wanted = nets["actor"].best(given)
        first = wanted.numpy().reshape(settings["chunk"], -1)[0]
        first[:3] += rows[-1]["hand_position_m"]
        assert done == pytest.approx(first, abs=1e-5)
