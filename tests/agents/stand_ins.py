"""A station and a supervisor on the real wire, with journals, that do only what agents need.

Each counts what it was asked to do, so that a test can say that nothing was done twice.
"""

import hashlib
import math
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from agents.git.repository import Repository
from agents.search.knobs import read_knobs
from robots.station.png import png
from robots.wire import commands as c
from robots.wire.clock import Clock
from robots.wire.events import (
    BatchAccepted,
    BatchFinished,
    CandidateDecided,
    CandidateQueued,
    ChampionChanged,
    EpisodeFinished,
    IdeaProposed,
    RunEnded,
    RunStarted,
)
from robots.wire.journal import Journal
from robots.wire.reception import Peer, Refused
from robots.wire.records import Counts, Episode, Outcome, RecipeArchive
from robots.wire.replies import CandidateReceipt, NominationReceipt
from robots.wire.station_replies import BatchPhase, BatchState, EpisodeFrame, EpisodeFrames
from robots.wire.transport import Transport

POLICY = b'''"""A policy for tests."""


class Policy:
    def __init__(self, knobs):
        self.knobs = knobs

    def reset(self, observation):
        self.pose = observation["object_pose"]

    def act(self, observation):
        return self.pose
'''
RECIPE = b"""# Knobs of the tests.
regime = "heuristic"

[entry]
policy = "policy.py"

[knobs.speed]
value = 0.2  # metres a second
low = 0.05
high = 1.0
scale = "log"

[knobs.angle]
value = 0.1
low = 0.0
high = 1.0

[knobs.mode]
value = "slow"
choices = ["slow", "fast"]
"""
BASELINE = {"policy.py": POLICY, "recipe.toml": RECIPE}

LEARNED_RECIPE = b"""regime = "behavior_cloning"

[train]
steps = 100
noise = 0.02

[ranges]
steps = { low = 100, high = 10000, scale = "log", integer = true }
noise = { low = 0.002, high = 0.2, scale = "log" }

[knobs.play]
value = 4
low = 1
high = 8
integer = true
"""
# What it learns is how long it trained, and on how many datasets.
TRAIN = b"""import json, time, tomllib
from recipes.learning.job import Job

job = Job.here()
steps = tomllib.load(open("recipe.toml", "rb"))["train"]["steps"]
job.progress(steps, steps, loss=1.0 / steps)
time.sleep(1.0)
(job.out / "policy").mkdir()
learned = {"steps": steps, "data": len(job.data)}
(job.out / "policy" / "weights.npz").write_text(json.dumps(learned))
"""
LEARNED = {
    "policy.py": POLICY,
    "train.py": TRAIN,
    "recipe.toml": LEARNED_RECIPE,
    "weights.npz": b'{"steps": 100, "data": 0}',
}


GATE = 0.98
"""Rate from which the supervisor here takes nominations."""


def quality(recipe: RecipeArchive) -> float:
    """True success rate of a recipe here: best at speed 0.6, angle 0.7, mode fast.

    Of one that learns: the longer it trained, on the more data, the better.
    """
    if "train.py" in recipe.files:
        learned = msgspec.json.decode(recipe.files["weights.npz"])
        return 0.1 + 0.2 * math.log10(learned["steps"] / 100) + 0.3 * min(learned["data"], 1)
    knobs = read_knobs(recipe.files)
    speed = knobs["speed"].to_unit(knobs["speed"].value)
    angle = float(knobs["angle"].value)
    miss = (speed - 0.83) ** 2 + (angle - 0.7) ** 2
    rate = 0.75 * math.exp(-2.0 * miss) + (0.24 if knobs["mode"].value == "fast" else 0.0)
    return min(rate, 0.995)


def shade(step: int) -> bytes:
    """The picture that the station here has of a step."""
    return png(np.full((3, 4, 3), step % 256, np.uint8))


