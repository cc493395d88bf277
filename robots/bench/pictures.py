"""Images as PNG files, for people who look at what a verifier got wrong."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FAR_M = 3.0
"""Depth that a picture shows in black; what is nearer is lighter."""


def write_png(path: Path, image: NDArray[Any]) -> None:
    """Write an image.

    Args:
        path: The file.
        image: uint8, height x width x 3, RGB; or depth, float, metres, height x width.
    """
    if image.ndim == 2:
        image = _lit(image)
    height, width, channels = image.shape
    assert channels == 3, image.shape
    # Each row begins with its filter, 0 for none.
    rows = np.concatenate([np.zeros((height, 1), np.uint8), image.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks))


def _lit(depth_m: NDArray[Any]) -> NDArray[np.uint8]:
    """Depth as shades, the nearest white: spread over what is there, to be told apart by eye."""
    known = depth_m[np.isfinite(depth_m) & (depth_m < FAR_M)]
    near, far = (float(known.min()), float(known.max())) if known.size else (0.0, FAR_M)
    share = np.nan_to_num((far - depth_m) / max(far - near, 1e-6), nan=0.0, posinf=0.0, neginf=0.0)
    return np.repeat((255 * np.clip(share, 0.0, 1.0)).astype(np.uint8)[..., None], 3, axis=2)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )
