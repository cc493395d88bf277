"""Journal rows in words for people. Pure."""

from typing import NamedTuple

from enpire_tui.room import tries
from robots.wire import events as ev
from robots.wire.records import Outcome


class Told(NamedTuple):
    """An event in words."""

    tone: str
    text: str
    quiet: bool = False


def event(row: ev.AnyEvent) -> Told | None:
    """What a row says to a person; None for rows that say nothing."""
    match row:
        case ev.DaemonStarted(name=name, restarts=restarts):
            again = f", restart {restarts}" if restarts > 0 else ""
            return Told("warn" if restarts > 0 else "dim", f"{name} started{again}")
        case ev.Noted(level=level, text=text):
            return Told({"error": "bad", "warning": "warn"}.get(level, "dim"), text)
        case ev.LinkChanged(host=host, state=state, detail=detail):
            tone = "good" if state == "CONNECTED" else "bad"
            return Told(tone, f"link to {host} {state} {detail}".rstrip())
        case ev.RunStarted(run_id=run_id, task=task, minutes=minutes):
            return Told("note", f"run {run_id} of {task} began, {minutes:g} min")
        case ev.RunEnded(outcome=outcome, reason=reason):
            return Told(
                "good" if outcome == "success" else "note", f"run ended, {outcome}: {reason}"
            )
        case ev.RunStopRequested(reason=reason, by=by):
            return Told("warn", f"{by} asked for the run's end: {reason}")
        case ev.StationSeen(station=station, state=state, detail=detail):
            tone = "good" if state == "ONLINE" else "bad"
            return Told(tone, f"{station} {state} {detail}".rstrip())
        case _:
            return _authority(row) or _research(row) or _station(row) or _agent(row)


def _authority(row: ev.AnyEvent) -> Told | None:
    match row:
        case ev.ModeChanged(mode=mode, by=by):
            return Told("note", f"mode {mode.value} by {by}")
        case ev.LeaseChanged(holder=holder, how=how, before=before):
            if not holder:
                return Told("dim", f"control lease {how}: {before} commands no longer", quiet=True)
            taken = f", taken from {before}" if how == "forced" else ""
            return Told("note", f"{holder} holds the control lease{taken}", quiet=how != "forced")
        case ev.FleetHeld(reason=reason, by=by):
            return Told("warn", f"fleet held by {by}: {reason}")
        case ev.FleetReleased(cause=cause, by=by):
            return Told("good", f"fleet released by {by} {cause}".rstrip())
        case _:
            return None


def _research(row: ev.AnyEvent) -> Told | None:
    match row:
        case ev.IdeaProposed(idea=idea):
            return Told("dim", f"{idea.idea_id} proposed: {idea.hypothesis}")
        case ev.CandidateQueued(idea=idea):
            return Told("dim", f"{idea.idea_id} handed in for sealed evaluation", quiet=True)
        case ev.CandidateDecided(idea_id=idea_id, decision=decision, detail=detail):
            tone = {"adopted": "good", "promoted": "work"}.get(decision, "dim")
            return Told(tone, f"{idea_id} {decision}: {detail}")
        case ev.ChampionChanged(idea_id=idea_id, rate=rate, interval=(low, high), agent=agent):
            text = f"champion {idea_id} of {agent}: {rate:.1%} [{low:.0%}, {high:.0%}]"
            return Told("bold good", text)
        case ev.CandidateNominated(idea_id=idea_id, agent=agent, reason=reason):
            return Told("note", f"{agent} nominated {idea_id} for a confirm: {reason}")
        case ev.ConfirmStarted(confirm=number, idea_id=idea_id, seeds=seeds):
            return Told("note", f"confirm {number} of {idea_id} began: {len(seeds)} seeds fixed")
        case ev.ConfirmFinished(confirm=number, idea_id=idea_id, outcome=outcome, counts=counts):
            tone = "bold good" if outcome is Outcome.SUCCESS else "warn"
            won = f"{counts.success} successes, {counts.failure} failures, {counts.void} void"
            return Told(tone, f"confirm {number} of {idea_id}: {outcome.value}, {won}")
        case ev.BatchDispatched(idea_id=idea_id, stage=stage, station=station, episodes=episodes):
            return Told(
                "dim", f"{stage} of {idea_id}: {episodes} episodes to {station}", quiet=True
            )
        case ev.BatchCounted(idea_id=idea_id, stage=stage, counts=counts, void=void):
            won = f"{counts.success} of {counts.success + counts.failure}"
            text = f"{stage} of {idea_id} counted: {'void' if void else won}"
            return Told("warn" if void else "dim", text, quiet=not void)
        case ev.BatchWithdrawn(batch_id=batch_id, station=station, reason=reason):
            return Told("warn", f"{batch_id} withdrawn from {station}: {reason}")
        case _:
            return None


