"""The tools of an agent that builds an environment: files, bench, and the person beside it.

Calls that act are answered once (`Surface`). Figures are kept by the hash of what they were measured
on, and a person's word is on record before it is acted on: a proposal is applied on a yes alone.
"""

import asyncio
import difflib
import hashlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec

from agents.authoring.folder import EDITED, CopyTree, Pair, laid_out, present, put, sha256_of
from agents.authoring.people import Decision, Measured, People, Proposal, figures
from agents.authoring.wrong import MOST_SHOWN, Wrong
from agents.desk import Desk
from agents.pictures import Answer
from agents.tools import calls as t
from agents.tools import editing
from agents.tools.offered import Asked, Words
from agents.tools.seeing import MOST_PICTURES
from agents.tools.skills import Skill, skills
from agents.tools.surface import Surface, Tool
from robots.bench import conformance, resets, sights
from robots.bench.findings import Nonconforming
from robots.bench.record import Records
from robots.drivers.base import DriverError
from robots.station.children import ChildFailed
from robots.station.tasks import Task, TaskError, read_task
from robots.wire import codec
from robots.wire.records import Frozen, RecipeArchive

FINISHED, APPLIED = "finished", "applied/"
Told = Callable[[object], None]
T = TypeVar("T")


class Published(Exception):
    """The task is published; the message says what to do."""


class OfWhich(Frozen):
    """Resets of your copy, or of the task as it is."""

    of: Literal["copy", "task"] = "copy"
    tries: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20


class Scenes(Frozen):
    """Scenes for the verifier of your copy, or of the task as it is; drawn afresh without a seed.

    Attributes:
        pictures: So many scenes with a wrong verdict are shown at most.
        camera: Through which of the task's cameras, "" for its first.
    """

    of: Literal["copy", "task"] = "copy"
    negatives: Annotated[int, msgspec.Meta(ge=1, le=300)] = 60
    positives: Annotated[int, msgspec.Meta(ge=1, le=300)] = 60
    seed: Annotated[int, msgspec.Meta(ge=0)] | None = None
    pictures: Annotated[int, msgspec.Meta(ge=0, le=MOST_SHOWN)] = 3
    camera: str = ""


class Why(Frozen):
    """What the change does and what it costs, for the person who decides."""

    reason: Annotated[str, msgspec.Meta(min_length=10, max_length=2_000)]


