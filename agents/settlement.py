"""Results that are written into the research repository once ideas are decided."""

from typing import NamedTuple

from agents.git.bundle import Gate
from agents.git.notes import ResultNote, notes_ref, tag_discarded, write_note


class Settlement(NamedTuple):
    """A result that is yet to be written beside its commit."""

    idea_id: str
    commit: str
    note: ResultNote
    wall_s: float


def settle(gate: Gate, settlements: list[Settlement]) -> list[str]:
    """Write notes and tags of decided ideas; returns the refs to push. Blocking, repeatable."""
    refs: set[str] = set()
    for idea_id, commit, note, wall_s in settlements:
        write_note(gate, commit, note, wall_s)
        refs.add(notes_ref(gate.station))
        if note.decision != "adopted":
            refs.add(tag_discarded(gate, idea_id, commit))
    return sorted(refs)
