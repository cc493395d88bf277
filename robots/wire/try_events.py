"""Rows of a station's journal about tries in setup and the approvals they wait for."""

from robots.wire.approvals import ApprovalState, ResetResult, Scope, Sighting, TryKind
from robots.wire.records import Event


class TryAsked(Event):
    """Somebody asked the station to try its reset or its verifier; open until `TryFinished`."""

    try_id: str
    kind: TryKind
    count: int
    by: str


class ApprovalAsked(Event):
    """The robot waits for a person; open until `ApprovalClosed`.

    Attributes:
        number: Which reset of its try.
        ttl_s: Seconds after which it expires by itself, from this row on.
        failed: Names of checks that forbid it; the card tells more.
        summary: The card in a line.
    """

    approval_id: str
    try_id: str
    number: int
    plan_sha256: str
    code_sha256: str
    scene_version: str
    ttl_s: float
    failed: tuple[str, ...] = ()
    summary: str = ""


class ApprovalClosed(Event):
    """An approval ended.

    Attributes:
        state: Any but PENDING.
        by: Who ended it: an operator's name, or "station".
        reason: An operator's words, or what made it void.
        scope: Further resets it covers, None for this one alone.
    """

    approval_id: str
    state: ApprovalState
    by: str
    reason: str = ""
    scope: Scope | None = None


class ScopeEnded(Event):
    """A scoped approval covers nothing further: used up, run out, or void."""

    approval_id: str
    reason: str


class ResetBegan(Event):
    """An approved reset is about to move the robot; `scoped` if a scope covers it without a card."""

    try_id: str
    number: int
    approval_id: str
    scoped: bool = False


class ResetTried(Event):
    """A reset of a try came to its end."""

    try_id: str
    result: ResetResult


class VerifierTried(Event):
    """The verifier was asked once, on the scene as it is."""

    try_id: str
    sight: Sighting


class TryFinished(Event):
    """A try ended; `detail` says why where it ended early."""

    try_id: str
    reached: int = 0
    resets: int = 0
    detail: str = ""
