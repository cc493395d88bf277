"""Camera frames as a video of their own: as many frames out as went in, each findable by its time."""

import importlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CODEC, PIXELS = "h264", "yuv420p"
KEY_EVERY = 2
"""Frames between two that stand alone: training reads frames in any order."""


def write_video(path: Path, frames: NDArray[np.uint8], fps: float) -> None:
    """Write frames as H.264 in MP4.

    Args:
        path: The file, whatever its suffix.
        frames: (frames, height, width, 3), RGB; height and width even.
        fps: Frames a second.

    Raises:
        ValueError: The video does not have as many frames as were given.
    """
    av: Any = importlib.import_module("av")

    rate = Fraction(fps).limit_denominator(1001)
    height, width = frames.shape[1:3]
    written = 0
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, PIXELS
        # No frames that refer to later ones: the first one then lies at time 0.
        stream.options = {"crf": "18", "g": str(KEY_EVERY), "bf": "0", "preset": "veryfast"}
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            for packet in stream.encode(picture):
                container.mux(packet)
                written += 1
        for packet in stream.encode():
            container.mux(packet)
            written += 1
    if written != len(frames):
        raise ValueError(f"{path}: {written} frames were written, {len(frames)} were given")


def read_video(path: Path) -> NDArray[np.uint8]:
    """All frames of a video, (frames, height, width, 3), RGB."""
    av: Any = importlib.import_module("av")

    with av.open(str(path)) as container:
        # Small pictures: threads of a decoder would take longer to start than to be of use.
        container.streams.video[0].codec_context.thread_count = 1
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(shown)
