"""What a row of a journal says, in one plain line. Pure; text of agents is made harmless here."""

import re
from typing import NamedTuple

from robots.wire import events as ev
from robots.wire.records import Counts

KINDS = (
    "agent",
    "tool",
    "result",
    "system",
    "person",
    "idea",
    "commit",
    "decision",
    "state",
    "note",
    "tokens",
    "run",
)
# Longer lines are cut for lists and search; the opened row has all of its text.
LINE_CHARACTERS = 16_384
BAD_STATUS = 400
REFUSED = ("refused", "ToolRefused", "error")

_ESCAPES = re.compile(r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[ -~]?")
# The value must look random: "token=limit" and "tokens: 12345678" are no secrets.
_SECRETS = re.compile(
    r"""-----BEGIN[ A-Z]*PRIVATE\ KEY-----[^"]*?(?:-----END[ A-Z]*PRIVATE\ KEY-----|(?="|\Z))
    |\b(?:sk-[\w-]{16,}|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|hf_\w{20,}
       |A[KS]IA[0-9A-Z]{16}|AIza[\w-]{30,}|xox[a-z]-[\w-]{10,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)
    |(?i:(?P<name>(?:api_?-?key|token|secret|authorization)["']?\s*[:=]\s*["']?(?:bearer\s+)?
       |\bbearer\s+)(?=[^\s"'\\,;]*[a-z])(?=[^\s"'\\,;]*\d)|(?P<pass>passw(?:or)?d["']?\s*[:=]\s*["']?))
       [^\s"'\\,;]{8,}""",
    re.VERBOSE,
)


class Said(NamedTuple):
    """One line of a transcript.

    Attributes:
        kind: One of `KINDS`.
        turn: Of the agent; -1 where the row does not tell.
        tokens: Fresh input and output that were paid for.
        agent: Whose line it is, where the journal is not the agent's own.
    """

    kind: str
    text: str
    idea_id: str = ""
    turn: int = -1
    error: bool = False
    tokens: int = 0
    agent: str = ""


_TurnEvent = ev.TranscriptLine | ev.ToolCalled | ev.ExplorationFinished
_DaemonEvent = (
    ev.AgentStateChanged
    | ev.Noted
    | ev.DaemonStarted
    | ev.TokensMetered
    | ev.RequestRefused
    | ev.AgentAsked
    | ev.AgentAnswered
    | ev.ProviderParked
    | ev.UsageDisputed
)
_IdeaEvent = (
    ev.IdeaOpened
    | ev.IdeaCommitted
    | ev.CandidateSubmitted
    | ev.DecisionLearned
    | ev.CandidateDecided
    | ev.ChampionChanged
    | ev.CandidateNominated
    | ev.ConfirmStarted
    | ev.ConfirmFinished
)
_RunEvent = (
    ev.RunStarted
    | ev.RunEnded
    | ev.ModeChanged
    | ev.FleetHeld
    | ev.FleetReleased
    | ev.RunStopRequested
    | ev.StationSeen
)
ShownEvent = _TurnEvent | _DaemonEvent | _IdeaEvent | _RunEvent
SHOWN = frozenset(kind.__name__ for kind in ShownEvent.__args__)


def said(event: ev.AnyEvent) -> Said:
    """The line of an event; the text is one printable line."""
    # Nearly all rows are of these three kinds, and there may be a million of them.
    if isinstance(event, (ev.TranscriptLine, ev.ToolCalled, ev.ExplorationFinished)):
        found = _turn(event)
    elif isinstance(event, _IdeaEvent):
        found = _idea(event)
    elif isinstance(event, _DaemonEvent):
        found = _daemon(event)
    elif isinstance(event, _RunEvent):
        found = _run(event)
    else:
        found = Said("note", type(event).__name__)
    text = found.text
    if len(text) > LINE_CHARACTERS or not text.isprintable():
        found = found._replace(text=cut(plain(text)))
    return found


def plain(text: str) -> str:
    """One printable line: escape sequences fall out, other control characters become spaces."""
    return "".join(
        each if each.isprintable() else " " for each in _ESCAPES.sub("", text.replace("\r\n", "\n"))
    )


def plain_lines(text: str) -> list[str]:
    """Printable lines of a text, secrets redacted, also those with escape sequences inside."""
    shown = redact(_ESCAPES.sub("", text))
    return [plain(each.expandtabs(4)) for each in shown.split("\n")]


def redact(text: str) -> str:
    """The text without what looks like a key, a token or a password."""
    return _SECRETS.sub(_redacted, text)


def cut(text: str, limit: int = LINE_CHARACTERS) -> str:
    """The start of a text, saying how much of it was left out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]} … {len(text) - limit} more characters"


def _redacted(match: re.Match[str]) -> str:
    return f"{match['name'] or match['pass'] or ''}[redacted]"


def _turn(event: _TurnEvent) -> Said:
    if isinstance(event, ev.TranscriptLine):
        text, idea_id, role = event.text, event.idea_id, event.role
        error = role == "result" and text.startswith(REFUSED)
        if idea_id and not text.startswith(idea_id):
            text = f"{idea_id}: {text}"
        return Said(role if role in KINDS else "system", text, idea_id, event.turn, error)
    if isinstance(event, ev.ToolCalled):
        call_id = event.call_id
        return Said("tool", f"{event.tool} {call_id}: {event.summary}", call_id.partition("/")[0])
    text = f"explored {event.batch_id}: {_score(event.counts)}, {event.robot_s:.0f} robot s"
    return Said("result", text, event.idea_id)


def _daemon(event: _DaemonEvent) -> Said:
    match event:
        case ev.AgentStateChanged(state=state, detail=detail):
            return Said("state", f"{state} {detail}".rstrip(), error=state == "FAILED")
        case ev.Noted(level=level, text=text):
            return Said("note", f"{level}: {text}", error=level != "info")
        case ev.DaemonStarted():
            return Said("state", f"{event.name} came up, restart {event.restarts}")
        case ev.TokensMetered():
            return _tokens(event)
        case ev.RequestRefused():
            return Said("note", f"request refused: {event.reason}", error=True, agent=event.agent)
        case ev.AgentAsked(text=text, choices=choices):
            return Said("agent", f"asks: {text}" + (f" [{' | '.join(choices)}]" if choices else ""))
        case ev.AgentAnswered(text=text, by=by):
            return Said("person", f"{by} answers: {text}")
        case ev.UsageDisputed():
            text = f"{event.source} says {event.told} {event.kind} tokens, the gateway counted "
            return Said("note", f"{text}{event.least} to {event.most}", error=True)
        case ev.ProviderParked():
            text = f"{event.provider} is left alone for {event.seconds:g} s: status {event.status}"
            return Said("note", text, error=True, agent=event.agent)


def _tokens(event: ev.TokensMetered) -> Said:
    aborted = ", cut off" if event.aborted else ""
    text = (
        f"{event.model}: {event.fresh_input} fresh, {event.cached_input} cached, {event.output} "
        f"output of which {event.reasoning} reasoning; status {event.status}{aborted}"
    )
    paid = event.fresh_input + event.output
    bad = event.status >= BAD_STATUS or event.aborted
    return Said("tokens", text, error=bad, tokens=paid, agent=event.agent)


def _idea(event: _IdeaEvent) -> Said:
    idea_id = event.idea_id
    match event:
        case ev.IdeaOpened():
            made = f"{event.kind}, {event.operator}" if event.operator else event.kind
            text = f"opened ({made}) on {event.parent}: {event.hypothesis}; {event.prediction}"
            return Said("idea", f"{idea_id} {text}", idea_id)
        case ev.IdeaCommitted():
            return Said("commit", f"{idea_id} committed {event.commit[:12]}", idea_id)
        case ev.CandidateSubmitted():
            return Said("commit", f"{idea_id} handed in {event.commit[:12]}", idea_id)
        case ev.DecisionLearned(decision=decision):
            text = f"{idea_id} {decision}: {event.detail}"
            return Said("decision", text, idea_id, error=decision == "refused")
        case ev.CandidateDecided(interval=(low, high)):
            text = (
                f"{idea_id} {event.decision}: {event.success}/{event.episodes} [{low:.2f}, "
                f"{high:.2f}], champion {event.champion_rate:.2f}; {event.detail}"
            )
            return Said("decision", text, idea_id)
        case ev.ChampionChanged():
            score = f"{event.success}/{event.episodes}, gain {event.gain:+.2f}"
            return Said("decision", f"{idea_id} is the champion: {score}", idea_id)
        case ev.CandidateNominated():
            text = f"{idea_id} nominated for a confirm by {event.agent}: {event.reason}"
            return Said("commit", text, idea_id)
        case ev.ConfirmStarted():
            text = f"confirm {event.confirm} of {idea_id} began, {len(event.seeds)} seeds"
            return Said("decision", text, idea_id)
        case ev.ConfirmFinished():
            text = f"confirm {event.confirm} of {idea_id}: {event.outcome.value}, {_score(event.counts)}"
            return Said("decision", text, idea_id)


def _run(event: _RunEvent) -> Said:
    match event:
        case ev.RunStarted():
            text = f"run {event.run_id} of {event.task} began: {', '.join(event.agents)}"
        case ev.RunEnded():
            text = f"run ended: {event.outcome}; {event.reason}"
        case ev.ModeChanged():
            text = f"mode {event.mode.value} by {event.by}"
        case ev.FleetHeld():
            text = f"fleet held by {event.by}: {event.reason}"
        case ev.FleetReleased():
            text = f"fleet released by {event.by}: {event.cause}"
        case ev.RunStopRequested():
            text = f"stop asked for by {event.by}: {event.reason}"
        case ev.StationSeen():
            text = f"{event.station} {event.state} {event.detail}".rstrip()
    lost = isinstance(event, ev.StationSeen) and event.state == "LOST"
    return Said("run", text, error=lost)


def _score(counts: Counts) -> str:
    void = f", {counts.void} void" if counts.void else ""
    return f"{counts.success}/{counts.success + counts.failure}{void}"
