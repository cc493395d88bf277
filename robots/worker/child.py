"""The child's side of a worker: load one class or function, answer calls, report what was tried.

A script, mounted alone and run inside the sandbox as ``python child.py PLAN``; it imports the
standard library, numpy and msgspec, and loads `robots.worker.protocol` from its file.

Nothing here is a wall. Code that is loaded here shares this process, can change everything in it
and can lie in its replies; the walls are the namespaces around it, and time is measured outside.
The audit hook only gives an attempt a name where it can be noticed.
"""

import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple, cast

_TRACEBACK_CHARACTERS = 2_000
_MESSAGE_CHARACTERS = 500
_MOST_BLOCKED = 16
_FORBIDDEN_MODULES = frozenset(
    (
        "agents", "dm_control", "enpire_tui", "gym_pusht", "gymnasium", "mujoco", "pymunk",
        "recipes", "robots",
    )
)  # fmt: skip
_PERMITTED_MODULES = frozenset(("robots", "robots.policy"))
_PATH_EVENTS = frozenset(
    (
        "open", "os.chdir", "os.chmod", "os.chown", "os.link", "os.listdir", "os.mkdir",
        "os.remove", "os.rename", "os.rmdir", "os.scandir", "os.symlink", "os.truncate",
    )
)  # fmt: skip
_ACT_EVENTS = frozenset(
    (
        "os.exec", "os.fork", "os.forkpty", "os.kill", "os.killpg", "os.posix_spawn", "os.spawn",
        "os.system", "pty.spawn", "socket.__new__", "socket.bind", "socket.connect",
        "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "subprocess.Popen",
    )
)  # fmt: skip
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Plan(NamedTuple):
    """What to serve, and where its parts lie inside.

    Attributes:
        channel: descriptor of the socket to the station.
        protocol: file of the protocol's module.
        quick: file of the short frames' module.
        site: folders to put on the module path.
        folder: the recipe's folder, or the one that holds the single file.
        entry: the file to load.
        name: the class or function to take from it.
        methods: what may be called. A class is made with the knobs first; a function is its own
            only method.
        readable: path prefixes that the code may read.
        writable: path prefixes that it may write.
        permitted: packages of ours that it may import.
    """

    channel: int
    protocol: str
    quick: str
    site: list[str]
    folder: str
    entry: str
    name: str
    methods: list[str]
    readable: list[str]
    writable: list[str]
    permitted: list[str]


class Recorder:
    """An audit hook that notes what the code tried beyond what it may."""

    def __init__(self, readable: list[str], writable: list[str], permitted: list[str]) -> None:
        self._readable = tuple(os.path.join(prefix, "") for prefix in readable)
        self._writable = tuple(os.path.join(prefix, "") for prefix in writable)
        self._permitted = {*_PERMITTED_MODULES}
        for package in permitted:
            parts = package.split(".")
            self._permitted.update(".".join(parts[:end]) for end in range(1, len(parts) + 1))
        self._below = tuple(f"{package}." for package in permitted)
        self._seen: dict[str, None] = {}

    def __call__(self, event: str, details: tuple[Any, ...]) -> None:
        """Note an event; called by the interpreter for every audited one."""
        if event in _PATH_EVENTS:
            self._note_path(event, details)
        elif event == "import":
            name = str(details[0])
            known = name in self._permitted or name.startswith(self._below)
            if name.partition(".")[0] in _FORBIDDEN_MODULES and not known:
                self._note(f"blocked: import {name}")
        elif event in _ACT_EVENTS:
            shown = ", ".join(
                repr(detail) for detail in details if type(detail) in (int, str, tuple)
            )
            self._note(f"blocked: {event} {shown}".rstrip())

    def take(self) -> tuple[str, ...]:
        """Return what was noted since the last call."""
        if not self._seen:
            return ()
        seen, self._seen = tuple(self._seen), {}
        return seen

    def _note_path(self, event: str, details: tuple[Any, ...]) -> None:
        path = details[0]
        if not isinstance(path, str | bytes):
            return
        full = os.path.join(os.path.normpath(os.path.join(os.getcwd(), os.fsdecode(path))), "")
        if full.startswith(self._writable):
            return
        flags = details[2] if event == "open" and isinstance(details[2], int) else 0
        mode = details[1] if event == "open" and isinstance(details[1], str) else ""
        reads = event in ("open", "os.listdir", "os.scandir", "os.chdir")
        writes = not reads or flags & _WRITE_FLAGS or set(mode) & set("wax+")
        if writes or not full.startswith(self._readable):
            self._note(f"blocked: {'write' if writes else event} {full.rstrip('/') or '/'}")

    def _note(self, text: str) -> None:
        if len(self._seen) < _MOST_BLOCKED:
            self._seen[text[:_MESSAGE_CHARACTERS]] = None


