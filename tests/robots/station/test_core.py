"""A lockstep station and its workers share a core, and leave one that is taken."""

import os
import threading

import pytest

from robots.station import core as cores
from robots.station.core import Core


@pytest.fixture
def machine(monkeypatch):
    """A machine of the test's own: where the thread was moved, and how the time went."""

    class Machine:
        def __init__(self):
            self.now_s, self.computed_s = 100.0, 0.0
            self.moves: list[set[int]] = []

        def pass_time(self, seconds, computing):
            self.now_s += seconds
            self.computed_s += seconds * computing

    made = Machine()
    monkeypatch.setattr(cores.time, "monotonic", lambda: made.now_s)
    monkeypatch.setattr(cores.time, "thread_time", lambda: made.computed_s)
    monkeypatch.setattr(cores, "move", lambda pid, cpus: made.moves.append(cpus))
    return made


def test_a_core_of_its_own_is_kept(machine):
    core = Core(range(4), seed=1)
    first = core.settle([])
    for _ in range(20):
        machine.pass_time(1.0, computing=0.95)
        assert core.settle([]) == first

    assert len(first) == 1
    assert machine.moves == [first]


def test_on_a_full_machine_the_scheduler_decides_nearly_always(machine):
    core = Core(range(2), seed=1)
    pinned = 0
    for _ in range(200):
        pinned += len(core.settle([])) == 1
        machine.pass_time(1.0, computing=0.4)

    assert pinned < 12


def test_two_that_meet_on_a_core_part(machine):
    parted = 0
    for seed in range(20):
        one, other = Core(range(2), seed=seed), Core(range(2), seed=seed + 100)
        for _ in range(100):
            first, second = one.settle([]), other.settle([])
            alone = len(first) == len(second) == 1 and first != second
            machine.pass_time(1.0, computing=0.95 if alone else 0.5)
        parted += alone

    assert parted >= 15


def test_a_short_episode_decides_nothing(machine):
    core = Core(range(2), seed=1)
    first = core.settle([])
    for _ in range(19):
        machine.pass_time(0.01, computing=0.0)
        assert core.settle([]) == first


def test_one_core_leaves_no_choice(machine):
    assert Core([3]).settle([]) == {3}
    assert machine.moves == []


def test_what_a_dead_worker_computed_counts_as_nothing():
    assert cores.computed(2**22 + 1) == 0.0
    assert cores.waited_s(2**22 + 1) == 0.0


def test_the_thread_really_moves_and_is_let_go():
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2:
        pytest.skip("one core only")
    seen = []

    def work():
        core = Core()
        seen.append((core.settle([]), os.sched_getaffinity(0)))
        core.leave()
        seen.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    cpus, there = seen[0]
    assert there == cpus
    assert len(there) == 1
    assert seen[1] == allowed
    assert os.sched_getaffinity(0) == allowed
