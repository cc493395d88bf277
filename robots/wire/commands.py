"""Every command between processes, in one tagged union; `robots.wire.envelopes` carries them.

The receiver's table in `robots.wire.roles` says which roles may send which command.
"""

from robots.wire.approvals import Scope
from robots.wire.records import Frozen, Idea, Mode, Purpose, RecipeArchive, Signed


class Command(Frozen, tag=True):
    """Base of all commands; the tag is the class name."""


# --- any daemon ---------------------------------------------------------------------------------


class Hello(Command):
    """First command of a session; answered with `Welcome`, whatever its incarnation says."""


class ReadJournal(Command):
    """Rows after `after_seq`, oldest first; waits up to `wait_s` for the first one."""

    after_seq: int
    limit: int = 1000
    wait_s: float = 0.0


class ReadSnapshot(Command):
    """The latest snapshot of the daemon's own state; answered with `Snapshot`."""


class TakeLease(Command):
    """Take or renew the fleet's control lease; answered with `LeaseTaken`.

    Attributes:
        force: Take it although another operator holds it; the other's epoch is then late.
        label: Tells operators with one key apart, such as "anna@lab1:pts/3"; shown to the others.
    """

    force: bool = False
    label: str = ""


class ReleaseLease(Command):
    """Give the control lease back, if `epoch` is still the one in force; harmless otherwise."""

    epoch: int


class GetStatus(Command):
    """The daemon's present state, as its own status struct encoded to builtins."""


# --- station ------------------------------------------------------------------------------------


class StartBatch(Command):
    """Queue a batch. Idempotent by `batch_id`: a known id is answered with its state.

    Attributes:
        seeds: Explicit seeds: chosen by the agent (`explore`) or fixed beforehand by the
            supervisor (`confirm`); None for `evaluate`, whose seeds the station seals itself.
        stop_at_failure: `confirm` batches end at the first failure.
        record: Whether episodes are recorded to disk.
    """

    batch_id: str
    purpose: Purpose
    commit: str
    recipe: RecipeArchive
    idea_id: str
    episodes: int
    seeds: tuple[int, ...] | None = None
    stop_at_failure: bool = False
    record: bool = False


class CancelBatch(Command):
    """End a batch that has not finished; what ran counts, the record is void and visible."""

    batch_id: str
    reason: str


class GetBatch(Command):
    """State and signed ledger record (when finished) of a batch."""

    batch_id: str


class GetEpisode(Command):
    """Evidence of one episode: explore episodes fully, sealed ones only failures, without seed."""

    batch_id: str
    index: int


class GetFrames(Command):
    """Pictures of one episode that is over, drawn anew; answered with `EpisodeFrames`.

    Agents are shown explore episodes only: a picture tells where a sealed episode began.

    Attributes:
        count: How many at most; the last moments of the episode, its end among them.
        spread: Spread over the whole episode instead; its first and its last moment are among them.
        steps: Policy steps instead of `count`; the kept moment nearest to each.
        camera: One of the task's, "" for its first.
    """

    batch_id: str
    index: int
    count: int = 3
    spread: bool = False
    steps: tuple[int, ...] = ()
    camera: str = ""


class GetFrame(Command):
    """A small picture of the scene as it is now, for people; answered with `CameraFrame`."""


class LabelScene(Command):
    """Keep the scene, as the verifier would see it now, with a person's judgement on it.

    Answered with `LabelKept`, also while an episode runs; never during a reset.

    Attributes:
        success: Whether the person sees the task done.
        by: The person's name.
        entered: `room` or `script`.
    """

    success: bool
    by: str
    entered: str = "room"


class WithdrawLabel(Command):
    """Take back the last label that was given at this station; answered with `LabelKept`."""

    by: str


class RenewGrant(Command):
    """A `MotionGrant`, signed by the supervisor's key."""

    grant: Signed


class Hold(Command):
    """Stop moving and hold. Needs no lease; anyone authenticated may send it."""

    reason: str


class Release(Command):
    """End a hold or a latched stop, naming the station as a typed confirmation."""

    station: str
    cause: str = ""


class EmergencyStop(Command):
    """Stop, park, power off, latched in a file until a person at the robot clears it."""

    reason: str


class GetApproval(Command):
    """The card of an approval, "" for the pending one; answered with `ApprovalCard`."""

    approval_id: str = ""


