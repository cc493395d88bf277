"""A try in setup, on the batch thread: rehearse, ask, wait, move under the approval, look once.

Nothing moves before a person's answer is on record, and then only what was rehearsed: set-points
keep to a tube about the plan, under a grant that ends with the try.
"""

import concurrent.futures
import math
import secrets
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import msgspec

from robots.drivers.base import DriverError
from robots.safety.table import Condition, Reaction
from robots.station import plans, scenes
from robots.station.authority import Authority, BatchCancelled, MotionStopped
from robots.station.children import ChildFailed
from robots.station.rehearsal import NoRehearsal, Rehearsal, rehearse
from robots.station.resetting import ResetFailed, ResetVoid
from robots.station.rollout import Rig
from robots.station.scenes import Scene
from robots.station.stills import frame_of
from robots.wire.approvals import (
    ApprovalState,
    EnvelopeCheck,
    PlannedMotion,
    ResetResult,
    Sighting,
    TryKind,
)
from robots.wire.events import AnyEvent, ResetBegan, ResetTried, TryFinished, VerifierTried
from robots.wire.station_replies import CameraFrame

GRANT_WITHIN_S = 20.0
"""From the answer to the grant that lets the robot move; later, the approval is void."""

_WAIT_S = 0.2
_SLOW_LOOK_S = 2.0
_GO_ON = ("reached", "missed")


class Errand(NamedTuple):
    """A try to be made."""

    try_id: str
    kind: TryKind
    resets: int


class Evidence(NamedTuple):
    """What an approval is asked on; kept until it is answered."""

    number: int
    resets: int
    code_sha256: str
    scene: Scene
    image: CameraFrame | None
    image_missing: str
    motion: PlannedMotion | None
    plan_missing: str
    checks: tuple[EnvelopeCheck, ...]


class Permit(NamedTuple):
    """How a question ended.

    Attributes:
        scoped: Whether an earlier answer's scope covers it, and nobody was asked.
    """

    approval_id: str
    state: ApprovalState
    reason: str = ""
    scoped: bool = False


class Desk(Protocol):
    """The daemon's loop, as a try sees it."""

    def tell(self, event: AnyEvent) -> None:
        """Have an event journalled, and wait until it is."""
        ...

    def ask(self, try_id: str, evidence: Evidence) -> "concurrent.futures.Future[Permit]":
        """Ask a person, unless a scope covers it."""
        ...

    def void(self, reason: str) -> None:
        """The question that waits, and any scope, are void."""
        ...

    def stopped(self, condition: Condition, detail: str) -> None:
        """The robot stopped itself: a protective stop."""
        ...

    def approved(self, code_sha256: str) -> None:
        """These files are about to move the robot with a person's approval."""
        ...


class NotNow(Exception):
    """A try that cannot be made; the message says why and what to do."""


class LeftPlan(Exception):
    """The set-point was about to leave the tube about the approved plan."""