def _station(row: ev.AnyEvent) -> Told | None:
    match row:
        case ev.StationHeld(reason=reason, by=by, latched=latched):
            return Told(
                "bad" if latched else "warn",
                f"held: {reason}" if "(by " in reason else f"held by {by}: {reason}",
            )
        case ev.StationReleased(cause=cause, by=by):
            return Told("good", f"released by {by} {cause}".rstrip())
        case ev.StationQuarantined(reason=reason):
            return Told("bad", f"quarantined: {reason}")
        case ev.SafetyActed(condition=condition, action=action):
            return Told("warn", f"safety: {condition}, {action}", quiet=True)
        case ev.SceneLabelled(success=success, by=by, withdrawn=withdrawn):
            text = f"{by} labelled the scene: {'success' if success else 'failure'}"
            return Told("note", text + (", and took it back" if withdrawn else ""))
        case ev.PolicyBlocked(what=what):
            return Told("warn", f"policy blocked: {what}")
        case ev.GrantLapsed(serial=serial):
            return Told("warn", f"motion grant {serial} lapsed")
        case ev.EpisodeFinished(batch_id=batch_id, episode=episode):
            text = (
                f"episode {episode.index} of {batch_id}: {episode.outcome.value} {episode.reason}"
            )
            return Told("dim", text, quiet=True)
        case ev.BatchFinished(batch_id=batch_id, counts=counts, void=void, void_reason=reason):
            if void:
                return Told("warn", f"{batch_id} is void: {reason}")
            return Told(
                "dim",
                f"{batch_id} done: {counts.success} of {counts.success + counts.failure}",
                quiet=True,
            )
        case _:
            told = tries.told(row)
            return Told(*told) if told is not None else None


def _agent(row: ev.AnyEvent) -> Told | None:
    match row:
        case ev.AgentStateChanged(state=state, detail=detail):
            loud = state in ("PAUSED", "FAILED", "STOPPED")
            tone = {"PAUSED": "warn", "FAILED": "bad"}.get(state, "dim")
            return Told(tone, f"{state} {detail}".rstrip(), quiet=not loud)
        case ev.AgentAsked(text=text):
            return Told("warn", f"asks: {text}")
        case ev.AgentAnswered(text=text, by=by):
            return Told("note", f"{by} answers: {text}")
        case ev.RequestRefused(agent=agent, reason=reason):
            return Told("warn", f"request of {agent} refused: {reason}")
        case ev.UsageDisputed():
            return Told("warn", disputed(row))
        case ev.ProviderParked(provider=provider, seconds=seconds, status=status):
            return Told("warn", f"{provider} is left alone for {seconds:g} s: status {status}")
        case ev.TranscriptLine(role="person", text=text):
            return Told("note", f"told by a person: {text}")
        case _:
            said = transcript(row)
            return Told("dim", f"{said[0]}: {said[1]}", quiet=True) if said is not None else None


def disputed(row: ev.UsageDisputed) -> str:
    """A dispute about tokens, in words."""
    counted = f"{row.least}" if row.least == row.most else f"{row.least} to {row.most}"
    return f"{row.source} says {row.told} {row.kind} tokens, the gateway counted {counted}"


def transcript(row: ev.AnyEvent) -> tuple[str, str, str] | None:
    """A row of an agent's journal as a line of its transcript: role, text, idea."""
    match row:
        case ev.TranscriptLine(role=role, text=text, idea_id=idea_id):
            return role, text, idea_id
        case ev.ToolCalled(tool=tool, summary=summary):
            return "tool", f"{tool} {summary}".rstrip(), ""
        case ev.IdeaOpened(idea_id=idea_id, hypothesis=hypothesis, parent=parent):
            return "idea", f"{idea_id} on {parent}: {hypothesis}", idea_id
        case ev.IdeaCommitted(idea_id=idea_id, commit=commit):
            return "idea", f"{idea_id} committed as {commit[:10]}", idea_id
        case ev.AgentAsked(text=text, choices=choices):
            return "agent", f"asks: {text}" + (f" [{' | '.join(choices)}]" if choices else ""), ""
        case ev.AgentAnswered(text=text, by=by):
            return "person", f"{by} answers: {text}", ""
        case ev.DecisionLearned(idea_id=idea_id, decision=decision, detail=detail):
            return "result", f"{idea_id} {decision}: {detail}", idea_id
        case ev.ExplorationFinished(idea_id=idea_id, counts=counts):
            won = f"{counts.success} of {counts.success + counts.failure}"
            return "result", f"{idea_id} explored: {won}", idea_id
        case _:
            return None
