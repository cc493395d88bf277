"""Values that cross process lines and outlive them: episodes, ledger records, grants, recipes.

Everything here is a frozen msgspec struct: the type is the documentation of the message.
Times named `_wall_s` are Unix seconds for people; nothing is decided by them.
"""

import enum
from typing import dataclass_transform

import msgspec


# Type checkers are told here what msgspec hands down: subclasses are frozen, built by keyword.
@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Frozen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all structs on the wire: immutable, built by keyword."""


class Event(Frozen, tag=True):
    """Base of all journal rows; the tag is the row's `kind`."""


class Purpose(enum.Enum):
    """Why a batch of episodes is run; decides who may choose the seeds and who may see them."""

    EXPLORE = "explore"
    EVALUATE = "evaluate"
    CONFIRM = "confirm"


class Outcome(enum.Enum):
    """The one terminal outcome of an episode. VOID needs a cause outside the policy's process."""

    SUCCESS = "success"
    FAILURE = "failure"
    VOID = "void"


class Mode(enum.Enum):
    """Authority of the fleet: `SETUP` asks a person, `AUTONOMOUS` does not."""

    SETUP = "setup"
    AUTONOMOUS = "autonomous"


class Role(enum.Enum):
    """What a peer's key may do. Each role includes no other; tables name the roles they admit."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    AGENT = "agent"
    SUPERVISOR = "supervisor"


class RecipeArchive(Frozen):
    """A recipe folder by value, small enough to travel in a command.

    Attributes:
        files: Relative POSIX path to content. Regular files only; at most 1 MiB in all.
        sha256: Hash over the sorted (path, content) pairs; see `robots.station.archive`.
    """

    files: dict[str, bytes]
    sha256: str


class Episode(Frozen):
    """What one episode came to, as it stands in the journal and in the ledger.

    Attributes:
        index: Position in its batch; a replaced void keeps its index, its successor takes a new one.
        seed: The seed, for `explore` batches only; None where sealed.
        reason: Named reason, such as "verified", "episode_limit", "policy_raised", "action_invalid".
        tags: Failure tags from sensors, evidence for agents.
        score: The verifier's last value (Push-T: IoU), None if it was never asked.
        robot_s: Robot (or simulated) seconds of the policy's part.
        reset_s: Robot (or simulated) seconds of the reset.
        wall_s: Wall seconds of both together, monotonic.
        policy_cpu_s: Processor seconds that the policy's process used.
        reset_tries: Tries that the automatic reset took.
        figures: How it ended in numbers, from sensors (Push-T: position_error_m, iou_estimate).
    """

    index: int
    outcome: Outcome
    reason: str
    seed: int | None = None
    tags: tuple[str, ...] = ()
    score: float | None = None
    steps: int = 0
    robot_s: float = 0.0
    reset_s: float = 0.0
    wall_s: float = 0.0
    policy_cpu_s: float = 0.0
    reset_tries: int = 1
    figures: dict[str, float] = {}


class Counts(Frozen):
    """Outcomes of a batch."""

    success: int = 0
    failure: int = 0
    void: int = 0


MANIFEST_CHANGED = "manifest_changed"
"""Void reason of a batch during or before which the task's frozen folder was edited."""


class LedgerRecord(Frozen):
    """One signed record a batch: the only source of scores.

    Attributes:
        audit: Privileged figures beside each episode, by index (simulation only); never leaves
            the station but in reports after the run.
        manifest_sha256: Hash of the frozen environment (task folder) the batch ran on.
        safety_sha256: Hash of the safety code and limits in force.
        previous_sha256: Hash of the record before it in this station's ledger, "" for the first.
    """

    batch_id: str
    station: str
    task: str
    purpose: Purpose
    commit: str
    recipe_sha256: str
    idea_id: str
    counts: Counts
    episodes: tuple[Episode, ...]
    void: bool
    void_reason: str
    manifest_sha256: str
    safety_sha256: str
    previous_sha256: str
    started_wall_s: float
    ended_wall_s: float
    seconds: float
    audit: dict[str, dict[str, float]] = {}


class Signed(Frozen):
    """A msgpack-encoded record with its Ed25519 signature.

    Attributes:
        body: msgpack bytes of the record, exactly as signed.
        signature: 64 bytes.
        key: 32 bytes, the signer's public key; trusted only if the reader knows it.
    """

    body: bytes
    signature: bytes
    key: bytes


class EnvironmentManifest(Frozen):
    """A task as a person published it: batches on anything else are void.

    Attributes:
        manifest_sha256: Hash over `files`, as it stands in ledger records.
        files: SHA-256 of each file by name.
    """

    task: str
    manifest_sha256: str
    files: dict[str, str]
    published_wall_s: float


class MotionGrant(Frozen):
    """The right of one station to move in the present mode, for minutes.

    Attributes:
        ttl_s: Seconds of validity, counted on the station's monotonic clock from receipt.
        serial: Strictly increasing per station; an older serial is refused.
    """

    station: str
    run_id: str
    mode: Mode
    serial: int
    ttl_s: float


class Idea(Frozen):
    """A hypothesis with the commit that tests it.

    Attributes:
        kind: algorithm, heuristic, data, infrastructure or ablation.
        parent: Idea (or "baseline") whose code it changes.
        borrowed_from: Idea of a peer that it adopts, "" if none.
        operator: What made the change, for credit (search agent), "" otherwise.
    """

    idea_id: str
    agent: str
    commit: str
    kind: str
    hypothesis: str
    prediction: str
    parent: str
    borrowed_from: str = ""
    operator: str = ""


class StationFigures(Frozen):
    """What a station did in a run so far, folded from its journal up to `seq`.

    Attributes:
        seq: Last row of the station's journal that is in these figures.
        episodes: Finished episodes of every purpose.
        busy_s: Wall seconds in which an episode with its reset was executed.
        reset_s: Part of `busy_s` that was spent on resets, in proportion to robot seconds.
        robot_s: Robot (or simulated) seconds of policies and resets together.
    """

    station: str
    seq: int = 0
    episodes: int = 0
    busy_s: float = 0.0
    reset_s: float = 0.0
    robot_s: float = 0.0


class PolicyFile(Frozen):
    """What a person permits an unattended fleet to do; signed with that person's key.

    Attributes:
        stations: Stations that may move.
        not_after_wall_s: Unix seconds after which the permission is void.
    """

    person: str
    task: str
    stations: tuple[str, ...]
    minutes: float
    not_after_wall_s: float


class TokenCounts(Frozen):
    """Tokens by class, as metered on the wire; `reasoning` is part of `output`."""

    fresh_input: int = 0
    cached_input: int = 0
    output: int = 0
    reasoning: int = 0
