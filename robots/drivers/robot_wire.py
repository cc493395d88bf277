"""What a station and its simulated robot say to each other: framed msgpack on a Unix socket.

Both ends are ours and trusted. Arrays travel as in `robots.worker.protocol`.
"""

import socket
import struct
import time
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from robots.worker.protocol import pack_array, unpack_array

_LENGTH = struct.Struct("<I")
_LIMIT_BYTES = 64 << 20


class Message(msgspec.Struct, frozen=True, tag=True, array_like=True):
    """Base of all messages; the tag is the class name."""


class SetPoint(Message, frozen=True):
    """Go there by the next control tick; answered with `Measured`."""

    values: tuple[float, ...]


class GetState(Message, frozen=True):
    """Answered with `Measured`; no set-point, so the firmware's time goes on."""


class Observe(Message, frozen=True):
    """Answered with `Sensed`."""


class Look(Message, frozen=True):
    """Answered with `Seen`, from the cameras."""


class StartEpisode(Message, frozen=True):
    """Draw an episode's randomness; answered with `Target`."""

    seed: int


class DrawTarget(Message, frozen=True):
    """Draw another target of the reset; answered with `Target`."""


class Audit(Message, frozen=True):
    """Privileged truth; answered with `Truth`."""


class Stop(Message, frozen=True):
    """Hold where you are; answered with `Measured`."""


class Restore(Message, frozen=True):
    """After a protective stop: usable again from the measured pose; answered with `Measured`."""


class Measured(Message, frozen=True):
    """How the robot stands.

    Attributes:
        setpoint: Where it is commanded to be.
        condition: Name of a fault's row in the safety table, "" if there is none.
        holding: The firmware holds because set-points stopped coming.
        stopped: Its emergency stop is latched; set-points are ignored.
        ticks: Control ticks since power-on.
        late_s: The physics' largest lateness since the last answer.
        motor_c: Temperature of the hottest motor.
        deviation: Distance of the worst drive from its command, as a share of its range.
    """

    setpoint: tuple[float, ...]
    condition: str
    detail: str
    holding: bool
    stopped: bool
    ticks: int
    late_s: float
    motor_c: float
    deviation: float


class Sensed(Message, frozen=True):
    """What the sensors say."""

    observation: dict[str, NDArray[Any]]


class Seen(Message, frozen=True):
    """Camera images, and depth, by name, and how long ago the cameras took them."""

    images: dict[str, NDArray[Any]]
    age_s: float


class Target(Message, frozen=True):
    """Where the reset shall bring the scene."""

    target: NDArray[np.float64]


class Truth(Message, frozen=True):
    """Privileged figures."""

    audit: dict[str, float]


Ask = SetPoint | GetState | Observe | Look | StartEpisode | DrawTarget | Audit | Stop | Restore
Answer = Measured | Sensed | Seen | Target | Truth


def _extension(code: int, data: memoryview) -> object:
    return unpack_array(code, data)


def _numbers(kind: type, value: object) -> object:
    # Arrays come out of the extension as arrays already.
    del kind
    return value


_encoder = msgspec.msgpack.Encoder(enc_hook=pack_array)
_asks: "msgspec.msgpack.Decoder[Ask]" = msgspec.msgpack.Decoder(
    Ask, ext_hook=_extension, dec_hook=_numbers
)
_answers: "msgspec.msgpack.Decoder[Answer]" = msgspec.msgpack.Decoder(
    Answer, ext_hook=_extension, dec_hook=_numbers
)


class Disconnected(Exception):
    """The other end is gone or did not answer in time."""


class Link:
    """One end of a connection, used by one thread."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    def fileno(self) -> int:
        return self._channel.fileno()

    def send(self, message: Ask | Answer, timeout_s: float) -> None:
        """Send one message.

        Raises:
            Disconnected: The other end is gone or takes nothing.
        """
        body = _encoder.encode(message)
        self._channel.settimeout(timeout_s)
        try:
            self._channel.sendall(_LENGTH.pack(len(body)) + body)
        except OSError as error:
            raise Disconnected(str(error)) from error

    def receive_ask(self, timeout_s: float) -> Ask:
        """The next command; as `_receive`."""
        return _asks.decode(self._receive(timeout_s))

    def receive_answer(self, timeout_s: float) -> Answer:
        """The next answer; as `_receive`."""
        return _answers.decode(self._receive(timeout_s))

    def close(self) -> None:
        self._channel.close()

    def _receive(self, timeout_s: float) -> bytearray:
        """One whole frame.

        Raises:
            Disconnected: The other end is gone, is silent, or sends what is none.
        """
        deadline_s = time.monotonic() + timeout_s
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size, deadline_s))
        if length > _LIMIT_BYTES:
            raise Disconnected(f"a message of {length} bytes")
        return self._exactly(length, deadline_s)

    def _exactly(self, size: int, deadline_s: float) -> bytearray:
        buffer = bytearray(size)
        view, got = memoryview(buffer), 0
        while got < size:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0.0:
                raise Disconnected("no answer in time")
            self._channel.settimeout(left_s)
            try:
                read = self._channel.recv_into(view[got:])
            except OSError as error:
                raise Disconnected(str(error) or "no answer in time") from error
            if read == 0:
                raise Disconnected("closed")
            got += read
        return buffer


def connect(path: str, timeout_s: float) -> Link:
    """Connect to a robot's socket.

    Raises:
        Disconnected: Nobody listens there.
    """
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    channel.settimeout(timeout_s)
    try:
        channel.connect(path)
    except OSError as error:
        channel.close()
        raise Disconnected(f"{path}: {error}") from error
    return Link(channel)