class Channel:
    """Frames over an inherited descriptor."""

    def __init__(self, descriptor: int, header_bytes: int, limit_bytes: int) -> None:
        self._descriptor = descriptor
        self._header_bytes = header_bytes
        self._limit_bytes = limit_bytes
        self._buffer = memoryview(bytearray(1 << 16))

    def receive(self) -> memoryview | None:
        """Wait for a frame and return its body, valid until the next call; None at the end."""
        got, wanted = 0, self._header_bytes
        while got < wanted:
            read = os.readv(self._descriptor, [self._buffer[got:]])
            if read == 0:
                return None
            got += read
            if wanted == self._header_bytes <= got:
                wanted += int.from_bytes(self._buffer[:wanted], "little")
                assert wanted <= self._limit_bytes
                if wanted > len(self._buffer):
                    grown = memoryview(bytearray(wanted))
                    grown[:got] = self._buffer[:got]
                    self._buffer = grown
        return self._buffer[self._header_bytes : wanted]

    def send(self, frame: bytes | bytearray) -> None:
        """Send a whole frame."""
        sent = os.write(self._descriptor, frame)
        while sent < len(frame):
            sent += os.write(self._descriptor, memoryview(frame)[sent:])


def serve(plan: Plan) -> None:
    """Answer calls until the station closes the channel."""
    sys.path[:0] = plan.site
    protocol = _load("enpire_protocol", plan.protocol)
    quick = _load("enpire_quick", plan.quick)
    codec = protocol.Codec(protocol.Request)
    channel = Channel(plan.channel, protocol.HEADER.size, protocol.FRAME_LIMIT_BYTES)
    recorder = Recorder(plan.readable, plan.writable, plan.permitted)
    sys.addaudithook(recorder)
    sys.path.insert(0, plan.folder)
    served: dict[str, Callable[..., Any]] = {}

    def load(*arguments: object) -> None:
        made = getattr(_load(f"recipe_{plan.name}", plan.entry), plan.name)
        if plan.methods == [plan.name]:
            served[plan.name] = made
        else:
            instance = made(*arguments)
            served.update({name: getattr(instance, name) for name in plan.methods})

    served["load"] = load
    layout: Any = None
    while (body := channel.receive()) is not None:
        if layout is not None and quick.is_quick(body):
            number, observation = layout.read(body)
            method, arguments = "act", (observation,)
        else:
            request = codec.message(body)
            number, method, arguments = request.number, request.method, request.arguments
            if method == "reset":
                layout = quick.Layout.of(arguments[0])
        raised = value = None
        try:
            value = served[method](*arguments)
        except BaseException as error:  # noqa: BLE001 - the process's edge: everything is a reply.
            raised = (type(error).__name__, *_told(error))
        blocked = recorder.take()
        frame = None
        if layout is not None and raised is None and not blocked:
            frame = quick.frame_of(number, value)
        channel.send(frame or _reply(protocol, codec, number, value, raised, blocked))


def _reply(
    protocol: Any,  # noqa: ANN401 - loaded from its file.
    codec: Any,  # noqa: ANN401
    number: int,
    value: object,
    raised: tuple[str, str, str] | None,
    blocked: tuple[str, ...],
) -> bytearray:
    """A reply's frame by the ordinary way."""
    try:
        return codec.frame(protocol.Reply(number, value, raised=raised, blocked=blocked))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        said = str(error)[:_MESSAGE_CHARACTERS]
        return codec.frame(protocol.Reply(number, unsendable=said, blocked=blocked))


def _load(name: str, file: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _told(error: BaseException) -> tuple[str, str]:
    """The message and the end of the traceback; an exception may even fail to say what it is."""
    try:
        message = str(error)[:_MESSAGE_CHARACTERS]
        trace = "".join(traceback.format_exception(error))[-_TRACEBACK_CHARACTERS:]
    except BaseException:  # noqa: BLE001 - code of the recipe runs here too.
        return "", ""
    return message, trace


if __name__ == "__main__":
    serve(Plan(**cast("dict[str, Any]", json.loads(sys.argv[1]))))
