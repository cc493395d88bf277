"""A person at a simulated station, by script: presses in, an episode of the station out."""

import queue
import threading
from pathlib import Path

import numpy as np
import pytest

from robots.dataset.features import SOURCES
from robots.station.demonstrating import ENDED, LEFT, PRESS_STEPS, Press, Seat, View
from robots.station.tasks import load_task
from robots.wire.records import Outcome

TASK = load_task(str(Path(__file__).parents[1] / "third_party" / "enpire-turn-knob" / "turn_knob"))


class Script:
    """A seat on a thread of its own, and what it shows."""

    def __init__(self) -> None:
        self.views: queue.Queue[View] = queue.Queue()
        self.acted: list[str] = []
        self.seat = Seat(TASK, "mujoco", 1, self.views.put, self.acted.append)
        self.found: list = []
        self._thread = threading.Thread(target=lambda: self.found.append(self.seat.episode()))
        self._thread.start()

    def end(self):
        self._thread.join(120)
        self.seat.close()
        return self.found[0]


def test_a_press_moves_the_target_one_step_and_the_world_stands_still_between() -> None:
    script = Script()
    first = script.views.get(timeout=60)
    script.seat.press(Press(move=(0.01, 0.0)))
    second = script.views.get(timeout=60)
    script.seat.press(Press())
    third = script.views.get(timeout=60)
    script.seat.leave()
    found = script.end()

    assert second.target == pytest.approx(np.add(first.target, (0.01, 0.0)))
    assert third.target == second.target
    assert second.time_s == pytest.approx(PRESS_STEPS / TASK.spec.policy_hz, abs=0.011)
    assert first.frame is not None
    assert (found.episode.outcome, found.episode.reason) == (Outcome.FAILURE, LEFT)
    assert len(found.columns["action"]) == 2 * PRESS_STEPS
    assert {SOURCES[each] for each in found.columns["action_source"]} == {"human"}
    assert np.allclose(found.columns["action"][-1], third.target)


def test_a_far_target_is_limited_as_any_action() -> None:
    script = Script()
    start = script.views.get(timeout=60)
    script.seat.press(Press(move=(9.0, 0.0)))
    view = script.views.get(timeout=60)
    script.seat.leave()
    found = script.end()

    limits = TASK.spec.limits
    assert view.target[0] == limits.high[0]
    # The set-point went no faster than the task admits, whatever was asked for.
    executed = found.columns["executed"][:, 0]
    fastest = limits.max_velocity[0] / TASK.spec.policy_hz
    assert np.abs(np.diff([start.target[0], *executed])).max() <= fastest * 1.5 + 1e-9
    assert executed[-1] < limits.high[0]


def test_an_end_without_a_success_is_a_failure_after_the_verifier_had_its_looks() -> None:
    script = Script()
    script.views.get(timeout=60)
    script.seat.press(Press(ends=True))
    found = script.end()
    assert (found.episode.outcome, found.episode.reason) == (Outcome.FAILURE, ENDED)
    assert found.episode.robot_s == pytest.approx(5.0, abs=0.05)


def test_what_was_pressed_while_nobody_waited_moves_nothing() -> None:
    script = Script()
    for _ in range(100):
        script.seat.press(Press(move=(0.02, 0.02)))
    first = script.views.get(timeout=60)
    script.seat.press(Press(move=(0.0, 0.01)))
    second = script.views.get(timeout=60)
    script.seat.leave()
    script.end()
    assert second.target == pytest.approx(np.add(first.target, (0.0, 0.01)))
    assert script.views.empty()