class Author:
    """One agent at one task.

    Args:
        desk: Its journal.
        tree: Its copy.
        folder: The task's.
        recipes: Baseline and reference by name, or why there is none; the agent sees neither.
        records: Of the home: whether the task is published.
        people: Who decides.
    """

    def __init__(
        self,
        desk: Desk,
        tree: CopyTree,
        folder: Path,
        recipes: Mapping[str, RecipeArchive | str],
        records: Records,
        people: People,
    ) -> None:
        self._desk = desk
        self._tree = tree
        self._folder = folder
        self._recipes = recipes
        self._records = records
        self._people = people

    @property
    def offered(self) -> tuple[Tool, ...]:
        """What the model may call."""
        return (
            Tool("list_files", "Files of your copy.", editing.Nothing, editing.list_files),
            Tool("read_file", "A file of your copy, or an answer that was cut (results/...).", editing.Place, editing.read_file),
            Tool("write_file", "Write reset.py or verify.py.", editing.Written, editing.write_file, once=True),
            Tool("edit_file", "Replace one passage of reset.py or verify.py.", editing.Edited, editing.edit_file, once=True),
            Tool("shell", "Run a command in the copy's sandbox (python3, grep...).", editing.Command, editing.shell, once=True),
            Tool("skills", "What reset and verifier may import from robots.skills, if the task uses it; or one skill's code.",
                 Skill, skills),
            Tool("check", "Whether the task with your copy keeps to every rule.", editing.Nothing, self._check, once=True),
            Tool("score", "The verifier's verdicts on drawn scenes against the truth, with `pictures` of some that are "
                 "wrong, false positives first, through `camera` (default: the task's first).",
                 Scenes, self._score, once=True),
            Tool("reset_test", "How often the reset reaches its target, after four seconds of random motion.",
                 OfWhich, self._reset_test, once=True),
            Tool("propose", "Ask the person to take your copy over. Needs a passed check, and figures of the task "
                 "and of the copy for what you changed.", Why, self._propose, once=True),
            Tool("ask", "Ask the person beside you, and wait for the answer.", Asked, self._ask, once=True),
            Tool("finish", "End your work.", Words, self._finish, once=True),
        )  # fmt: skip

    # --- the bench ---

    async def _check(self, _: Surface, __: editing.Nothing, ___: str) -> str:
        pair = await self._tree.pair()
        checks = await self._on_bench(
            pair, lambda task, told: conformance.examine(task.folder, self._recipes, told)
        )
        self._keep(pair, checks=checks)
        return "\n".join(
            f"{'ok' if each.ok else 'FAILED'} {each.name}: {each.detail}" for each in checks
        )

    async def _score(self, at: Surface, given: Scenes, __: str) -> Answer:
        cameras = [each.name for each in read_task(self._folder).spec.cameras]
        if given.camera not in ("", *cameras):
            raise t.ToolRefused(f"unknown_camera: {given.camera}; there are {', '.join(cameras)}")
        left = MOST_PICTURES - at.work.pictures if at.sees else 0
        wrong = Wrong(min(given.pictures, left), given.camera)
        pair = await self._pair(given.of)

        def run(task: Task, told: Told) -> sights.VerifierFigures:
            def seen(sighting: sights.Sighting) -> None:
                told(sighting)
                wrong.seen(sighting)

            return sights.run(task, given.negatives, given.positives, seen, seed=given.seed)

        found = await self._on_bench(pair, run)
        self._keep(pair, verifier=found)
        answer = await wrong.answer(f"{given.of}: {figures(Measured(verifier=found))}", self._desk)
        if answer.pictures:
            at.keep(pictures=at.work.pictures + len(answer.pictures))
        return answer

    async def _reset_test(self, _: Surface, given: OfWhich, __: str) -> str:
        pair = await self._pair(given.of)
        found = await self._on_bench(pair, lambda task, told: resets.run(task, given.tries, told))
        self._keep(pair, reset=found)
        return "\n".join([f"{given.of}: {figures(Measured(reset=found))}", *found.failures])

    async def _pair(self, of: str) -> Pair:
        return await self._tree.pair() if of == "copy" else present(read_task(self._folder))

    async def _on_bench(self, pair: Pair, work: Callable[[Task, Told], T]) -> T:
        """Run a measurement of the task with this pair; one that is left ends at its next scene."""
        left = threading.Event()

        def told(_: object) -> None:
            if left.is_set():
                raise ChildFailed("nobody waits for this any more")

        def run() -> T:
            with laid_out(read_task(self._folder), pair) as task:
                return work(task, told)

        try:
            return await asyncio.to_thread(run)
        except (DriverError, Nonconforming, ChildFailed, TaskError) as error:
            raise t.ToolRefused(f"failed: {error}") from None
        finally:
            left.set()

    def _measured(self, pair: Pair) -> Measured:
        known = self._desk.log.records.get(f"measured/{sha256_of(pair)}")
        return Measured() if known is None else codec.decode(known, Measured)

    def _keep(self, pair: Pair, **found: object) -> None:
        kept = msgspec.structs.replace(self._measured(pair), **found)
        self._desk.record_backend(f"measured/{sha256_of(pair)}", codec.encode(kept))

    # --- the person ---

    async def _propose(self, _: Surface, given: Why, call_id: str) -> str:
        known, after = self._decided(call_id), await self._tree.pair()
        if known is None:
            proposal = self._proposal(after, given.reason)
            if missing := _missing(proposal):
                raise t.ToolRefused(f"unmeasured: first {', '.join(missing)}")
            name = f"proposal-{proposal.diff_sha256[:12]}.diff"
            self._desk.results.put(name, proposal.diff.encode())
            question = f"take over diff {proposal.diff_sha256}? {given.reason}"
            self._desk.ask(call_id, question, ("yes", "no"))
            known = self._take(call_id, await self._people.decide(proposal))
        if not known.yes:
            return f"{known.by} says no: {known.words or 'without words'}"
        # The person, or a life of this session before, may have changed the task meanwhile.
        task = self._unfrozen()
        if present(task) != after:
            if self._proposal(after, given.reason).diff_sha256 != known.about:
                raise t.ToolRefused("changed: the task's files or your copy are not what was shown")
            put(task, self._folder, after)
        self._desk.record_backend(f"{APPLIED}{call_id}", b"")
        words = f": {known.words}" if known.words else ""
        return f"{known.by} says yes{words}; the task's folder has the change"

    async def _ask(self, _: Surface, given: Asked, call_id: str) -> str:
        known = self._decided(call_id)
        if known is None:
            self._desk.ask(call_id, given.question, given.choices)
            words = await self._people.answer(given.question, given.choices)
            told = None if words is None else Decision(yes=False, words=words, by=self._people.by)
            known = self._take(call_id, told)
        return f"{known.by} says: {known.words}"

    async def _finish(self, at: Surface, given: Words, _: str) -> str:
        self._desk.record_backend(FINISHED, given.summary.encode())
        at.keep(summary=given.summary, closed=at.work.closed + 1)
        self._desk.stop.set()
        return "your work is ended"

    def _unfrozen(self) -> Task:
        try:
            return unfrozen(self._folder, self._records)
        except (Published, TaskError) as refused:
            raise t.ToolRefused(f"frozen: {refused}") from None

    def _proposal(self, after: Pair, reason: str) -> Proposal:
        before = present(self._unfrozen())
        parts = {name: _diff(name, before[name], after[name]) for name in EDITED}
        diff = "".join(parts.values())
        return Proposal(
            reason=reason,
            changed=tuple(name for name, part in parts.items() if part),
            diff=diff,
            diff_sha256=hashlib.sha256(diff.encode()).hexdigest(),
            before=self._measured(before),
            after=self._measured(after),
        )

    def _decided(self, call_id: str) -> Decision | None:
        known = self._desk.log.records.get(f"decision/{call_id}")
        if known is None:
            return None
        decision = codec.decode(known, Decision)
        self._heard(call_id, decision)
        return decision

    def _take(self, call_id: str, decision: Decision | None) -> Decision:
        """A person's word, on record before anything is done about it.

        Raises:
            ToolRefused: STOPPED: nobody answers any more; what was asked stays open.
        """
        if decision is None:
            self._desk.stop.set()
            raise t.ToolRefused("STOPPED")
        self._desk.record_backend(f"decision/{call_id}", codec.encode(decision))
        self._heard(call_id, decision)
        return decision

    def _heard(self, call_id: str, decision: Decision) -> None:
        """The answer in the journal as any agent's; the tool's answer is how this one hears it."""
        verdict = ("yes" if decision.yes else "no") if decision.about else ""
        self._desk.answer(call_id, f"{verdict} {decision.words}".strip(), decision.by)
        if call_id in self._desk.log.words:
            self._desk.record_backend(f"heard/{call_id}", b"", heard=(call_id,))


def unfrozen(folder: Path, records: Records) -> Task:
    """A task as its files are now.

    Raises:
        Published: It is frozen.
        TaskError: It cannot be read.
    """
    task = read_task(folder)
    if records.published(task) is not None:
        raise Published(
            f"{task.spec.name} is published, so its reset and verifier are frozen: copy {folder}, "
            "give the copy a `name` of its own in task.toml, and work on that"
        )
    return task


def _missing(proposal: Proposal) -> list[str]:
    """Calls without which a person cannot judge a proposal."""
    if not proposal.changed:
        return ["change reset.py or verify.py: the copy is what the task has"]
    found = [] if proposal.after.passed else ["check, and have it pass"]
    for of, measured in (("task", proposal.before), ("copy", proposal.after)):
        if "verify.py" in proposal.changed and measured.verifier is None:
            found.append(f'score with of = "{of}"')
        if "reset.py" in proposal.changed and measured.reset is None:
            found.append(f'reset_test with of = "{of}"')
    return found


def _diff(name: str, before: bytes, after: bytes) -> str:
    old, new = (each.decode(errors="replace").splitlines(keepends=True) for each in (before, after))
    lines = difflib.unified_diff(old, new, f"task/{name}", f"proposed/{name}")
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
