"""Tries of a reset in setup and the approvals they wait for: values, and what is answered to people.

An approval is bound to what its card shows: one plan, the task's files by hash, one scene. It ends
once: answered by an operator, expired or void, and the last three leave the robot where it is.
"""

import enum

from robots.wire.records import Frozen
from robots.wire.station_replies import CameraFrame


class TryKind(enum.Enum):
    """What is tried: the reset, which moves the robot, or the verifier, which only looks."""

    RESET = "reset"
    VERIFY = "verify"


class ApprovalState(enum.Enum):
    """Where an approval stands; all but PENDING are final."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    VOID = "void"


class Scope(Frozen):
    """Further resets of the same code that need no card of their own.

    Attributes:
        count: Resets it covers, the approved one included.
        seconds: How long it is valid, from the answer on the station's monotonic clock.
        code_sha256: The task's files it is bound to; any other hash voids it.
    """

    count: int
    seconds: float
    code_sha256: str


class Sighting(Frozen):
    """What the verifier said when it was asked once.

    Attributes:
        success: Its verdict.
        score: Its value, None if it gave none.
        latency_ms: Wall milliseconds of the call, without the camera.
        gate: Why a station would not have asked it now, "" if it would have.
        failed: Why there is no verdict, "" if there is one.
    """

    success: bool = False
    score: float | None = None
    latency_ms: float = 0.0
    gate: str = ""
    failed: str = ""


class ResetResult(Frozen):
    """What became of one reset of a try.

    Attributes:
        number: 1 for the first reset of its try.
        approval_id: What it moved under, or waited for; "" if it came to none.
        outcome: reached, missed, rejected, expired, void, held or failed.
        detail: Why; an operator's words where it was rejected.
        tries: Attempts the reset took, 0 if nothing moved.
        robot_s: Robot (or simulated) seconds in which it moved.
        sight: The verifier on the result, None if nothing moved.
    """

    number: int
    approval_id: str
    outcome: str
    detail: str = ""
    tries: int = 0
    robot_s: float = 0.0
    sight: Sighting | None = None


class TryState(Frozen):
    """Answer to `TryReset` and `TryVerify`; what follows is in the station's journal."""

    try_id: str
    station: str
    kind: TryKind
    count: int


class ApprovalAnswer(Frozen):
    """Answer to `Approve` and `Reject`: how the approval ended.

    Attributes:
        by: Who ended it; repeating the same answer gives the first one's name.
        repeated: Whether it had ended so already, and this answer changed nothing.
        note: What else is to be known, such as an agent that could not be told.
    """

    approval_id: str
    state: ApprovalState
    by: str
    reason: str = ""
    repeated: bool = False
    note: str = ""


class EnvelopeCheck(Frozen):
    """One check of the planned motion; one that is not ok forbids the approval."""

    name: str
    ok: bool
    detail: str


class PlannedMotion(Frozen):
    """The motion as a rehearsal in a copy of the simulated world recorded it.

    Attributes:
        plan_sha256: Over the set-points, one a policy step.
        steps: Policy steps.
        seconds: Simulated seconds.
        pixels: The tool's path in the card's image, (x, y) from its top left, in its pixels; points
            outside the image are left in, points behind the camera out.
        tool: How the tool's position was found, or why there is no path.
        tube: Half-width of the tube about the plan that the set-points must keep to, by number of
            the action.
        reached: Whether the rehearsed reset met its post-condition.
        tries: Attempts it took.
    """

    plan_sha256: str
    steps: int
    seconds: float
    pixels: tuple[tuple[float, float], ...]
    tool: str
    tube: tuple[float, ...]
    reached: bool
    tries: int


class PastApproval(Frozen):
    """An approval that ended, and what came of it.

    Attributes:
        outcome: Of its last reset, "" if nothing moved.
        resets: Resets that moved under it.
        reached: How many of those met their post-condition.
    """

    approval_id: str
    code_sha256: str
    state: ApprovalState
    by: str
    reason: str
    wall_s: float
    outcome: str = ""
    resets: int = 0
    reached: int = 0


class ApprovalCounts(Frozen):
    """Approvals and resets so far."""

    approved: int = 0
    rejected: int = 0
    expired: int = 0
    void: int = 0
    resets: int = 0
    reached: int = 0


class ApprovalCard(Frozen):
    """Answer to `GetApproval`: everything a person is asked to decide on.

    Attributes:
        number, count: This reset of how many of its try.
        plan_sha256: To be sent back with `Approve`; "" where there is no plan.
        scene_version: Likewise; changes when robot or scene move.
        age_s: Since it was asked, on the station's clock.
        left_s: Until it expires, not negative.
        refusal: Why `Approve` would be refused now, "" if it would not.
        image: The scene through the task's first camera when it was asked.
        image_missing: Why there is none.
        plan: The rehearsed motion.
        plan_missing: Why there is none, said plainly.
        checks: Envelope of the plan; empty without one.
        diff: Unified diff of the task's text files against the last approved version, bounded.
        diff_base: Hash of that version; "" if none was approved, and the diff is of nothing.
        same_code: What was answered to these very files, and what came of it.
        all_code: The same over every version.
        past: The latest approvals that ended, newest first.
    """

    approval_id: str
    station: str
    task: str
    try_id: str
    number: int
    count: int
    state: ApprovalState
    asked_by: str
    code_sha256: str
    plan_sha256: str
    scene_version: str
    age_s: float
    left_s: float
    refusal: str = ""
    image: CameraFrame | None = None
    image_missing: str = ""
    plan: PlannedMotion | None = None
    plan_missing: str = ""
    checks: tuple[EnvelopeCheck, ...] = ()
    diff: str = ""
    diff_base: str = ""
    same_code: ApprovalCounts = ApprovalCounts()
    all_code: ApprovalCounts = ApprovalCounts()
    past: tuple[PastApproval, ...] = ()
