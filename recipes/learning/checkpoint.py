"""Networks, optimisers and single tensors by name, and back: a resumed job goes on where it was."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor, nn
from torch.optim import Optimizer

from recipes.learning.demonstrations import Scale

Part = nn.Module | Optimizer | Tensor


def state(**parts: Part) -> dict[str, Tensor]:
    """All tensors of the parts, each under its part's name; a tensor is its own."""
    found: dict[str, Tensor] = {}
    for name, part in parts.items():
        if isinstance(part, Tensor):
            found[name] = part.detach()
        elif isinstance(part, nn.Module):
            found |= {f"{name}.{key}": value for key, value in part.state_dict().items()}
        else:
            for index, each in part.state_dict()["state"].items():
                found |= {f"{name}.{index}.{key}": value for key, value in each.items()}
    return found


def restore(tensors: Mapping[str, Tensor], **parts: Part) -> None:
    """Put tensors back; names as they were given to `state`.

    Raises:
        KeyError: The checkpoint lacks a tensor.
        RuntimeError: A network has other layers than the checkpoint's.
    """
    for name, part in parts.items():
        if isinstance(part, Tensor):
            part.data.copy_(tensors[name])
            continue
        start = f"{name}."
        own = {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
        if isinstance(part, nn.Module):
            part.load_state_dict(own)
            continue
        rows: dict[int, dict[str, Tensor]] = {}
        for key, value in own.items():
            index, _, figure = key.partition(".")
            rows.setdefault(int(index), {})[figure] = value
        part.load_state_dict({"state": rows, "param_groups": part.state_dict()["param_groups"]})


def export(
    folder: Path, net: nn.Module, seen: Scale, done: Scale, eyes: nn.Module | None = None
) -> None:
    """Write what a policy on numpy needs: weights and normalisation as plain arrays.

    Args:
        folder: Takes `weights.npz`.
        net: From what is seen to what is done, both normalised.
        seen: Normalisation of what is seen.
        done: Normalisation of what is done.
        eyes: For pictures, None for none.
    """
    folder.mkdir(exist_ok=True)
    arrays = {f"net.{name}": value.cpu().numpy() for name, value in net.state_dict().items()}
    if eyes is not None:
        arrays |= {f"eyes.{name}": value.cpu().numpy() for name, value in eyes.state_dict().items()}
    arrays |= {"seen.middle": seen.middle, "seen.spread": seen.spread}
    arrays |= {"done.middle": done.middle, "done.spread": done.spread}
    np.savez(folder / "weights.npz", allow_pickle=False, **arrays)
