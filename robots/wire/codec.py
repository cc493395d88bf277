"""msgpack through msgspec: the only encoding on the wire and in journals. No pickle anywhere."""

from functools import lru_cache
from typing import Any, TypeVar, cast

import msgspec

from robots.wire.envelopes import Reply, Request
from robots.wire.events import AnyEvent

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
_request = msgspec.msgpack.Decoder(Request)
_reply = msgspec.msgpack.Decoder(Reply)
_event = cast("msgspec.msgpack.Decoder[AnyEvent]", msgspec.msgpack.Decoder(AnyEvent))

# DecodeError: not msgpack. ValidationError (its subclass): msgpack of something else.
DecodeError = msgspec.DecodeError
ValidationError = msgspec.ValidationError


def encode(value: object) -> bytes:
    """Bytes of a struct."""
    return _encoder.encode(value)


def decode(data: bytes, kind: type[T]) -> T:
    """The struct of type `kind` in `data`.

    Raises:
        DecodeError: The bytes are not a `kind`.
    """
    return cast("T", _decoder(kind).decode(data))


def decode_request(data: bytes) -> Request:
    """A command in its envelope."""
    return _request.decode(data)


def decode_reply(data: bytes) -> Reply:
    """An answer."""
    return _reply.decode(data)


def decode_event(data: bytes) -> AnyEvent:
    """A journal row's body."""
    return _event.decode(data)


@lru_cache(maxsize=256)
def _decoder(kind: type) -> "msgspec.msgpack.Decoder[Any]":
    return msgspec.msgpack.Decoder(kind)
