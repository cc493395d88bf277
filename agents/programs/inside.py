"""Runs inside a program's sandbox, which has no network: its two ways out are Unix sockets.

    inside.py run SOCKET PROGRAM ARGUMENT...    serves a loopback port that leads to SOCKET, and
                                                becomes PROGRAM; {gateway} stands for its address
    inside.py stdio SOCKET                      joins standard input and output to SOCKET

The first is for programs that speak to a model only over HTTP at an address, the second for those
that start their MCP servers themselves. A script on its own: standard library only.
"""

import contextlib
import os
import signal
import socket
import sys
import threading

CHUNK_BYTES = 1 << 16


def run(path: str, argv: list[str]) -> None:
    """Become a program, with the way to the socket kept open by a process of its own."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    program = os.getpid()
    if os.fork() == 0:
        # Its standard streams are the program's, which must see their end.
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1):
            os.dup2(nowhere, descriptor)
        threading.Thread(target=_forward, args=(listener, path), daemon=True).start()
        _outlive(program)
        os._exit(0)
    listener.close()
    filled = [each.replace("{gateway}", address) for each in argv]
    environment = {key: value.replace("{gateway}", address) for key, value in os.environ.items()}
    os.execvpe(filled[0], filled, environment)  # noqa: S606 - no shell wanted.


def stdio(path: str) -> None:
    """Join standard input and output to a socket, until either side ends."""
    with socket.socket(socket.AF_UNIX) as tools:
        tools.connect(path)
        threading.Thread(target=_feed, args=(tools,), daemon=True).start()
        while data := tools.recv(CHUNK_BYTES):
            _write(1, data)
    # The thread may be deep in a read of standard input, which nothing else ends.
    os._exit(0)


def _feed(tools: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := os.read(0, CHUNK_BYTES):
            tools.sendall(data)
        tools.shutdown(socket.SHUT_WR)


def _forward(listener: socket.socket, path: str) -> None:
    while True:
        near, _ = listener.accept()
        far = socket.socket(socket.AF_UNIX)
        try:
            far.connect(path)
        except OSError as error:
            # The program sees a closed connection, and its log says why.
            sys.stderr.write(f"the gateway does not answer: {error}\n")
            near.close()
            continue
        for pair in ((near, far), (far, near)):
            threading.Thread(target=_pump, args=pair, daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(CHUNK_BYTES):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _outlive(program: int) -> None:
    descriptor = os.pidfd_open(program)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(OSError):
        import select

        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        poller.poll()


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(sys.argv[2], sys.argv[3:])
    else:
        stdio(sys.argv[2])
