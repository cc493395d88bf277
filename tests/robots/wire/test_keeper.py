"""The keeper as a real process with real children."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from robots.wire.keeper import (
    BACKOFF,
    DONE,
    RUNNING,
    KeptState,
    ProcessSpec,
    keeper_identity,
    read_specs,
    read_state,
    write_specs,
)
from robots.wire.processes import (
    ProcessIdentity,
    identify,
    is_alive,
    read_pid_file,
    send_signal,
)

# Writes a line at its start, then does as told.
CHILD = """
import signal, sys, time
from pathlib import Path
with open(sys.argv[1], "a") as file:
    file.write("started\\n")
if sys.argv[2] == "stay":
    time.sleep(600)
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
sys.exit(int(sys.argv[2]))
"""


def wait(condition, timeout_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, "the condition never came true"
        time.sleep(0.01)


class Home:
    """A keeper's home with its marks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keepers: list[subprocess.Popen[bytes]] = []

    def spec(self, name: str, does: str, generation: int = 0) -> ProcessSpec:
        argv = (sys.executable, "-c", CHILD, str(self.path / f"{name}.mark"), does)
        log = str(self.path / "logs" / f"{name}.log")
        return ProcessSpec(name=name, argv=argv, log=log, nice=1, generation=generation)

    def starts(self, name: str) -> int:
        with contextlib.suppress(FileNotFoundError):
            return len((self.path / f"{name}.mark").read_text().splitlines())
        return 0

    def state(self, name: str) -> KeptState | None:
        return next((state for state in read_state(self.path) if state.name == name), None)

    def pid(self, name: str) -> ProcessIdentity | None:
        return read_pid_file(self.path / "pids" / name)

    def start(self) -> subprocess.Popen[bytes]:
        keeper = subprocess.Popen([sys.executable, "-m", "robots.wire.keeper", str(self.path)])
        self.keepers.append(keeper)
        return keeper

    def running(self, name: str) -> bool:
        state = self.state(name)
        return state is not None and state.state == RUNNING and self.starts(name) > 0


@pytest.fixture
def kept(tmp_path):
    home = Home(tmp_path)
    yield home
    for keeper in home.keepers:
        if keeper.poll() is None:
            keeper.terminate()
            keeper.wait(20)
    for path in (tmp_path / "pids").glob("*"):
        identity = read_pid_file(path)
        if identity is not None:
            send_signal(identity, signal.SIGKILL)


def test_daemons_are_started_in_their_own_sessions_and_stopped_at_the_end(kept) -> None:
    write_specs(kept.path, [kept.spec("one", "stay"), kept.spec("two", "stay")])
    keeper = kept.start()
    wait(lambda: kept.running("one") and kept.running("two"))
    one, two = kept.pid("one"), kept.pid("two")

    assert os.getsid(one.pid) == one.pid
    assert keeper_identity(kept.path).pid == keeper.pid
    keeper.terminate()

    assert keeper.wait(20) == 0
    assert not is_alive(one)
    assert not is_alive(two)
    assert kept.pid("one") is None
    assert keeper_identity(kept.path) is None


@pytest.mark.skipif(
    not Path("/proc/self/autogroup").exists(), reason="this kernel does not group by session"
)
def test_a_daemon_is_as_nice_as_its_whole_session(kept) -> None:
    write_specs(kept.path, [kept.spec("one", "stay")])
    kept.start()
    wait(lambda: kept.running("one"))
    pid = kept.pid("one").pid

    own = os.getpriority(os.PRIO_PROCESS, pid)

    assert own == min(os.getpriority(os.PRIO_PROCESS, 0) + 1, 19)
    assert Path(f"/proc/{pid}/autogroup").read_text().endswith(f"nice {own}\n")


def test_a_killed_daemon_is_started_again(kept) -> None:
    write_specs(kept.path, [kept.spec("one", "stay"), kept.spec("two", "stay")])
    kept.start()
    wait(lambda: kept.running("one") and kept.running("two"))
    two = kept.pid("two")

    os.kill(kept.pid("one").pid, signal.SIGKILL)
    wait(lambda: kept.starts("one") == 2 and kept.running("one"))

    assert kept.state("one").restarts == 1
    assert is_alive(two)