class StationStandIn:
    """Runs batches at once, on demand of one task."""

    def __init__(self, transport: Transport, name: str, journal: Journal) -> None:
        self.journal = journal
        self.started: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.recipes: dict[str, str] = {}
        # Batches that were taken begin once this is cleared and `go_on` is called.
        self.hold = False
        self._held: list[c.StartBatch] = []
        self.server = transport.server(name, journal, self.handle)
        for row in journal.rows(0, 100_000):
            if isinstance(row.event, BatchAccepted):
                self.started[row.event.batch_id] += 1
                self.recipes[row.event.batch_id] = row.event.recipe.sha256

    async def handle(self, command: c.AnyCommand, peer: Peer) -> msgspec.Struct | None:
        if isinstance(command, c.GetFrames):
            return self._frames(command)
        if not isinstance(command, c.StartBatch):
            raise Refused("unknown_command")
        self.asked[command.batch_id] += 1
        if command.batch_id not in self.started:
            self.started[command.batch_id] += 1
            self.recipes[command.batch_id] = command.recipe.sha256
            self._accept(command, peer)
            self._held.append(command)
            if not self.hold:
                self.go_on()
        elif self.recipes[command.batch_id] != command.recipe.sha256:
            raise Refused("invalid: another recipe under a known id")
        return BatchState(
            batch_id=command.batch_id,
            phase=BatchPhase.QUEUED,
            purpose=command.purpose,
            commit=command.commit,
            episodes=command.episodes,
            counts=Counts(),
        )

    def _frames(self, command: c.GetFrames) -> EpisodeFrames:
        """Pictures whose shade tells their step; of explored episodes, as a station shows them."""
        found = [
            row.event.episode
            for row in self.journal.rows(0, 100_000)
            if isinstance(row.event, EpisodeFinished)
            and (row.event.batch_id, row.event.episode.index) == (command.batch_id, command.index)
        ]
        if not found:
            raise Refused(f"unknown_batch: {command.batch_id}")
        steps = command.steps or range(100 - command.count, 100)
        return EpisodeFrames(
            batch_id=command.batch_id,
            episode=msgspec.structs.replace(found[0], steps=99),
            camera=command.camera or "top",
            frames=tuple(
                EpisodeFrame(step=step, time_s=step / 30, width=4, height=3, png=shade(step))
                for step in steps
            ),
        )

    def go_on(self) -> None:
        """Run what was held."""
        self.hold = False
        while self._held:
            self._run(self._held.pop(0))

    def _accept(self, command: c.StartBatch, peer: Peer) -> None:
        self.journal.append(
            BatchAccepted(
                batch_id=command.batch_id,
                purpose=command.purpose,
                commit=command.commit,
                idea_id=command.idea_id,
                recipe=command.recipe,
                episodes=command.episodes,
                seeds=command.seeds,
                stop_at_failure=False,
                record=command.record,
                requested_by=peer.name,
            ),
            durable=True,
        )

    def _run(self, command: c.StartBatch) -> None:
        rate = quality(command.recipe)
        won = 0
        for index in range(command.episodes):
            seed = command.seeds[index] if command.seeds else None
            digest = hashlib.sha256(f"{seed}/{command.batch_id}/{index}".encode()).digest()
            draw = int.from_bytes(digest[:4], "big") / 2**32
            success = draw < rate
            won += success
            episode = Episode(
                index=index,
                outcome=Outcome.SUCCESS if success else Outcome.FAILURE,
                reason="verified" if success else "episode_limit",
                seed=seed,
                tags=() if success else ("timeout",),
                score=rate,
                robot_s=10.0 + 20.0 * draw,
                reset_s=5.0,
            )
            self.journal.append(
                EpisodeFinished(batch_id=command.batch_id, episode=episode), durable=False
            )
        self.journal.append(
            BatchFinished(
                batch_id=command.batch_id,
                purpose=command.purpose,
                commit=command.commit,
                idea_id=command.idea_id,
                counts=Counts(success=won, failure=command.episodes - won),
                void=False,
                void_reason="",
                seconds=1.0,
                ledger_sha256="0" * 64,
            ),
            durable=True,
        )


