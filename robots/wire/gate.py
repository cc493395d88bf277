"""The ZAP handler: who is let in at a daemon's sockets. CURVE without one accepts any client key.

One gate a ZeroMQ context, answering on `inproc://zeromq.zap.01` in the daemon's event loop. A
message's `User-Id` is the public key its connection proved to hold; roles are looked up by it.
"""

from collections import Counter
from collections.abc import Sequence

import zmq
from zmq.utils import z85

from robots.wire.keys import Authorized, Identity
from robots.wire.sockets import DEFAULT_TIMES, Drain, prepare, receive_parts

ADDRESS = "inproc://zeromq.zap.01"
CURVE_KEY_BYTES = 32
ZAP_FRAMES = 7  # Six fields and, for CURVE, the client's key.


class Gate:
    """A context whose CURVE servers admit the authorized keys and no others.

    Attributes:
        context: For the sockets behind this gate.
        denied: Handshakes refused, by reason.
    """

    def __init__(self, authorized: Authorized) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context(io_threads=1)
        self.denied: Counter[str] = Counter()
        self._authorized = authorized
        self._socket = self.context.socket(zmq.REP)
        prepare(self._socket, DEFAULT_TIMES, high_water=1000)
        self._socket.bind(ADDRESS)
        self._drain = Drain(self._socket, self._read)

    def identify(self, user_id: str) -> Identity | None:
        """Who stands behind a message's `User-Id`, None once the key was taken off the list."""
        return self._authorized.find(user_id.encode())

    def close(self) -> None:
        """Close the gate and its context; every socket behind it must be closed before."""
        self._drain.close()
        self._socket.close(linger=0)
        self.context.term()

    def _read(self) -> None:
        parts = receive_parts(self._socket)
        version, request_id = parts[0], parts[1]
        objection, user_id = self._judge(parts)
        if objection:
            self.denied[objection] += 1
        code, text = (b"400", objection.encode()) if objection else (b"200", b"OK")
        self._socket.send_multipart([version, request_id, code, text, user_id, b""], zmq.NOBLOCK)
        self._drain.sent()

    def _judge(self, parts: Sequence[bytes]) -> tuple[str, bytes]:
        """Objection ("" if none) and user id of a request, whose frames RFC 27 lists."""
        if len(parts) != ZAP_FRAMES or parts[0] != b"1.0":
            return "malformed", b""
        mechanism, credential = parts[5], parts[6]
        if mechanism != b"CURVE" or len(credential) != CURVE_KEY_BYTES:
            return "mechanism", b""
        public = z85.encode(credential)
        self._authorized.refresh()
        if self._authorized.find(public) is None:
            return "unknown_key", b""
        return "", public
