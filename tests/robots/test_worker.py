"""Workers: calls, their failures, and a policy's attacks, each in a real sandbox."""

import contextlib
import os
import signal
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from robots.sandbox import ExitReason, Limits, probe
from robots.sandbox.spec import MIB
from robots.worker import (
    Worker,
    WorkerBadReply,
    WorkerDied,
    WorkerFailed,
    WorkerKind,
    WorkerRaised,
    WorkerTimedOut,
    protocol,
    worker_limits,
)

OBSERVATION = {"object_pose": np.array([0.1, -0.2, 0.3]), "time_s": np.array([1.5])}

needs_sandbox = pytest.mark.skipif(not probe().usable, reason=f"no sandbox: {probe().reason}")

Serve = Callable[..., Worker]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A folder that the sandbox's user can reach, as stations make them."""
    folder = tmp_path / "recipe"
    folder.mkdir()
    return folder


@pytest.fixture
def serve(recipe: Path) -> Iterator[Serve]:
    """Start a policy whose `act` has the given body; every one is closed in the end."""
    started: list[Worker] = []

    def start(body: str, **options: Any) -> Worker:
        code = textwrap.dedent(body).strip()
        recipe.joinpath("policy.py").write_text(
            "import numpy as np\n\n\nclass Policy:\n"
            "    def __init__(self, knobs):\n        self.knobs = knobs\n"
            "    def reset(self, observation):\n        pass\n"
            f"    def act(self, observation):\n{textwrap.indent(code, ' ' * 8)}\n"
        )
        started.append(Worker.start(WorkerKind.POLICY, recipe, **options))
        return started[-1]

    yield start
    for worker in started:
        worker.close()


def act(worker: Worker, wall_s: float = 5.0) -> Any:
    return worker.call("act", OBSERVATION, wall_s=wall_s).value


def fails(worker: Worker, wall_s: float = 5.0) -> WorkerFailed:
    """Call `act`, which must fail, within seconds."""
    begun_s = time.monotonic()
    with pytest.raises(WorkerFailed) as failure:
        act(worker, wall_s)
    assert time.monotonic() - begun_s < wall_s + 3.0
    return failure.value


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


# --- what a worker is for


@needs_sandbox
@pytest.mark.parametrize("sandboxed", [True, False])
def test_a_policy_answers_with_an_array(serve: Serve, *, sandboxed: bool) -> None:
    worker = serve(
        "return observation['object_pose'][:2] * self.knobs['gain']",
        knobs={"gain": 2.0},
        sandboxed=sandboxed,
    )

    assert worker.call("reset", OBSERVATION, wall_s=5).value is None
    action = act(worker)

    assert action.dtype == np.float64
    np.testing.assert_array_equal(action, [0.2, -0.4])


@needs_sandbox
def test_a_policy_may_use_the_other_files_of_its_recipe(recipe: Path, serve: Serve) -> None:
    recipe.joinpath("geometry.py").write_text("import numpy as np\nHALF = np.array([0.5])\n")

    worker = serve("import geometry\nreturn geometry.HALF")

    assert act(worker) == 0.5


@needs_sandbox
def test_a_verifier_gets_images_and_answers_with_numbers(tmp_path: Path) -> None:
    file = tmp_path / "verify.py"
    file.write_text(
        "def verify(images, proprioception):\n"
        "    image = images['top']\n"
        "    iou = (image == 7).mean()\n"
        "    return {'success': iou > 0.9, 'iou': iou, 'shape': list(image.shape)}\n"
    )
    image = np.full((480, 640, 3), 7, np.uint8)

    with Worker.start(WorkerKind.VERIFIER, file) as worker:
        verdict = worker.call("verify", {"top": image}, {}, wall_s=5).value

    assert verdict == {"success": True, "iou": 1.0, "shape": [480, 640, 3]}


@needs_sandbox
def test_a_reset_is_done_with_none(tmp_path: Path) -> None:
    file = tmp_path / "reset.py"
    file.write_text(
        "class Reset:\n"
        "    def reset(self, observation, target):\n        self.target = target\n"
        "    def act(self, observation):\n"
        "        return None if observation['time_s'] > 1 else self.target\n"
    )

    with Worker.start(WorkerKind.RESET, file) as worker:
        worker.call("reset", OBSERVATION, np.array([1.0, 2.0]), wall_s=5)
        action = worker.call("act", {"time_s": np.zeros(1)}, wall_s=5).value
        done = worker.call("act", OBSERVATION, wall_s=5).value

    np.testing.assert_array_equal(action, [1.0, 2.0])
    assert done is None