class SupervisorStandIn:
    """One run; decides a candidate at once from its true quality and a hundred drawn episodes."""

    def __init__(
        self,
        transport: Transport,
        journal: Journal,
        origin: Path,
        clock: Clock,
        start: Mapping[str, bytes] = BASELINE,
        task: str = "stand_in",
    ) -> None:
        self.journal = journal
        self.clock = clock
        self.task = task
        self.repository = Repository.create(origin, start, {"TASK.md": b"# A task\n"})
        self.proposed: Counter[str] = Counter()
        self.queued: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.nominated: Counter[str] = Counter()
        self.silent = False
        self.refuses = ""
        self.champion_rate = 0.0
        self.best = 0.0
        self.adopted = 0
        self._rng = random.Random(5)
        self.server = transport.server("supervisor", journal, self.handle)
        rows = journal.rows(0, 100_000)
        for row in rows:
            match row.event:
                case IdeaProposed():
                    self.proposed[row.event.idea.idea_id] += 1
                case CandidateQueued():
                    self.queued[row.event.idea.idea_id] += 1
                case ChampionChanged():
                    self.champion_rate = row.event.rate
                    self.adopted += 1
                case _:
                    pass
        if not rows:
            self._begin()

    def _begin(self) -> None:
        baseline = self.repository.archive(self.repository.baseline)
        self.champion_rate = quality(baseline)
        self.journal.append(
            RunStarted(
                run_id="r1",
                task=self.task,
                stations=("s1",),
                agents=("a1",),
                backend="search",
                seed=1,
                baseline_commit=self.repository.baseline,
                baseline=baseline,
                minutes=1.0,
                simulated=True,
                unsandboxed=False,
            ),
            durable=True,
        )

    async def handle(self, command: c.AnyCommand, peer: Peer) -> msgspec.Struct | None:
        match command:
            case c.ProposeIdea():
                idea_id = command.idea.idea_id
                self.asked[idea_id] += 1
                if idea_id not in self.proposed:
                    self.proposed[idea_id] += 1
                    self.journal.append(
                        IdeaProposed(idea=command.idea, fingerprint=command.fingerprint),
                        durable=True,
                    )
                return CandidateReceipt(idea_id=idea_id, state="PROPOSED")
            case c.SubmitCandidate():
                idea_id = command.idea.idea_id
                if self.refuses:
                    raise Refused(self.refuses)
                if idea_id not in self.queued:
                    self.queued[idea_id] += 1
                    self.journal.append(
                        CandidateQueued(
                            idea=command.idea,
                            recipe=command.recipe,
                            fingerprint=command.fingerprint,
                        ),
                        durable=True,
                    )
                    if not self.silent:
                        self._decide(command)
                return CandidateReceipt(idea_id=idea_id, state="SCREENING")
            case c.Nominate():
                self.nominated[command.nomination_id] += 1
                if self.champion_rate < GATE:
                    raise Refused(f"not_better: {command.idea_id} is at {self.champion_rate:.2f}")
                return NominationReceipt(
                    nomination_id=command.nomination_id,
                    idea_id=command.idea_id,
                    chance=0.8,
                    left=1,
                )
            case _:
                raise Refused("unknown_command")

    def _decide(self, command: c.SubmitCandidate) -> None:
        rate = quality(command.recipe)
        won = sum(self._rng.random() < rate for _ in range(100))
        adopted = won / 100 > self.champion_rate + 0.05
        self.journal.append(
            CandidateDecided(
                idea_id=command.idea.idea_id,
                decision="adopted" if adopted else "discarded",
                success=won,
                episodes=100,
                interval=(won / 100 - 0.1, min(won / 100 + 0.1, 1.0)),
                champion_rate=self.champion_rate,
                detail="",
            ),
            durable=True,
        )
        if adopted:
            self.adopted += 1
            gain, self.champion_rate = won / 100 - self.champion_rate, won / 100
            self.journal.append(
                ChampionChanged(
                    idea_id=command.idea.idea_id,
                    commit=command.idea.commit,
                    agent=command.idea.agent,
                    success=won,
                    episodes=100,
                    rate=won / 100,
                    interval=(0.0, 1.0),
                    gain=gain,
                ),
                durable=True,
            )

    def end(self, outcome: str = "success") -> None:
        """End the run."""
        self.journal.append(
            RunEnded(
                outcome=outcome,
                seconds=1.0,
                champion="",
                confirm=Counts(),
                confirms_failed=0,
                mru=0.0,
                gpu_utilisation=0.0,
                mtu={},
                tokens={},
                ideas=0,
                adopted=0,
            ),
            durable=True,
        )
