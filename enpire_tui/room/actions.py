"""Every action of the room: its name, title, group, and why it may not be possible now. Pure.

Screens, footer, help and palette all read this one table; keys are given in `keys`.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    # The first paint comes before what a moment is made of is imported.
    from enpire_tui.room.card import Shown
    from enpire_tui.room.moment import Moment
    from enpire_tui.room.training import JobSeen

FLEET, INBOX, WORKSPACE, RESEARCH = "fleet", "inbox", "workspace", "research"
AGENTS, JOBS = "agents", "jobs"
TRANSCRIPTS, EVENTS, APPROVAL = "transcripts", "events", "approval"
# Everywhere but on a card, where the letters answer it.
OFF_CARD = (FLEET, INBOX, WORKSPACE, AGENTS, JOBS, RESEARCH, TRANSCRIPTS, EVENTS)
ANYWHERE = (*OFF_CARD, APPROVAL)
# Where transcripts are not read, whose keys are many.
OFF_READING = (FLEET, INBOX, WORKSPACE, AGENTS, JOBS, RESEARCH, EVENTS, APPROVAL)
# The value of `Mode`, which is not imported before the first paint.
AUTONOMOUS = "autonomous"
# What the lines of a transcript are jumped through by.
JUMPS = ("turn", "tool", "error", "idea", "decision")


class Where(NamedTuple):
    """Where a person is: the screen, and the station that verbs go to ("" if none).

    Attributes:
        card: What is seen of an approval, on the screen that shows one.
        now_s: Monotonic seconds.
        job: The chosen training job, on the screen that lists them.
    """

    moment: "Moment"
    screen: str
    station: str
    card: "Shown | None" = None
    now_s: float = 0.0
    job: "JobSeen | None" = None


class Action(NamedTuple):
    """One action.

    Attributes:
        screens: Where it is at home. Actions that are never at home together may share a key.
        footer: Where its key stands in the footer.
        refusal: Why it cannot be done now, "" if it can.
    """

    name: str
    title: str
    group: str
    screens: tuple[str, ...] = ANYWHERE
    footer: tuple[str, ...] = ()
    refusal: Callable[[Where], str] = lambda _: ""


def _station(where: Where) -> str:
    return "" if where.station else "choose a station first (fleet, 1)"


def _leased(where: Where) -> str:
    """Why an order that the control lease fences cannot be given."""
    lease = where.moment.lease
    return "" if lease.free or lease.mine else f"{lease.who} holds the control lease (C takes it)"


def _holding(where: Where) -> str:
    refusal = _station(where) or _leased(where)
    if not refusal and where.moment.need(where.station).rank > 3:
        return f"{where.station} is not held"
    return refusal


def _any_holding(where: Where) -> str:
    return _leased(where) if where.moment.held else "no station is held"


def _not_mine(where: Where) -> str:
    return "you hold the control lease" if where.moment.lease.mine else ""


def _in_setup(where: Where) -> str:
    run = where.moment.state.run
    if run.ended is not None:
        return "the run has ended"
    if run.mode.value == AUTONOMOUS:
        return "the fleet is autonomous already"
    return _leased(where)


def _autonomous(where: Where) -> str:
    if where.moment.state.run.mode.value != AUTONOMOUS:
        return "the fleet is in setup"
    return _leased(where)


def _waiting(where: Where) -> str:
    refusal = _station(where)
    if not refusal and where.moment.station(where.station).tries.pending is None:
        return f"{where.station} waits for no approval"
    return refusal


def _on_card(where: Where) -> str:
    return "" if where.screen == APPROVAL else "open an approval first (v, or the inbox, 2)"


def _approvable(where: Where) -> str:
    from enpire_tui.room.card import objection

    simulated = where.moment.state.spec.simulated
    return _on_card(where) or objection(
        where.card, where.moment.lease, where.now_s, simulated=simulated
    )


def _rejectable(where: Where) -> str:
    from enpire_tui.room.card import closed, controls

    return _on_card(where) or closed(where.card) or controls(where.moment.lease)


def _labelable(where: Where) -> str:
    refusal = _in_workspace(where) or _station(where)
    if not refusal and where.moment.state.run.mode.value == AUTONOMOUS:
        return "only in setup; B takes the fleet back"
    return refusal or _leased(where)


def _tryable(where: Where) -> str:
    refusal = _labelable(where)
    if not refusal and where.moment.station(where.station).tries.open:
        return f"{where.station} is at a try already"
    return refusal


def _agent(where: Where) -> str:
    refusal = _station(where) or _leased(where)
    if refusal:
        return refusal
    agent = where.moment.agent(where.station)
    if agent is None:
        return f"{where.station} has no agent"
    return f"{agent.name} has ended" if agent.state == "STOPPED" else ""


def _pausable(where: Where) -> str:
    agent = where.moment.agent(where.station) if where.station else None
    paused = agent is not None and agent.state == "PAUSED"
    return _agent(where) or (f"{agent.name} is paused already" if agent and paused else "")


def _resumable(where: Where) -> str:
    agent = where.moment.agent(where.station) if where.station else None
    paused = agent is not None and agent.state == "PAUSED"
    return _agent(where) or ("" if paused else "the agent is not paused")


def _answerable(where: Where) -> str:
    agent = where.moment.agent(where.station) if where.station else None
    asks = agent is not None and agent.question is not None
    return _agent(where) or ("" if asks else f"{agent.name if agent else 'it'} asks nothing")


def _seeing(where: Where) -> str:
    return "" if where.screen == APPROVAL else _in_workspace(where)


def _in_workspace(where: Where) -> str:
    return "" if where.screen == WORKSPACE else "open a station first (enter)"


def _listed(where: Where) -> str:
    return (
        ""
        if where.screen in (FLEET, TRANSCRIPTS, EVENTS)
        else "only lists of stations, events and transcripts are filtered"
    )


def _in_events(where: Where) -> str:
    return "" if where.screen == EVENTS else "only in the events (7)"


def _cancellable(where: Where) -> str:
    if where.screen != JOBS:
        return "only in the jobs (4)"
    if where.job is None:
        return "there is no job"
    state = where.job.status.state
    return f"{where.job.status.job_id} has {state.value}" if state.ended else ""


def _in_transcripts(where: Where) -> str:
    return "" if where.screen == TRANSCRIPTS else "only in the transcripts (6)"


def _reading(name: str, title: str, *, footer: bool = False) -> Action:
    here = (TRANSCRIPTS,)
    return Action(name, title, READING, here, here if footer else (), _in_transcripts)


_SEE, _STOP, _WORK, _ROOM = "look", "stop and release", "agents", "the room"
_TRAIN = "training"
_RULE, _BUILD = "authority", "environment"
READING = "transcripts"

ACTIONS: tuple[Action, ...] = (
    Action("hold_station", "hold station", _STOP, footer=(FLEET, WORKSPACE), refusal=_station),
    Action("hold_fleet", "hold fleet", _STOP, footer=ANYWHERE),
    Action("release_station", "release station", _STOP, OFF_CARD, (WORKSPACE,), _holding),
    Action("release_fleet", "release fleet", _STOP, OFF_CARD, refusal=_any_holding),
    Action("approve", "approve once", _RULE, (APPROVAL,), (APPROVAL,), _approvable),
    Action("approve_more", "approve several", _RULE, (APPROVAL,), (APPROVAL,), _approvable),
    Action("reject", "reject", _RULE, (APPROVAL,), (APPROVAL,), _rejectable),
    Action("open_approval", "approval", _RULE, footer=(WORKSPACE,), refusal=_waiting),
    Action("take_lease", "take control", _RULE, footer=(APPROVAL,), refusal=_not_mine),
    Action("hand_over", "hand over", _RULE, footer=(INBOX,), refusal=_in_setup),
    Action("take_back", "back to setup", _RULE, refusal=_autonomous),
    Action("try_reset", "try reset", _BUILD, (WORKSPACE,), (WORKSPACE,), _tryable),
    Action("try_verify", "ask verifier", _BUILD, (WORKSPACE,), refusal=_tryable),
    Action("label_success", "label: success", _BUILD, (WORKSPACE,), (WORKSPACE,), _labelable),
    Action("label_failure", "label: failure", _BUILD, (WORKSPACE,), (WORKSPACE,), _labelable),
    Action("withdraw_label", "take label back", _BUILD, (WORKSPACE,), refusal=_labelable),
    Action("show_fleet", "fleet", _SEE, footer=(INBOX, JOBS, RESEARCH, EVENTS)),
    Action("show_inbox", "inbox", _SEE, footer=(FLEET, JOBS, RESEARCH, EVENTS)),
    Action("show_workspace", "workspace", _SEE, OFF_READING, refusal=_station),
    Action("show_agents", "agents", _SEE, footer=(JOBS,)),
    Action("show_jobs", "jobs", _SEE),
    Action("show_research", "research", _SEE, footer=(FLEET, INBOX, EVENTS)),
    Action("show_transcripts", "transcripts", _SEE),
    Action("show_events", "events", _SEE, footer=(FLEET, INBOX, RESEARCH)),
    Action("next_station", "the next one", _SEE, screens=(WORKSPACE,), refusal=_in_workspace),
    Action("previous_station", "the one before", _SEE, screens=(WORKSPACE,), refusal=_in_workspace),
    Action("camera", "camera", _SEE, (WORKSPACE, APPROVAL), (WORKSPACE, APPROVAL), _seeing),
    Action("filter", "filter", _SEE, (FLEET, EVENTS), (FLEET, EVENTS), refusal=_listed),
    _reading("search", "search", footer=True),
    _reading("next_hit", "next hit", footer=True),
    _reading("previous_hit", "previous hit"),
    _reading("narrow", "only some lines", footer=True),
    *(_reading(f"next_{jump}", f"next {jump}", footer=jump == "error") for jump in JUMPS),
    *(_reading(f"previous_{jump}", f"previous {jump}") for jump in JUMPS),
    _reading("other_run", "an earlier run", footer=True),
    Action("all_events", "all rows", _SEE, (EVENTS,), (EVENTS,), refusal=_in_events),
    Action("back", "back", _SEE, footer=(WORKSPACE, APPROVAL)),
    Action("pause_agent", "pause agent", _WORK, footer=(WORKSPACE, AGENTS), refusal=_pausable),
    Action("interrupt_agent", "interrupt agent", _WORK, (AGENTS,), refusal=_agent),
    Action("resume_agent", "resume agent", _WORK, footer=(AGENTS,), refusal=_resumable),
    Action("message_agent", "message agent", _WORK, footer=(WORKSPACE, AGENTS), refusal=_agent),
    Action(
        *("answer_agent", "answer agent", _WORK, (INBOX, WORKSPACE, AGENTS)),
        footer=(INBOX, AGENTS),
        refusal=_answerable,
    ),
    Action("stop_agent", "stop agent", _WORK, footer=(AGENTS,), refusal=_agent),
    Action("cancel_job", "cancel job", _TRAIN, (JOBS,), (JOBS,), _cancellable),
    Action("help", "help", _ROOM),
    Action("palette", "every action", _ROOM),
    Action("theme", "next theme", _ROOM),
    Action("detach", "detach", _ROOM, footer=(FLEET,)),
)
BY_NAME = {action.name: action for action in ACTIONS}
GROUPS = (_STOP, _RULE, _BUILD, _SEE, READING, _WORK, _TRAIN, _ROOM)
STOPS = ("hold_station", "hold_fleet")
# What opens a line to type in: what is typed right behind these keys belongs to that line.
TYPED = ("filter", "search", "narrow")
