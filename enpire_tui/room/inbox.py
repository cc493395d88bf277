"""Who waits for a person, since when, why, and what is asked: one fold for top line, inbox and bell. Pure."""

from typing import NamedTuple

from enpire_tui.room.moment import Moment

APPROVAL, STATION, AGENT, QUESTION = "approval", "station", "agent", "question"
# What a station that does no work is called, and what is asked of the person.
_ASKED = {
    "STOPPED": "go to the robot, clear its stop there, then release it",
    "QUARANTINED": "find out what is wrong, then release it",
    "FULL": "make room on its disk, then release it",
    "LOST": "look whether its daemon, its host and its link are up",
    "HELD": "release it when it may move again",
}
_MOVING = ("EXECUTING", "EXPLORING", "TRYING")


class Item(NamedTuple):
    """One thing that waits for a person.

    Attributes:
        key: The same for as long as it waits.
        kind: APPROVAL, STATION, AGENT or QUESTION; `subject` names that approval, station or agent.
        word: What it is in one word.
        since_wall_s: Unix seconds.
        station: The station concerned, "" if none is.
        asked: What the person is asked to do.
        urgent: Whether a person who looks elsewhere is called.
    """

    key: str
    kind: str
    subject: str
    word: str
    since_wall_s: float
    station: str
    text: str
    asked: str
    urgent: bool = False


def items(moment: Moment) -> list[Item]:
    """Everything that waits, the oldest first."""
    found = [*_approvals(moment), *_stations(moment), *_agents(moment), *_questions(moment)]
    return sorted(found, key=lambda each: (each.since_wall_s, each.key))


def _approvals(moment: Moment) -> list[Item]:
    """They block their robots."""
    found: list[Item] = []
    for name, seen in moment.state.stations.items():
        pending = seen.tries.pending
        if pending is None or pending.until_wall_s < moment.now_wall_s:
            continue
        asked, failed = pending.asked, ", ".join(pending.asked.failed)
        found.append(
            Item(
                f"{APPROVAL}/{asked.approval_id}",
                APPROVAL,
                asked.approval_id,
                "APPROVAL",
                pending.wall_s,
                name,
                f"reset {asked.number}: {asked.summary}",
                f"reject it, failed: {failed}" if failed else "look at its card, then answer",
                urgent=True,
            )
        )
    return found


def _stations(moment: Moment) -> list[Item]:
    found: list[Item] = []
    for name, seen in moment.state.stations.items():
        word = moment.word(name)
        if word not in _ASKED:
            continue
        since_s, live = seen.stopped_wall_s, moment.live.get(name)
        urgent = not seen.by_person
        if word == "LOST":
            since_s = moment.state.link_wall_s.get(name, seen.row_wall_s)
            urgent = live is not None and live.value.word in _MOVING
            if live is not None:
                since_s = max(since_s, moment.now_wall_s - live.age_s)
        found.append(
            Item(
                f"{STATION}/{name}/{word}",
                STATION,
                name,
                word,
                since_s,
                name,
                moment.need(name).text,
                _ASKED[word],
                urgent,
            )
        )
    return found


def _agents(moment: Moment) -> list[Item]:
    if moment.state.run.ended is not None:
        return []
    station_of = {agent: station for station, agent in moment.state.spec.agent_of.items()}
    asked = {"FAILED": "read its transcript and log", "PAUSED": "resume it when it may go on"}
    return [
        Item(
            f"{AGENT}/{agent.name}/{agent.state}",
            AGENT,
            agent.name,
            agent.state,
            agent.state_wall_s,
            station_of.get(agent.name, ""),
            agent.detail or agent.state.lower(),
            asked[agent.state],
            agent.state == "FAILED",
        )
        for agent in moment.state.agents.values()
        if agent.state in asked
    ]


def _questions(moment: Moment) -> list[Item]:
    """They keep nobody from working, but what is asked only a person knows."""
    if moment.state.run.ended is not None:
        return []
    return [
        Item(
            f"{QUESTION}/{agent.name}/{agent.question[0].question_id}",
            QUESTION,
            agent.name,
            "QUESTION",
            agent.question[1],
            moment.station_of(agent.name),
            agent.question[0].text,
            "answer it (a)",
            urgent=True,
        )
        for agent in moment.state.agents.values()
        if agent.question is not None
    ]


def waited(item: Item, now_wall_s: float) -> str:
    """How long it has waited, in at most five cells; coarse, so that nothing repaints each second."""
    minutes = (now_wall_s - item.since_wall_s) / 60.0
    if minutes < 1.0:
        return "<1m"
    return f"{minutes:.0f}m" if minutes < 100.0 else f"{minutes / 60.0:.0f}h"
