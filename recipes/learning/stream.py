"""Actor and learner apart: episodes go one way, weights the other, and neither waits for the other.

The learner binds two Unix sockets in a folder that both see. Episodes are pushed to one; what a
learner that stands still or is gone does not take is kept by the actor, oldest dropped first. What a
killed learner had not read yet is lost with it. On the
other the newest weights are published as one message, their SHA-256 before them: an actor has a
whole version or the one before.
"""

import hashlib
import os
from collections import deque
from pathlib import Path

import msgspec
import zmq

from recipes.learning.courses import Course
from robots.wire.sockets import LinkTimes, prepare

EPISODES, WEIGHTS = "episodes.sock", "weights.sock"
HELD = 200
"""Episodes on either side of the wire, and as many kept by an actor beyond."""
_DIGEST_BYTES = 32
# A Unix socket tells of a dead peer by itself; a learner that stands still is not to be hung up on,
# since what it has not read yet would be lost.
TIMES = LinkTimes(heartbeat=0, silence=0)


class LearnerEnd:
    """The learner's end.

    Args:
        folder: Where the sockets lie; what a killed learner left there is taken over.
    """

    def __init__(self, folder: Path) -> None:
        self._context = zmq.Context()
        self._episodes = self._context.socket(zmq.PULL)
        self._weights = self._context.socket(zmq.PUB)
        for socket, name in ((self._episodes, EPISODES), (self._weights, WEIGHTS)):
            prepare(socket, TIMES, HELD)
            (folder / name).unlink(missing_ok=True)
            socket.bind(address(folder / name))
            # An actor outside the sandbox may be another user.
            (folder / name).chmod(0o666)
        self.torn = 0

    def take(self, wait_ms: int = 0) -> list[tuple[Course, bytes]]:
        """Episodes that have arrived, each with its bytes.

        Args:
            wait_ms: How long to wait for a first one.
        """
        found: list[tuple[Course, bytes]] = []
        while self._episodes.poll(0 if found else wait_ms):
            content = self._episodes.recv(zmq.NOBLOCK)
            try:
                found.append((msgspec.msgpack.decode(content, type=Course), content))
            except msgspec.DecodeError:
                self.torn += 1
        return found

    def publish(self, weights: bytes) -> str:
        """Offer weights to whoever listens; returns their SHA-256."""
        digest = hashlib.sha256(weights)
        self._weights.send(digest.digest() + weights)
        return digest.hexdigest()

    def close(self) -> None:
        self._context.destroy(linger=0)


class ActorEnd:
    """The actor's end; no call waits.

    Args:
        folder: Where the learner's sockets lie, or will.
    """

    def __init__(self, folder: Path) -> None:
        self._context = zmq.Context()
        self._episodes = self._context.socket(zmq.PUSH)
        self._weights = self._context.socket(zmq.SUB)
        for socket in (self._episodes, self._weights):
            prepare(socket, TIMES, HELD)
        # Without a learner nothing is queued in a socket: what is kept, is kept where it is counted.
        self._episodes.setsockopt(zmq.IMMEDIATE, 1)
        self._weights.setsockopt(zmq.CONFLATE, 1)
        self._weights.setsockopt(zmq.SUBSCRIBE, b"")
        self._episodes.connect(address(folder / EPISODES))
        self._weights.connect(address(folder / WEIGHTS))
        self._kept: deque[bytes] = deque(maxlen=HELD)
        self.dropped = self.torn = 0
        self.version = ""

    def give(self, course: Course) -> None:
        """Send an episode, or keep it until it can be sent."""
        self.dropped += len(self._kept) == HELD
        self._kept.append(msgspec.msgpack.encode(course))
        self.flush()

    def flush(self) -> None:
        """Send what was kept, as far as it goes."""
        while self._kept:
            try:
                self._episodes.send(self._kept[0], zmq.NOBLOCK)
            except zmq.Again:
                return
            self._kept.popleft()

    @property
    def kept(self) -> int:
        """Episodes that could not be sent yet."""
        return len(self._kept)

    def newer(self, wait_ms: int = 0) -> tuple[str, bytes] | None:
        """The newest weights with their SHA-256, if they are not those of last time.

        Args:
            wait_ms: How long to wait for them.
        """
        if not self._weights.poll(wait_ms):
            return None
        content = self._weights.recv(zmq.NOBLOCK)
        digest, weights = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if hashlib.sha256(weights).digest() != digest:
            self.torn += 1
            return None
        if digest.hex() == self.version:
            return None
        self.version = digest.hex()
        return self.version, weights

    def close(self) -> None:
        self._context.destroy(linger=0)


def address(path: Path) -> str:
    """Of a Unix socket; relative where that is shorter, since a socket's path has 107 bytes at most."""
    near = os.path.relpath(path)
    return f"ipc://{min(str(path), near, key=len)}"
