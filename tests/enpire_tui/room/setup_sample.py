"""A hand-made fleet in setup, the same every time: an approval that waits, a fault, an agent that failed."""

from collections.abc import Mapping

from enpire_tui.room.feed import Feed
from enpire_tui.room.orders import Order
from enpire_tui.room.state import RoomState
from robots.wire import events as ev
from robots.wire.approvals import (
    ApprovalCard,
    ApprovalCounts,
    ApprovalState,
    EnvelopeCheck,
    PastApproval,
    PlannedMotion,
    ResetResult,
    TryKind,
)
from robots.wire.commands import AnyCommand
from robots.wire.records import Role
from robots.wire.replies import Checklist, ChecklistItem
from robots.wire.telemetry import StationTelemetry
from tests.enpire_tui.room.sample import (
    START_WALL_S,
    Journals,
    SampleClock,
    SampleTelemetry,
    image,
    spec_of,
)
from tests.robots.wire.memory import MemoryTransport

LABEL = "ann@lab1:pts/3"
CODE, BEFORE, PLAN = "4be1c0aa72" * 6, "90d1f2c7a3" * 6, "77aa01" * 10
DIFF = """--- approved/reset.py
+++ now/reset.py
@@ -11,9 +11,12 @@
 class Reset:
     def reset(self, observation, target):
         self._target = np.asarray(target)
-        self._speed = 0.25
+        # Slower near the block: it slid off its mark in two of five tries.
+        self._speed = 0.12
+        self._lift_m = 0.03

     def act(self, observation):
-        if np.linalg.norm(observation["tool_position_m"] - self._target) < 0.004:
+        gap_m = np.linalg.norm(observation["tool_position_m"] - self._target)
+        if gap_m < 0.002:
             return None
         return self._target
"""
CHECKS = (
    EnvelopeCheck("workspace", True, "0.021 m inside the nearest limit"),
    EnvelopeCheck("velocity", True, "0.11 of at most 0.50 m/s"),
    EnvelopeCheck("step", True, "0.004 of at most 0.200 m"),
    EnvelopeCheck("finite", True, "84 of 84 set-points"),
    EnvelopeCheck("duration", True, "2.8 of at most 20 s"),
)

FAILED = (*CHECKS[:1], EnvelopeCheck("velocity", False, "0.61 of at most 0.50 m/s"), *CHECKS[2:])
PAST = (
    PastApproval(
        "s1-try-6/1", CODE, ApprovalState.APPROVED, "operator/ann@lab1:pts/3", "",
        START_WALL_S + 380.0, "reached", 1, 1,
    ),
    PastApproval(
        "s1-try-5/1", BEFORE, ApprovalState.REJECTED, "operator/ann@lab1:pts/3",
        "it passes over the clamp; go round it", START_WALL_S + 60.0,
    ),
)  # fmt: skip


def card_of(checks: tuple[EnvelopeCheck, ...] = CHECKS, **changed: object) -> ApprovalCard:
    """The card of what s1 waits for."""
    plan = PlannedMotion(
        plan_sha256=PLAN,
        steps=84,
        seconds=2.8,
        pixels=tuple((24 + 0.7 * t, 16 + 26 * (t / 70) ** 2) for t in range(71)),
        tool="the tool's site in the simulated scene",
        tube=(0.012, 0.012),
        reached=True,
        tries=1,
    )
    fields: dict[str, object] = {
        "approval_id": "s1-try-7/1",
        "station": "s1",
        "task": "push_t",
        "try_id": "s1-try-7",
        "number": 1,
        "count": 3,
        "state": ApprovalState.PENDING,
        "asked_by": f"operator/{LABEL}",
        "code_sha256": CODE,
        "plan_sha256": PLAN,
        "scene_version": "scene-12",
        "age_s": 41.0,
        "left_s": 79.0,
        "image": image(),
        "plan": plan,
        "checks": checks,
        "diff": DIFF,
        "diff_base": BEFORE,
        "same_code": ApprovalCounts(approved=1, resets=1, reached=1),
        "all_code": ApprovalCounts(approved=4, rejected=1, resets=6, reached=5),
        "past": PAST,
    }
    return ApprovalCard(**{**fields, **changed})  # pyright: ignore[reportArgumentType]