# --- setup: asked of the supervisor, which relays it to the station under its own role ------------


class TryReset(Command):
    """Have a station try its reset as its files are now; answered with `TryState`.

    Nothing moves before an operator has approved what the station shows of it.

    Attributes:
        count: Resets, one after the other, each with an approval unless a scope covers it.
    """

    station: str
    count: int = 1


class TryVerify(Command):
    """Have a station's verifier look once at the present scene; answered with `TryState`."""

    station: str


class Approve(Command):
    """Let the robot move as the card shows; answered with `ApprovalAnswer`.

    Attributes:
        plan_sha256, scene_version: As painted; others are refused as stale.
        scope: Further resets of the same code that need no card, None for this one alone.
    """

    approval_id: str
    plan_sha256: str
    scene_version: str
    scope: Scope | None = None


class Reject(Command):
    """Let the robot stay; answered with `ApprovalAnswer`.

    Attributes:
        words: Why; goes back as data, to the try, the journal and the station's agent.
    """

    approval_id: str
    words: str


class OnBehalf(Command):
    """An operator's command, relayed by the supervisor that checked the control lease."""

    person: str
    command: TryReset | TryVerify | Approve | Reject


# --- supervisor ---------------------------------------------------------------------------------


class GetChecklist(Command):
    """What a hand-over to autonomy needs, item by item, now; answered with `Checklist`."""


class ProposeIdea(Command):
    """Claim an idea before work on it; near-duplicates are refused with the idea they repeat."""

    idea: Idea
    fingerprint: str


class SubmitCandidate(Command):
    """Queue an idea's commit for sealed evaluation. Idempotent by idea id."""

    idea: Idea
    recipe: RecipeArchive
    fingerprint: str


class GetDigest(Command):
    """What changed in the run since `cursor` (a supervisor journal seq), at most 600 tokens."""

    cursor: int


class GetLeaderboard(Command):
    """Ideas with their counts, intervals and decisions, best first, and the champion."""


class HoldFleet(Command):
    """Hold every station."""

    reason: str


class ReleaseFleet(Command):
    """Release every held station."""

    cause: str = ""


class StopRun(Command):
    """End the run with outcome "stopped"."""

    reason: str


class HandOver(Command):
    """Change the fleet's mode; autonomous needs the whole checklist and a typed word or signed policy.

    Attributes:
        word: The typed confirmation, where a person hands over.
        policy: A `PolicyFile` signed with a person's key, where nobody watches.
    """

    mode: Mode
    word: str = ""
    policy: Signed | None = None


# --- agent --------------------------------------------------------------------------------------


class PauseAgent(Command):
    """Take no further turn after the present one."""

    reason: str = ""


class InterruptAgent(Command):
    """Break off what the agent does now, and pause it.

    An answer of its model that is under way is dropped, whole; a wait or an exploration is no longer
    waited for, and is taken up again after `ResumeAgent`. No robot is held.
    """

    reason: str = ""


class ResumeAgent(Command):
    """Go on after a pause."""


class MessageAgent(Command):
    """A person's words, given to the agent at its next turn."""

    text: str


class AnswerAgent(Command):
    """A person's answer to a question of the agent, given to it at its next turn."""

    question_id: str
    text: str


class StopAgent(Command):
    """Finish the journal and end the process for good (its keeper sees exit code 0)."""

    reason: str = ""


AnyCommand = (
    Hello
    | ReadJournal
    | ReadSnapshot
    | TakeLease
    | ReleaseLease
    | GetStatus
    | StartBatch
    | CancelBatch
    | GetBatch
    | GetEpisode
    | GetFrames
    | GetFrame
    | GetApproval
    | LabelScene
    | WithdrawLabel
    | RenewGrant
    | Hold
    | Release
    | EmergencyStop
    | TryReset
    | TryVerify
    | Approve
    | Reject
    | OnBehalf
    | GetChecklist
    | ProposeIdea
    | SubmitCandidate
    | GetDigest
    | GetLeaderboard
    | HoldFleet
    | ReleaseFleet
    | StopRun
    | HandOver
    | PauseAgent
    | InterruptAgent
    | ResumeAgent
    | MessageAgent
    | AnswerAgent
    | StopAgent
)