@needs_sandbox
def test_processor_time_is_measured_outside_and_charged_from_reply_to_reply(serve: Serve) -> None:
    worker = serve(
        """
        import threading, time
        time.process_time = time.perf_counter = lambda: 0.0
        def think():
            time.sleep(0.2)
            sum(range(4_000_000))
        if observation["time_s"] > 1:
            threading.Thread(target=think).start()
        """
    )
    idle = {"time_s": np.zeros(1)}
    before_s = worker.call("act", idle, wall_s=5).cpu_s
    act(worker)

    time.sleep(1.0)
    later = worker.call("act", idle, wall_s=5)

    assert before_s < 0.02 < later.cpu_s
    assert worker.call("act", idle, wall_s=5).cpu_s < 0.02


@needs_sandbox
def test_what_a_policy_prints_is_kept(serve: Serve) -> None:
    worker = serve("print('at', float(observation['time_s'][0]))")

    act(worker)

    assert worker.output() == "at 1.5\n"


@needs_sandbox
def test_two_workers_of_one_policy_hash_alike(serve: Serve) -> None:
    # The order of a set must not change a score.
    first, second = (serve("return {'hash': hash('pose')}") for _ in range(2))

    assert act(first) == act(second)


@needs_sandbox
def test_an_action_is_passed_on_as_it_is(serve: Serve) -> None:
    # Dtype, shape, finiteness and limits are the safety table's matter.
    worker = serve("return np.array([[np.nan, np.inf, 1]], np.float32)")

    action = act(worker)

    assert action.dtype == np.float32
    np.testing.assert_array_equal(action, np.array([[np.nan, np.inf, 1]], np.float32))


# --- failures of honest code


@needs_sandbox
def test_an_exception_is_named_and_the_worker_lives(serve: Serve) -> None:
    worker = serve(
        """
        if observation["time_s"] > 1:
            raise KeyError("goal")
        return np.zeros(2)
        """
    )

    failure = fails(worker)

    assert isinstance(failure, WorkerRaised)
    assert (failure.reason, failure.name, failure.message) == (
        "raised KeyError",
        "KeyError",
        "'goal'",
    )
    assert "/recipe/policy.py" in failure.traceback
    assert worker.call("act", {"time_s": np.zeros(1)}, wall_s=5).value is not None


@needs_sandbox
@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("def broken(:", "SyntaxError"),
        ("x = 1", "AttributeError"),
        ("import torch", "ModuleNotFoundError"),
        ("class Policy:\n    def __init__(self, knobs): 1 / 0", "ZeroDivisionError"),
    ],
)
def test_code_that_cannot_be_loaded_is_named(recipe: Path, code: str, name: str) -> None:
    recipe.joinpath("policy.py").write_text(code)

    with pytest.raises(WorkerRaised) as failure:
        Worker.start(WorkerKind.POLICY, recipe)

    assert failure.value.name == name


@needs_sandbox
def test_a_policy_that_never_loads_is_stopped(recipe: Path) -> None:
    recipe.joinpath("policy.py").write_text("while True: pass")

    with pytest.raises(WorkerTimedOut):
        Worker.start(WorkerKind.POLICY, recipe, wall_s=1.0)


@needs_sandbox
@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("object()", "object cannot travel"),
        ("[1.0, 2.0]", "not list"),
        ("1.5", "not float"),
        ("np.array([object()])", "array of object"),
        ("{'action': {1, 2j}}", "cannot be sent"),
        ("np.zeros(4_000_000)", "beyond"),
        ("'x' * 9_000_000", "beyond"),
    ],
)
def test_a_value_that_is_no_action_is_a_bad_reply(serve: Serve, returned: str, said: str) -> None:
    failure = fails(serve(f"return {returned}"))

    assert isinstance(failure, WorkerBadReply)
    assert said in str(failure)


@needs_sandbox
def test_a_sleeper_times_out_with_no_processor_time(serve: Serve) -> None:
    worker = serve("import time\ntime.sleep(1000)")

    failure = fails(worker, wall_s=0.5)

    assert isinstance(failure, WorkerTimedOut)
    assert failure.reason == "timed out"
    assert failure.cpu_s < 0.1
    assert worker.sandbox.poll() is not None


@needs_sandbox
def test_a_loop_times_out_with_its_processor_time(serve: Serve) -> None:
    failure = fails(serve("while True: pass"), wall_s=0.5)

    assert isinstance(failure, WorkerTimedOut)
    assert failure.cpu_s > 0.1


# --- attacks


