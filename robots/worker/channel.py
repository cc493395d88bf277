"""The station's end of a worker's socket: frames with a deadline, each byte read into one buffer.

Deadlines are the socket's own time-outs (SO_RCVTIMEO, SO_SNDTIMEO), set only when they change: two
system calls a round trip where Python's time-outs take five.
"""

import socket
import struct
import time

from robots.worker.protocol import HEADER

_TIMEVAL = struct.Struct("ll")
_LEAST_S = 1e-4  # Zero would mean to wait for ever.


class Channel:
    """A connected stream socket that sends and receives frames.

    SAFETY: whoever is at the other end may send anything, drip it, or stop reading; every wait
    ends at its deadline and nothing beyond ``limit_bytes`` is ever kept.
    """

    def __init__(self, connected: socket.socket, limit_bytes: int) -> None:
        connected.settimeout(None)
        self._socket = connected
        self._limit_bytes = limit_bytes
        self._timeout_s = 0.0
        self._buffer = bytearray(1 << 16)
        self._view = memoryview(self._buffer)

    def exchange(self, frame: bytes | bytearray, timeout_s: float) -> memoryview:
        """Send a frame and return the body of the one that comes back, valid until the next call.

        Raises:
            TimeoutError: if it is not complete in time.
            EOFError: if the other end is closed.
            ValueError: if it is too large, or more follows it.
        """
        deadline_s = time.perf_counter() + timeout_s
        self._allow(timeout_s)
        try:
            self._send(frame, deadline_s)
            return self._receive(deadline_s)
        except BlockingIOError:
            raise TimeoutError from None
        except (BrokenPipeError, ConnectionResetError):
            raise EOFError from None

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def _send(self, frame: bytes | bytearray, deadline_s: float) -> None:
        sent = self._socket.send(frame)
        while sent < len(frame):
            self._allow(deadline_s - time.perf_counter())
            sent += self._socket.send(memoryview(frame)[sent:])

    def _receive(self, deadline_s: float) -> memoryview:
        got, wanted = 0, HEADER.size
        while True:
            read = self._socket.recv_into(self._view[got:])
            if read == 0:
                raise EOFError
            got += read
            if wanted == HEADER.size <= got:
                wanted += HEADER.unpack_from(self._buffer)[0]
                self._make_room(wanted)
            if got >= wanted:
                break
            self._allow(deadline_s - time.perf_counter())
        if got > wanted:
            raise ValueError("more than one reply to a request")
        return self._view[HEADER.size : wanted]

    def _allow(self, timeout_s: float) -> None:
        """Let the next system call wait for so long."""
        if timeout_s == self._timeout_s:
            return
        if timeout_s <= 0:
            raise TimeoutError
        self._timeout_s = timeout_s
        whole_s, rest_s = divmod(max(timeout_s, _LEAST_S), 1)
        timeval = _TIMEVAL.pack(int(whole_s), int(rest_s * 1e6))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)

    def _make_room(self, wanted: int) -> None:
        if wanted > self._limit_bytes:
            raise ValueError(f"a reply of {wanted} bytes is beyond {self._limit_bytes}")
        if wanted > len(self._buffer):
            grown = bytearray(wanted)
            grown[: len(self._buffer)] = self._buffer
            self._buffer = grown
            self._view = memoryview(grown)
