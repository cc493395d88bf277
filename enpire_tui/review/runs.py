"""The runs of a home, and where the journals of each of them lie."""

from pathlib import Path

import msgspec

from enpire_tui import home as places
from enpire_tui.fleet import FleetError
from enpire_tui.run_spec import FILE, RunSpec, read_spec
from robots.wire.records import Frozen

RECORD = "record.json"


class Unreadable(Exception):
    """A run, a journal or a transcript that cannot be read, and why."""


class _Ended(Frozen):
    outcome: str = ""


class _Record(Frozen):
    """The one thing of a run's record that a list of runs shows."""

    ended: _Ended | None = None


class ReviewedRun(Frozen):
    """A run whose journals are there.

    Attributes:
        journals: Folder with one database a daemon.
        outcome: "" while the run has not ended.
    """

    home: Path
    run_id: str
    task: str
    backend: str
    agents: tuple[str, ...]
    gateway: bool
    journals: Path
    outcome: str = ""

    @property
    def live(self) -> bool:
        """Whether rows may still come."""
        return not self.outcome

    @property
    def origin(self) -> Path:
        """The run's bare repository."""
        return places.origin_of(self.home, self.run_id)


def runs(home: Path) -> list[ReviewedRun]:
    """Every run of a home that can be reviewed, the newest first."""
    names = {path.name for path in (home / "runs").glob("*") if path.is_dir()}
    found = [locate(home, name) for name in sorted(names, reverse=True)]
    return [each for each in found if each is not None]


def choose(home: Path, wanted: str = "") -> ReviewedRun:
    """The run that is meant: by id or the unmistakable start of one; without a name the newest.

    Raises:
        Unreadable: No run of this home can be reviewed.
        FleetError: There is none of that name; the message lists those there are.
    """
    known = runs(home)
    if not known:
        raise Unreadable(f"{home}: no run to review; `enpire-tui --autonomous` makes one")
    if not wanted:
        return known[0]
    exact = [each for each in known if each.run_id == wanted]
    found = exact or [each for each in known if each.run_id.startswith(wanted)]
    if len(found) != 1:
        problem = "is the start of several runs" if found else "is no run here"
        listed = "".join(f"\n  {line(each)}" for each in found or known)
        raise FleetError(f"{wanted!r} {problem}; there are{listed}")
    return found[0]


def locate(home: Path, run_id: str) -> ReviewedRun | None:
    """A run with the place where its journals are now; None if they are nowhere."""
    folder = places.run_folder(home, run_id)
    spec = _spec(folder, run_id) or _spec(home, run_id)
    if spec is None:
        return None
    # A run's journals move into its folder when the next run is made, not when it ends.
    kept = folder / "journals"
    journals = kept if kept.is_dir() else home / "journals"
    if not journals.is_dir():
        return None
    return ReviewedRun(
        home=home,
        run_id=run_id,
        task=spec.task,
        backend=spec.backend,
        agents=spec.agents,
        gateway=spec.gateway,
        journals=journals,
        outcome=_outcome(folder),
    )


def line(run: ReviewedRun) -> str:
    """A run in a list of runs."""
    word = run.outcome or "live"
    return f"{run.run_id}  {run.task}  {word}  {len(run.agents)} agents ({run.backend})"


def _spec(folder: Path, run_id: str) -> RunSpec | None:
    if not (folder / FILE).exists():
        return None
    try:
        spec = read_spec(folder)
    except (msgspec.DecodeError, OSError) as error:
        raise Unreadable(f"{folder / FILE}: {error}") from None
    return spec if spec.run_id == run_id else None


def _outcome(folder: Path) -> str:
    path = folder / RECORD
    if not path.exists():
        return ""
    try:
        record = msgspec.json.decode(path.read_bytes(), type=_Record)
    except (msgspec.DecodeError, OSError) as error:
        raise Unreadable(f"{path}: {error}") from None
    return record.ended.outcome if record.ended is not None else "ended"
