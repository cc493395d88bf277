"""A person in a policy's place: one step of the robot a press, in an episode like any other.

Reset, limits, verifier, outcome and recording are the station's own; only who decides about the
action is another. The world stands still between two presses, so that this is for lockstep stations.
"""

import queue
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from robots.dataset.export import columns_of, pictures_of
from robots.drivers.base import load_driver
from robots.safety.table import Condition
from robots.station.authority import Authority
from robots.station.children import Answer, ChildFailed, PolicyChild, ResetChild, VerifyChild
from robots.station.recording import RecordingInfo, Trace
from robots.station.rollout import BatchPlan, Rig
from robots.station.sandboxed import SandboxedChildren
from robots.station.seeds import RandomSeeds
from robots.station.stills import frame_of
from robots.station.tasks import Observation, Task, TaskError, TaskSpec
from robots.wire.records import Episode, Purpose, RecipeArchive
from robots.wire.station_replies import CameraFrame

PRESS_STEPS = 3
"""Policy steps of a press: at 30 Hz a tenth of a second, in which the robot gets where it was sent."""

END_S = 5.0
"""How long the robot stands after a person's end, so that the verifier has its looks."""

ENDED, LEFT = "policy_ended", "policy_left"
"""Reasons of a failure: the person's end without a success; the person went away."""


class Press(NamedTuple):
    """What a person wants: the target moved, the robot left standing, or the episode ended.

    Attributes:
        move: By how much each number of the action's target moves, in its unit; () for none.
        ends: Whether this is the end of the episode.
    """

    move: tuple[float, ...] = ()
    ends: bool = False


class View(NamedTuple):
    """What a person sees while the robot waits for a press.

    Attributes:
        target: Where the robot was sent, in the action's unit.
        frame: Of the task's first camera, None if it has none.
        time_s: Of the episode.
        score: The verifier's last, None before it looked.
    """

    observation: Observation
    target: tuple[float, ...]
    frame: CameraFrame | None
    time_s: float
    score: float | None


class Demonstrated(NamedTuple):
    """An episode of a person.

    Attributes:
        columns: For a dataset, by feature name; {} where nothing was done.
        pictures: What a policy would have been shown, by camera.
    """

    episode: Episode
    columns: dict[str, NDArray[Any]]
    pictures: dict[str, NDArray[np.uint8]]


class Seat:
    """A simulated station with a person in a policy's place; one thread runs its episodes.

    Args:
        task: The task, with a continuous action of finite limits.
        driver: Name of a lockstep driver: mujoco or gymnasium.
        station_seed: Of what differs between simulated stations.
        shown: Given what the person sees, on the episodes' thread, when a press is awaited.
        acted: Told which row of the safety table fired, and what it does, once an episode.
        sandboxed: False only where a person said so.

    Raises:
        TaskError: Its action cannot be given by keys.
        DriverError: Its simulation cannot be run here.
    """

    def __init__(
        self,
        task: Task,
        driver: str,
        station_seed: int,
        shown: Callable[[View], None],
        acted: Callable[[str], None] = lambda words: None,
        *,
        sandboxed: bool = True,
    ) -> None:
        limits = task.spec.limits
        if limits.choices or not np.isfinite([*limits.low, *limits.high]).all():
            raise TaskError(
                f"{task.spec.name}: its action is no set of numbers within limits, which keys could "
                "move; record a policy's episodes instead (enpire-tui evaluate --record)"
            )
        self._task = task
        self._shown = shown
        self.acted = acted
        self._authority = Authority(time.monotonic, needs_grant=False)
        self._person = _Person(task.spec, self._look)
        children = _Children(SandboxedChildren(task, sandboxed=sandboxed), self._person)
        made = load_driver(driver, task, station_seed)
        self._rig = Rig(task, made, children, self._authority, RandomSeeds())
        self._person.setpoint = made.setpoint
        self._finished: Demonstrated | None = None

    def press(self, press: Press) -> None:
        """A key was pressed; from any thread. What nobody waits for is not kept for later."""
        self._person.press(press)

    def leave(self) -> None:
        """The person goes away: an episode under way ends as a failure. From any thread."""
        self._person.leave()

    def episode(self) -> Demonstrated:
        """Reset the scene and have the person act until the episode has its outcome.

        Raises:
            BatchCancelled: The station closes.
        """
        self._finished = None
        plan = BatchPlan(
            batch_id=f"demonstration-{secrets.token_hex(4)}",
            purpose=Purpose.EVALUATE,
            commit="",
            recipe=RecipeArchive(files={}, sha256=""),
            idea_id="",
            episodes=1,
            record=True,
        )
        end = self._rig.run(plan, self)
        if self._finished is None:
            raise TaskError(f"{self._task.spec.name}: no episode could be run: {end.void_reason}")
        return self._finished

    def close(self) -> None:
        """End the children and free the driver, on the thread that used it."""
        self._rig.close()

    def _look(self, observation: Observation, target: tuple[float, ...]) -> None:
        images = self._rig.driver.camera()
        name = next(iter(images), "")
        self._shown(
            View(
                observation=observation,
                target=target,
                frame=frame_of(name, images[name]) if name else None,
                time_s=self._rig.motion.time_s,
                score=self._rig.env.judge.score,
            )
        )

    # As the watcher of its own batches.

    def episode_started(self, index: int, number: int) -> None:
        """Nothing to tell: the first view does."""

    def episode_finished(
        self, episode: Episode, audit: dict[str, float], trace: Trace | None
    ) -> None:
        del audit
        found = {} if trace is None else trace.arrays()
        columns: dict[str, NDArray[Any]] = {}
        if "action" in found:
            info = RecordingInfo(
                batch_id="",
                commit="",
                task=self._task.spec.name,
                station="",
                episode=episode,
                action_source="human",
            )
            columns = columns_of(info, found, self._task.spec)
        self._finished = Demonstrated(episode, columns, pictures_of(found))

    def safety_acted(self, index: int, condition: Condition, action: str) -> None:
        del index
        self.acted(f"{condition.value}: {action}")

    def blocked(self, what: str) -> None:
        """No code of a recipe runs here."""

    def protective_stop(self, condition: Condition, detail: str) -> None:
        # No robot stands here: the simulation is placed anew.
        self.acted(f"{condition.value}: stopped. {detail}")
        self._authority.release()