@needs_sandbox
@pytest.mark.parametrize("code", ["sys.exit(0)", "raise KeyboardInterrupt"])
def test_leaving_politely_is_an_exception(serve: Serve, code: str) -> None:
    assert isinstance(fails(serve(f"import sys\n{code}")), WorkerRaised)


@needs_sandbox
def test_leaving_at_once_is_a_death_with_its_code(serve: Serve) -> None:
    failure = fails(serve("import os\nos._exit(7)"))

    assert isinstance(failure, WorkerDied)
    assert (failure.reason, failure.ended.code) == ("died: exited", 7)


@needs_sandbox
def test_a_crash_is_a_death_with_its_signal(serve: Serve) -> None:
    failure = fails(serve("import ctypes\nctypes.string_at(0)"))

    assert isinstance(failure, WorkerDied)
    assert failure.reason == "died: killed"
    assert "SIGSEGV" in str(failure)


@needs_sandbox
def test_closing_the_channel_is_named(serve: Serve) -> None:
    worker = serve(
        """
        import os, time
        for descriptor in range(3, 64):
            try: os.close(descriptor)
            except OSError: pass
        time.sleep(1000)
        """
    )

    failure = fails(worker)

    assert isinstance(failure, WorkerDied)
    assert failure.reason == "closed its channel"
    assert worker.sandbox.poll() is not None


@needs_sandbox
@pytest.mark.parametrize(
    "frame",
    [
        "b'\\xff\\xff\\xff\\xff'",
        "b'\\x04\\x00\\x00\\x00\\xc1\\xc1\\xc1\\xc1'",
        "b'\\x06\\x00\\x00\\x00\\x92\\x01\\xd5\\x01\\x63\\x01'",
        "b'\\x02\\x00\\x00\\x00\\x91\\x63'",
        "b'\\x02\\x00\\x00\\x00\\x91\\x02' * 2",
    ],
    ids=["huge", "no msgpack", "bad array", "other request", "two replies"],
)
def test_a_forged_frame_is_a_bad_reply(serve: Serve, frame: str) -> None:
    worker = serve(
        f"""
        import os, stat, time
        for descriptor in range(3, 64):
            try:
                if stat.S_ISSOCK(os.fstat(descriptor).st_mode): os.write(descriptor, {frame})
            except OSError: pass
        time.sleep(1000)
        """
    )

    assert isinstance(fails(worker), WorkerBadReply)


@needs_sandbox
def test_a_dripping_reply_is_held_to_the_deadline(serve: Serve) -> None:
    worker = serve(
        """
        import os, stat, time
        def is_channel(number):
            try: return stat.S_ISSOCK(os.fstat(number).st_mode)
            except OSError: return False
        channel = next(filter(is_channel, range(3, 64)))
        os.write(channel, b'\\x00\\x10\\x00\\x00')
        while True:
            os.write(channel, b'\\x00')
            time.sleep(0.05)
        """
    )

    assert isinstance(fails(worker, wall_s=0.5), WorkerTimedOut)


@needs_sandbox
def test_text_of_untrusted_code_is_clipped_and_holds_no_escapes(serve: Serve) -> None:
    failure = fails(serve("raise ValueError('\\x1b[2J' + 'long ' * 100_000)"))

    assert isinstance(failure, WorkerRaised)
    assert len(failure.message) <= 2_000
    assert "\x1b" not in failure.message + failure.traceback


@needs_sandbox
def test_a_large_observation_reaches_a_slow_reader_or_times_out(serve: Serve) -> None:
    worker = serve("return observation['image'][0, 0].astype(float)")
    image = np.full((1080, 1920, 3), 9, np.uint8)

    action = worker.call("act", {"image": image}, wall_s=5).value

    np.testing.assert_array_equal(action, [9.0, 9.0, 9.0])
    os.kill(worker.sandbox.inner_pid, signal.SIGSTOP)
    with pytest.raises(WorkerTimedOut):
        worker.call("act", {"image": image}, wall_s=0.3)


@needs_sandbox
def test_one_absurd_array_is_a_memory_error(serve: Serve) -> None:
    failure = fails(serve("return np.ones(10**10)"))

    assert isinstance(failure, WorkerRaised)
    assert "MemoryError" in failure.name


@needs_sandbox
def test_exhausting_memory_is_named(serve: Serve) -> None:
    worker = serve(
        """
        kept = []
        while True:
            kept.append(np.ones(1_000_000))
        """,
        limits=worker_limits(memory_bytes=128 * MIB),
    )

    failure = fails(worker)

    assert isinstance(failure, WorkerDied)
    assert failure.ended.reason is ExitReason.MEMORY
    assert failure.reason == "died: memory"


