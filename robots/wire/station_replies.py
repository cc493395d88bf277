"""Result structs of a station's commands, read by agents, supervisor, screens and scripts."""

import enum

from robots.wire.records import Counts, Episode, Frozen, Mode, Purpose, Signed


class BatchPhase(enum.Enum):
    """Where a batch stands."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"


class BatchState(Frozen):
    """Answer to `StartBatch`, `GetBatch` and `CancelBatch`.

    Attributes:
        void: Of a finished batch: whether its counts may be used.
        signed: The signed `LedgerRecord` of a finished batch.
    """

    batch_id: str
    phase: BatchPhase
    purpose: Purpose
    commit: str
    episodes: int
    counts: Counts
    void: bool = False
    void_reason: str = ""
    signed: Signed | None = None


class TraceRow(Frozen):
    """One kept step of an episode: `values` by column name, such as observation.KEY or action."""

    values: dict[str, list[float]]


class EpisodeEvidence(Frozen):
    """Answer to `GetEpisode`.

    Attributes:
        episode: Without seed where sealed.
        trace: A sparse course of it, oldest step first; empty if it is no longer kept.
    """

    batch_id: str
    episode: Episode
    trace: tuple[TraceRow, ...] = ()


class CameraFrame(Frozen):
    """Answer to `GetFrame`.

    Attributes:
        camera: Which of the task's cameras it is.
        width, height: In pixels.
        rgb: Red, green and blue of each pixel, row by row from the top left.
    """

    camera: str
    width: int
    height: int
    rgb: bytes


class EpisodeFrame(Frozen):
    """One picture of an episode.

    Attributes:
        step: Policy steps that had been made.
        time_s: Since the episode began, on the station's clock.
        png: The picture as a PNG file, 512 pixels wide at most.
    """

    step: int
    time_s: float
    width: int
    height: int
    png: bytes


class EpisodeFrames(Frozen):
    """Answer to `GetFrames`, in the order of time.

    Attributes:
        camera: Which of the task's cameras they are seen through, "free" where it has none.
    """

    batch_id: str
    episode: Episode
    camera: str
    frames: tuple[EpisodeFrame, ...]


class LabelCounts(Frozen):
    """Labels of a task that stand, those held out among them."""

    success: int = 0
    failure: int = 0
    held_out_success: int = 0
    held_out_failure: int = 0


class LabelKept(Frozen):
    """Answer to `LabelScene` and `WithdrawLabel`.

    Attributes:
        label_id: Of the label that was given or taken back.
        counts: Of all the labels of the task after it.
    """

    label_id: str
    counts: LabelCounts


class Done(Frozen):
    """Answer to commands that return nothing else; `word` is the station's state after it."""

    word: str


class StationReport(Frozen):
    """Answer to a station's `GetStatus`.

    Attributes:
        word: EXECUTING, IDLE, WAITING (no grant), ASKING (for an approval), TRYING, HELD, STOPPED,
            QUARANTINED or FULL (disk).
        detail: Why, for the last four.
        published: Hash of the signed files the station is held to, "" where nobody published them.
        try_id, approval_id: The try that is open, and the approval it waits for.
        public_key: The station's ledger key, 32 bytes.
        grant_s: Seconds the motion grant is still valid; 0 if none.
    """

    name: str
    task: str
    driver: str
    clock: str
    word: str
    detail: str = ""
    mode: Mode = Mode.SETUP
    grant_s: float = 0.0
    batch_id: str = ""
    purpose: Purpose | None = None
    episode: int = 0
    queued: int = 0
    finished_batches: int = 0
    public_key: bytes = b""
    unsandboxed: bool = False
    simulated: bool = True
    simulator_reset: bool = False
    blocked: int = 0
    published: str = ""
    try_id: str = ""
    approval_id: str = ""