class _Person:
    """A policy whose actions come from presses."""

    pid = None

    def __init__(
        self, spec: TaskSpec, look: Callable[[Observation, tuple[float, ...]], None]
    ) -> None:
        self.setpoint: Callable[[], list[float]] = list
        self._spec = spec
        self._look = look
        self._presses: queue.SimpleQueue[Press] = queue.SimpleQueue()
        self._gone = False
        self._awaited = False
        self._waiting = threading.Lock()
        self._target = np.zeros(0)
        self._steps = 0
        self._ending = False

    def press(self, press: Press) -> None:
        # One press for one wait: what is typed ahead was meant for a scene that is not there yet.
        with self._waiting:
            if not self._awaited:
                return
            self._awaited = False
        self._presses.put(press)

    def leave(self) -> None:
        self._gone = True
        self._presses.put(Press(ends=True))

    def reset(self, observation: Observation) -> float:
        del observation
        self._target = np.array(self.setpoint(), dtype=np.float64)
        self._steps, self._ending = 0, False
        return 0.0

    def act(self, observation: Observation) -> Answer:
        if not self._steps:
            self._next(observation)
        self._steps -= 1
        limits = self._spec.limits
        return Answer(self._target.reshape(limits.shape).copy(), 0.0)

    def _next(self, observation: Observation) -> None:
        """Wait for a press: the world stands still until it comes."""
        if self._ending:
            raise ChildFailed(ENDED, "ended without a success", ended=False)
        with self._waiting:
            self._awaited = True
        self._look(observation, tuple(float(each) for each in self._target))
        press = Press(ends=True) if self._gone else self._presses.get()
        if self._gone:
            raise ChildFailed(LEFT, "the person went away", ended=False)
        self._ending, self._steps = press.ends, PRESS_STEPS
        if press.ends:
            self._steps = round(END_S * self._spec.policy_hz)
        elif press.move:
            # SAFETY: what reaches the robot is validated and limited behind this, as any action.
            moved = self._target + np.array(press.move)
            limits = self._spec.limits
            self._target = np.clip(moved, limits.low, limits.high)

    def blocked(self) -> list[str]:
        return []

    def close(self) -> None:
        """There is no process to end."""


class _Children:
    """A station's children, the policy's place taken."""

    def __init__(self, others: SandboxedChildren, person: _Person) -> None:
        self._others = others
        self._person = person

    def policy(self, recipe: RecipeArchive) -> PolicyChild:
        del recipe
        return self._person

    def reset(self) -> ResetChild:
        return self._others.reset()

    def verify(self) -> VerifyChild:
        return self._others.verify()
