"""The sandbox: its rules, its walls, its caps, and the name it gives to an end."""

import os
import signal
import socket
import subprocess
import sys
import sysconfig
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import numpy
import pytest

from robots.sandbox import (
    SANDBOX_UID,
    Bind,
    Counters,
    Data,
    ExitReason,
    Limits,
    Mask,
    Sandbox,
    SandboxError,
    SandboxSpec,
    Scratch,
    Symlink,
    SyscallFilter,
    availability,
    cgroup,
    command,
    probe,
    python_mounts,
    seccomp,
    start,
    watch,
)
from robots.sandbox.exits import explain
from robots.sandbox.process import process_cpu_s
from robots.sandbox.spec import MIB

ROOT = os.geteuid() == 0
PYTHON = python_mounts(())

needs_sandbox = pytest.mark.skipif(not probe().usable, reason=f"no sandbox: {probe().reason}")
needs_root = pytest.mark.skipif(not ROOT, reason="needs root")


def spec(*mounts: Any, **options: Any) -> SandboxSpec:
    return SandboxSpec(mounts=(*PYTHON.mounts, *mounts), **options)


def begin(code: str, *mounts: Any, sandboxed: bool = True, **options: Any) -> Sandbox:
    """Start a Python program in a sandbox."""
    argv = [PYTHON.executable, "-I", "-S", "-u", "-c", textwrap.dedent(code)]
    return start(spec(*mounts, **options), argv, sandboxed=sandboxed)


def run(code: str, *mounts: Any, **options: Any) -> str:
    """Run a Python program in a sandbox to its good end and return what it printed."""
    with begin(code, *mounts, **options) as sandbox:
        ended = sandbox.wait(20)
        said = sandbox.output()
    assert ended is not None
    assert ended.code == 0, said
    return said.strip()


def gone(pid: int, timeout_s: float = 5.0) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


# --- the rules of a spec


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("/", "root of the host"),
        ("/usr/..", "root of the host"),
        ("usr", "absolute"),
        ("/no/such/folder", "does not exist"),
    ],
)
def test_a_source_that_no_sandbox_may_have_is_refused(source: str, said: str) -> None:
    with pytest.raises(SandboxError, match=said):
        SandboxSpec(mounts=(Bind(Path(source), "/x"),))


def test_a_source_swapped_for_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe").symlink_to("/etc")

    with pytest.raises(SandboxError, match="symbolic link"):
        SandboxSpec(mounts=(Bind(tmp_path / "recipe", "/recipe"),))


@pytest.mark.parametrize("target", ["/", "x", "/x/../..", "/proc/self", "/proc"])
def test_a_target_that_would_break_a_wall_is_refused(target: str) -> None:
    with pytest.raises(SandboxError):
        SandboxSpec(mounts=(Scratch(target, MIB),))


def test_a_sandbox_never_runs_as_root() -> None:
    with pytest.raises(SandboxError, match="never runs as root"):
        SandboxSpec(uid=0)


def test_the_host_s_path_of_a_path_inside_is_known(tmp_path: Path) -> None:
    held = SandboxSpec(mounts=(Bind(Path("/usr"), "/a"), Bind(tmp_path, "/a/b")))

    assert held.outside("/a/b/c") == tmp_path / "c"
    assert held.outside("/a/lib") == Path("/usr/lib")
    with pytest.raises(SandboxError, match="covers /other"):
        held.outside("/other")


def test_the_command_line_has_every_wall() -> None:
    installed = command.Bubblewrap("/usr/bin/bwrap", (0, 8, 0))
    held = SandboxSpec(
        mounts=(Bind(Path("/usr"), "/usr"), Mask("/usr/share"), Symlink("usr/lib", "/lib"))
    )

    line = command.arguments(
        held,
        ["/usr/bin/true"],
        sources={Path("/usr"): "/mnt/0"},
        data_fds={},
        info_fd=9,
        seccomp_fd=8,
        uid=7,
        gid=7,
        bwrap=installed,
    )

    assert {"--unshare-user", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts",
            "--unshare-cgroup-try", "--disable-userns", "--die-with-parent", "--new-session",
            } <= set(line)  # fmt: skip
    assert line[line.index("--cap-drop") + 1] == "ALL"
    assert line[line.index("--ro-bind") :][:3] == ["--ro-bind", "/mnt/0", "/usr"]
    assert line.index("--ro-bind") < line.index("/usr/share")
    assert line[-6:] == ["--remount-ro", "/", "--chdir", "/tmp", "--", "/usr/bin/true"]


