"""Children in sandboxed processes: starts them, and names what goes wrong with them.

A policy's failures are its own: whatever its process does, down to killing itself, ends in a named
reason that counts as a failure. Only the sandbox's refusal to start is the host's matter.
"""

import shutil
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from robots import skills
from robots.policy import Knob
from robots.sandbox import ExitReason, SandboxError
from robots.station import archive
from robots.station.cameras import Images
from robots.station.children import Answer, ChildFailed, Sight
from robots.station.core import waited_s
from robots.station.tasks import Observation, Task
from robots.wire.records import RecipeArchive
from robots.worker import (
    CallResult,
    Worker,
    WorkerBadReply,
    WorkerDied,
    WorkerFailed,
    WorkerKind,
    WorkerRaised,
    WorkerTimedOut,
    worker_limits,
)

START_TIMEOUT_S = 20.0

IDLE_BUDGET_S = 5.0
"""Wall seconds that a policy may spend neither computing nor waiting for a processor, an episode.

Without it one that sleeps just under the wall cap on every step would keep a station for hours,
since lockstep counts processor time only."""

SKILLS = {"robots.skills": Path(skills.__file__).parent}
"""What every policy may import beside the standard library, numpy and its own recipe."""

_SLOW_CALL_S = 0.05

_EXITS = {
    ExitReason.MEMORY: "memory",
    ExitReason.PROCESSES: "processes",
    ExitReason.CPU: "cpu",
    ExitReason.FILE_SIZE: "disk",
}


def failure(kind: str, error: WorkerFailed) -> ChildFailed:
    """The reason that an episode's record carries for a worker's failure."""
    match error:
        case WorkerRaised(name="MemoryError"):
            return ChildFailed(f"{kind}_memory", str(error), ended=False)
        case WorkerRaised():
            return ChildFailed(f"{kind}_raised", f"{error}\n{error.traceback}", ended=False)
        case WorkerTimedOut():
            return ChildFailed(f"{kind}_timeout", str(error))
        case WorkerDied():
            reason = f"{kind}_{_EXITS.get(error.ended.reason, 'exited')}"
            return ChildFailed(reason, str(error))
        case WorkerBadReply() if kind == "policy":
            return ChildFailed("bad_reply", str(error))
        case _:
            return ChildFailed(f"{kind}_bad_reply", str(error))


class _Child:
    """A worker whose failures have reasons."""

    def __init__(self, worker: Worker, kind: str, timeout_s: float) -> None:
        self._worker = worker
        self._kind = kind
        self._timeout_s = timeout_s
        self._blocked: list[str] = []

    def call(self, method: str, *arguments: Any) -> CallResult:  # noqa: ANN401
        return self._asked(lambda: self._worker.call(method, *arguments, wall_s=self._timeout_s))

    def answer(self, observation: Observation) -> CallResult:
        """`call` of act."""
        return self._asked(lambda: self._worker.act(observation, self._timeout_s))

    @property
    def pid(self) -> int | None:
        try:
            return self._worker.sandbox.inner_pid
        except SandboxError:
            return None

    def _asked(self, ask: Callable[[], CallResult]) -> CallResult:
        try:
            result = ask()
        except WorkerFailed as error:
            self._blocked += error.blocked
            raise failure(self._kind, error) from error
        self._blocked += result.blocked
        return result

    def blocked(self) -> list[str]:
        taken, self._blocked = self._blocked, []
        return taken

    def close(self) -> None:
        self._worker.close()


class SandboxedPolicy(_Child):
    """A recipe's policy."""

    def __init__(self, worker: Worker, timeout_s: float, folder: Path) -> None:
        super().__init__(worker, "policy", timeout_s)
        self._folder = folder
        self._idle_s = 0.0
        self._queued_s = 0.0

    def reset(self, observation: Observation) -> float:
        self._idle_s = 0.0
        result = self.call("reset", observation)
        self._account(result)
        return result.cpu_s

    def act(self, observation: Observation) -> Answer:
        result = self.answer(observation)
        if result.wall_s > _SLOW_CALL_S:
            self._account(result)
        return Answer(cast("NDArray[Any] | None", result.value), result.cpu_s)

    def close(self) -> None:
        super().close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _account(self, result: CallResult) -> None:
        """Charge a slow call's idle time to the episode's budget."""
        # What it waited for a processor is a busy machine's fault, not its own; so is what this
        # thread waited for one with the answer already there.
        queued_s = waited_s() + (waited_s(self.pid) if self.pid is not None else 0.0)
        waited, self._queued_s = queued_s - self._queued_s, queued_s
        self._idle_s += max(0.0, result.wall_s - result.cpu_s - waited)
        if self._idle_s > IDLE_BUDGET_S:
            self.close()
            detail = (
                f"idle for {self._idle_s:.1f} s of an episode, {IDLE_BUDGET_S:.0f} s are allowed"
            )
            raise ChildFailed("policy_timeout", detail)