class Trier:
    """Makes tries on one rig.

    Args:
        rig: The robot.
        authority: Who lets it move.
        desk: The daemon's loop.
    """

    def __init__(self, rig: Rig, authority: Authority, desk: Desk) -> None:
        self._rig = rig
        self._authority = authority
        self._desk = desk

    def run(self, errand: Errand) -> None:
        """Make a try to its end; whatever goes wrong is told there.

        Raises:
            BatchCancelled: The daemon closes; the try ends at its next start.
        """
        results: list[ResetResult] = []
        detail = ""
        # A cancellation was meant for the batch before.
        self._authority.begin_batch(errand.try_id)
        try:
            self._rig.recover()
            if errand.kind is TryKind.VERIFY:
                self._check_files()
                sight = self._look()
                self._desk.tell(VerifierTried(try_id=errand.try_id, sight=sight))
            for number in range(1, errand.resets + 1 if errand.kind is TryKind.RESET else 0):
                result = self._reset(errand, number)
                results.append(result)
                self._desk.tell(ResetTried(try_id=errand.try_id, result=result))
                if result.outcome not in _GO_ON:
                    break
        except NotNow as error:
            detail = str(error)
        except DriverError as error:
            detail = f"driver: {error}"
            self._authority.stop(Condition.DRIVER_ERROR, str(error))
            self._desk.stopped(Condition.DRIVER_ERROR, str(error))
        finally:
            self._rig.env.close()
        self._desk.tell(
            TryFinished(
                try_id=errand.try_id,
                reached=sum(result.outcome == "reached" for result in results),
                resets=sum(result.tries > 0 for result in results),
                detail=detail,
            )
        )

    # --- one reset --------------------------------------------------------------------------

    def _reset(self, errand: Errand, number: int) -> ResetResult:
        rig = self._rig
        code_sha256 = self._check_files()
        if rig.driver.capabilities.simulator_reset:
            raise NotNow(
                "this environment's reset is the simulator's own: no robot moves, nothing to try"
            )
        # Reset and verifier are loaded anew, as they lie there now.
        rig.env.close()
        rig.driver.start_episode(secrets.randbits(62))
        rehearsal, missing = self._rehearsed()
        evidence = self._evidence(errand, number, code_sha256, rehearsal, missing)
        permit = self._answer(self._desk.ask(errand.try_id, evidence), evidence)
        result = ResetResult(
            number=number,
            approval_id=permit.approval_id,
            outcome=permit.state.value,
            detail=permit.reason,
        )
        if permit.state is not ApprovalState.APPROVED:
            return result
        try:
            rig.env.resetter.prepare()
        except ChildFailed as error:
            detail = f"{error.reason}: {error.line}"
            return msgspec.structs.replace(result, outcome="failed", detail=detail)
        changed = (
            "" if rig.task.manifest_sha256() == code_sha256 else "the task's files have changed"
        )
        changed = changed or scenes.moved(evidence.scene, scenes.take(rig.driver))
        if changed:
            self._desk.void(changed)
            return msgspec.structs.replace(result, outcome="void", detail=changed)
        self._desk.approved(code_sha256)
        self._desk.tell(
            ResetBegan(
                try_id=errand.try_id,
                number=number,
                approval_id=permit.approval_id,
                scoped=permit.scoped,
            )
        )
        return self._moved(result, rehearsal)

    def _moved(self, result: ResetResult, rehearsal: Rehearsal | None) -> ResetResult:
        """Move the robot as approved, and look at what came of it."""
        rig, resetter = self._rig, self._rig.env.resetter
        if rehearsal is not None:
            resetter.guard = self._guard(rehearsal)
        outcome, detail = "reached", ""
        try:
            self._authority.attend(GRANT_WITHIN_S)
            resetter.run()
        except ResetFailed as error:
            outcome, detail = "missed", str(error)
        except ResetVoid as error:
            outcome, detail = "failed", str(error)
        except LeftPlan as error:
            outcome, detail = "held", f"left_plan: {error}"
            self._desk.void(detail)
        except MotionStopped as error:
            outcome, detail = "held", str(error)
            self._desk.void(detail)
            self._halted(error)
        finally:
            rig.motion.hold(0.0)
            rig.driver.stop()
            self._authority.leave()
            resetter.unguard()
        sight = None if outcome == "held" else self._look()
        return msgspec.structs.replace(
            result,
            outcome=outcome,
            detail=detail,
            tries=resetter.tries,
            robot_s=round(resetter.robot_s, 3),
            sight=sight,
        )

    def _guard(self, rehearsal: Rehearsal) -> Callable[[list[float]], None]:
        rig, spec = self._rig, self._rig.task.spec
        ahead = max(1, round(plans.AHEAD_S * spec.policy_hz))
        tube = plans.Tube(rehearsal.setpoints, rehearsal.motion.tube, ahead)
        # A policy step is 3 or 4 control ticks at 30 and 100 Hz: the longer one must stay inside.
        ticks = math.ceil(spec.control_hz / spec.policy_hz)

        def guard(action: list[float]) -> None:
            setpoint = rig.driver.setpoint()
            # SAFETY: asked of where the set-point would be after this step, before it moves.
            left = tube.outside(plans.following(spec.limits, spec.tick_s, setpoint, action, ticks))
            if left:
                raise LeftPlan(left)

        return guard

    def _halted(self, error: MotionStopped) -> None:
        decision = error.decision
        if decision.reaction is Reaction.PROTECTIVE_STOP and self._authority.stopped is None:
            self._rig.faulted = True
            self._authority.stop(decision.condition, error.detail)
            self._desk.stopped(decision.condition, error.detail)

    # --- evidence ---------------------------------------------------------------------------

    def _check_files(self) -> str:
        """Hash of the task's files now.

        Raises:
            NotNow: They may not be tried as they are.
        """
        rig = self._rig
        if rig.frozen and rig.task.manifest_sha256() != rig.frozen:
            raise NotNow(
                "frozen: the files are not what was published; restore them, or publish them again "
                "(`enpire-tui environment publish`) and restart the fleet"
            )
        changed = {name for name, _ in rig.task.files().items() ^ rig.loaded.items()}
        fixed = sorted(name for name in changed if not _takes_up(name))
        if fixed:
            raise NotNow(
                f"changed since the station loaded them: {', '.join(fixed)}; `enpire-tui down` and "
                "`up` load them (reset.py and verify.py need no restart)"
            )
        return rig.task.manifest_sha256()

    def _rehearsed(self) -> tuple[Rehearsal | None, str]:
        rig = self._rig
        try:
            return rehearse(rig.driver, rig.task, rig.children.reset, self._live), ""
        except NoRehearsal as error:
            return None, str(error)

    def _live(self) -> None:
        """End what waits if the daemon closes or somebody stopped the station."""
        if self._authority.closing():
            raise BatchCancelled("station_closing", closing=True)
        if self._authority.stopped is not None:
            raise NotNow("held: the station was stopped; release it first")

    def _evidence(
        self,
        errand: Errand,
        number: int,
        code_sha256: str,
        rehearsal: Rehearsal | None,
        missing: str,
    ) -> Evidence:
        rig = self._rig
        scene = scenes.take(rig.driver)
        cameras = rig.task.spec.cameras
        image = scene.images.get(cameras[0].name) if cameras else None
        return Evidence(
            number=number,
            resets=errand.resets,
            code_sha256=code_sha256,
            scene=scene,
            image=frame_of(cameras[0].name, image) if image is not None else None,
            image_missing="" if image is not None else "the task declares no camera",
            motion=rehearsal.motion if rehearsal is not None else None,
            plan_missing=missing,
            checks=rehearsal.checks if rehearsal is not None else (),
        )

    def _answer(self, asked: "concurrent.futures.Future[Permit]", evidence: Evidence) -> Permit:
        """Wait for the answer; what happens to robot or scene meanwhile makes the question void."""
        look_s = time.monotonic() + _SLOW_LOOK_S
        while True:
            try:
                return asked.result(_WAIT_S)
            except TimeoutError:
                self._rig.look()
            try:
                self._live()
            except NotNow as error:
                self._desk.void(str(error))
            if evidence.scene.positions is None and time.monotonic() >= look_s:
                look_s = time.monotonic() + _SLOW_LOOK_S
                moved = scenes.moved(evidence.scene, scenes.take(self._rig.driver))
                if moved:
                    self._desk.void(f"the scene has changed: {moved}")

    def _look(self) -> Sighting:
        """Ask the verifier once, of the scene as it is."""
        env, driver = self._rig.env, self._rig.driver
        if not driver.capabilities.verifies:
            return Sighting(failed="the environment judges by itself; there is no verifier")
        observation = self._rig.motion.observe()
        gate = "" if driver.plausible(observation) else "sensors exclude success"
        gate = gate if driver.retracted(observation) else "the tool is not retracted"
        try:
            env.prepare_verifier()
            images = driver.camera()
            started_s = time.perf_counter()
            sight = env.ask(images, observation)
        except ChildFailed as error:
            return Sighting(gate=gate, failed=f"{error.reason}: {error.line}")
        except MotionStopped as error:
            self._halted(error)
            return Sighting(gate=gate, failed=str(error))
        latency_ms = 1e3 * (time.perf_counter() - started_s)
        return Sighting(
            success=sight.success, score=sight.score, latency_ms=round(latency_ms, 2), gate=gate
        )


def _takes_up(name: str) -> bool:
    """Whether a file is loaded anew by a try, or plays no part in it."""
    # A base's files are named with its package before a colon.
    return name.rpartition(":")[2] in ("reset.py", "verify.py") or name.startswith("recipes/")