def test_a_daemon_that_fails_is_started_again_with_back_off(kept) -> None:
    write_specs(kept.path, [kept.spec("one", "3")])
    kept.start()

    wait(lambda: kept.starts("one") >= 3)
    wait(lambda: kept.state("one").state == BACKOFF)

    assert kept.state("one").last_exit == 3


def test_a_daemon_that_is_done_stays_down_until_its_spec_changes(kept) -> None:
    write_specs(kept.path, [kept.spec("one", "0"), kept.spec("two", "stay")])
    keeper = kept.start()
    wait(lambda: kept.state("one") is not None and kept.state("one").state == DONE)
    wait(lambda: kept.running("two"))
    two = kept.pid("two")

    write_specs(kept.path, [kept.spec("one", "0", generation=1), kept.spec("two", "stay")])
    keeper.send_signal(signal.SIGHUP)
    wait(lambda: kept.starts("one") == 2)

    assert kept.pid("two") == two
    assert kept.starts("two") == 1


def test_a_program_that_is_missing_is_said_and_tried_again(kept) -> None:
    spec = ProcessSpec(name="one", argv=("/no/such/program",), log=str(kept.path / "one.log"))
    write_specs(kept.path, [spec])
    kept.start()

    wait(lambda: kept.state("one") is not None and kept.state("one").state == BACKOFF)

    assert kept.state("one").last_exit == 127


def test_new_and_removed_daemons_are_learnt_at_sighup(kept) -> None:
    write_specs(kept.path, [kept.spec("one", "stay")])
    keeper = kept.start()
    wait(lambda: kept.running("one"))
    one = kept.pid("one")

    write_specs(kept.path, [kept.spec("two", "stay")])
    keeper.send_signal(signal.SIGHUP)
    wait(lambda: kept.running("two"))

    assert not is_alive(one)


def test_a_broken_file_changes_nothing_at_sighup_and_is_named_at_the_start(kept) -> None:
    write_specs(kept.path, [kept.spec("one", "stay")])
    keeper = kept.start()
    wait(lambda: kept.running("one"))
    (kept.path / "keeper.json").write_text("{")
    keeper.send_signal(signal.SIGHUP)
    os.kill(kept.pid("one").pid, signal.SIGKILL)
    wait(lambda: kept.starts("one") == 2)

    with pytest.raises(ValueError, match=r"keeper\.json"):
        read_specs(kept.path)
    keeper.terminate()
    keeper.wait(20)
    assert kept.start().wait(20) == 1


def test_a_second_keeper_leaves(kept) -> None:
    write_specs(kept.path, [kept.spec("one", "stay")])
    kept.start()
    wait(lambda: kept.running("one"))

    assert kept.start().wait(20) == 0

    assert kept.starts("one") == 1
    assert kept.running("one")


def test_a_new_keeper_adopts_what_runs(kept) -> None:
    write_specs(kept.path, [kept.spec("one", "stay"), kept.spec("two", "stay")])
    first = kept.start()
    wait(lambda: kept.running("one") and kept.running("two"))
    one, two = kept.pid("one"), kept.pid("two")
    first.kill()
    first.wait(20)
    os.kill(two.pid, signal.SIGKILL)
    (kept.path / "keeper.state.json").unlink()

    second = kept.start()
    wait(lambda: kept.running("one") and kept.starts("two") == 2 and kept.running("two"))
    assert kept.pid("one") == one
    assert kept.starts("one") == 1

    os.kill(one.pid, signal.SIGKILL)
    wait(lambda: kept.starts("one") == 2 and kept.running("one"))
    second.terminate()
    assert second.wait(20) == 0


def test_a_pid_that_was_given_again_is_another_process() -> None:
    own = identify(os.getpid())

    assert is_alive(own)
    stranger = ProcessIdentity(own.pid, own.start_ticks - 1, own.boot_id)
    assert not is_alive(stranger)
    assert not send_signal(stranger, signal.SIGKILL)
    assert not is_alive(ProcessIdentity(own.pid, own.start_ticks, "another boot"))


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    identity = identify(child.pid)
    wait(lambda: identify(child.pid) is None)

    assert identity is None or not is_alive(identity)
    child.wait(10)
