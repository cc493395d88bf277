"""Footer, help and what stands where there is no room: from the registry of actions. Pure."""

from enpire_tui.room import inbox
from enpire_tui.room.actions import ACTIONS, BY_NAME, GROUPS, STOPS, Where
from enpire_tui.room.keys import Keys, shown
from enpire_tui.room.text import Line, Span, fit, wrap
from enpire_tui.room.views.pieces import title

FOOTER_KEYS = 7
LEAST_WIDTH, LEAST_HEIGHT = 60, 16
WARNING = "A software stop is no substitute for the one on the wall."


def footer(where: Where, keys: Keys, width: int) -> Line:
    """At most seven keys of this screen, and `?`; where there are more, those that can be used now."""
    here = [each for each in ACTIONS if where.screen in each.footer]
    first = sorted(here, key=lambda each: bool(each.refusal(where)))[:FOOTER_KEYS]
    chosen = [each for each in here if each in first]
    spans: list[Span] = []
    room = width - 8
    for action in chosen:
        key, name = shown(keys[action.name][0]), named(action.name, where)
        used = len(key) + len(name) + 4
        if used > room:
            continue
        room -= used
        tone = "faint" if action.refusal(where) else ""
        spans += [(f" {key} ", "bold key"), (f"{name}  ", tone)]
    return (*spans, (f" {shown(keys['help'][0])} ", "bold key"), ("help", ""))


def named(name: str, where: Where) -> str:
    """An action's title with what it would be done to."""
    title_ = BY_NAME[name].title
    agent = where.moment.agent(where.station) if where.station else None
    if where.station and title_.endswith(" station"):
        return f"{title_.removesuffix(' station')} {where.station}"
    if agent is not None and title_.endswith(" agent"):
        return f"{title_.removesuffix(' agent')} {agent.name}"
    return title_


def help_lines(where: Where, keys: Keys, width: int) -> list[Line]:
    """Every action with its keys and, where it is not possible now, why."""
    told: list[Line] = []
    for group in GROUPS:
        told.append(title(group, width))
        for action in (each for each in ACTIONS if each.group == group):
            reason = action.refusal(where)
            names = ", ".join(shown(key) for key in keys[action.name])
            told.append(
                (
                    (fit(names, 9), "bold key"),
                    (fit(action.title, 18), "faint" if reason else ""),
                    (reason, "dim"),
                )
            )
        told.append(())
    told.append(title("lists", width))
    told += [
        ((fit(names, 16), "bold key"), (text, ""))
        for names, text in (
            ("up down j k", "move"),
            ("pgup pgdn", "a screen further; space as well"),
            ("home end", "first and last; the end of a transcript is followed"),
            ("enter", "open a station, or what waits"),
            ("tab", "next pane"),
        )
    ]
    told += [(), *(((part, "dim"),) for part in wrap(_STOPPING, width))]
    return told


_STOPPING = (
    "A second press of a stop key within three seconds is an emergency stop, which a person at the "
    f"robot clears. Releasing needs the name typed. {WARNING}"
)


def too_small(where: Where, keys: Keys, width: int) -> list[Line]:
    """What is left below 60 by 16: a message, and the stop keys."""
    moment = where.moment
    told: list[Line] = [
        ((f"{width} columns are too few; the room needs {LEAST_WIDTH} by {LEAST_HEIGHT}", "warn"),),
        (),
    ]
    for name in STOPS:
        target = where.station if name == "hold_station" else "the whole fleet"
        told.append(
            (
                (fit(shown(keys[name][0]), 5), "bold key"),
                (f"{BY_NAME[name].title} {target}", ""),
            )
        )
    needing = len(inbox.items(moment))
    counts = f"{moment.moving} running, {moment.held} held, {needing} need you"
    return [*told, (), ((counts, "bold"),)]