# --- the walls


@needs_sandbox
def test_the_environment_is_the_named_one_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "secret")

    said = run("import os\nprint(sorted(os.environ))", environment={"LANG": "C"})

    assert "ANTHROPIC" not in said
    assert {"LANG", "PATH"} <= set(eval(said)) <= {"LANG", "PATH", "PWD", "LC_CTYPE"}


@needs_sandbox
def test_the_host_s_loopback_is_another_loopback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        said = run(
            f"""
            import socket
            for address in (("127.0.0.1", {server.getsockname()[1]}), ("1.1.1.1", 53)):
                try: socket.create_connection(address, timeout=2); print("connected")
                except OSError as error: print(type(error).__name__)
            """
        )

    assert said.split() == ["ConnectionRefusedError", "OSError"]


@needs_sandbox
def test_the_network_can_be_granted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        run(
            f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=2)",
            network=True,
        )


@needs_sandbox
@needs_root
def test_a_mounted_file_of_root_stays_closed(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret")
    (tmp_path / "key").chmod(0o600)

    said = run(
        "try: print(open('/data/key').read())\nexcept OSError as error: print(error.strerror)",
        Bind(tmp_path, "/data"),
    )

    assert said == "Permission denied"


@needs_sandbox
@needs_root
def test_a_source_swapped_for_a_link_after_the_check_shows_nothing(tmp_path: Path) -> None:
    (tmp_path / "recipe").mkdir()
    held = spec(Bind(tmp_path / "recipe", "/recipe"))
    (tmp_path / "recipe").rmdir()
    (tmp_path / "recipe").symlink_to("/etc")

    with pytest.raises(SandboxError):
        start(held, [PYTHON.executable, "-c", "pass"])


@needs_sandbox
def test_a_writable_mount_is_written_and_a_read_only_one_is_not(tmp_path: Path) -> None:
    for name in ("open", "shut"):
        (tmp_path / name).mkdir()
        if ROOT:
            os.chown(tmp_path / name, SANDBOX_UID, SANDBOX_UID)

    said = run(
        """
        open("/open/file", "w").write("x")
        try: open("/shut/file", "w")
        except OSError as error: print(error.strerror)
        """,
        Bind(tmp_path / "open", "/open", writable=True),
        Bind(tmp_path / "shut", "/shut"),
    )

    assert said == "Read-only file system"
    assert (tmp_path / "open" / "file").read_text() == "x"


HELD_BACK = next((p for p in ("/dev/kmsg", "/dev/net/tun") if Path(p).is_char_device()), None)


@needs_sandbox
@pytest.mark.skipif(HELD_BACK is None, reason="no device node outside the minimal /dev")
def test_a_device_is_there_only_where_it_is_named() -> None:
    look = f"""
        import os
        try:
            os.close(os.open({HELD_BACK!r}, os.O_RDONLY | os.O_NONBLOCK))
            print("open")
        except OSError as error:
            print(os.path.exists({HELD_BACK!r}), error.errno)
    """
    readable = Path(HELD_BACK).stat().st_mode & 0o004
    assert run(look) == "False 2"
    # A node of a mount without devices would answer EACCES, 13, to everyone.
    named = run(look, devices=(Path(HELD_BACK),))
    assert named == "open" or (named.startswith("True") and (not readable or "13" not in named))


def test_what_is_no_device_is_not_bound_as_one(tmp_path: Path) -> None:
    for path in (tmp_path, Path("/dev/shm")):
        with pytest.raises(SandboxError, match="character device below /dev"):
            SandboxSpec(devices=(path,))


@needs_sandbox
def test_data_and_scratch_and_links_are_there() -> None:
    said = run(
        """
        print(open("/etc/hello").read(), open("/etc/link").read())
        open("/scratch/big", "wb").write(bytes(1 << 19))
        try: open("/scratch/more", "wb").write(bytes(1 << 20))
        except OSError as error: print(error.strerror)
        """,
        Data(b"good day", "/etc/hello"),
        Symlink("hello", "/etc/link"),
        Scratch("/scratch", MIB),
    )

    assert said == "good day good day\nNo space left on device"


@needs_sandbox
def test_no_user_namespace_can_be_made_inside() -> None:
    said = run(
        """
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        print(libc.unshare(0x10000000), ctypes.get_errno())
        """,
        syscalls=SyscallFilter.NONE,
    )

    assert said.startswith("-1 ")


@needs_sandbox
def test_a_program_that_is_not_there_is_said() -> None:
    # Bubblewrap finds out last, so whether `start` still sees it is a matter of luck.
    try:
        with start(spec(), ["/no/such/program"]) as sandbox:
            ended = sandbox.wait(10)
            said = sandbox.output()
        assert ended is not None
        assert ended.code == 1
    except SandboxError as error:
        said = str(error)

    assert "/no/such/program" in said


@needs_sandbox
def test_a_mount_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    descriptors = len(os.listdir("/proc/self/fd"))

    with pytest.raises(SandboxError, match="/data/file"):
        start(
            spec(Bind(tmp_path, "/data"), Bind(tmp_path / "file", "/data/file/below")),
            [PYTHON.executable],
        )

    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_host_without_bubblewrap_is_told_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    command.installed.cache_clear()

    found = availability.probe.__wrapped__()

    command.installed.cache_clear()
    assert not found.usable
    assert "apt-get install bubblewrap" in found.reason


# --- lives and deaths

SLEEPER = """
import sys
from robots.sandbox import SandboxSpec, python_mounts, start
python = python_mounts(())
spec = SandboxSpec(mounts=python.mounts, die_with_parent={die})
argv = [python.executable, "-I", "-S", "-c", "import time; time.sleep(60)"]
sandbox = start(spec, argv, sandboxed={sandboxed})
print(sandbox.inner_pid, flush=True)
sys.stdin.read()
"""


def sleeper(
    *, die: bool, sandboxed: bool = True, groups: tuple[int, ...] = ()
) -> tuple["subprocess.Popen[str]", int]:
    """A daemon of our own with one sandbox; and the host pid of the program inside."""
    daemon = subprocess.Popen(
        [sys.executable, "-c", SLEEPER.format(die=die, sandboxed=sandboxed)],
        extra_groups=groups or None,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert daemon.stdout is not None
    return daemon, int(daemon.stdout.readline())


@needs_sandbox
@pytest.mark.parametrize("die", [True, False])
def test_a_killed_daemon_takes_its_sandboxes_along_unless_they_are_jobs(*, die: bool) -> None:
    daemon, inner = sleeper(die=die)

    with daemon:
        daemon.kill()

    assert gone(inner, timeout_s=5.0 if die else 0.3) is die
    if not die:
        os.kill(inner, signal.SIGKILL)
        assert gone(inner)


@needs_sandbox
@needs_root
def test_a_daemon_of_root_gives_up_user_groups_and_privileges() -> None:
    daemon, inner = sleeper(die=True, groups=(0, 4, 27))
    with daemon:
        status = Path(f"/proc/{inner}/status").read_text()
        daemon.kill()

    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert set(fields["Uid"].split()) == {str(SANDBOX_UID)}
    assert set(fields["Gid"].split()) == {str(SANDBOX_UID)}
    assert fields["Groups"].split() == []
    assert int(fields["CapEff"], 16) == 0
    assert fields["NoNewPrivs"] == "1"


@needs_sandbox
def test_everything_inside_ends_with_the_sandbox() -> None:
    sandbox = begin(
        """
        import os, time
        for _ in range(5):
            if os.fork() == 0:
                os.setsid()
                time.sleep(100)
        print("forked")
        time.sleep(100)
        """
    )
    while "forked" not in sandbox.output():
        time.sleep(0.01)
    pids = watch.descendants(sandbox.process.pid)

    ended = sandbox.close()

    assert len(pids) == 8
    assert all(gone(pid) for pid in pids)
    assert ended.reason is ExitReason.STOPPED
    assert sandbox.close() is ended


@needs_sandbox
def test_a_job_whose_outer_process_is_killed_leaves_nothing_running() -> None:
    with begin("import time\ntime.sleep(100)", die_with_parent=False) as sandbox:
        inner = sandbox.inner_pid
        sandbox.process.kill()
        ended = sandbox.wait(10)

    assert ended is not None
    assert ended.reason is ExitReason.KILLED
    assert gone(inner)


@needs_sandbox
def test_waiting_has_a_deadline() -> None:
    with begin("import time\ntime.sleep(100)") as sandbox:
        assert sandbox.wait(0.05) is None
        assert sandbox.poll() is None


@needs_sandbox
def test_processor_time_of_everything_inside_is_counted() -> None:
    with begin("while True: pass") as sandbox:
        deadline_s = time.monotonic() + 20.0
        while (used_s := sandbox.cpu_s()) < 0.05 and time.monotonic() < deadline_s:
            time.sleep(0.02)
        in_program_s = process_cpu_s(sandbox.inner_pid)

    assert used_s >= 0.05
    assert in_program_s > 0.0


# --- caps


@pytest.fixture(params=["groups", "watch"])
def caps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Caps by control groups, and as they are where those are out of reach."""
    if request.param == "watch":
        monkeypatch.setattr(cgroup, "create", lambda limits, nice: None)
    return request.param


@needs_sandbox
def test_exhausting_memory_is_named(caps: str) -> None:
    with begin(
        "kept = []\nwhile True: kept.append(bytearray(1 << 20))",
        limits=Limits(memory_bytes=96 * MIB),
    ) as sandbox:
        ended = sandbox.wait(20)

    assert ended is not None
    assert ended.reason is ExitReason.MEMORY


@needs_sandbox
def test_a_fork_bomb_is_held_and_named(caps: str) -> None:
    with begin(
        """
        import os
        while True:
            try: os.fork()
            except OSError: pass
        """,
        limits=Limits(processes=24),
    ) as sandbox:
        sandbox.wait(1.0)
        held = len(watch.descendants(sandbox.process.pid))
    ended = sandbox.close()

    if caps == "groups":
        assert held <= 24
        assert ended.reason is ExitReason.PROCESSES
    else:
        # The user's limit refuses forks, uncounted, or the watch sees too many; either way it is
        # held, though other sandboxes of the same user come and go meanwhile.
        assert held <= 200
        assert ended.reason in (ExitReason.PROCESSES, ExitReason.STOPPED)


@needs_sandbox
def test_a_thread_too_many_is_refused_where_there_are_no_groups(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cgroup, "create", lambda limits, nice: None)

    said = run(
        """
        import threading, time
        for count in range(1000):
            try: threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
            except RuntimeError as error: print(count < 24, error); break
        """,
        limits=Limits(processes=24),
        uid=SANDBOX_UID + 1,  # The limit counts a user's threads; other tests use the other one.
    )

    assert said == "True can't start new thread"


@needs_sandbox
def test_exhausting_processor_time_is_named() -> None:
    with begin("while True: pass", limits=Limits(cpu_s=1)) as sandbox:
        ended = sandbox.wait(20)

    assert ended is not None
    assert ended.reason in (ExitReason.CPU, ExitReason.KILLED)


@needs_sandbox
def test_a_file_beyond_its_cap_is_named() -> None:
    with begin(
        """
        import signal
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        open("/tmp/big", "wb").write(bytes(3 << 20))
        """,
        limits=Limits(file_bytes=2 * MIB),
    ) as sandbox:
        ended = sandbox.wait(20)

    assert ended is not None
    assert ended.reason is ExitReason.FILE_SIZE


@needs_sandbox
def test_a_kill_from_outside_is_not_blamed_on_a_cap() -> None:
    with begin("import time\ntime.sleep(100)") as sandbox:
        os.kill(sandbox.inner_pid, signal.SIGKILL)
        ended = sandbox.wait(10)

    assert ended is not None
    assert (ended.reason, ended.signal) == (ExitReason.KILLED, signal.SIGKILL)


# --- without walls


def test_without_walls_there_are_still_limits() -> None:
    said = run(
        "import resource\nprint(*resource.getrlimit(resource.RLIMIT_NOFILE))",
        sandboxed=False,
        limits=Limits(open_files=40),
    )

    assert said == "40 40"


def test_without_walls_a_killed_daemon_still_takes_its_processes_along() -> None:
    daemon, inner = sleeper(die=True, sandboxed=False)

    while b"launcher" in Path(f"/proc/{inner}/cmdline").read_bytes():
        time.sleep(0.01)
    with daemon:
        daemon.kill()

    assert gone(inner)


def test_without_walls_everything_still_ends() -> None:
    sandbox = begin(
        """
        import os, time
        for _ in range(5):
            if os.fork() == 0: time.sleep(100)
        print("forked")
        time.sleep(100)
        """,
        sandboxed=False,
    )
    while "forked" not in sandbox.output():
        time.sleep(0.01)
    pids = watch.descendants(sandbox.process.pid)

    sandbox.close()

    assert len(pids) == 6
    assert all(gone(pid) for pid in pids)


# --- Python inside


@needs_sandbox
def test_only_named_packages_are_there() -> None:
    inside = python_mounts(("numpy",))
    code = f"""
import sys
sys.path.append({inside.site!r})
import numpy
for name in ("msgspec", "mujoco", "zmq", "pip"):
    try: __import__(name); print("found", name)
    except ModuleNotFoundError: pass
import os
site = {sysconfig.get_path("purelib", vars={"base": sys.base_prefix})!r}
print(sorted(os.listdir({inside.site!r})), os.path.exists(site) and os.listdir(site))
"""
    with start(
        SandboxSpec(mounts=inside.mounts), [inside.executable, "-I", "-S", "-c", code]
    ) as sandbox:
        ended = sandbox.wait(20)
        said = sandbox.output()

    assert ended is not None
    named = sorted(
        {"numpy", *(name.name for name in Path(numpy.__file__).parents[1].glob("numpy.libs"))}
    )
    assert (ended.code, said) in ((0, f"{named} []\n"), (0, f"{named} False\n"))


def test_an_editable_package_is_found_where_it_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lens").mkdir()
    (tmp_path / "lens" / "__init__.py").touch()
    (tmp_path / "single.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    mounts = python_mounts(("lens", "single")).mounts

    assert Bind(tmp_path / "lens", "/enpire/site/lens") in mounts
    assert Bind(tmp_path / "single.py", "/enpire/site/single.py") in mounts


def test_a_package_that_is_not_there_is_named() -> None:
    with pytest.raises(SandboxError, match="'no_such_package' is not installed"):
        python_mounts(("no_such_package",))


def test_no_mount_shows_a_home_folder_or_the_root() -> None:
    sources = [mount.source for mount in PYTHON.mounts if isinstance(mount, Bind)]

    assert not {Path("/"), Path.home(), Path("/usr"), Path("/etc"), Path("/lib")} & set(sources)
    assert not any("site-packages" in source.parts for source in sources)


# --- the pure parts


@pytest.mark.parametrize(
    ("status", "counters", "stopped", "capped", "reason"),
    [
        (0, Counters(), False, None, ExitReason.EXITED),
        (3, Counters(), False, None, ExitReason.EXITED),
        (137, Counters(), False, None, ExitReason.KILLED),
        (-9, Counters(), False, None, ExitReason.KILLED),
        (137, Counters(oom_kills=1), False, None, ExitReason.MEMORY),
        (137, Counters(oom_kills=1), True, None, ExitReason.MEMORY),
        (137, Counters(), True, None, ExitReason.STOPPED),
        (137, Counters(refused_forks=5), True, None, ExitReason.PROCESSES),
        (0, Counters(refused_forks=5), False, None, ExitReason.EXITED),
        (137, Counters(), False, ExitReason.MEMORY, ExitReason.MEMORY),
        (128 + signal.SIGXCPU, Counters(), False, None, ExitReason.CPU),
        (-signal.SIGXFSZ, Counters(), False, None, ExitReason.FILE_SIZE),
        (250, Counters(), False, None, ExitReason.KILLED),
    ],
)
def test_an_end_is_named(
    status: int, counters: Counters, stopped: bool, capped: ExitReason | None, reason: ExitReason
) -> None:
    assert explain(status, counters, stopped=stopped, capped=capped).reason is reason


@pytest.mark.parametrize(
    ("resident_bytes", "threads", "verdict"),
    [
        (10, 5, None),
        (11, 5, ExitReason.MEMORY),
        (10, 6, ExitReason.PROCESSES),
        (11, 6, ExitReason.MEMORY),
    ],
)
def test_the_watch_s_decision(resident_bytes: int, threads: int, verdict: ExitReason) -> None:
    assert watch.exceeded(resident_bytes, threads, 10, 5) is verdict


def test_uncapped_is_never_exceeded() -> None:
    assert watch.exceeded(10**15, 10**6, None, None) is None


def test_hierarchies_of_version_1_are_found() -> None:
    mounts = (
        "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n"
        "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n"
        "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n"
        "cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n"
    )

    found = cgroup.hierarchies(mounts, "4:memory:/jobs/7\n2:cpu,cpuacct:/\n")

    assert set(found) == {"memory", "cpu", "cpuacct"}
    memory = Path("/sys/fs/cgroup/memory")
    assert found["memory"] == cgroup.Hierarchy(1, (memory, memory / "jobs/7"))


def test_the_hierarchy_of_version_2_is_found() -> None:
    found = cgroup.hierarchies(
        "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", "0::/user.slice/app.slice/x.scope\n"
    )

    root = Path("/sys/fs/cgroup")
    own = root / "user.slice/app.slice/x.scope"
    assert set(found) == {"memory", "pids", "cpu"}
    assert found["pids"] == cgroup.Hierarchy(2, (root, own.parent, own))


@pytest.mark.parametrize(
    ("version", "controller", "written"),
    [
        (1, "memory", {"memory.limit_in_bytes": "1048576"}),
        (2, "memory", {"memory.max": "1048576"}),
        (1, "pids", {"pids.max": "9"}),
        (2, "cpu", {"cpu.max": "150000 100000"}),
        (
            1,
            "cpu",
            {
                "cpu.shares": "110",
                "cpu.cfs_period_us": "100000",
                "cpu.cfs_quota_us": "150000",
            },
        ),
        (1, "cpuacct", {}),
    ],
)
def test_caps_are_written_as_each_version_wants_them(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: int,
    controller: str,
    written: dict[str, str],
) -> None:
    monkeypatch.setattr(cgroup, "_homes", lambda: {controller: (tmp_path, version)})
    monkeypatch.setattr(cgroup.Cgroup, "_open_cpu", lambda self: None)

    made = cgroup.create(Limits(memory_bytes=MIB, processes=9, cpus=1.5), nice=10)

    assert made is not None
    folder = made.members[0].parent
    assert {file.name: file.read_text() for file in folder.iterdir()} == written
    assert made.holds_memory == (controller == "memory")
    assert made.holds_processes == (controller == "pids")


def test_a_group_is_as_nice_as_its_process_where_the_kernel_has_a_file_for_it() -> None:
    assert dict(cgroup._settings("cpu", 2, Limits(), 7)) == {"?cpu.weight.nice": "7"}


@needs_sandbox
def test_the_niceness_of_a_sandbox_is_its_groups_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    create = cgroup.create
    monkeypatch.setattr(
        cgroup, "create", lambda limits, nice: (asked.append(nice), create(limits, nice))[1]
    )

    own = int(run("import os; print(os.nice(0))", nice=7))
    most = int(run("import os; print(os.nice(0))", nice=30))

    assert asked == [own, most]
    assert most == 19


@pytest.mark.parametrize(("version", "file"), [(1, "memory.oom_control"), (2, "memory.events")])
def test_memory_kills_are_read_as_each_version_tells_them(
    tmp_path: Path, version: int, file: str
) -> None:
    (tmp_path / file).write_text("low 0\noom_kill 3\n")
    (tmp_path / "pids.events").write_text("max 2\n")

    made = cgroup.Cgroup(
        {"memory": tmp_path, "pids": tmp_path}, {"memory": version, "pids": version}
    )

    assert made.counters() == Counters(oom_kills=3, refused_forks=2)


def test_groups_of_dead_daemons_are_swept_and_others_kept(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    dead, living = tmp_path / f"{ended.pid}-a", tmp_path / f"{os.getpid()}-b"
    dead.mkdir()
    living.mkdir()

    cgroup._sweep(tmp_path)

    assert not dead.exists()
    assert living.exists()


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_a_filter_exists_for_the_architectures_we_run_on(machine: str) -> None:
    base = seccomp.program(SyscallFilter.BASE, machine)
    worker = seccomp.program(SyscallFilter.WORKER, machine)

    assert base is not None
    assert worker is not None
    assert len(base) % 8 == 0
    assert len(base) < len(worker) < 4096 * 8


def test_no_filter_is_no_program() -> None:
    assert seccomp.program(SyscallFilter.NONE) is None
    assert seccomp.program(SyscallFilter.WORKER, "riscv64") is None


@needs_sandbox
def test_sandboxes_start_from_many_threads_at_once() -> None:
    said: list[str] = []
    threads = [threading.Thread(target=lambda: said.append(run("print('up')"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert said == ["up"] * 8
