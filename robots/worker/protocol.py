"""What a station and a worker say to each other: framed msgpack over a Unix socket pair.

A frame is a 4-byte little-endian length and that many bytes of msgpack. Arrays travel as an
extension: dtype, shape, bytes in C order. No pickle, no object arrays. This module is mounted into
the sandbox alone, so it imports nothing of the project.

SAFETY: the station decodes what untrusted code sent. Dtypes come from a list, sizes are checked
against the bytes that are there, and the length against a cap before anything is read.
"""

import struct
from typing import Any, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

HEADER = struct.Struct("<I")
FRAME_LIMIT_BYTES = 64 << 20
_ARRAY = 1
_MAX_DIMENSIONS = 8
_DTYPES = tuple(
    np.dtype(name)
    for name in (
        "float64", "float32", "float16", "uint8", "int8", "uint16", "int16", "uint32", "int32",
        "uint64", "int64", "bool",
    )
)  # fmt: skip
_CODES = {dtype: code for code, dtype in enumerate(_DTYPES)}
_DIMENSIONS = tuple(struct.Struct(f"<BB{count}I") for count in range(_MAX_DIMENSIONS + 1))


class Request(msgspec.Struct, frozen=True, array_like=True):
    """A call: the method's name, its arguments, and a number that its reply must carry."""

    number: int
    method: str
    arguments: tuple[Any, ...]


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """The answer to a call.

    Attributes:
        number: of the request.
        value: what the method returned; None if it raised.
        raised: exception name, message and the end of the traceback, or None.
        unsendable: what was returned instead of something that can travel, or None.
        blocked: what the code tried and may not, most telling first; best effort.
    """

    number: int
    value: Any = None
    raised: tuple[str, str, str] | None = None
    unsendable: str | None = None
    blocked: tuple[str, ...] = ()


def pack_array(value: object) -> object:
    """Encode an array, or a numpy scalar as a number; the hook for what msgpack does not know.

    Raises:
        TypeError: for anything but an array of a plain number type.
    """
    if isinstance(value, np.generic):
        return cast("np.generic[Any]", value).item()
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{type(value).__name__} cannot travel between worker and station")
    array: NDArray[Any] = value  # pyright: ignore[reportUnknownVariableType]
    code = _CODES.get(array.dtype)
    if code is None or array.ndim > _MAX_DIMENSIONS:
        raise TypeError(f"an array of {array.dtype} with {array.ndim} dimensions cannot travel")
    head = _DIMENSIONS[array.ndim].pack(code, array.ndim, *array.shape)
    return msgspec.msgpack.Ext(_ARRAY, head + array.tobytes())


def unpack_array(code: int, data: memoryview) -> NDArray[Any]:
    """Decode an array into memory of its own; the hook for msgpack's extensions.

    Raises:
        ValueError: if it is not an array, or its shape does not fit its bytes.
    """
    if code != _ARRAY or len(data) < 2:
        raise ValueError(f"extension {code} of {len(data)} bytes is not an array")
    dtype, dimensions = data[0], data[1]
    if dtype >= len(_DTYPES) or dimensions > _MAX_DIMENSIONS:
        raise ValueError(f"dtype {dtype} with {dimensions} dimensions is not in the protocol")
    head = _DIMENSIONS[dimensions]
    try:
        shape = head.unpack_from(data)[2:]
        # One call that checks shape against bytes; `frombuffer`, `reshape` and `copy` take thrice.
        array: NDArray[Any] = np.ndarray(shape, _DTYPES[dtype], bytearray(data), head.size)
    except (struct.error, TypeError, ValueError) as error:
        raise ValueError(f"an array does not fit its {len(data)} bytes: {error}") from None
    if array.nbytes + head.size != len(data):
        raise ValueError(f"an array of shape {shape} leaves some of its {len(data)} bytes over")
    return array


class Codec:
    """Encoder and decoder of one end, with a buffer that is used again for every message."""

    def __init__(self, incoming: type[Request] | type[Reply]) -> None:
        self._encoder = msgspec.msgpack.Encoder(enc_hook=pack_array)
        self._decoder = msgspec.msgpack.Decoder(incoming, ext_hook=unpack_array)
        self._buffer = bytearray(1 << 12)

    def frame(self, message: Request | Reply) -> bytearray:
        """Encode a message with its header into the codec's buffer, valid until the next call.

        Raises:
            TypeError: if it holds what cannot travel.
            ValueError: if it is beyond the cap on a frame.
        """
        buffer = self._buffer
        self._encoder.encode_into(message, buffer, HEADER.size)
        size = len(buffer) - HEADER.size
        if size > FRAME_LIMIT_BYTES:
            raise ValueError(f"a message of {size} bytes is beyond {FRAME_LIMIT_BYTES}")
        HEADER.pack_into(buffer, 0, size)
        return buffer

    def message(self, body: memoryview) -> Any:  # noqa: ANN401 - a Request or a Reply, as made.
        """Decode a message.

        Raises:
            msgspec.DecodeError: if it is not one.
            ValueError: if an array in it is not one.
        """
        return self._decoder.decode(body)
