"""The run's record: all that is needed to recompute its verdict, in one file of its folder."""

import importlib.metadata
import os
import platform
from pathlib import Path

import msgspec

from enpire_tui.supervisor import report
from enpire_tui.supervisor.conductor import Conductor
from enpire_tui.supervisor.state import Point
from robots.wire import events as ev
from robots.wire.journal import Journal, replay
from robots.wire.records import Frozen
from robots.wire.replies import Leaderboard

FILE = "record.json"
VERSIONED = ("enpire-tui", "numpy", "msgspec", "pyzmq", "mujoco", "cryptography")


class Machine(Frozen):
    """What the run ran on; a timing without it says nothing."""

    cpus: int
    system: str
    python: str
    versions: dict[str, str]


class Record(Frozen):
    """See the module; ledgers and journals beside it hold the signed evidence."""

    run_id: str
    task: str
    seed: int
    backend: str
    minutes: float
    stations: tuple[str, ...]
    agents: tuple[str, ...]
    baseline_commit: str
    baseline_sha256: str
    machine: Machine
    ended: ev.RunEnded | None
    climb: tuple[Point, ...]
    decisions: tuple[ev.CandidateDecided, ...]
    champions: tuple[ev.ChampionChanged, ...]
    confirms: tuple[ev.ConfirmStarted, ...]
    confirms_finished: tuple[ev.ConfirmFinished, ...]
    batches: tuple[ev.BatchCounted, ...]
    leaderboard: Leaderboard


def record_of(conductor: Conductor, journal: Journal) -> Record:
    """The record of the run so far."""
    spec, state = conductor.spec, conductor.state
    events = [row.event for row in replay(journal)]
    return Record(
        run_id=spec.run_id,
        task=spec.task,
        seed=spec.seed,
        backend=spec.backend,
        minutes=spec.budget.minutes,
        stations=spec.stations,
        agents=spec.agents,
        baseline_commit=spec.baseline_commit,
        baseline_sha256=spec.baseline.sha256,
        machine=_machine(),
        ended=state.ended,
        climb=tuple(state.climb),
        decisions=tuple(each for each in events if isinstance(each, ev.CandidateDecided)),
        champions=tuple(each for each in events if isinstance(each, ev.ChampionChanged)),
        confirms=tuple(each for each in events if isinstance(each, ev.ConfirmStarted)),
        confirms_finished=tuple(each for each in events if isinstance(each, ev.ConfirmFinished)),
        batches=tuple(each for each in events if isinstance(each, ev.BatchCounted)),
        leaderboard=report.leaderboard(state),
    )


def write(folder: Path, record: Record) -> Path:
    """Writes the record whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    new = path.with_suffix(".new")
    new.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1))
    new.replace(path)
    return path


def _machine() -> Machine:
    versions: dict[str, str] = {}
    for name in VERSIONED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return Machine(
        cpus=os.cpu_count() or 1,
        system=platform.platform(),
        python=platform.python_version(),
        versions=versions,
    )
