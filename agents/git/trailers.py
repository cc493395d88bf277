"""Trailers: what a commit says of its idea, and what a note says of its result.

Pure text in the format of `git interpret-trailers`. Values are one line each, without control
characters, and cut: they are written by agents and read by people and by other agents.
"""

import re
import textwrap
from collections.abc import Mapping

from robots.wire.records import Idea

VALUE_LIMIT = 600
SUBJECT_LIMIT = 72
_TRAILER = re.compile(r"^([A-Z][A-Za-z-]*): (.*)$")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def clean(text: str, limit: int = VALUE_LIMIT) -> str:
    """`text` as one printable line of at most `limit` characters; terminal escapes fall out."""
    line = " ".join(_UNPRINTABLE.sub(" ", text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def format_trailers(pairs: Mapping[str, str]) -> str:
    """Lines `Key: value`; empty values are left out."""
    return "".join(f"{key}: {clean(value)}\n" for key, value in pairs.items() if value)


def parse_trailers(message: str) -> dict[str, str]:
    """The trailers of the last paragraph; of a repeated key the first counts."""
    found: dict[str, str] = {}
    for line in message.strip().rsplit("\n\n", 1)[-1].splitlines():
        match = _TRAILER.match(line)
        if match:
            found.setdefault(match.group(1), match.group(2).strip())
    return found


def idea_message(idea: Idea) -> str:
    """The commit message of an idea: what is believed, what is expected, where it comes from."""
    subject = textwrap.shorten(clean(idea.hypothesis), SUBJECT_LIMIT, placeholder="…")
    trailers = format_trailers(
        {
            "Idea": idea.idea_id,
            "Idea-Kind": idea.kind,
            "Hypothesis": idea.hypothesis,
            "Prediction": idea.prediction,
            "Parent-Idea": idea.parent,
            "Borrowed-From": idea.borrowed_from,
            "Operator": idea.operator,
        }
    )
    return f"{subject}\n\n{trailers}"


def idea_of(commit: str, message: str) -> Idea | None:
    """The idea that a commit's message tells of, or None for a commit without one."""
    trailers = parse_trailers(message)
    idea_id = trailers.get("Idea", "")
    if not idea_id:
        return None
    return Idea(
        idea_id=idea_id,
        agent=idea_id.rpartition("-")[0],
        commit=commit,
        kind=trailers.get("Idea-Kind", ""),
        hypothesis=trailers.get("Hypothesis", ""),
        prediction=trailers.get("Prediction", ""),
        parent=trailers.get("Parent-Idea", ""),
        borrowed_from=trailers.get("Borrowed-From", ""),
        operator=trailers.get("Operator", ""),
    )
