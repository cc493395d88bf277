"""Calls a person who looks elsewhere: the bell and, where the terminal has them, desktop notifications. Pure.

Once for each transition: what waited already when the room was opened was told to whoever opened it.
"""

from collections.abc import Mapping, Sequence

from enpire_tui.room.inbox import Item
from enpire_tui.room.moment import Moment
from enpire_tui.room.text import clean

BELL = "\a"
# Terminals that show a desktop notification for OSC 9, and for OSC 777.
_OSC_9 = ("iTerm.app", "WezTerm", "ghostty", "WarpTerminal")
_OSC_777 = ("foot", "rxvt-unicode")
LONGEST = 160


class Bell:
    """Finds what is worth a call since the last time.

    Args:
        since_wall_s: When the room was opened, Unix seconds; what is older calls nobody.
    """

    def __init__(self, since_wall_s: float) -> None:
        self._since_wall_s = since_wall_s
        self._waiting: frozenset[str] = frozenset()
        self._ended = False

    def calls(self, moment: Moment, waiting: Sequence[Item]) -> list[str]:
        """What to call out, each naming who, why and what is asked."""
        urgent = [each for each in waiting if each.urgent]
        fresh = [
            f"{each.station or each.subject}: {each.text}; {each.asked}"
            for each in urgent
            if each.key not in self._waiting and each.since_wall_s >= self._since_wall_s
        ]
        self._waiting = frozenset(each.key for each in urgent)
        run, before = moment.state.run, self._ended
        self._ended = run.ended is not None
        late = moment.state.measured_wall_s >= self._since_wall_s
        if run.ended is not None and run.ended.outcome == "success" and not before and late:
            fresh.append(f"goal reached: {moment.state.spec.task} by {run.ended.champion}")
        return fresh


def sequence(text: str, environment: Mapping[str, str]) -> str:
    """What to write to the terminal: the bell, and a notification where it is known to show one."""
    if environment.get("TMUX") or environment.get("STY"):
        # A multiplexer keeps notifications to itself; it shows the bell in its own way.
        return BELL
    # A semicolon would begin another field of the notification.
    shown = clean(text).replace(";", ",")[:LONGEST]
    if environment.get("TERM_PROGRAM") in _OSC_9 or "KITTY_WINDOW_ID" in environment:
        return f"{BELL}\x1b]9;enpire: {shown}{BELL}"
    if environment.get("TERM", "").startswith(_OSC_777) or "VTE_VERSION" in environment:
        return f"{BELL}\x1b]777;notify;enpire;{shown}{BELL}"
    return BELL