def setup_state() -> RoomState:
    """The fleet in setup: s1 asks, s3 is stopped by itself, a2 has failed."""
    state = RoomState(spec_of(4))
    journals = Journals(state)
    add = journals.add
    for name in ("supervisor", *state.spec.stations, *state.spec.agents):
        started = ev.DaemonStarted(name=name, incarnation="i", pid=1, restarts=0, version="1")
        add(name, -20.0, started)
    for name in state.spec.stations:
        add("supervisor", -18.0, ev.StationSeen(station=name, state="ONLINE"))
    for name in state.spec.agents:
        add(name, 1.0, ev.AgentStateChanged(state="WAITING", detail="for a run"))
    lease = ev.LeaseChanged(holder=f"operator/{LABEL}", epoch=3, how="taken")
    add("supervisor", 20.0, lease)
    add("a2", 310.0, ev.AgentStateChanged(state="FAILED", detail="401 invalid x-api-key"))
    fault = "following error of joint 2: 0.14 rad (protective stop)"
    add("s3", 440.0, ev.StationHeld(reason=fault, by="station", latched=True))
    add("s1", 470.0, ev.TryAsked(try_id="s1-try-6", kind=TryKind.RESET, count=1, by=LABEL))
    reached = ResetResult(
        number=1, approval_id="s1-try-6/1", outcome="reached", tries=1, robot_s=2.7
    )
    add("s1", 476.0, ev.ResetTried(try_id="s1-try-6", result=reached))
    add("s1", 476.1, ev.TryFinished(try_id="s1-try-6", reached=1, resets=1))
    add("s1", 524.0, ev.TryAsked(try_id="s1-try-7", kind=TryKind.RESET, count=3, by=LABEL))
    asked = ev.ApprovalAsked(
        approval_id="s1-try-7/1",
        try_id="s1-try-7",
        number=1,
        plan_sha256=PLAN,
        code_sha256=CODE,
        scene_version="scene-12",
        ttl_s=120.0,
        summary="84 steps in 2.8 s, reset.py changed",
    )
    add("s1", 525.0, asked)
    return state


class SetupFeed(Feed):
    """A feed whose fleet is in setup; nobody answers it, but its one card is there.

    Attributes:
        shown: The card that the station tells.
        sent: Commands that were ordered.
    """

    def __init__(self, label: str = LABEL) -> None:
        clock, state = SampleClock(), setup_state()
        telemetry = SampleTelemetry(state)
        words = {"s1": "ASKING", "s3": "HELD"}
        telemetry.values = {
            name: StationTelemetry(
                station=name,
                word=words.get(name, "IDLE"),
                held=state.stations[name].fold.held,
                pose=(-0.071, 0.163, -0.012, -0.031, 0.61),
            )
            for name in state.spec.stations
        }
        transport = MemoryTransport(clock, {"operator": Role.OPERATOR})
        super().__init__(state.spec, transport, telemetry, clock, label)
        self.state = state
        self.shown = card_of()
        self.sent: list[AnyCommand] = []

    def order(self, words: str, sends: Mapping[str, AnyCommand]) -> Order:
        self.sent += sends.values()
        return super().order(words, sends)

    async def card(self, station: str, approval_id: str) -> ApprovalCard:
        del station, approval_id
        return self.shown

    async def checklist(self) -> Checklist:
        items = (
            ChecklistItem("manifest", "OK", "push_t is what ann published"),
            ChecklistItem("reset", "WAIVED", "shipped with the house, measured there"),
            ChecklistItem("stop", "MISSING", "s3 holds", "release s3 (r)"),
        )
        return Checklist(items=items, ready=False, word="simulated")
