"""Which role may send which command. Pure."""

from robots.wire import commands as c
from robots.wire.records import Purpose, Role

EVERYONE = frozenset(Role)
_PEOPLE = frozenset({Role.OPERATOR, Role.SUPERVISOR})
# SAFETY: not agents, to whom a picture would show where a sealed episode began.
_WATCHING = frozenset({Role.VIEWER, Role.OPERATOR, Role.SUPERVISOR})
_WORKING = frozenset({Role.OPERATOR, Role.SUPERVISOR, Role.AGENT})

# SAFETY: stopping is everyone's, needs no lease and is never put off as "busy".
STOPS: tuple[type[c.Command], ...] = (c.Hold, c.EmergencyStop, c.HoldFleet)

# Commands that change nothing: repeated freely, their replies are not kept.
READS: tuple[type[c.Command], ...] = (
    c.Hello,
    c.ReadJournal,
    c.ReadSnapshot,
    c.GetStatus,
    c.GetBatch,
    c.GetEpisode,
    c.GetFrames,
    c.GetFrame,
    c.GetApproval,
    c.GetChecklist,
    c.GetDigest,
    c.GetLeaderboard,
)

# Commands for which an operator must hold the control lease, where the receiver keeps one.
LEASED: tuple[type[c.Command], ...] = (
    c.StartBatch,
    c.CancelBatch,
    c.Release,
    c.ReleaseFleet,
    c.StopRun,
    c.HandOver,
    c.TryReset,
    c.TryVerify,
    c.Approve,
    c.Reject,
    c.PauseAgent,
    c.InterruptAgent,
    c.ResumeAgent,
    c.MessageAgent,
    c.AnswerAgent,
    c.StopAgent,
)

ADMITTED: dict[type[c.Command], frozenset[Role]] = {
    c.Hello: EVERYONE,
    c.ReadJournal: EVERYONE,
    c.ReadSnapshot: EVERYONE,
    c.GetStatus: EVERYONE,
    c.TakeLease: frozenset({Role.OPERATOR}),
    c.ReleaseLease: frozenset({Role.OPERATOR}),
    c.StartBatch: _WORKING,
    c.CancelBatch: _WORKING,
    c.GetBatch: EVERYONE,
    c.GetEpisode: _WORKING,
    c.GetFrames: _WORKING,
    c.GetFrame: _WATCHING,
    c.GetApproval: _WATCHING,
    # SAFETY: a person's judgement of what an agent builds is the person's alone.
    c.LabelScene: frozenset({Role.OPERATOR}),
    c.WithdrawLabel: frozenset({Role.OPERATOR}),
    c.RenewGrant: frozenset({Role.SUPERVISOR}),
    c.Hold: EVERYONE,
    c.Release: _PEOPLE,
    c.EmergencyStop: EVERYONE,
    # SAFETY: a person decides whether the robot moves in setup: no agent's and no viewer's key can.
    c.TryReset: frozenset({Role.OPERATOR}),
    c.TryVerify: frozenset({Role.OPERATOR}),
    c.Approve: frozenset({Role.OPERATOR}),
    c.Reject: frozenset({Role.OPERATOR}),
    c.OnBehalf: frozenset({Role.SUPERVISOR}),
    c.GetChecklist: EVERYONE,
    c.ProposeIdea: frozenset({Role.AGENT}),
    c.SubmitCandidate: frozenset({Role.AGENT}),
    c.GetDigest: EVERYONE,
    c.GetLeaderboard: EVERYONE,
    c.HoldFleet: EVERYONE,
    c.ReleaseFleet: frozenset({Role.OPERATOR}),
    c.StopRun: frozenset({Role.OPERATOR}),
    c.HandOver: frozenset({Role.OPERATOR}),
    c.PauseAgent: _PEOPLE,
    c.InterruptAgent: _PEOPLE,
    c.ResumeAgent: _PEOPLE,
    c.MessageAgent: _PEOPLE,
    c.AnswerAgent: frozenset({Role.OPERATOR}),
    c.StopAgent: _PEOPLE,
}


def admits(command: c.Command, role: Role) -> bool:
    """Whether a key of this role may send this command; a command not listed is nobody's."""
    if isinstance(command, c.StartBatch) and command.purpose is Purpose.CONFIRM:
        # A confirm decides the run: only the supervisor, which counts them, may start one.
        return role is Role.SUPERVISOR
    return role in ADMITTED.get(type(command), frozenset())
