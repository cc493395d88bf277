"""What a hand-over to autonomy needs, item by item: pure, but for reading the environment's record.

What is demanded of an environment depends on whose it is. An operator's own, or any on a real robot,
must be published with its figures: nobody else has vouched for it. A task that ships with this
distribution, on simulated drivers only, was measured before it was shipped, and nothing there can be
hurt: its items are waived, visibly. So are a registered environment's, which has no files to sign.
"""

from collections.abc import Sequence
from pathlib import Path

from enpire_tui import home as places
from enpire_tui.supervisor.budgets import Budget
from robots.wire.records import Frozen
from robots.wire.replies import Checklist, ChecklistItem

OK, WAIVED, MISSING = "OK", "WAIVED", "MISSING"

WORD = "autonomous"
# What `--autonomous` sends for a fleet of simulated drivers: the built-in policy.
SIMULATED_WORD = "simulated"


class Environment(Frozen):
    """What is known of a task as its files are now.

    Attributes:
        shipped: Whether it comes with this distribution.
        registered: Whether it is a registered environment, which has no files.
        sha256: Of its files.
        published: Hash that a person signed, "" for none.
        reset, verifier: Figures found on these very files, in words; "" for none.
    """

    shipped: bool = False
    registered: bool = False
    sha256: str = ""
    published: str = ""
    reset: str = ""
    verifier: str = ""


class Facts(Frozen):
    """What a hand-over is checked against.

    Attributes:
        silent: Stations that did not answer just now.
        held_to: Hash of the signed files by station, as it answered; "" for none.
        unsandboxed: Stations that run without a sandbox because somebody said so.
        tries: Tries that are open.
    """

    task: str
    simulated: bool
    environment: Environment
    stations: tuple[str, ...]
    silent: tuple[str, ...]
    held_to: dict[str, str]
    unsandboxed: tuple[str, ...]
    budget: Budget
    tries: tuple[str, ...] = ()


def checklist(facts: Facts) -> Checklist:
    """Everything that a hand-over needs, and whether it is there."""
    items = (*_environment(facts), _sandbox(facts), _budgets(facts), _stop(facts), _tries(facts))
    return Checklist(
        items=items,
        ready=all(item.state != MISSING for item in items),
        word=SIMULATED_WORD if facts.simulated else WORD,
        policy=not facts.simulated,
    )


def refusal(found: Checklist) -> str:
    """Why a hand-over is refused by its checklist, "" if it is not."""
    missing = [item for item in found.items if item.state == MISSING]
    told = "; ".join(f"{item.name}: {item.detail} ({item.remedy})" for item in missing)
    return f"checklist: {told}" if missing else ""


def _environment(facts: Facts) -> tuple[ChecklistItem, ...]:
    known, task = facts.environment, facts.task
    if facts.simulated and (known.shipped or known.registered):
        whose = "ships with this distribution" if known.shipped else "is as registered"
        why = f"{task} {whose} and every driver is simulated"
        return tuple(
            ChecklistItem(name=name, state=WAIVED, detail=detail or why)
            for name, detail in (
                ("manifest", ""),
                ("reset", known.reset),
                ("verifier", known.verifier),
            )
        )
    command = f"enpire-tui environment {{}} {task}"
    return (
        _manifest(facts, command.format("publish")),
        _figure("reset", known.reset, command.format("reset-test")),
        _figure("verifier", known.verifier, command.format("score")),
    )


def _manifest(facts: Facts, command: str) -> ChecklistItem:
    known = facts.environment
    sha256, published = known.sha256, known.published
    loose = [name for name, held in facts.held_to.items() if held != published]
    if not published:
        detail, remedy = "nobody published it", command
    elif published != sha256:
        detail, remedy = f"files {sha256[:12]} are not the published {published[:12]}", command
    elif loose:
        detail = f"{', '.join(loose)} began before it was published and is not held to it"
        remedy = "enpire-tui down, then up"
    else:
        return ChecklistItem(name="manifest", state=OK, detail=f"files {sha256[:12]} are signed")
    return ChecklistItem(name="manifest", state=MISSING, detail=detail, remedy=remedy)


def _figure(name: str, found: str, command: str) -> ChecklistItem:
    if found:
        return ChecklistItem(name=name, state=OK, detail=found)
    detail = "no figure of these files"
    return ChecklistItem(name=name, state=MISSING, detail=detail, remedy=command)


def _sandbox(facts: Facts) -> ChecklistItem:
    if facts.unsandboxed:
        return ChecklistItem(
            name="sandbox",
            state=WAIVED,
            detail=f"{', '.join(facts.unsandboxed)} without one, as the fleet file says",
        )
    return ChecklistItem(name="sandbox", state=OK, detail="every station demands it")


def _budgets(facts: Facts) -> ChecklistItem:
    budget = facts.budget
    bounds = [f"{budget.minutes:g} min"]
    bounds += [f"{budget.robot_minutes:g} robot min"] if budget.robot_minutes else []
    bounds += [f"{budget.ideas} ideas"] if budget.ideas else []
    bounds += [f"{budget.tokens} tokens"] if budget.tokens else []
    bounded = budget.minutes > 0
    return ChecklistItem(
        name="budgets",
        state=OK if bounded else MISSING,
        detail=", ".join(bounds),
        remedy="" if bounded else "give the run a time: [budget] time in the fleet file",
    )


def _stop(facts: Facts) -> ChecklistItem:
    return ChecklistItem(
        name="stop",
        state=MISSING if facts.silent else OK,
        detail=f"no answer from {', '.join(facts.silent)}"
        if facts.silent
        else f"{len(facts.stations)} stations answer",
        remedy="a station that cannot be told to stop must not move; see its log"
        if facts.silent
        else "",
    )


def _tries(facts: Facts) -> ChecklistItem:
    if not facts.tries:
        return ChecklistItem(name="tries", state=OK, detail="none is open")
    detail = f"{', '.join(facts.tries)} open"
    return ChecklistItem(name="tries", state=MISSING, detail=detail, remedy="answer or reject it")


def read_environment(home: Path, task: str, people: Sequence[bytes]) -> Environment:
    """What the fleet's home holds about a task, as its files are now."""
    from robots.bench.record import Records
    from robots.station.tasks import BUILT_IN, TaskError, find_folder, read_task
    from robots.wire import codec, signing
    from robots.wire.records import EnvironmentManifest

    if task.startswith("gym:"):
        return Environment(registered=True)
    try:
        found = read_task(find_folder(task))
    except TaskError:
        return Environment()
    records = Records(places.environments(home))
    record, published = records.read(found), ""
    try:
        signed = records.published(found)
        if signed is not None:
            published = signing.verify(signed, EnvironmentManifest, people).manifest_sha256
    except (signing.SignatureRefused, codec.DecodeError):
        published = "by nobody of this fleet"
    reset, verifier = record.reset, record.verifier
    return Environment(
        shipped=found.folder.parent == BUILT_IN,
        sha256=record.manifest_sha256,
        published=published,
        reset=f"{reset.success} of {reset.tries} resets" if reset is not None else "",
        verifier=f"{verifier.false_positives} false positives of {verifier.negatives}, recall "
        f"{verifier.recall:.1%}"
        if verifier is not None
        else "",
    )
