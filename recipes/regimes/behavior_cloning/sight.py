"""What the network sees in a picture, on numpy: as `recipes.learning.networks.Eye` has it on torch.

Convolutions, then for each of their channels the place at which it is strongest (a spatial softmax):
numbers that move with what they look at. Source: arXiv 1504.00702, section 5.2.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def look(picture: np.ndarray, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Places in a picture.

    Args:
        picture: uint8, (height, width, 3).
        arrays: Of one `Eye`, by torch's names: `convolutions.N.weight` and `.bias`; the first
            convolution takes each second pixel.

    Returns:
        float32, x of each channel and then y of each, -1 to 1 over the picture.
    """
    values = picture.astype(np.float32).transpose(2, 0, 1) / np.float32(127.5) - np.float32(1.0)
    layers = sorted({int(name.split(".")[1]) for name in arrays})
    for layer in layers:
        weight, bias = (arrays[f"convolutions.{layer}.{part}"] for part in ("weight", "bias"))
        step = 2 if layer == layers[0] else 1
        parts = np.lib.stride_tricks.sliding_window_view(values, weight.shape[2:], axis=(1, 2))
        parts = parts[:, ::step, ::step]
        values = np.tensordot(weight, parts, axes=([1, 2, 3], [0, 3, 4])) + bias[:, None, None]
        if layer != layers[-1]:
            values = np.maximum(values, 0.0)
    channels, height, width = values.shape
    flat = values.reshape(channels, -1)
    share = np.exp(flat - flat.max(axis=1, keepdims=True))
    share = (share / share.sum(axis=1, keepdims=True)).reshape(values.shape)
    across, down = (np.linspace(-1.0, 1.0, n, dtype=np.float32) for n in (width, height))
    return np.concatenate([share.sum(axis=1) @ across, share.sum(axis=2) @ down])