class SandboxedReset(_Child):
    """A task's reset."""

    def reset(self, observation: Observation, target: NDArray[np.float64]) -> None:
        self.call("reset", observation, target)

    def act(self, observation: Observation) -> Answer:
        result = self.answer(observation)
        return Answer(cast("NDArray[Any] | None", result.value), result.cpu_s)


class SandboxedVerify(_Child):
    """A task's verifier."""

    def verify(self, images: Images, proprioception: Observation) -> Sight:
        try:
            value = self.call("verify", images, proprioception).value
        except ChildFailed as error:
            if error.ended:
                raise
            # A verifier that raises has not seen success; its process is sound.
            return Sight(success=False, score=None)
        verdict = cast("dict[str, object]", value) if isinstance(value, dict) else {}
        success = verdict.get("success")
        if not isinstance(success, bool):
            raise ChildFailed("verifier_bad_reply", repr(verdict)[:200])
        score = verdict.get("iou", verdict.get("score"))
        return Sight(success, float(score) if isinstance(score, int | float) else None)


class SandboxedChildren:
    """Starts the children of one station.

    Args:
        task: Where reset and verifier come from.
        folder: Recipes are unpacked below it, one folder a policy; None for a temporary one.
        sandboxed: False only where a person said so.
        memory_bytes: Cap of a policy.
        timeout_s: Wall seconds after which a child that has not answered is killed.
    """

    def __init__(
        self,
        task: Task,
        folder: Path | None = None,
        *,
        sandboxed: bool = True,
        memory_bytes: int = 512 << 20,
        timeout_s: float = 5.0,
    ) -> None:
        self._task = task
        self._folder = folder
        self._sandboxed = sandboxed
        self._memory_bytes = memory_bytes
        self._timeout_s = timeout_s
        if folder is not None:
            # What a kill left behind.
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)

    def policy(self, recipe: RecipeArchive) -> SandboxedPolicy:
        """Start a recipe's policy in a fresh sandbox.

        Raises:
            ChildFailed: policy_... if the recipe is to blame, sandbox_failed if the host is.
        """
        folder = Path(tempfile.mkdtemp(prefix="recipe-", dir=self._folder))
        try:
            archive.unpack(recipe, folder)
            knobs = read_knobs(recipe)
            worker = self._start(WorkerKind.POLICY, folder, "policy", knobs)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return SandboxedPolicy(worker, self._timeout_s, folder)

    def reset(self) -> SandboxedReset:
        worker = self._start(WorkerKind.RESET, self._task.path("reset.py"), "reset", {})
        return SandboxedReset(worker, "reset", self._timeout_s)

    def verify(self) -> SandboxedVerify:
        worker = self._start(WorkerKind.VERIFIER, self._task.path("verify.py"), "verifier", {})
        return SandboxedVerify(worker, "verifier", self._timeout_s)

    def _start(self, kind: WorkerKind, source: Path, name: str, knobs: dict[str, Knob]) -> Worker:
        policy = kind is WorkerKind.POLICY
        memory_bytes = self._memory_bytes if policy else 1 << 30
        # SAFETY: a policy sees nothing of the task, of its base and what that uses neither.
        packages = SKILLS if policy else self._task.packages
        try:
            return Worker.start(
                kind,
                source,
                knobs=knobs,
                packages=packages,
                limits=worker_limits(memory_bytes),
                sandboxed=self._sandboxed,
                wall_s=START_TIMEOUT_S,
            )
        except WorkerFailed as error:
            raise failure(name, error) from error
        except SandboxError as error:
            raise ChildFailed("sandbox_failed", str(error)) from error


def read_knobs(recipe: RecipeArchive) -> dict[str, Knob]:
    """Values of a recipe's knobs, from its `recipe.toml`.

    Raises:
        ChildFailed: policy_recipe_invalid, with file and key.
    """
    text = recipe.files.get("recipe.toml", b"")
    try:
        tables: dict[str, Any] = tomllib.loads(text.decode()).get("knobs", {})
        knobs = {name: table["value"] for name, table in tables.items()}
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, AttributeError, TypeError) as error:
        raise ChildFailed("policy_recipe_invalid", f"recipe.toml: {error}") from error
    except KeyError as error:
        raise ChildFailed(
            "policy_recipe_invalid", f"recipe.toml: a knob without {error}"
        ) from error
    for name, value in knobs.items():
        if not isinstance(value, float | int | str | bool):
            detail = f"recipe.toml: knobs.{name}.value: must be a number, word or truth value"
            raise ChildFailed("policy_recipe_invalid", detail)
    return knobs