@needs_sandbox
@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_filling_the_disk_ends_at_the_cap(serve: Serve, folder: str) -> None:
    worker = serve(
        f"""
        for number in range(10_000):
            with open(f"{folder}/{{number}}", "wb") as file:
                file.write(bytes(1 << 20))
        """
    )

    failure = fails(worker)

    assert isinstance(failure, WorkerRaised)
    assert (failure.name, "No space left" in failure.message) == ("OSError", True)


@needs_sandbox
def test_endless_output_ends_at_the_cap(serve: Serve) -> None:
    worker = serve("while True: print('x' * 100_000)")

    failure = fails(worker)

    assert isinstance(failure, WorkerRaised)
    assert "File too large" in failure.message
    assert len(worker.output()) <= 16 << 10


@needs_sandbox
@pytest.mark.parametrize(
    ("code", "event"),
    [
        ("while True: os.fork()", "os.fork"),
        ("os.posix_spawn('/bin/sh', ['sh'], {})", "os.posix_spawn"),
        ("subprocess.run(['/bin/sh', '-c', 'id'])", "subprocess.Popen"),
        ("socket.create_connection(('127.0.0.1', 22))", "socket.__new__"),
        ("socket.create_connection(('1.1.1.1', 443))", "socket.__new__"),
        ("socket.socket(socket.AF_UNIX).connect('/run/x')", "socket.__new__"),
    ],
)
def test_processes_and_sockets_are_refused_and_recorded(
    serve: Serve, code: str, event: str
) -> None:
    failure = fails(serve(f"import os, socket, subprocess\n{code}"))

    assert isinstance(failure, WorkerRaised)
    assert failure.name == "PermissionError"
    assert any(event in attempt for attempt in failure.blocked)


@needs_sandbox
def test_a_swarm_of_threads_ends_at_the_cap(serve: Serve) -> None:
    worker = serve(
        """
        import threading, time
        while True: threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        """
    )

    failure = fails(worker)

    assert isinstance(failure, WorkerRaised)
    assert "can't start new thread" in failure.message
    assert worker.close().reason is ExitReason.PROCESSES


@needs_sandbox
@pytest.mark.parametrize(
    "module", ["mujoco", "robots.tasks", "robots.sandbox", "recipes", "agents", "enpire_tui"]
)
def test_environment_packages_are_not_there_and_the_attempt_is_recorded(
    serve: Serve, module: str
) -> None:
    failure = fails(serve(f"import {module}"))

    assert isinstance(failure, WorkerRaised)
    assert failure.name == "ModuleNotFoundError"
    assert f"blocked: import {module}" in failure.blocked


@needs_sandbox
def test_the_host_s_files_are_not_there_and_the_attempt_is_recorded(
    serve: Serve, tmp_path: Path
) -> None:
    project = Path(__file__).resolve().parents[2]
    secret = tmp_path / "seeds"
    secret.write_text("42")
    scenes = [project / "robots", project / "recipes", project / "pyproject.toml"]
    wanted = [secret, *scenes, Path.home(), Path("/etc/shadow"), Path("/etc/passwd"), Path("/sys")]
    worker = serve(
        f"""
        import os
        found = []
        for path in {[str(path) for path in wanted]}:
            try: found.append((path, os.listdir(path) if path.endswith("root") else open(path).read()))
            except FileNotFoundError: pass
            except IsADirectoryError: found.append((path, os.listdir(path)))
        return {{"found": found, "root": sorted(os.listdir("/"))}}
        """
    )

    seen = worker.call("act", OBSERVATION, wall_s=5)

    # The interpreter may lie below a home folder; then that folder shows it and nothing else.
    others = [entry for entry in seen.value["found"] if not set(entry[1]) <= {".pyenv", ".local"}]
    assert others == []
    assert set(seen.value["root"]) <= {
        "dev", "enpire", "etc", "home", "lib", "lib64", "opt", "proc", "recipe", "root", "tmp", "usr",
    }  # fmt: skip
    assert "blocked: open /etc/shadow" in seen.blocked


@needs_sandbox
def test_other_processes_are_not_there(serve: Serve) -> None:
    worker = serve(
        """
        import os, signal
        refused = []
        for pid in (os.getppid(), 1):
            try: os.kill(pid, signal.SIGKILL)
            except OSError as error: refused.append(type(error).__name__)
        processes = [name for name in os.listdir("/proc") if name.isdigit()]
        return {"processes": len(processes), "uid": os.getuid()}
        """
    )

    seen = worker.call("act", OBSERVATION, wall_s=5)

    assert seen.value["processes"] == 2
    assert seen.value["uid"] != 0
    assert any("os.kill" in attempt for attempt in seen.blocked)
    assert act(worker)["processes"] == 2


