"""Which key does what, and how people change it: `keys.toml` in their configuration folder. Pure but for `load`.

    pause_agent = "z"          # one key
    show_fleet = ["1", "f1"]   # or several

Keys avoid alt, ctrl+shift, ctrl+a and ctrl+b, which terminals and multiplexers keep for themselves.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from enpire_tui.room.actions import BY_NAME

DEFAULT: dict[str, tuple[str, ...]] = {
    "hold_station": ("exclamation_mark",),
    "hold_fleet": ("ctrl+g",),
    "release_station": ("r",),
    "release_fleet": ("R",),
    "approve": ("a",),
    "approve_more": ("A",),
    "reject": ("r", "R"),
    "open_approval": ("v",),
    "take_lease": ("C",),
    "hand_over": ("H",),
    "take_back": ("B",),
    "show_fleet": ("1",),
    "show_inbox": ("2",),
    "show_workspace": ("w",),
    "show_agents": ("3",),
    "show_jobs": ("4",),
    "show_research": ("5",),
    "show_transcripts": ("6",),
    "show_events": ("7",),
    "next_station": ("right_square_bracket",),
    "previous_station": ("left_square_bracket",),
    "camera": ("c",),
    "filter": ("slash",),
    "search": ("s",),
    "next_hit": ("n",),
    "previous_hit": ("N",),
    "narrow": ("f",),
    "next_turn": ("w",),
    "previous_turn": ("W",),
    "next_tool": ("l",),
    "previous_tool": ("L",),
    "next_error": ("e",),
    "previous_error": ("E",),
    "next_idea": ("i",),
    "previous_idea": ("I",),
    "next_decision": ("d",),
    "previous_decision": ("D",),
    "other_run": ("o",),
    "all_events": ("a",),
    "back": ("escape",),
    "pause_agent": ("p",),
    "interrupt_agent": ("i",),
    "resume_agent": ("u",),
    "answer_agent": ("a",),
    "stop_agent": ("X",),
    "message_agent": ("m",),
    "cancel_job": ("x",),
    "try_reset": ("T",),
    "try_verify": ("V",),
    "label_success": ("plus",),
    "label_failure": ("minus",),
    "withdraw_label": ("backspace",),
    "help": ("question_mark",),
    "palette": ("ctrl+p", "colon"),
    "theme": ("t",),
    "detach": ("q",),
}
# Keys of the lists themselves.
TAKEN = frozenset(
    {"up", "down", "j", "k", "pageup", "pagedown", "space", "home", "end", "enter", "tab"}
)
_SHOWN = {
    "exclamation_mark": "!",
    "right_square_bracket": "]",
    "left_square_bracket": "[",
    "slash": "/",
    "backspace": "bksp",
    "plus": "+",
    "minus": "-",
    "escape": "esc",
    "question_mark": "?",
    "colon": ":",
}
FILE = "keys.toml"
WANTED = tuple[str, ...]

Keys = Mapping[str, tuple[str, ...]]


class KeysError(ValueError):
    """A key file that cannot be used; the message names file, action and remedy."""


def merged(given: Mapping[str, object], source: str) -> Keys:
    """The default keys with a person's own.

    Raises:
        KeysError: An unknown action, an action without a key, or a key that two actions want that
            are at home on one screen.
    """
    keys = dict(DEFAULT)
    for name, value in given.items():
        if name not in BY_NAME:
            raise KeysError(f"{source}: {name}: no such action; there are {', '.join(BY_NAME)}")
        import msgspec

        try:
            keys[name] = msgspec.convert([value] if isinstance(value, str) else value, WANTED)
        except msgspec.ValidationError:
            raise KeysError(
                f"{source}: {name}: must be a key or a list of keys, got {value!r}"
            ) from None
    for name, wanted in keys.items():
        if not wanted:
            raise KeysError(f"{source}: {name}: needs at least one key")
        for key in wanted:
            others = rivals(keys, name, key) if key not in TAKEN else ["the lists"]
            others = [each for each in others if each == "the lists" or _meet(name, each)]
            if others:
                raise KeysError(f"{source}: {name}: {key} belongs to {others[0]} already")
    return keys


def rivals(keys: Keys, name: str, key: str) -> list[str]:
    """Other actions that have the same key, on screens of their own."""
    return [other for other, wanted in keys.items() if other != name and key in wanted]


def _meet(one: str, other: str) -> bool:
    """Whether two actions are at home on the same screen."""
    return bool({*BY_NAME[one].screens} & {*BY_NAME[other].screens})


def load() -> Keys:
    """The keys of whoever runs the room.

    Raises:
        KeysError: Their file cannot be used.
    """
    folder = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    path = Path(folder).expanduser() / "enpire" / FILE
    try:
        given = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return DEFAULT
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise KeysError(f"{path}: {error}") from None
    return merged(given, str(path))


def shown(key: str) -> str:
    """A key as people read it."""
    return _SHOWN.get(key, key.replace("ctrl+", "^"))
