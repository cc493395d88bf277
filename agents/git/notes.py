"""Results beside commits: a notes ref per station, written by the harness, never by an agent.

A trailer added later would change the commit that the ledger names; a note does not. One ref a
station, because pushes to one shared ref collide.
"""

from agents.git.bundle import Gate
from agents.git.command import Git, GitFailed, dated
from agents.git.trailers import format_trailers, parse_trailers
from robots.wire.records import Frozen

DISCARDED_TAG = "refs/tags/{station}/discarded/{idea_id}"


class ResultNote(Frozen):
    """What became of an idea's commit.

    Attributes:
        purpose: Of the episodes counted, such as "evaluate".
        ledger: Batches whose signed records say so, separated by spaces.
        robot_s: Robot seconds spent on it.
    """

    success: int
    episodes: int
    interval: tuple[float, float]
    purpose: str
    decision: str
    robot_s: float
    ledger: str


def notes_ref(station: str) -> str:
    """The notes ref of a station."""
    return f"refs/notes/enpire/{station}"


def format_note(note: ResultNote) -> str:
    """A result as trailers."""
    low, high = note.interval
    return format_trailers(
        {
            "Result": f"{note.success}/{note.episodes}",
            "Interval": f"{low:.4f} {high:.4f}",
            "Purpose": note.purpose,
            "Decision": note.decision,
            "Robot-Seconds": f"{note.robot_s:.1f}",
            "Ledger": note.ledger,
        }
    )


def parse_note(text: str) -> ResultNote | None:
    """The result that a note tells of, or None if it is none of ours."""
    trailers = parse_trailers(text)
    try:
        success, _, episodes = trailers["Result"].partition("/")
        low, _, high = trailers["Interval"].partition(" ")
        return ResultNote(
            success=int(success),
            episodes=int(episodes),
            interval=(float(low), float(high)),
            purpose=trailers.get("Purpose", ""),
            decision=trailers.get("Decision", ""),
            robot_s=float(trailers.get("Robot-Seconds", "0")),
            ledger=trailers.get("Ledger", ""),
        )
    except (KeyError, ValueError):
        return None


def write_note(gate: Gate, commit: str, note: ResultNote, wall_s: float) -> None:
    """Set the note of a commit in the station's notes ref; the same note twice is one note.

    Args:
        gate: The station's own repository; the note travels with its next push.
        commit: Whose result it is.
        note: The result.
        wall_s: When it was decided, as the date of the note's commit.
    """
    ref, text = notes_ref(gate.station), format_note(note)
    if read_note_text(gate.git, ref, commit).strip() == text.strip():
        return
    arguments = ("notes", f"--ref={ref}", "add", "--force", "-F", "-", commit)
    gate.git.run(*arguments, stdin=text.encode(), extra=dated(wall_s))


def read_note_text(git: Git, ref: str, commit: str) -> str:
    """The text of a commit's note, "" if it has none."""
    done = git.attempt("notes", f"--ref={ref}", "show", commit)
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""


def read_notes(git: Git, pattern: str = "refs/notes/enpire/") -> dict[str, ResultNote]:
    """Every result in a repository, by commit, over all stations' notes.

    Args:
        git: The repository.
        pattern: Where its notes refs lie; a gate has the origin's under `refs/origin/notes/`.
    """
    found: dict[str, ResultNote] = {}
    for ref in git.run("for-each-ref", "--format=%(refname)", pattern).decode().split():
        for line in git.run("ls-tree", "-r", ref).decode().splitlines():
            meta, _, path = line.partition("\t")
            commit, blob = path.replace("/", ""), meta.split()[2]
            note = parse_note(git.run("cat-file", "blob", blob).decode(errors="replace"))
            if note is not None:
                found[commit] = note
    return found


def tag_discarded(gate: Gate, idea_id: str, commit: str) -> str:
    """Tag a discarded idea, so that its evidence is found by name; returns the tag's ref."""
    ref = DISCARDED_TAG.format(station=gate.station, idea_id=idea_id)
    present = gate.git.commit_of(ref)
    if present is None:
        gate.git.run("update-ref", ref, commit)
    elif present != commit:
        raise GitFailed(f"{ref} names {present}, not {commit}")
    return ref