@needs_sandbox
def test_nothing_outside_scratch_can_be_written(serve: Serve, recipe: Path) -> None:
    places = ["/recipe/policy.py", "/recipe/new", "/new", "/usr/new", "/enpire/child.py", "/dev/new",
              "/enpire/lib/robots/policy.py", "/proc/sys/kernel/hostname", os.__file__]  # fmt: skip
    worker = serve(
        f"""
        written = []
        for path in {places}:
            try:
                open(path, "a").write("x")
                written.append(path)
            except OSError:
                pass
        return {{"written": written}}
        """
    )
    before = recipe.joinpath("policy.py").read_bytes()

    seen = worker.call("act", OBSERVATION, wall_s=5)

    assert seen.value["written"] == []
    assert recipe.joinpath("policy.py").read_bytes() == before
    assert "blocked: write /recipe/policy.py" in seen.blocked


@needs_sandbox
@pytest.mark.parametrize("call", ["unshare(0x10000000)", "ptrace(0, 0, 0, 0)", "mount(0, 0, 0, 0)"])
def test_privileges_cannot_be_regained(serve: Serve, call: str) -> None:
    worker = serve(
        f"""
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        done = libc.{call}
        status = open("/proc/self/status").read()
        return {{"done": done, "errno": ctypes.get_errno(), "status": status}}
        """
    )

    seen = act(worker)

    assert (seen["done"], seen["errno"]) == (-1, 1)
    fields = dict(line.split(":\t", 1) for line in seen["status"].splitlines() if ":\t" in line)
    assert {int(fields[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd")} == {0}
    assert fields["NoNewPrivs"] == "1"


@needs_sandbox
def test_a_worker_outlives_the_thread_that_started_it(serve: Serve) -> None:
    started: list[Worker] = []
    thread = threading.Thread(target=lambda: started.append(serve("return np.zeros(2)")))
    thread.start()
    thread.join()
    time.sleep(0.1)

    assert act(started[0]) is not None


@needs_sandbox
def test_nothing_is_left_behind(serve: Serve) -> None:
    serve("return np.zeros(2)").close()
    descriptors = len(os.listdir("/proc/self/fd"))
    pids = []

    for body in ("return np.zeros(2)", "import time\ntime.sleep(1000)", "import os\nos._exit(1)"):
        worker = serve(body)
        pids += [worker.sandbox.process.pid, worker.sandbox.inner_pid]
        groups = [member.parent for member in worker.sandbox.groups]
        with contextlib.suppress(WorkerFailed):
            act(worker, wall_s=0.3)
        worker.close()
        assert not any(group.exists() for group in groups)

    assert not any(alive(pid) for pid in pids)
    assert len(os.listdir("/proc/self/fd")) == descriptors


# --- the protocol by itself


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.zeros((0, 3), np.float32),
        np.array(2.5),
        np.arange(12, dtype=np.uint8).reshape(3, 4).T,
        np.array([True, False]),
    ],
)
def test_an_array_survives_the_journey(array: np.ndarray) -> None:
    sender, receiver = protocol.Codec(protocol.Request), protocol.Codec(protocol.Reply)

    frame = sender.frame(protocol.Reply(1, array))
    arrived = receiver.message(memoryview(frame)[protocol.HEADER.size :]).value

    assert arrived.dtype == array.dtype
    assert arrived.flags.writeable
    np.testing.assert_array_equal(arrived, array)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\x63\x01\x01\x00\x00\x00",  # no such dtype
        b"\x00\x09" + bytes(100),  # too many dimensions
        b"\x00\x02\x01\x00\x00\x00",  # head cut short
        b"\x00\x01\x02\x00\x00\x00" + bytes(8),  # bytes missing
        b"\x00\x01\x01\x00\x00\x00" + bytes(16),  # bytes over
        b"\x00\x08" + b"\xff" * 32 + bytes(8),  # larger than an address space
    ],
)
def test_a_malformed_array_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"extension|dtype|array"):
        protocol.unpack_array(1, memoryview(data))


def test_another_extension_is_refused() -> None:
    body = msgspec.msgpack.encode([1, msgspec.msgpack.Ext(5, b"\x00\x00")])

    with pytest.raises((ValueError, msgspec.DecodeError)):
        protocol.Codec(protocol.Reply).message(memoryview(body))


def test_a_worker_s_caps_count_its_scratch_within_its_memory() -> None:
    limits = worker_limits()

    assert isinstance(limits, Limits)
    assert limits.memory_bytes is not None
    assert 2 * limits.scratch_bytes < limits.memory_bytes
