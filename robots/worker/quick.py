"""Short frames for the call that is made thirty times a robot second: numbers in, numbers out.

Between `reset`s an observation keeps its keys and shapes. Where all of it is float64, only the
bytes travel, and so does an action that is a float64 vector; msgpack with an extension an array
takes 25 us more of a round trip of 60. Everything else takes the ordinary way. Mounted into the
sandbox beside `robots.worker.protocol`, so it imports nothing of the project.

SAFETY: a frame begins with a byte that no msgpack message begins with, and its size says whether it
is one; what does not fit is refused by the ordinary way's rules.
"""

import struct
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

MARK = 0xC1  # msgpack's one byte that is never used.
_HEAD = struct.Struct("<IBI")  # Length of what follows it, mark, number of the call.
_BODY = struct.Struct("<BI")
_MOST_NUMBERS = 1024
_FLOAT = np.dtype("float64")


class Layout:
    """How an observation's numbers lie in a frame.

    Args:
        sizes: key, shape and offset in numbers of each array, in order.
        total: how many numbers there are.
    """

    def __init__(self, sizes: list[tuple[str, tuple[int, ...], slice]], total: int) -> None:
        self._sizes = sizes
        self._length = _BODY.size + total * _FLOAT.itemsize
        self._keys = [key for key, _, _ in sizes]

    @classmethod
    def of(cls, observation: object) -> "Layout | None":
        """The layout of an observation, None if it has to take the ordinary way."""
        if not isinstance(observation, dict):
            return None
        sizes: list[tuple[str, tuple[int, ...], slice]] = []
        total = 0
        for key, value in cast("dict[str, object]", observation).items():
            if not isinstance(value, np.ndarray):
                return None
            array = cast("NDArray[Any]", value)
            if array.dtype != _FLOAT:
                return None
            end = total + array.size
            sizes.append((key, array.shape, slice(total, end)))
            total = end
        return cls(sizes, total) if sizes and total <= _MOST_NUMBERS else None

    def frame(self, number: int, observation: Mapping[str, NDArray[Any]]) -> bytes | None:
        """A whole frame, or None if the observation is not laid out so."""
        if [*observation] != self._keys:
            return None
        parts: list[bytes] = []
        for array in observation.values():
            if array.dtype is not _FLOAT and array.dtype != _FLOAT:
                return None
            parts.append(array.tobytes())
        body = b"".join(parts)
        if len(body) + _BODY.size != self._length:
            return None
        return _HEAD.pack(self._length, MARK, number) + body

    def read(self, body: memoryview) -> tuple[int, dict[str, NDArray[np.float64]]]:
        """Number of the call and its observation, in memory of its own.

        Raises:
            ValueError: the frame is not laid out so.
        """
        _, number = _BODY.unpack_from(body)
        flat = read_numbers(body, number)
        return number, {key: flat[part].reshape(shape) for key, shape, part in self._sizes}


def is_quick(body: memoryview) -> bool:
    """Whether a frame is one of these."""
    return len(body) > 0 and body[0] == MARK


def frame_of(number: int, value: object) -> bytes | None:
    """A whole frame with an action, or None if it has to take the ordinary way."""
    if type(value) is not np.ndarray or value.dtype != _FLOAT or value.ndim != 1:
        return None
    if value.size > _MOST_NUMBERS:
        return None
    body = value.tobytes()
    return _HEAD.pack(_BODY.size + len(body), MARK, number) + body


def read_numbers(body: memoryview, number: int) -> NDArray[np.float64]:
    """The numbers of a frame, in memory of their own.

    Args:
        body: the frame, without its length.
        number: of the call that it must belong to.

    Raises:
        ValueError: the frame holds no whole numbers, too many, or another call's.
    """
    size = len(body) - _BODY.size
    if size < 0 or size % _FLOAT.itemsize or size > _MOST_NUMBERS * _FLOAT.itemsize:
        raise ValueError(f"a frame of {len(body)} bytes holds no numbers")
    _, said = _BODY.unpack_from(body)
    if said != number:
        raise ValueError(f"reply {said} to request {number}")
    return np.frombuffer(bytearray(body[_BODY.size :]))
